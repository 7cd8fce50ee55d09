//! The tracking of one run: what its RunActor hands on, given to the back ends in their order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::Record;
use super::meter::Metering;
use super::seat::{Deed, Left, Seat};
use crate::events::Event;
use crate::off_arbiter::off_arbiter;
use crate::plan::RunPlan;
use crate::ports::{RunLine, TrackerFactory};

/// What waits in the queue of a run's tracking.
#[derive(Debug)]
pub(super) enum Order {
    Keep(Record),
    Settle(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// The back ends of a run: those that were asked for, and its files behind them.
///
/// The files come last so that, whenever the engine is killed, what stands in them was given to the others.
pub(super) struct Tracking {
    run: Run,
    further: Seats,
    files: Seats,
}

/// The run that is tracked.
struct Run {
    plan: Arc<RunPlan>,
    line: RunLine,
    /// Time a back end has for a call.
    patience: Duration,
}

/// Back ends that are asked at once. Those that have not answered in time are not asked again.
#[derive(Default)]
struct Seats(Vec<Seat>);

impl Tracking {
    /// Of these files alone; opened by [`Tracking::open`].
    pub(super) fn new(plan: Arc<RunPlan>, files: Option<Seat>, line: RunLine, patience: Duration) -> Self {
        let files = Seats(files.into_iter().collect());
        Self { run: Run { plan, line, patience }, further: Seats::default(), files }
    }

    /// Does what is ordered until the run is closed, or nobody is left to order anything. What the back ends publish
    /// is given to the files, so that it stands in the run's own log; not to the others, which would answer each
    /// other for ever.
    ///
    /// `meter` is started if there are back ends besides the files: only they have a place for what it measures.
    pub(super) async fn drive(
        mut self,
        factory: Arc<TrackerFactory>,
        mut orders: mpsc::Receiver<Order>,
        mut published: mpsc::Receiver<Event>,
        meter: impl FnOnce() -> Option<Metering>,
    ) {
        self.open(factory).await;
        let metering = if self.further.0.is_empty() { None } else { meter() };
        let closed = loop {
            tokio::select! {
                biased;
                Some(event) = published.recv() => self.log(event).await,
                order = orders.recv() => match order {
                    Some(Order::Keep(record)) => self.round(&Deed::Keep(Arc::new(record))).await,
                    Some(Order::Settle(settled)) => {
                        self.round(&Deed::Settle).await;
                        // A RunActor that is gone needs no answer.
                        settled.send(()).unwrap_or_default();
                    }
                    Some(Order::Close(closed)) => break Some(closed),
                    None => break None,
                },
            }
        };
        drop(metering);
        self.further.round(&Deed::Close, &self.run).await;
        // Back ends may say a last thing; their threads are over, and so is what they publish.
        while let Ok(event) = published.try_recv() {
            self.log(event).await;
        }
        self.files.round(&Deed::Close, &self.run).await;
        if let Some(closed) = closed {
            // A RunActor that is gone needs no answer.
            closed.send(()).unwrap_or_default();
        }
    }

    async fn log(&mut self, event: Event) {
        let record = Deed::Keep(Arc::new(Record::Happened(Box::new(event))));
        self.files.round(&record, &self.run).await;
    }

    async fn open(&mut self, factory: Arc<TrackerFactory>) {
        let plan = Arc::clone(&self.run.plan);
        let make = off_arbiter(format!("make-{}", plan.run_id), move || factory(&plan));
        let made = match timeout(self.run.patience, make).await {
            Ok(Ok(made)) => made,
            failed => {
                let why = failed.map_or_else(|_| self.run.overdue(), |_| "making them panicked".to_owned());
                self.run.warn("the further tracking", &why);
                Vec::new()
            }
        };
        for tracker in made {
            let name = tracker.name().to_owned();
            match Seat::take(vec![tracker], Arc::clone(&self.run.plan), self.run.line.clone()) {
                Ok(seat) => self.further.0.push(seat),
                Err(error) => {
                    self.run.warn(&name, &format!("no thread for it ({error})"));
                }
            }
        }
        self.round(&Deed::Open).await;
    }

    /// Has every back end do this: the files when the others have, or are given up.
    async fn round(&mut self, deed: &Deed) {
        self.further.round(deed, &self.run).await;
        self.files.round(deed, &self.run).await;
    }
}

impl Seats {
    async fn round(&mut self, deed: &Deed, run: &Run) {
        let until = Instant::now() + run.patience;
        let asked: Vec<_> = self.0.drain(..).map(|seat| (seat.ask(deed.clone()), seat)).collect();
        for (answer, seat) in asked {
            let why = match timeout_at(until, answer).await {
                Ok(Ok(Left::Some)) => {
                    self.0.push(seat);
                    continue;
                }
                // Of each it has been told why.
                Ok(Ok(Left::None)) => continue,
                Ok(Err(_)) => "its thread is gone".to_owned(),
                Err(_) => run.overdue(),
            };
            run.warn(seat.name(), &why);
        }
    }
}

impl Run {
    fn warn(&self, what: &str, why: &str) {
        let message = format!("{what} of `{}` is turned off: {why}", self.plan.run_name);
        self.line.publish(Event::Warned { message });
    }

    fn overdue(&self) -> String {
        format!("no answer within {} s", self.patience.as_secs())
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;

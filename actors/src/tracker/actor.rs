//! The actor between a RunActor and the thread of its back ends.

use std::sync::Arc;
use std::thread;

use actix::{Actor, ActorContext, ActorFutureExt, AtomicResponse, Context, Handler, WrapFuture};
use tokio::sync::{mpsc, oneshot};

use super::back_ends::BackEnds;
use super::{CloseRun, Record, Track};
use crate::bus::EventBus;
use crate::events::Event;
use crate::limits::{TRACKER_MAILBOX, TRACKER_QUEUE};
use crate::plan::RunPlan;
use crate::ports::{RunLine, Tracker};
use crate::stop::StopLine;

/// The actor of one run's tracking; see the module.
pub struct TrackerActor {
    queue: mpsc::Sender<Order>,
}

enum Order {
    Keep(Record),
    Close(oneshot::Sender<()>),
}

impl TrackerActor {
    /// An actor with its thread under way, which opens the back ends first thing.
    ///
    /// `stop` is what a back end stops the run with, where its users can ask for that.
    pub(crate) fn new(plan: Arc<RunPlan>, all: Vec<Box<dyn Tracker>>, bus: EventBus, stop: StopLine) -> Self {
        let (queue, orders) = mpsc::channel(TRACKER_QUEUE);
        let name = format!("track-{}", plan.run_id);
        let run_name = plan.run_name.clone();
        let warn = bus.clone();
        let line = RunLine::new(bus, stop);
        let spawned = thread::Builder::new().name(name).spawn(move || drive(plan, all, &line, orders));
        if let Err(error) = spawned {
            // The queue's other end is gone with the thread, so every record is dropped from here on.
            let message = format!("`{run_name}` is not tracked: no thread for its files ({error})");
            warn.publish(Event::Warned { message });
        }
        Self { queue }
    }
}

fn drive(plan: Arc<RunPlan>, all: Vec<Box<dyn Tracker>>, line: &RunLine, mut orders: mpsc::Receiver<Order>) {
    let mut back_ends = BackEnds::open(plan, all, line.clone());
    loop {
        match orders.blocking_recv() {
            Some(Order::Keep(record)) => back_ends.record(&record),
            Some(Order::Close(closed)) => {
                back_ends.close();
                // A RunActor that is gone needs no answer.
                closed.send(()).unwrap_or_default();
                return;
            }
            None => return back_ends.close(),
        }
    }
}

impl Actor for TrackerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(TRACKER_MAILBOX);
    }
}

impl Handler<Track> for TrackerActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Track(record): Track, _ctx: &mut Self::Context) -> Self::Result {
        let queue = self.queue.clone();
        let put = async move {
            if queue.send(Order::Keep(record)).await.is_err() {
                tracing::debug!("a record came after the run was closed");
            }
        };
        AtomicResponse::new(Box::pin(put.into_actor(self)))
    }
}

impl Handler<CloseRun> for TrackerActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: CloseRun, _ctx: &mut Self::Context) -> Self::Result {
        let queue = self.queue.clone();
        let close = async move {
            let (closed, done) = oneshot::channel();
            // Closed already, or without a thread: then there is nothing to wait for.
            if queue.send(Order::Close(closed)).await.is_ok() {
                done.await.unwrap_or_default();
            }
        };
        AtomicResponse::new(Box::pin(close.into_actor(self).map(|(), _, ctx| ctx.stop())))
    }
}

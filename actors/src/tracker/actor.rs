//! The actor between a RunActor and the threads of its back ends.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AtomicResponse, Context, Handler, WrapFuture};
use engine_devices::usage::HostMeter;
use tokio::sync::{mpsc, oneshot};

use super::drive::{Order, Tracking};
use super::files::file_trackers;
use super::meter::{Metering, Rhythm, Subject};
use super::seat::Seat;
use super::{CloseRun, Settle, Track};
use crate::bus::EventBus;
use crate::events::Event;
use crate::limits::{
    BACK_END_DEADLINE, FIRST_SAMPLE, RUN_LINE_QUEUE, SAMPLE_PERIOD, TRACKER_MAILBOX, TRACKER_QUEUE,
};
use crate::plan::RunPlan;
use crate::ports::{RunLine, TrackerFactory, no_trackers};
use crate::stop::StopLine;

/// The actor of one run's tracking; see the module.
pub struct TrackerActor {
    queue: mpsc::Sender<Order>,
}

/// What the tracking of a run is made of.
pub(crate) struct Tracked {
    /// The run.
    pub(crate) plan: Arc<RunPlan>,
    /// Makes its back ends besides its files.
    pub(crate) trackers: Arc<TrackerFactory>,
    /// Hears what the back ends publish.
    pub(crate) bus: EventBus,
    /// What a back end stops the run with, where its users can ask for that.
    pub(crate) stop: StopLine,
    /// Measures the machine, for all runs.
    pub(crate) host: Arc<HostMeter>,
    /// Who is measured.
    pub(crate) subject: Subject,
    /// Time a back end has for a call.
    pub(crate) patience: Duration,
}

impl TrackerActor {
    /// An actor that keeps the files of a run and has no other back ends: for whoever wants a run's records without a run. To be
    /// called on an arbiter.
    #[must_use]
    pub fn of_files(plan: Arc<RunPlan>, bus: EventBus) -> Self {
        Self::new(Tracked {
            plan,
            trackers: Arc::new(no_trackers),
            bus,
            stop: StopLine::new().0,
            host: Arc::new(HostMeter::new()),
            subject: Subject::default(),
            patience: BACK_END_DEADLINE,
        })
    }

    /// An actor with its tracking under way, which opens the back ends first thing. To be called on the arbiter.
    pub(crate) fn new(tracked: Tracked) -> Self {
        let Tracked { plan, trackers, bus, stop, host, subject, patience } = tracked;
        let (queue, orders) = mpsc::channel(TRACKER_QUEUE);
        let (log, published) = mpsc::channel(RUN_LINE_QUEUE);
        let line = RunLine::new(bus, log, stop);
        let files = Seat::take(file_trackers(&plan), Arc::clone(&plan), line.clone());
        let files = files
            .inspect_err(|error| {
                let message =
                    format!("the files of `{}` are not kept: no thread for them ({error})", plan.run_name);
                line.publish(Event::Warned { message });
            })
            .ok();
        let weak = queue.downgrade();
        let measured = Arc::clone(&plan);
        let meter = move || {
            let rhythm = Rhythm { first: FIRST_SAMPLE, period: SAMPLE_PERIOD };
            let name = format!("meter-{}", measured.run_id);
            Metering::start(name, rhythm, (host, &measured.run_dir), subject, weak)
                .inspect_err(|error| tracing::warn!(%error, "a run goes unmeasured"))
                .ok()
        };
        // Outlives the actor by the time the back ends take to close.
        drop(actix::spawn(
            Tracking::new(plan, files, line, patience).drive(trackers, orders, published, meter),
        ));
        Self { queue }
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

impl Handler<Settle> for TrackerActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Settle, _ctx: &mut Self::Context) -> Self::Result {
        let queue = self.queue.clone();
        let settle = async move {
            let (settled, done) = oneshot::channel();
            // Closed already: then there is nothing to wait for.
            if queue.send(Order::Settle(settled)).await.is_ok() {
                done.await.unwrap_or_default();
            }
        };
        AtomicResponse::new(Box::pin(settle.into_actor(self)))
    }
}

impl Handler<CloseRun> for TrackerActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: CloseRun, _ctx: &mut Self::Context) -> Self::Result {
        let queue = self.queue.clone();
        let close = async move {
            let (closed, done) = oneshot::channel();
            // Closed already: then there is nothing to wait for.
            if queue.send(Order::Close(closed)).await.is_ok() {
                done.await.unwrap_or_default();
            }
        };
        AtomicResponse::new(Box::pin(close.into_actor(self).map(|(), _, ctx| ctx.stop())))
    }
}

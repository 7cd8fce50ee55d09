//! What the actors need from others: implemented by the crates above and below.

use std::sync::{Arc, Mutex, PoisonError};

use engine_devices::Launcher;
use engine_tracking::{Figure, MetricPoint, Metrics};
use tokio::sync::mpsc;

use crate::bus::EventBus;
use crate::events::Event;
use crate::plan::{Hyperparameters, RunPlan};
use crate::protocol::{FromWorker, ToWorker};
use crate::stop::{StopLine, StopMode};

/// Starts workers that speak the run protocol, as threads or as processes.
pub type WorkerLauncher = dyn Launcher<ToWorker, FromWorker>;

/// Proposes the configurations of a tune.
///
/// Called on an arbiter, once per trial and in the order of trials: it decides, it does not block.
pub trait Sampler: Send {
    /// The configuration of a trial, counted from 0; `None` when there is nothing left to try, and from then on.
    fn propose(&mut self, trial: u32) -> Option<Hyperparameters>;

    /// What became of a trial: its score if it was stable, `None` if it failed, was unstable or was stopped.
    fn tell(&mut self, trial: u32, score: Option<f64>);
}

/// Makes run ids: eight characters of `[a-z0-9]`, not used before in the artifact folder.
pub trait Ids: Send {
    /// A fresh id.
    fn run_id(&mut self) -> String;
}

/// One maker of ids for the cvs of all jobs.
pub(crate) type SharedIds = Arc<Mutex<Box<dyn Ids>>>;

/// Draws `count` ids.
pub(crate) fn draw_ids(ids: &SharedIds, count: usize) -> Vec<String> {
    let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
    (0..count).map(|_| ids.run_id()).collect()
}

/// What a back end of tracking could not do. The back end is turned off; the run goes on.
pub type TrackerError = Box<dyn std::error::Error + Send + Sync>;

/// One back end of tracking for one run: a service, or files.
///
/// Called on a thread of its own, in order. It should do no more than append to a file: while it does not answer, the
/// run is read no further once a minute of its records waits. After an error, a panic, or
/// [`BACK_END_DEADLINE`](crate::limits::BACK_END_DEADLINE) without an answer it is not called again, and the run goes
/// on.
pub trait Tracker: Send {
    /// Its name in warnings: `metrics.csv`.
    fn name(&self) -> &str;

    /// The run begins. Called first, once. The line may be kept, and used from any thread.
    ///
    /// # Errors
    /// Whatever keeps the back end from tracking the run.
    fn open(&mut self, plan: &RunPlan, line: &RunLine) -> Result<(), TrackerError>;

    /// Values to log, in order.
    ///
    /// # Errors
    /// Whatever keeps the back end from taking them.
    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError>;

    /// Something happened to the run. [`Event::RunPrepared`] says from where on values and figures come anew: what the back end
    /// holds from there on is to give way to them, or to be left as it is and not to be added to twice.
    ///
    /// # Errors
    /// Whatever keeps the back end from taking it.
    fn event(&mut self, event: &Event) -> Result<(), TrackerError>;

    /// Figures to keep, in order. Nothing, unless the back end has a place for them.
    ///
    /// # Errors
    /// Whatever keeps the back end from taking them.
    fn figures(&mut self, _figures: &[Figure]) -> Result<(), TrackerError> {
        Ok(())
    }

    /// Lines the run's worker printed, in order, without their ends. Nothing, unless the back end has a place for them.
    ///
    /// # Errors
    /// Whatever keeps the back end from taking them.
    fn printed(&mut self, _lines: &[String]) -> Result<(), TrackerError> {
        Ok(())
    }

    /// How busy machine and worker are, every quarter of a minute, by the names W&B charts: `cpu`, `gpu.0.temp`. Nothing,
    /// unless the back end has a place for it.
    ///
    /// # Errors
    /// Whatever keeps the back end from taking them.
    fn system(&mut self, _sample: &Metrics) -> Result<(), TrackerError> {
        Ok(())
    }

    /// The run is about to write a checkpoint, and waits: on return, what was given before must outlive the engine and, where
    /// that costs little, the machine. Nothing, for a back end that keeps what it is given at once.
    ///
    /// # Errors
    /// Whatever keeps the back end from keeping what it was given.
    fn settle(&mut self) -> Result<(), TrackerError> {
        Ok(())
    }

    /// The run is over; everything must be where it belongs on return. Called last, once.
    ///
    /// # Errors
    /// Whatever keeps the back end from keeping what it was given.
    fn close(&mut self) -> Result<(), TrackerError>;
}

/// A back end's way back to its run. Cheap to clone; of no effect once the run is over.
#[derive(Debug, Clone)]
pub struct RunLine {
    bus: EventBus,
    log: mpsc::Sender<Event>,
    stop: StopLine,
}

impl RunLine {
    /// A line to the run that hears `stop` and keeps in its own log what comes out of the other end of `log`.
    pub(crate) fn new(bus: EventBus, log: mpsc::Sender<Event>, stop: StopLine) -> Self {
        Self { bus, log, stop }
    }

    /// Publishes an event: where the run can be looked at, or a warning. Never waits. It comes to stand in the run's
    /// own `events.jsonl` too, unless the run is over or more than [`RUN_LINE_QUEUE`](crate::limits::RUN_LINE_QUEUE)
    /// of them wait for that.
    pub fn publish(&self, event: Event) {
        if let Err(unlogged) = self.log.try_send(event.clone()) {
            tracing::debug!(%unlogged, "an event does not stand in its run's log");
        }
        self.bus.publish(event);
    }

    /// Asks the run to stop, as its user would: it finishes its step, writes its `last` checkpoint and ends as
    /// cancelled. The other runs of its cv go on, and to their score it is as one that failed. Twice is once.
    pub fn stop(&self) {
        self.stop.raise(StopMode::Cancel);
    }
}

/// Makes the back ends of one run that it has besides its files.
///
/// Called once for a run, on a thread that may wait, as long as a back end may. The run's files are kept behind
/// these. A panic leaves the run with its files alone, and a warning.
pub type TrackerFactory = dyn Fn(&RunPlan) -> Vec<Box<dyn Tracker>> + Send + Sync;

/// No back ends but the files.
#[must_use]
pub fn no_trackers(_plan: &RunPlan) -> Vec<Box<dyn Tracker>> {
    Vec::new()
}

//! What reaches the state of a run, and what the state causes.

use engine_devices::ExitReport;
use engine_tracking::{Figure, MetricPoint};

use crate::events::Event;
use crate::journal::Record;
use crate::outcome::{Cause, Failure, RunOutcome};
use crate::protocol::FromWorker;
use crate::stop::StopMode;

/// What reaches a run.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The actor stands.
    Begin,
    /// The device asked for, by name; or the one it was given by its cv.
    LeaseGranted { device: String },
    /// There will be no device.
    LeaseRefused { reason: String },
    /// The worker of this attempt runs and has not spoken yet.
    Launched,
    /// There is no worker.
    LaunchFailed(Failure),
    /// The worker speaks.
    Said(Box<FromWorker>),
    /// The worker printed these lines.
    Printed(Vec<String>),
    /// The worker can not be spoken to.
    Unreachable { reason: String },
    /// The worker is gone; nothing more comes from it.
    Exited(ExitReport),
    /// A timer that was armed ran out.
    TimeUp(Timer),
    /// Somebody asks for a stop.
    Stop(StopMode),
    /// Somebody asks for a checkpoint now.
    CheckpointAsked,
    /// The run's files are closed, or there were none.
    TrackerClosed,
}

/// What a run waits for, at the most so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// Progress of the worker.
    Progress,
    /// Any sign of life of the worker.
    Beat,
    /// The worker's end, after it was asked to stop or gave its final word.
    Stop,
    /// The end of a killed worker.
    Kill,
    /// The next attempt.
    Backoff,
}

impl Timer {
    pub(crate) const ALL: [Self; 5] = [Self::Progress, Self::Beat, Self::Stop, Self::Kill, Self::Backoff];
}

/// How much of a device an attempt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// What the strategy gives a run.
    Usual,
    /// A device with nobody else on it: the last attempt ran out of memory beside others, perhaps.
    Alone,
}

/// What a run causes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Ask the DeviceManager.
    AcquireLease(Room),
    /// Wait for no device any longer.
    WithdrawRequest,
    /// Let go of the lease.
    ReturnLease,
    /// Tell the DeviceManager that this memory ran out, before the lease goes back.
    TellOutOfMemory(Cause),
    /// Open the run's files.
    OpenTracker,
    /// Start a worker.
    Launch { attempt: u32 },
    /// Send the worker its order.
    SendStart { attempt: u32 },
    /// Ask the worker to stop.
    SendStop,
    /// Ask the worker for a checkpoint.
    SendCheckpoint,
    /// End the worker without asking.
    Kill,
    /// Forget the worker, which is gone.
    DropWorker,
    /// (Re)start a timer.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
    /// Hand values to the tracker, before anything else is read from the worker.
    Track(Vec<MetricPoint>),
    /// Hand figures to the tracker, before anything else is read from the worker.
    TrackFigures(Vec<Figure>),
    /// Hand what the worker printed to the tracker, before anything else is read from it.
    TrackPrinted(Vec<String>),
    /// Answer the worker once the tracker has kept all it was handed.
    Settle,
    /// Tell the world.
    Publish(Event),
    /// Close the run's files; the outcome lacks its duration still.
    CloseTracker(Box<RunOutcome>),
    /// Tell the parent, and end.
    Report,
    /// An input that came too late or twice, by name.
    CountLate(&'static str),
}

impl Effect {
    /// What is to stand in the journal of it: a failed attempt, so that a resumed run is not tried more often than another.
    pub(crate) fn record(&self) -> Option<Record> {
        match self {
            Self::Publish(Event::RunRetried { run_id, failure, .. }) => {
                Some(Record::RunRetried { run_id: run_id.clone(), failure: failure.clone() })
            }
            _ => None,
        }
    }
}

impl Input {
    /// Its name, for counts of what came too late.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::LeaseGranted { .. } => "lease-granted",
            Self::LeaseRefused { .. } => "lease-refused",
            Self::Launched => "launched",
            Self::LaunchFailed(_) => "launch-failed",
            Self::Said(_) => "said",
            Self::Printed(_) => "printed",
            Self::Unreachable { .. } => "unreachable",
            Self::Exited(_) => "exited",
            Self::TimeUp(_) => "time-up",
            Self::Stop(_) => "stop",
            Self::CheckpointAsked => "checkpoint-asked",
            Self::TrackerClosed => "tracker-closed",
        }
    }
}

//! What RunActor and worker say to each other: the same types over a pipe and over a channel.
//!
//! Versioned by [`PROTOCOL_VERSION`]; a worker opens with [`FromWorker::Hello`] and a different version is refused.
//! Floats that are not finite must survive the wire: frames are MessagePack, never JSON.

use std::path::PathBuf;

use engine_devices::Grant;
use engine_tracking::{Figure, MetricPoint, Metrics, RunPlace};
use serde::{Deserialize, Serialize};

use crate::outcome::Failure;
use crate::plan::RunPlan;

/// Version of the messages in this module; raised with every change of shape.
pub const PROTOCOL_VERSION: u16 = 5;

/// RunActor → worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Sent once, after `Hello`. A second one is ignored by the worker.
    Start(Box<RunOrder>),
    /// Finish the step under way, write the `last` checkpoint, answer `Finished` with `stopped: true`. Twice is once.
    Stop,
    /// Write the `last` checkpoint before the next step, and go on. Twice is once, unless one was written between; ignored
    /// where nothing is trained.
    Checkpoint,
    /// All that was said before the last `Settle` is kept. Answers it, once; nobody waits for another.
    Settled,
}

/// A run and the place it may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOrder {
    /// What to do.
    pub plan: RunPlan,
    /// The devices and the threads the workers are held to.
    pub grant: Grant,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Whether the run was begun before, by this engine or an earlier one: it goes on from the `last` checkpoint in its folder,
    /// if there is one.
    pub goes_on: bool,
}

/// Worker → RunActor. Anything but `Beat` counts as progress; `Hello` is first, `Finished` or `Failed` last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First word of every worker.
    Hello {
        /// [`PROTOCOL_VERSION`] of the worker's build.
        protocol: u16,
        /// Process id; the engine's own for a thread worker.
        pid: u32,
    },
    /// The worker is alive, at least every [`BEAT_SECS`](crate::limits::BEAT_SECS); says nothing of progress.
    Beat,
    /// Data and model stand; training begins.
    Prepared {
        /// Samples trained on.
        train_samples: u64,
        /// Samples validated (or tested) on.
        val_samples: u64,
        /// Trainable parameters of the model.
        parameters: u64,
        /// Where the arithmetic runs, in words: `libtorch cpu, 1 thread`.
        device: String,
        /// The first place that is logged anew: what was logged there, behind it or after it is of no account any more. `None`:
        /// the run begins anew, and nothing that was logged before is of account.
        from: Option<RunPlace>,
        /// Metrics last logged before that place.
        metrics: Metrics,
    },
    /// A checkpoint is about to be written: answered by `Settled` once all that was said before is in the run's files, so that
    /// no checkpoint holds more than they do. The worker waits, and says nothing but beats meanwhile.
    Settle,
    /// Where the run is; at most four times a second.
    Progress(Progress),
    /// Values to log, in order; batched by the worker.
    Logged(Vec<MetricPoint>),
    /// Something was drawn, its files whole.
    Drawn(Vec<Figure>),
    /// One validation pass is over; its values were sent as `Logged` before.
    Validated {
        /// Epoch that was validated, from 0.
        epoch: u32,
        /// Optimizer steps so far.
        step: u64,
        /// All validation metrics.
        metrics: Metrics,
    },
    /// A checkpoint is on disk, whole.
    CheckpointWritten {
        /// Its folder.
        path: PathBuf,
        /// Epoch, from 0.
        epoch: u32,
        /// Optimizer steps.
        step: u64,
        /// Monitored value, where one was known.
        monitored: Option<f64>,
    },
    /// Something the user should know that keeps the run from nothing.
    Warned {
        /// What, as a fragment.
        message: String,
    },
    /// The run is over and its files are closed.
    Finished(RunSummary),
    /// The run can not go on; files written so far stay.
    Failed(Failure),
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Epoch under way, from 0.
    pub epoch: u32,
    /// Epochs at the most.
    pub max_epochs: u32,
    /// Batches of this phase done in this epoch.
    pub batch: u32,
    /// Batches of this phase in an epoch.
    pub batches: u32,
    /// What is being done.
    pub phase: Phase,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Optimizer steps.
    Train,
    /// Validation pass.
    Validate,
    /// Test pass.
    Test,
}

/// How a run ended, as the worker knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Metrics last logged, by name (`train/…`, `val/…`, `test/…`).
    pub metrics: Metrics,
    /// Checkpoint with the best monitored value.
    pub best_checkpoint: Option<PathBuf>,
    /// Epochs completed.
    pub epochs: u32,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Whether the run ended because it was asked to stop.
    pub stopped: bool,
}

//! The public event stream: everything a progress display, a log or an embedding app can know.
//!
//! - [`Event`]: what happened
//! - [`EventLine`], [`read_event_line`]: the same as a line of JSON, with [`EVENT_VERSION`]
//! - [`EventStream`](crate::bus::EventStream): how it is read

mod line;

use std::path::PathBuf;

use engine_tracking::{Metrics, RunPlace};
use serde::{Deserialize, Serialize};

pub use self::line::{EVENT_VERSION, EventLine, EventLineError, read_event_line};

use crate::outcome::{Failure, RunOutcome, Status};
use crate::plan::{Cell, Hyperparameters};
use crate::protocol::Progress;

/// Something that happened. Serialised with `"event": "run-started"` and so on; as a line of JSON, see [`EventLine`].
///
/// All but [`Event::RunProgressed`] are facts, published once and lost by no reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A tune began.
    TuneStarted {
        /// Name of the tune.
        tune_name: String,
        /// Folder of the tune.
        tune_dir: PathBuf,
        /// Configurations asked for; the search space may hold fewer.
        n_trials: u32,
        /// Runs of each cv.
        cells_per_cv: u32,
        /// Whether an earlier process began it; what is known of its cvs follows as [`Event::CvRecalled`].
        #[serde(default)]
        resumed: bool,
    },
    /// A tune is over.
    TuneFinished {
        /// Name of the tune.
        tune_name: String,
        /// Name of the best stable cv.
        best_cv: Option<String>,
        /// Its score.
        best_score: Option<f64>,
        /// Whether it was stopped before its end.
        cancelled: bool,
    },
    /// A cv began.
    CvStarted {
        /// Name of the cv.
        cv_name: String,
        /// Folder of the cv.
        cv_dir: PathBuf,
        /// The tune it belongs to.
        #[serde(default)]
        tune_name: Option<String>,
        /// Index of the configuration within its tune.
        hp_index: u32,
        /// The configuration.
        hyperparameters: Hyperparameters,
        /// Number of runs.
        cells: u32,
        /// Whether an earlier process began it; what is known of its runs follows as [`Event::RunRecalled`].
        #[serde(default)]
        resumed: bool,
    },
    /// An earlier process finished a cv of the tune that is resumed. Told in place of everything that happened to it then.
    CvRecalled {
        /// Name of the cv.
        cv_name: String,
        /// Index of the configuration within its tune.
        hp_index: u32,
        /// The configuration.
        hyperparameters: Hyperparameters,
        /// Its score, if it has one.
        score: Option<f64>,
        /// Standard deviation (n - 1) over the cells.
        spread: Option<f64>,
        /// Whether the score rests on unstable cells.
        score_is_unstable: bool,
        /// How it ended.
        status: Status,
        /// Its runs by how they ended, in the order of the cells.
        runs: Vec<Status>,
    },
    /// An earlier process finished a run of the cv that is resumed. Told in place of everything that happened to it then.
    RunRecalled {
        /// Id of the run.
        run_id: String,
        /// Name of the run.
        run_name: String,
        /// Its cv, if it belongs to one.
        cv_name: Option<String>,
        /// Fold and seed.
        cell: Cell,
        /// How it ended.
        status: Status,
        /// Metrics last logged.
        #[serde(deserialize_with = "line::metrics")]
        metrics: Metrics,
    },
    /// A cv is over, its tables written.
    CvFinished {
        /// Name of the cv.
        cv_name: String,
        /// Its score, if it has one.
        score: Option<f64>,
        /// Standard deviation (n - 1) over the cells.
        spread: Option<f64>,
        /// Whether the score rests on unstable cells.
        score_is_unstable: bool,
        /// How it ended.
        status: Status,
    },
    /// A run waits for a device.
    RunQueued {
        /// Id of the run.
        run_id: String,
        /// Name of the run.
        run_name: String,
        /// Its cv, if it belongs to one.
        cv_name: Option<String>,
        /// Fold and seed.
        cell: Cell,
    },
    /// A run's worker starts on a device.
    RunStarted {
        /// Id of the run.
        run_id: String,
        /// Name of the run.
        run_name: String,
        /// Its cv, if it belongs to one.
        cv_name: Option<String>,
        /// Fold and seed.
        cell: Cell,
        /// The device: `cpu:0`.
        device: String,
        /// 1 for the first attempt.
        attempt: u32,
        /// Folder of the run.
        run_dir: PathBuf,
    },
    /// Data and model of a run stand.
    RunPrepared {
        /// Id of the run.
        run_id: String,
        /// Samples trained on.
        train_samples: u64,
        /// Samples validated (or tested) on.
        val_samples: u64,
        /// Trainable parameters.
        parameters: u64,
        /// Where the arithmetic runs, in words.
        device: String,
        /// The first place that is logged anew; what was logged there, behind it or after it is of no account any more. `None`
        /// where the run begins anew.
        #[serde(default)]
        from: Option<RunPlace>,
    },
    /// A run can be looked at somewhere: told by a back end of tracking, once it knows.
    RunTracked {
        /// Id of the run.
        run_id: String,
        /// The back end: `wandb`.
        tracker: String,
        /// Where to look.
        url: String,
    },
    /// A run's worker answers, once for each attempt.
    WorkerReady {
        /// Id of the run.
        run_id: String,
        /// Process of the worker; the engine's own for a thread.
        pid: u32,
    },
    /// Where a run is. No fact but a hint: a newer one takes the place of one that was not read in time.
    RunProgressed {
        /// Id of the run.
        run_id: String,
        /// Epoch, batch and phase.
        progress: Progress,
        /// Those of this run since the last one, that this reader did not get.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped: u64,
    },
    /// A validation pass is over.
    RunValidated {
        /// Id of the run.
        run_id: String,
        /// Epoch that was validated, from 0.
        epoch: u32,
        /// Optimizer steps so far.
        step: u64,
        /// All validation metrics.
        #[serde(deserialize_with = "line::metrics")]
        metrics: Metrics,
    },
    /// A checkpoint is on disk.
    CheckpointWritten {
        /// Id of the run.
        run_id: String,
        /// Folder of the checkpoint.
        path: PathBuf,
        /// Epoch, from 0.
        epoch: u32,
        /// Monitored value, where one was known.
        monitored: Option<f64>,
    },
    /// An attempt failed and the run is tried again.
    RunRetried {
        /// Id of the run.
        run_id: String,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: Failure,
    },
    /// A run is over, its files closed, and its end kept: no process trains it again.
    RunFinished {
        /// Id of the run.
        run_id: String,
        /// Name of the run.
        run_name: String,
        /// Its cv, if it belongs to one.
        cv_name: Option<String>,
        /// Fold and seed.
        cell: Cell,
        /// How it ended.
        status: Status,
        /// Why, unless it ended well.
        failure: Option<Failure>,
        /// Attempts made; 0 if it never started.
        attempts: u32,
        /// Time from the first attempt's start to the end, in seconds.
        duration_secs: f64,
        /// Metrics last logged.
        #[serde(deserialize_with = "line::metrics")]
        metrics: Metrics,
        /// Best checkpoint.
        checkpoint: Option<PathBuf>,
    },
    /// A device was given to a holder.
    LeaseGranted {
        /// Number of the lease, unique within the process.
        lease: u64,
        /// The device: `cpu:0`.
        device: String,
        /// Name of the run or cv that holds it.
        holder: String,
    },
    /// A device came back.
    LeaseReturned {
        /// Number of the lease.
        lease: u64,
        /// The device.
        device: String,
    },
    /// Something the user should know that is no failure: fewer trials than asked for, `ddp` turned to `ddp_fork`.
    Warned {
        /// What, as a fragment.
        message: String,
    },
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
impl Event {
    /// The end of a run, to be published once it stands in the journal: a reader may act on it.
    pub(crate) fn run_finished(cv_name: Option<&str>, run: &RunOutcome) -> Self {
        Self::RunFinished {
            run_id: run.run_id.clone(),
            run_name: run.run_name.clone(),
            cv_name: cv_name.map(str::to_owned),
            cell: run.cell,
            status: run.status,
            failure: run.failure.clone(),
            attempts: run.attempts,
            duration_secs: run.duration_secs,
            metrics: run.metrics.clone(),
            checkpoint: run.checkpoint.clone(),
        }
    }
}

//! The public event stream: everything a progress display, a log or an embedding app can know.

use std::path::PathBuf;

use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use crate::outcome::{Failure, Status};
use crate::plan::{Cell, Hyperparameters};
use crate::protocol::Progress;

/// Something that happened. Serialised with `"event": "run-started"` and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A tune began.
    TuneStarted { tune_name: String, tune_dir: PathBuf, n_trials: u32, cells_per_cv: u32 },
    /// A tune is over.
    TuneFinished { tune_name: String, best_cv: Option<String>, best_score: Option<f64>, cancelled: bool },
    /// A cv began.
    CvStarted { cv_name: String, cv_dir: PathBuf, hp_index: u32, hyperparameters: Hyperparameters, cells: u32 },
    /// A cv is over.
    CvFinished { cv_name: String, score: Option<f64>, spread: Option<f64>, score_is_unstable: bool, status: Status },
    /// A run waits for a device.
    RunQueued { run_id: String, run_name: String, cv_name: Option<String>, cell: Cell },
    /// A run's worker starts on a device.
    RunStarted { run_id: String, run_name: String, cv_name: Option<String>, cell: Cell, device: String, attempt: u32, run_dir: PathBuf },
    /// Data and model of a run stand.
    RunPrepared { run_id: String, train_samples: u64, val_samples: u64, parameters: u64, device: String },
    /// Where a run is. Progress: may be skipped by a slow reader.
    RunProgressed { run_id: String, progress: Progress },
    /// A validation pass is over.
    RunValidated { run_id: String, epoch: u32, step: u64, metrics: Metrics },
    /// A checkpoint is on disk.
    CheckpointWritten { run_id: String, path: PathBuf, epoch: u32, monitored: Option<f64> },
    /// An attempt failed and the run is tried again.
    RunRetried { run_id: String, attempt: u32, failure: Failure },
    /// A run is over.
    RunFinished {
        run_id: String, run_name: String, cv_name: Option<String>, cell: Cell, status: Status,
        failure: Option<Failure>, attempts: u32, duration_secs: f64, metrics: Metrics, checkpoint: Option<PathBuf>,
    },
    /// A device was given to a holder.
    LeaseGranted { lease: u64, device: String, holder: String },
    /// A device came back.
    LeaseReturned { lease: u64, device: String },
    /// Something the user should know that is no failure: fewer trials than asked for, `ddp` turned to `ddp_fork`.
    Warned { message: String },
}

//! How runs, cvs and tunes end. Failure is data.

use std::path::PathBuf;

use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use crate::plan::{Cell, Hyperparameters};

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Ran to its end, every score metric usable.
    Complete,
    /// Ran to its end, a score metric is missing, not finite or zero.
    Unstable,
    /// Did not reach its end; see the failure.
    Failed,
    /// Ended early by the search.
    Pruned,
    /// Ended early because the user asked for it, or never started.
    Cancelled,
}

impl Status {
    /// The word for it, in tables and in the event stream.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Unstable => "unstable",
            Self::Failed => "failed",
            Self::Pruned => "pruned",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// The workload panicked.
    Panic,
    /// The machine, or the part of it this process may use, ran out of memory.
    #[serde(rename = "out-of-memory-host")]
    HostOutOfMemory,
    /// The GPU ran out of memory.
    #[serde(rename = "out-of-memory-device")]
    DeviceOutOfMemory,
    /// No progress for `progress_timeout`, or no sign of life.
    Hang,
    /// The worker was ended by a signal that nobody here sent.
    Killed,
    /// The worker is gone without a word (left, closed its pipe), or could not be started.
    Lost,
    /// The data can not be used.
    Data,
    /// The loss is not finite.
    Diverged,
    /// The configuration can not be run: unknown model, impossible value.
    Configuration,
    /// A file could not be written or read.
    Io,
}

impl Cause {
    /// The word for it, in tables and in the event stream.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::HostOutOfMemory => "out-of-memory-host",
            Self::DeviceOutOfMemory => "out-of-memory-device",
            Self::Hang => "hang",
            Self::Killed => "killed",
            Self::Lost => "lost",
            Self::Data => "data",
            Self::Diverged => "diverged",
            Self::Configuration => "configuration",
            Self::Io => "io",
        }
    }

    /// Whether it is for want of memory, wherever.
    #[must_use]
    pub const fn is_out_of_memory(self) -> bool {
        matches!(self, Self::HostOutOfMemory | Self::DeviceOutOfMemory)
    }

    /// Whether the worker went without a word of its own, for a reason that need not come again.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::Lost | Self::Killed)
    }
}

/// A failure with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind; decides about retries.
    pub cause: Cause,
    /// What happened and what to do, as a fragment.
    pub message: String,
    /// Last lines of the worker's standard error, oldest first.
    pub stderr_tail: Vec<String>,
}

impl Failure {
    /// A failure of this kind, with what happened and what to do about it as a fragment.
    #[must_use]
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), stderr_tail: Vec::new() }
    }
}

/// How one run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunOutcome {
    /// Name of the run.
    pub run_name: String,
    /// Id of the run.
    pub run_id: String,
    /// Folder of the run.
    pub run_dir: PathBuf,
    /// Fold and seed.
    pub cell: Cell,
    /// How it ended.
    pub status: Status,
    /// Why, unless it ended well.
    pub failure: Option<Failure>,
    /// Attempts made; 0 if it never started.
    pub attempts: u32,
    /// Device of the last attempt: `cpu:0`.
    pub device: Option<String>,
    /// Largest resident memory of its workers over all attempts, where it is known.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Largest memory its workers took on a GPU over all attempts, where it is known.
    #[serde(default)]
    pub peak_device_memory_bytes: Option<u64>,
    /// Time from the first attempt's start to the end, in seconds.
    pub duration_secs: f64,
    /// Metrics last logged.
    pub metrics: Metrics,
    /// Best checkpoint.
    pub checkpoint: Option<PathBuf>,
}

/// How one cv ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CvOutcome {
    /// Name of the cv.
    pub cv_name: String,
    /// Folder of the cv.
    pub cv_dir: PathBuf,
    /// Index of the configuration.
    pub hp_index: u32,
    /// The configuration.
    pub hyperparameters: Hyperparameters,
    /// Score, if there is one: NaN never appears here.
    pub score: Option<f64>,
    /// Standard deviation (n - 1) of the cells' own scores; none with fewer than two.
    pub spread: Option<f64>,
    /// Whether the score rests on unstable cells.
    pub score_is_unstable: bool,
    /// `Complete`, `Unstable`, `Failed` or `Cancelled`.
    pub status: Status,
    /// One entry for every cell of the plan, in its order.
    pub runs: Vec<RunOutcome>,
    /// Tables that could not be written, each with its reason; empty when all is on disk.
    #[serde(default)]
    pub unwritten: Vec<String>,
    /// Why nothing further was started, where it was the engine's own decision.
    #[serde(default)]
    pub halted: Option<String>,
}

/// How a tune ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TuneOutcome {
    /// Name of the tune.
    pub tune_name: String,
    /// Folder of the tune.
    pub tune_dir: PathBuf,
    /// Every cv, by `hp_index`.
    pub cvs: Vec<CvOutcome>,
    /// Index into `cvs` of the best stable configuration.
    pub best: Option<usize>,
    /// The retrained and tested model, where asked for.
    pub retrain: Option<RunOutcome>,
    /// Whether the tune was stopped before its end.
    pub cancelled: bool,
    /// Why nothing further was started, where it was the engine's own decision.
    #[serde(default)]
    pub halted: Option<String>,
}

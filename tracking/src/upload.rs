//! Runs that are tracked elsewhere: whether they are sent while they run, and how far they have come there.

use std::path::PathBuf;

/// Whether runs are sent while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Written to the run's folder and sent from there.
    Online,
    /// Written to the run's folder; `engine sync` or `wandb sync` sends it.
    Offline,
    /// Nothing is written.
    Disabled,
}

/// How far a run is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Id of the run.
    pub run_id: String,
    /// Bytes of its journal that are not sent yet.
    pub bytes_behind: u64,
    /// Rows read from the journal and not acknowledged.
    pub rows_behind: u64,
    /// What is wrong at the moment.
    pub trouble: Option<String>,
}

/// A run that is not sent to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its folder, under the name it has now: `offline-run-…`.
    pub folder: PathBuf,
    /// Rows of its journal that the server has not acknowledged.
    pub rows_left: u64,
    /// Why.
    pub reason: String,
}

//! What a row holds.

use serde_json::{Map, Value};

use crate::metric::Metrics;

/// One run as the tables show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunInfo {
    /// Name of the run.
    pub run_name: String,
    /// Id of the run.
    pub run_id: String,
    /// Index of the fold, from 0.
    pub fold: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Time from the first attempt's start to the end, in seconds.
    pub duration_secs: f64,
    /// Metrics last logged; those never logged are null in the table.
    pub metrics: Metrics,
    /// Path of the best checkpoint.
    pub checkpoint: Option<String>,
    /// Whether a score metric is missing, not finite or zero; none where nothing was scored.
    pub is_unstable: Option<bool>,
    /// How the run ended: `complete`, `unstable`, `failed`, `pruned`, `cancelled`.
    pub status: String,
    /// Why it did not end well.
    pub failure: Option<String>,
    /// Attempts made; 0 if it never started.
    pub attempts: u32,
    /// Device of the last attempt.
    pub device: Option<String>,
    /// Largest resident memory of its workers, where it is known.
    pub peak_memory_bytes: Option<u64>,
    /// Largest memory they took on a GPU, where it is known.
    pub peak_device_memory_bytes: Option<u64>,
}

/// The score of a cv, the same in each of its rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CvScore {
    /// The score; none where the cv has none.
    pub score: Option<f64>,
    /// Whether it rests on unstable runs.
    pub score_is_unstable: bool,
}

/// One row of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableRow {
    /// The run.
    pub run: RunInfo,
    /// The score of its cv; none as long as the cv is under way.
    pub score: Option<CvScore>,
    /// The cv; none in a cv's own table.
    pub cv_name: Option<String>,
    /// The configuration, null where the cv did not have the hyperparameter; empty in a cv's own table.
    pub hyperparameters: Map<String, Value>,
}

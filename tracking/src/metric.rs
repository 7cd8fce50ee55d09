//! Metric values as they travel: from a worker to the actors, the tables and the trackers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Metric values by name, as logged: `val/JaccardIndex`. Non-finite values are kept.
pub type Metrics = BTreeMap<String, f64>;

/// What was logged at one place of a run: one row of `metrics.csv`.
///
/// # Units
/// `epoch` counts from 0; `step` is the number of optimizer steps taken so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// Epoch the values belong to, from 0.
    pub epoch: u32,
    /// Optimizer steps taken when the values were logged.
    pub step: u64,
    /// The values.
    pub values: Metrics,
}

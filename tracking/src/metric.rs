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

/// A place of a run, in the order of its course: by epoch, then by step.
///
/// # Units
/// As in [`MetricPoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunPlace {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Optimizer steps taken.
    pub step: u64,
}

/// One row for each (epoch, step) among the points, in the order these appear, the later value winning. Points without
/// values leave no row.
pub(crate) fn rows(points: &[MetricPoint]) -> Vec<((u32, u64), Metrics)> {
    let mut rows: Vec<((u32, u64), Metrics)> = Vec::new();
    let mut row_of = BTreeMap::new();
    for point in points.iter().filter(|point| !point.values.is_empty()) {
        let place = (point.epoch, point.step);
        let row = *row_of.entry(place).or_insert_with(|| {
            rows.push((place, Metrics::new()));
            rows.len() - 1
        });
        rows[row].1.extend(point.values.iter().map(|(name, value)| (name.clone(), *value)));
    }
    rows
}

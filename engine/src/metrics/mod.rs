//! Pixel metrics from summed counts, with torchmetrics' conventions.
//!
//! Counts are integers and add over batches, devices and passes; a metric is computed from them at the
//! end, never averaged. A pixel is predicted positive where its probability is greater than 0.5, and
//! pixels with target 2 count for nothing.

mod confusion;
mod curves;
mod device;
mod evaluation;
mod instances;
mod regions;

pub use confusion::ConfusionCounts;
pub(crate) use confusion::THRESHOLD;
pub use curves::{PrecisionRecallCurve, RocCurve, THRESHOLDS, ThresholdCounts, thresholds};
pub use device::DeviceCounts;
pub(crate) use evaluation::probabilities;
pub use evaluation::{CurveData, EvaluationCounts, FLAT_COUNTS};
pub use instances::{
    BoundaryCounts, InstanceCounter, InstanceCounts, InstanceCurveData, InstanceEvaluation, MATCH_IOU,
    boundary_pixels,
};
pub use regions::{RegionCounts, RegionRow, RegionTable};

/// Target of a negative pixel.
pub(super) const NEGATIVE: u8 = 0;
/// Target of a positive pixel.
pub(super) const POSITIVE: u8 = 1;

/// Why a batch cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Prediction and target differ in size.
    #[error("{predicted} pixels were predicted, but {targets} have a target")]
    SizeMismatch {
        /// Pixels predicted.
        predicted: usize,
        /// Pixels with a target.
        targets: usize,
    },
    /// The device did not hand counts or probabilities back.
    #[error("counts cannot be read from the device: {0}")]
    Unreadable(String),
}

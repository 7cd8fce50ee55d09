//! Sums over images, and the metrics that follow from them.

use std::ops::AddAssign;

use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use crate::metrics::confusion::ratio;
use crate::metrics::curves::area_by_steps;
use crate::metrics::{PrecisionRecallCurve, THRESHOLDS, thresholds};

/// Instances by whether they were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// True ones that were found.
    pub true_positives: u64,
    /// Found ones that are none.
    pub false_positives: u64,
    /// True ones that were not found.
    pub false_negatives: u64,
}

/// Pixels on boundaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryCounts {
    /// On the boundary of truth and prediction.
    pub intersection: u64,
    /// On the boundary of either.
    pub union: u64,
}

/// Sums of a pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstanceEvaluation {
    /// Where the probability is above 0.5.
    pub at_half: InstanceCounts,
    /// The sum of the intersections over unions of those matches.
    pub matched_iou: f64,
    /// Where the probability reaches each threshold of the curves.
    pub thresholds: [InstanceCounts; THRESHOLDS],
    /// Where the probability is above 0.5.
    pub boundary: BoundaryCounts,
}

/// What the figures of instances are drawn from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceCurveData {
    /// Precision and recall of instances.
    pub instance_prc: PrecisionRecallCurve,
    /// Rows are the true class (negative first); of negative instances there are none. Each row divided by its sum.
    pub instance_cmx: [[f64; 2]; 2],
    /// The counts.
    pub instance_cmx_counts: [[u64; 2]; 2],
    /// Mean intersection over union of the matches; 0 where there is none.
    pub matched_iou: f64,
}

impl AddAssign for InstanceCounts {
    fn add_assign(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
    }
}

impl AddAssign for BoundaryCounts {
    fn add_assign(&mut self, other: Self) {
        self.intersection += other.intersection;
        self.union += other.union;
    }
}

impl InstanceCounts {
    fn numbers(self) -> [f64; 3] {
        [self.true_positives, self.false_positives, self.false_negatives].map(|count| count as f64)
    }
}

impl InstanceEvaluation {
    /// The six metrics of instances, named `{prefix}/InstanceAccuracy` and so on.
    ///
    /// A quotient 0/0 is 0. Recall may fall with the threshold, so that a step of `InstanceAveragePrecision` may count
    /// against it: torchmetrics' formula, which takes the curve as it is.
    pub fn metrics(&self, prefix: &str) -> Metrics {
        let [tp, fp, fn_] = self.at_half.numbers();
        let BoundaryCounts { intersection, union } = self.boundary;
        let values = [
            ("InstanceAccuracy", ratio(tp, tp + fp + fn_)),
            ("InstancePrecision", ratio(tp, tp + fp)),
            ("InstanceRecall", ratio(tp, tp + fn_)),
            ("InstanceF1Score", ratio(2.0 * tp, 2.0 * tp + fp + fn_)),
            ("InstanceAveragePrecision", area_by_steps(&self.precision_recall())),
            ("InstanceBoundaryIoU", ratio(intersection as f64, union as f64)),
        ];
        values.into_iter().map(|(name, value)| (format!("{prefix}/{name}"), value)).collect()
    }

    /// Precision and recall of instances at rising thresholds.
    pub fn precision_recall(&self) -> PrecisionRecallCurve {
        let counts = self.thresholds.map(InstanceCounts::numbers);
        PrecisionRecallCurve {
            precision: counts.iter().map(|[tp, fp, _]| tp / (tp + fp)).chain([1.0]).collect(),
            recall: counts.iter().map(|[tp, _, fn_]| tp / (tp + fn_)).chain([0.0]).collect(),
            thresholds: thresholds().map(f64::from).to_vec(),
        }
    }

    /// The curves `instance_prc` and `instance_cmx`.
    pub fn curve_data(&self) -> InstanceCurveData {
        let InstanceCounts { true_positives, false_positives, false_negatives } = self.at_half;
        let counts = [[0, false_positives], [false_negatives, true_positives]];
        InstanceCurveData {
            instance_prc: self.precision_recall(),
            instance_cmx: counts
                .map(|row| row.map(|count| ratio(count as f64, row.iter().sum::<u64>() as f64))),
            instance_cmx_counts: counts,
            matched_iou: ratio(self.matched_iou, true_positives as f64),
        }
    }
}

//! Everything a validation or test pass counts.

use std::ops::AddAssign;

use burn::tensor::Tensor;
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::confusion::check_sizes;
use super::curves::{edges, reached};
use super::{
    ConfusionCounts, MetricsError, POSITIVE, PrecisionRecallCurve, RocCurve, THRESHOLD, THRESHOLDS,
    ThresholdCounts,
};

/// The least target of a pixel that counts for nothing.
const IGNORED: u8 = POSITIVE + 1;

/// Numbers in [`EvaluationCounts::to_flat`].
pub const FLAT_COUNTS: usize = 4 + 2 * (THRESHOLDS + 1);

/// Counts of a pass at threshold 0.5 and at the curves' thresholds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationCounts {
    /// At threshold 0.5.
    pub confusion: ConfusionCounts,
    /// At the curves' thresholds.
    pub curves: ThresholdCounts,
}

/// What the figures of a pass are drawn from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurveData {
    /// Receiver operating characteristic.
    pub roc: RocCurve,
    /// Precision and recall.
    pub prc: PrecisionRecallCurve,
    /// Confusion matrix, each row divided by its sum; rows are the true class.
    pub cmx: [[f64; 2]; 2],
    /// The counts of the confusion matrix.
    pub cmx_counts: [[u64; 2]; 2],
}

impl AddAssign<&Self> for EvaluationCounts {
    fn add_assign(&mut self, other: &Self) {
        self.confusion += other.confusion;
        self.curves += &other.curves;
    }
}

impl EvaluationCounts {
    /// Adds a batch of probabilities and targets (0 negative, 1 positive, other values ignored).
    ///
    /// # Errors
    /// [`MetricsError::SizeMismatch`] if there are not as many of one as of the other; nothing is counted.
    pub fn add_probabilities(&mut self, probabilities: &[f32], targets: &[u8]) -> Result<(), MetricsError> {
        check_sizes(probabilities.len(), targets.len())?;
        let edges = edges();
        // By target, all ignored ones together, by prediction and by thresholds reached: one count a pixel.
        let mut bins = [[[0_u64; THRESHOLDS + 1]; 2]; 1 + IGNORED as usize];
        for (&probability, &target) in probabilities.iter().zip(targets) {
            let is_predicted = usize::from(probability > THRESHOLD);
            bins[usize::from(target.min(IGNORED))][is_predicted][reached(&edges, probability)] += 1;
        }
        for (target, bins) in (0..).zip(&bins) {
            for (is_predicted, bins) in [false, true].into_iter().zip(bins) {
                for (reached, &pixels) in bins.iter().enumerate() {
                    self.confusion.add(is_predicted, target, pixels);
                    self.curves.add(reached, target, pixels);
                }
            }
        }
        Ok(())
    }

    /// Adds a batch of logits; the sigmoid is taken on their device, the counting done here.
    ///
    /// # Errors
    /// [`MetricsError`] if sizes differ or the device does not answer.
    pub fn add_logits<const D: usize>(
        &mut self,
        logits: Tensor<D>,
        targets: &[u8],
    ) -> Result<(), MetricsError> {
        self.add_probabilities(&probabilities(logits)?, targets)
    }

    /// Every count as a number that processes can add up, exact below 2⁵³.
    pub fn to_flat(&self) -> [f64; FLAT_COUNTS] {
        let mut flat = [0.0; FLAT_COUNTS];
        let (confusion, curves) = flat.split_at_mut(4);
        confusion.copy_from_slice(&self.confusion.to_flat());
        for (flat, count) in curves.iter_mut().zip(self.curves.counts()) {
            *flat = count as f64;
        }
        flat
    }

    /// The counts of [`EvaluationCounts::to_flat`], added up or not.
    pub fn from_flat(flat: &[f64; FLAT_COUNTS]) -> Self {
        let [tp, fp, fn_, tn, ref at_thresholds @ ..] = *flat;
        let mut curves = ThresholdCounts::default();
        for (count, flat) in curves.counts_mut().zip(at_thresholds) {
            *count = *flat as u64;
        }
        Self { confusion: ConfusionCounts::from_flat([tp, fp, fn_, tn]), curves }
    }

    /// The ten metrics that go with the loss, named `{prefix}/Accuracy` and so on.
    pub fn metrics(&self, prefix: &str) -> Metrics {
        let mut metrics = self.confusion.metrics(prefix);
        metrics.insert(format!("{prefix}/AUROC"), self.curves.auroc());
        metrics.insert(format!("{prefix}/AveragePrecision"), self.curves.average_precision());
        metrics
    }

    /// The curves `roc`, `prc` and `cmx`.
    pub fn curve_data(&self) -> CurveData {
        CurveData {
            roc: self.curves.roc(),
            prc: self.curves.precision_recall(),
            cmx: self.confusion.matrix_by_truth(),
            cmx_counts: self.confusion.matrix(),
        }
    }
}

/// The sigmoid of logits, taken on their device.
///
/// # Errors
/// [`MetricsError::Unreadable`] if the device does not answer.
pub(crate) fn probabilities<const D: usize>(logits: Tensor<D>) -> Result<Vec<f32>, MetricsError> {
    let data = burn::tensor::activation::sigmoid(logits).into_data().convert::<f32>();
    data.try_into_vec::<f32>().map_err(|error| MetricsError::Unreadable(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_counted_as_its_pixels_one_by_one() {
        let probabilities: Vec<f32> =
            (0..2_000).map(|pixel| (pixel * 7_919 % 1_999) as f32 / 1_998.0).chain([0.5, f32::NAN]).collect();
        let targets: Vec<u8> = (0..probabilities.len()).map(|pixel| [0, 1, 2, 0, 255][pixel % 5]).collect();
        let mut counts = EvaluationCounts::default();
        counts.add_probabilities(&probabilities, &targets).unwrap();
        assert_eq!(counts.confusion, ConfusionCounts::of(&probabilities, &targets).unwrap());
        assert_eq!(counts.curves, ThresholdCounts::of(&probabilities, &targets).unwrap());
    }

    #[test]
    fn counts_of_several_processes_add_up_to_those_of_one() {
        let probabilities = [0.01, 0.3, 0.55, 0.99, 1.0, 0.5, 0.2, 0.7];
        let targets = [0, 1, 0, 1, 1, 2, 0, 1];
        let count = |range: std::ops::Range<usize>| {
            let mut counts = EvaluationCounts::default();
            counts.add_probabilities(&probabilities[range.clone()], &targets[range]).unwrap();
            counts
        };
        let (all, first, second) = (count(0..8), count(0..3).to_flat(), count(3..8).to_flat());
        let sum: [f64; FLAT_COUNTS] = std::array::from_fn(|at| first[at] + second[at]);
        assert_eq!(EvaluationCounts::from_flat(&sum), all);
        assert_eq!(all.to_flat().iter().sum::<f64>(), 14.0, "seven pixels count, in two ways");
    }
}

//! Everything a validation or test pass counts.

use std::ops::AddAssign;

use burn::tensor::Tensor;
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::confusion::check_sizes;
use super::curves::thresholds;
use super::{ConfusionCounts, MetricsError, PrecisionRecallCurve, RocCurve, ThresholdCounts};

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
        let thresholds = thresholds();
        for (&probability, &target) in probabilities.iter().zip(targets) {
            self.confusion.add(probability, target);
            self.curves.add(&thresholds, probability, target);
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
        let data = burn::tensor::activation::sigmoid(logits).into_data().convert::<f32>();
        let probabilities =
            data.as_slice::<f32>().map_err(|error| MetricsError::Unreadable(format!("{error:?}")))?;
        self.add_probabilities(probabilities, targets)
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

//! The confusion matrix at threshold 0.5 and what follows from it.

use std::ops::AddAssign;

use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::{MetricsError, NEGATIVE, POSITIVE};

/// A probability above this is a positive prediction.
pub(crate) const THRESHOLD: f32 = 0.5;

/// Pixels by truth and prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionCounts {
    /// Positive, predicted positive.
    pub true_positives: u64,
    /// Negative, predicted positive.
    pub false_positives: u64,
    /// Positive, predicted negative.
    pub false_negatives: u64,
    /// Negative, predicted negative.
    pub true_negatives: u64,
}

impl AddAssign for ConfusionCounts {
    fn add_assign(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }
}

impl ConfusionCounts {
    /// Counts probabilities against targets (0 negative, 1 positive, other values ignored).
    ///
    /// # Errors
    /// [`MetricsError::SizeMismatch`] if there are not as many of one as of the other.
    pub fn of(probabilities: &[f32], targets: &[u8]) -> Result<Self, MetricsError> {
        check_sizes(probabilities.len(), targets.len())?;
        let mut counts = Self::default();
        for (&probability, &target) in probabilities.iter().zip(targets) {
            counts.add(probability > THRESHOLD, target, 1);
        }
        Ok(counts)
    }

    /// Adds so many pixels that are predicted alike.
    pub(super) fn add(&mut self, is_predicted: bool, target: u8, pixels: u64) {
        match (target, is_predicted) {
            (POSITIVE, true) => self.true_positives += pixels,
            (POSITIVE, false) => self.false_negatives += pixels,
            (NEGATIVE, true) => self.false_positives += pixels,
            (NEGATIVE, false) => self.true_negatives += pixels,
            _ => {}
        }
    }

    /// The counts as numbers that processes can add up, exact below 2⁵³.
    pub fn to_flat(&self) -> [f64; 4] {
        [self.true_positives, self.false_positives, self.false_negatives, self.true_negatives]
            .map(|count| count as f64)
    }

    /// The counts of [`ConfusionCounts::to_flat`], added up or not.
    pub fn from_flat(flat: [f64; 4]) -> Self {
        let [true_positives, false_positives, false_negatives, true_negatives] =
            flat.map(|count| count as u64);
        Self { true_positives, false_positives, false_negatives, true_negatives }
    }

    /// Pixels that counted.
    pub fn pixels(&self) -> u64 {
        self.true_positives + self.false_positives + self.false_negatives + self.true_negatives
    }

    /// Rows are the true class (negative first), columns the predicted one.
    pub fn matrix(&self) -> [[u64; 2]; 2] {
        [[self.true_negatives, self.false_positives], [self.false_negatives, self.true_positives]]
    }

    /// [`ConfusionCounts::matrix`] with each row divided by its sum; a row of a class that does not occur
    /// is 0.
    pub fn matrix_by_truth(&self) -> [[f64; 2]; 2] {
        self.matrix().map(|row| row.map(|count| ratio(count as f64, row.iter().sum::<u64>() as f64)))
    }

    /// The eight metrics that go with the loss, named `{prefix}/Accuracy` and so on.
    ///
    /// A quotient 0/0 is 0, as in torchmetrics, except that `CohenKappa` is NaN there.
    ///
    /// # Sources
    /// torchmetrics 1.9, `classification`; Cohen 1960 for kappa.
    pub fn metrics(&self, prefix: &str) -> Metrics {
        let [tp, fp, fn_, tn] =
            [self.true_positives, self.false_positives, self.false_negatives, self.true_negatives]
                .map(|count| count as f64);
        let all = tp + fp + fn_ + tn;
        let values = [
            ("Accuracy", ratio(tp + tn, all)),
            ("Precision", ratio(tp, tp + fp)),
            ("Specificity", ratio(tn, tn + fp)),
            ("Recall", ratio(tp, tp + fn_)),
            ("F1Score", ratio(2.0 * tp, 2.0 * tp + fp + fn_)),
            ("JaccardIndex", ratio(tp, tp + fp + fn_)),
            ("CohenKappa", kappa(tp, fp, fn_, tn)),
            ("HammingDistance", 1.0 - ratio(tp + tn, all)),
        ];
        values.into_iter().map(|(name, value)| (format!("{prefix}/{name}"), value)).collect()
    }
}

/// Agreement beyond chance: (observed - expected) / (1 - expected).
fn kappa(tp: f64, fp: f64, fn_: f64, tn: f64) -> f64 {
    let all = tp + fp + fn_ + tn;
    let disagreement = fp + fn_;
    let expected = ((tn + fp) * (tp + fp) + (fn_ + tp) * (tn + fn_)) / all;
    1.0 - disagreement / expected
}

/// A quotient that is 0 where nothing is divided by nothing.
pub(super) fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

pub(super) fn check_sizes(predicted: usize, targets: usize) -> Result<(), MetricsError> {
    if predicted == targets { Ok(()) } else { Err(MetricsError::SizeMismatch { predicted, targets }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_a_negative_prediction_and_two_is_ignored() {
        let counts = ConfusionCounts::of(&[0.5, 0.500_001, 0.9, 0.1, 0.9], &[1, 1, 0, 0, 2]).unwrap();
        assert_eq!(counts.matrix(), [[1, 1], [1, 1]]);
        assert_eq!(counts.pixels(), 4);
        let error = ConfusionCounts::of(&[0.1, 0.2], &[0]).unwrap_err();
        assert_eq!(error, MetricsError::SizeMismatch { predicted: 2, targets: 1 });
    }

    #[test]
    fn without_a_pixel_only_kappa_has_no_value() {
        let metrics = ConfusionCounts::default().metrics("train");
        assert_eq!(metrics.len(), 8);
        let without: Vec<&str> =
            metrics.iter().filter(|(_, value)| value.is_nan()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(without, ["train/CohenKappa"]);
    }
}

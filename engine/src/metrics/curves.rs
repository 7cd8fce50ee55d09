//! Counts at evenly spaced thresholds, and the curves and areas that follow from them.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::confusion::{check_sizes, ratio};
use super::{MetricsError, NEGATIVE, POSITIVE};

/// Number of thresholds, evenly spaced over [0, 1].
pub const THRESHOLDS: usize = 20;

/// The thresholds, rising from 0 to 1, as `torch.linspace` rounds them.
pub fn thresholds() -> [f32; THRESHOLDS] {
    let step = 1.0 / (THRESHOLDS - 1) as f32;
    std::array::from_fn(|i| {
        // torch counts the upper half down from the end.
        if i < THRESHOLDS / 2 { step * i as f32 } else { 1.0 - step * (THRESHOLDS - 1 - i) as f32 }
    })
}

/// Pixels by truth and by how many thresholds their probability reaches: all that the curves need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdCounts {
    /// `positives[k]`: positive pixels whose probability reaches exactly k thresholds.
    positives: Vec<u64>,
    /// The same of the negative ones.
    negatives: Vec<u64>,
}

/// False and true positive rate at falling thresholds; a quotient 0/0 is 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RocCurve {
    /// False positives among the negatives.
    pub false_positive_rate: Vec<f64>,
    /// True positives among the positives.
    pub true_positive_rate: Vec<f64>,
    /// Where the probability is cut, from 1 to 0.
    pub thresholds: Vec<f64>,
}

/// Precision and recall at rising thresholds, closed by the point (1, 0), which has no threshold.
///
/// A quotient 0/0 is NaN, as in torchmetrics; JSON writes it as null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrecisionRecallCurve {
    /// One more than there are thresholds.
    pub precision: Vec<f64>,
    /// One more than there are thresholds.
    pub recall: Vec<f64>,
    /// Where the probability is cut, from 0 to 1.
    pub thresholds: Vec<f64>,
}

impl Default for ThresholdCounts {
    fn default() -> Self {
        Self { positives: vec![0; THRESHOLDS + 1], negatives: vec![0; THRESHOLDS + 1] }
    }
}

impl AddAssign<&Self> for ThresholdCounts {
    fn add_assign(&mut self, other: &Self) {
        for (own, others) in self.positives.iter_mut().zip(&other.positives) {
            *own += others;
        }
        for (own, others) in self.negatives.iter_mut().zip(&other.negatives) {
            *own += others;
        }
    }
}

impl ThresholdCounts {
    /// Counts probabilities against targets (0 negative, 1 positive, other values ignored).
    ///
    /// # Errors
    /// [`MetricsError::SizeMismatch`] if there are not as many of one as of the other.
    pub fn of(probabilities: &[f32], targets: &[u8]) -> Result<Self, MetricsError> {
        check_sizes(probabilities.len(), targets.len())?;
        let edges = edges();
        let mut counts = Self::default();
        for (&probability, &target) in probabilities.iter().zip(targets) {
            counts.add(reached(&edges, probability), target, 1);
        }
        Ok(counts)
    }

    /// Adds so many pixels whose probability reaches so many thresholds.
    pub(super) fn add(&mut self, reached: usize, target: u8, pixels: u64) {
        let bins = match target {
            POSITIVE => &mut self.positives,
            NEGATIVE => &mut self.negatives,
            _ => return,
        };
        bins[reached] += pixels;
    }

    /// Every count: positives, then negatives.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.positives.iter().chain(&self.negatives).copied()
    }

    /// Every count, in the same order, to be set.
    pub(super) fn counts_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.positives.iter_mut().chain(&mut self.negatives)
    }

    /// True and false positives where a probability of at least the k-th threshold counts as positive.
    fn positives_at(bins: &[u64]) -> Vec<f64> {
        let mut above: Vec<f64> = bins[1..]
            .iter()
            .rev()
            .scan(0, |sum, &count| {
                *sum += count;
                Some(*sum as f64)
            })
            .collect();
        above.reverse();
        above
    }

    /// The receiver operating characteristic.
    pub fn roc(&self) -> RocCurve {
        let rates = |bins: &[u64]| -> Vec<f64> {
            let all = bins.iter().sum::<u64>() as f64;
            Self::positives_at(bins).into_iter().rev().map(|count| ratio(count, all)).collect()
        };
        RocCurve {
            false_positive_rate: rates(&self.negatives),
            true_positive_rate: rates(&self.positives),
            thresholds: thresholds().iter().rev().map(|&threshold| f64::from(threshold)).collect(),
        }
    }

    /// The precision-recall curve.
    pub fn precision_recall(&self) -> PrecisionRecallCurve {
        let hits = Self::positives_at(&self.positives);
        let alarms = Self::positives_at(&self.negatives);
        let all = self.positives.iter().sum::<u64>() as f64;
        let precision = hits.iter().zip(&alarms).map(|(&hit, &alarm)| hit / (hit + alarm));
        let recall = hits.iter().map(|&hit| hit / all);
        PrecisionRecallCurve {
            precision: precision.chain([1.0]).collect(),
            recall: recall.chain([0.0]).collect(),
            thresholds: thresholds().iter().map(|&threshold| f64::from(threshold)).collect(),
        }
    }

    /// Area under the ROC curve by trapezia.
    pub fn auroc(&self) -> f64 {
        let RocCurve { false_positive_rate: x, true_positive_rate: y, .. } = self.roc();
        x.windows(2).zip(y.windows(2)).map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum()
    }

    /// Area under the precision-recall curve by steps; what is NaN on the curve counts as 0.
    pub fn average_precision(&self) -> f64 {
        area_by_steps(&self.precision_recall())
    }
}

/// Area under a precision-recall curve by steps; what is NaN on the curve counts as 0.
pub(super) fn area_by_steps(curve: &PrecisionRecallCurve) -> f64 {
    let [precision, recall] = [&curve.precision, &curve.recall].map(|values| -> Vec<f64> {
        values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect()
    });
    recall.windows(2).zip(precision).map(|(recall, precision)| (recall[0] - recall[1]) * precision).sum()
}

/// The thresholds between two values that a guess may look at beyond them: every number lies above the first and none
/// reaches the last.
pub(super) fn edges() -> [f32; THRESHOLDS + 2] {
    let mut edges = [f32::NAN; THRESHOLDS + 2];
    edges[0] = f32::NEG_INFINITY;
    edges[1..=THRESHOLDS].copy_from_slice(&thresholds());
    edges
}

/// How many thresholds `probability` reaches. A guess from the even spacing, put right by comparison, so
/// that a probability equal to a threshold reaches it; NaN reaches none. Without a branch: whole passes are counted by it.
pub(super) fn reached(edges: &[f32; THRESHOLDS + 2], probability: f32) -> usize {
    // NaN and what is below 0 are 0 as a whole number.
    let guess = ((probability * (THRESHOLDS - 1) as f32) as usize).min(THRESHOLDS - 1);
    let (more, most) = (probability >= edges[guess + 1], probability >= edges[guess + 2]);
    guess + usize::from(more) + usize::from(most) - usize::from(probability < edges[guess])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the comparison itself, at each threshold and the float on either side of it.
    #[test]
    fn the_bin_is_the_number_of_thresholds_reached() {
        let (edges, thresholds) = (edges(), thresholds());
        let around = thresholds.iter().flat_map(|&value| [value.next_down(), value, value.next_up()]);
        let others = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, -0.5, 2.0, f32::MAX, f32::MIN];
        for probability in around.chain(others).chain((0..=100_000).map(|n| n as f32 / 1e5)) {
            let expected = thresholds.iter().filter(|&&threshold| probability >= threshold).count();
            assert_eq!(reached(&edges, probability), expected, "{probability}");
        }
    }

    #[test]
    fn a_perfect_prediction_has_areas_of_one_and_ignored_pixels_do_not_count() {
        let counts = ThresholdCounts::of(&[0.99, 0.98, 0.01, 0.02, 0.5], &[1, 1, 0, 0, 2]).unwrap();
        assert_eq!((counts.auroc(), counts.average_precision()), (1.0, 1.0));
        assert!(ThresholdCounts::of(&[0.5], &[]).is_err());
    }
}

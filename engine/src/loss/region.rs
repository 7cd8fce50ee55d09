//! Losses of regions: made of sums over all pixels at once.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;

use super::pixels::Pixels;

/// Least denominator of an index: without any overlap there is nothing to divide by.
///
/// # Sources
/// segmentation_models_pytorch 0.5, `DiceLoss(eps=1e-7)`; its `smooth` is 0, and so is ours.
const EPSILON: f64 = 1e-7;

/// 1 - TP / (TP + alpha FP + beta FN), where the probability p of a pixel is p of a positive: TP sums p over the positives, FP over
/// the negatives, FN sums 1 - p over the positives.
///
/// Alpha and beta of 0.5 make it the Dice loss, of 1 the Jaccard loss.
///
/// # Sources
/// Salehi et al. 2017, Tversky loss function for image segmentation, eq. 3 and 4; segmentation_models_pytorch 0.5,
/// `TverskyLoss(mode="binary", from_logits=True)`, which weighs false positives with alpha too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tversky {
    /// Weight of false positives.
    pub alpha: f64,
    /// Weight of false negatives.
    pub beta: f64,
}

impl Tversky {
    /// The Dice loss.
    pub const DICE: Self = Self { alpha: 0.5, beta: 0.5 };
    /// The Jaccard loss.
    pub const JACCARD: Self = Self { alpha: 1.0, beta: 1.0 };

    /// The loss by what was summed, on the device: `[1]`.
    fn of(self, [overlap, predicted, positive]: [Tensor<1>; 3]) -> Tensor<1> {
        let false_positive = (predicted - overlap.clone()).mul_scalar(self.alpha);
        let false_negative = (positive.clone() - overlap.clone()).mul_scalar(self.beta);
        let all = (overlap.clone() + false_positive + false_negative).clamp_min(EPSILON);
        let loss = (overlap / all).neg().add_scalar(1.0);
        loss * positive.clamp_max(1.0)
    }

    /// The loss by what was summed.
    fn value(self, [overlap, predicted, positive]: [f64; 3]) -> f64 {
        let all = overlap + self.alpha * (predicted - overlap) + self.beta * (positive - overlap);
        // As `max`, but what is no number stays none.
        let all = if all < EPSILON { EPSILON } else { all };
        (1.0 - overlap / all) * positive.min(1.0)
    }
}

/// Region losses and their weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Regions(pub(super) Vec<(f64, Tversky)>);

impl Regions {
    /// What all of them are made of, one after another: sum of the probabilities of the positives, of all probabilities, and
    /// how many positives there are, `[3]`.
    pub(super) fn sums(pixels: &Pixels) -> Tensor<1> {
        // By the logarithm, whose gradient is sigmoid(-z): at large logits it falls below what 32 bits tell from 1 - p.
        let probabilities = log_sigmoid(pixels.logits.clone()).exp();
        let counted = probabilities.mask_fill(pixels.ignored.clone(), 0.0);
        let overlap = counted.clone().mask_fill(pixels.positive.clone().bool_not(), 0.0).sum();
        let positive = pixels.positive.clone().int().sum().float();
        Tensor::cat(vec![overlap, counted.sum(), positive], 0)
    }

    /// Their weighted sum on the device, `[1]`.
    pub(super) fn of(&self, sums: &Tensor<1>) -> Option<Tensor<1>> {
        let each = [0, 1, 2].map(|at| sums.clone().narrow(0, at, 1));
        let weighted = self.0.iter().map(|(weight, region)| region.of(each.clone()).mul_scalar(*weight));
        weighted.reduce(|sum, loss| sum + loss)
    }

    /// What a loss of pixels comes to with them.
    pub(super) fn add_to(&self, loss: f64, sums: [f64; 3]) -> f64 {
        self.0.iter().fold(loss, |loss, (weight, region)| loss + weight * region.value(sums))
    }
}

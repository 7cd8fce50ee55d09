//! Binary cross-entropy.

use burn::tensor::Tensor;

use super::pixels::Pixels;

/// Binary cross-entropy on logits, averaged over the pixels that count.
///
/// The mean is over the pixels, not over their weights.
///
/// # Sources
/// PyTorch, `binary_cross_entropy_with_logits(pos_weight=…)` over the pixels that are not ignored.
/// (segmentation_models_pytorch's `SoftBCEWithLogitsLoss` divides by the ignored ones too.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bce {
    /// Weight of a positive pixel; a negative one weighs 1.
    pub positive_weight: f64,
}

impl Bce {
    /// Sum over the pixels that count, `[1]`.
    pub(super) fn total(&self, pixels: &Pixels) -> Tensor<1> {
        let mut loss = Pixels::entropy(pixels.margins());
        if self.positive_weight != 1.0 {
            let weight = loss.ones_like().mask_fill(pixels.positive.clone(), self.positive_weight);
            loss = loss * weight;
        }
        pixels.sum(loss)
    }
}

//! Binary focal loss.

use burn::tensor::{Int, Tensor};

use super::error::LossError;
use super::pixels::Pixels;
use super::sums::LossSums;

/// Focal loss with its two settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FocalLoss {
    /// Weight of a positive pixel; a negative one weighs 1 - alpha. `None` weighs both 1.
    pub alpha: Option<f64>,
    /// Focusing exponent; 0 is binary cross-entropy.
    pub gamma: f64,
}

impl FocalLoss {
    /// The loss's sum and count.
    ///
    /// With z the logit, its sign turned for negatives, and s = -ln sigmoid(z) the cross-entropy, a pixel
    /// costs (1 - p)^gamma s, where 1 - p = sigmoid(-z) = exp(-(s + z)). Written so, nothing overflows,
    /// cancels or divides by zero, for any logit and any gamma >= 0.
    ///
    /// # Shapes
    /// - `logits`: `[batch, height, width]`, before the sigmoid
    /// - `target`: `[batch, height, width]`, 0 negative, 1 positive, 2 ignored
    ///
    /// # Sources
    /// Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 5.
    pub fn sums(&self, logits: Tensor<3>, target: Tensor<3, Int>) -> LossSums {
        let pixels = Pixels::new(logits, target);
        LossSums::of_pixels(self.total(&pixels), pixels.counted())
    }

    /// Sum over the pixels that count, `[1]`.
    pub(super) fn total(&self, pixels: &Pixels) -> Tensor<1> {
        let z = pixels.margins();
        let entropy = Pixels::entropy(z.clone());
        let focus = (entropy.clone() + z).mul_scalar(-self.gamma).exp();
        let mut loss = focus * entropy;
        if let Some(alpha) = self.alpha {
            let weight = loss.full_like(1.0 - alpha).mask_fill(pixels.positive.clone(), alpha);
            loss = loss * weight;
        }
        pixels.sum(loss)
    }
}

/// Binary focal loss on logits, averaged over the pixels that count.
///
/// Waits for the device to learn whether any pixel counts; a training loop takes [`FocalLoss::sums`].
///
/// # Shapes
/// - `logits`: `[batch, height, width]`, before the sigmoid
/// - `target`: `[batch, height, width]`, 0 negative, 1 positive, 2 ignored
/// - returns `[1]`, no unit
///
/// # Errors
/// [`LossError::NothingToAverage`] if every pixel is ignored.
///
/// # Sources
/// Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 5.
pub fn focal_loss(
    logits: Tensor<3>,
    target: Tensor<3, Int>,
    alpha: Option<f64>,
    gamma: f64,
) -> Result<Tensor<1>, LossError> {
    let sums = FocalLoss { alpha, gamma }.sums(logits, target);
    let pixels = sums.pixels.clone().into_data().convert::<f32>().try_into_vec::<f32>();
    match pixels.as_deref() {
        Ok([count]) if *count > 0.0 => Ok(sums.mean()),
        Ok(_) => Err(LossError::NothingToAverage),
        Err(_) => Err(LossError::Unreadable),
    }
}

//! Binary focal loss.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Int, Tensor};

/// Target of a pixel that counts for nothing.
const IGNORED: i32 = 2;
/// Target of a pixel of the class.
const POSITIVE: i32 = 1;

/// Why a loss has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// Every pixel is ignored, so there is no mean.
    #[error("every pixel of the batch is ignored (target 2), so there is nothing to average")]
    NothingToAverage,
    /// The device did not hand the pixel count back.
    #[error("the number of pixels cannot be read from the device")]
    Unreadable,
}

/// Focal loss with its two settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FocalLoss {
    /// Weight of a positive pixel; a negative one weighs 1 - alpha. `None` weighs both 1.
    pub alpha: Option<f64>,
    /// Focusing exponent; 0 is binary cross-entropy.
    pub gamma: f64,
}

/// A loss as sum and count, both on the device, so that passes add up exactly.
#[derive(Debug, Clone)]
pub struct LossSums {
    /// Sum over the pixels that count, `[1]`.
    pub total: Tensor<1>,
    /// How many pixels count, `[1]`.
    pub pixels: Tensor<1>,
}

impl LossSums {
    /// Mean over the pixels that count, `[1]`; 0, with zero gradients, if none does.
    ///
    /// This is the training loss: a batch of nothing but ignored pixels teaches nothing and costs no
    /// look at the device to find out.
    pub fn mean(&self) -> Tensor<1> {
        self.total.clone() / self.pixels.clone().clamp_min(1.0)
    }
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
        let positive = target.clone().equal_elem(POSITIVE);
        let ignored = target.equal_elem(IGNORED);
        let z = logits.clone().mask_where(positive.clone().bool_not(), logits.neg());
        let entropy = log_sigmoid(z.clone()).neg();
        let focus = (entropy.clone() + z).mul_scalar(-self.gamma).exp();
        let mut loss = focus * entropy;
        if let Some(alpha) = self.alpha {
            let weight = loss.full_like(1.0 - alpha).mask_fill(positive, alpha);
            loss = loss * weight;
        }
        let pixels = ignored.clone().bool_not().int().sum().float();
        LossSums { total: loss.mask_fill(ignored, 0.0).sum(), pixels }
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

//! Global response normalisation.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use super::init::Initializer;
use super::precision::cast;

/// Added to the mean over the channels before it divides: timm's default.
const EPSILON: f64 = 1e-6;

/// timm's `GlobalResponseNorm`: scales each channel by how strong it is among the channels of its image.
///
/// It computes in 32 bits and gives back the type it is given. A channel that is zero everywhere has the gradient zero, as
/// PyTorch's norm has it.
///
/// # Sources
/// Woo et al. 2023, ConvNeXt V2, eq. 1 to 3 and algorithm 1.
#[derive(Module, Debug)]
pub struct GlobalResponseNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl GlobalResponseNorm {
    /// Starts as the identity: scale 0, shift 0.
    pub fn new(channels: usize, init: &mut Initializer) -> Self {
        Self { weight: init.constant(channels, 0.0), bias: init.constant(channels, 0.0) }
    }

    /// # Shapes
    /// - `x`: `[batch, height, width, channels]`
    /// - returns the same
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let x = cast(x, DType::F32);
        let squares = x.clone().square().sum_dims(&[1, 2]);
        // The root has no slope at zero: below the smallest square there is nothing to differentiate.
        let norms = squares.clamp_min(f32::MIN_POSITIVE).sqrt();
        let strengths = norms.clone() / norms.mean_dim(3).add_scalar(EPSILON);
        let [channels] = self.weight.dims();
        let per_channel = |values: Tensor<1>| values.reshape([1, 1, 1, channels]);
        // x + weight * x * strength + bias, with what is small multiplied first.
        let factors = per_channel(self.weight.val()) * strengths + 1.0;
        cast(x * factors + per_channel(self.bias.val()), dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::devices;
    use crate::nn::golden::tokens::Golden;

    #[test]
    fn channels_are_weighed_with_timms_values_and_gradients() {
        let golden = Golden::of("response_norm");
        for device in devices() {
            let layer = golden.filled(GlobalResponseNorm::new(4, &mut Initializer::new(1, &device)));
            golden.check(&layer, &device, |x| layer.forward(x));
        }
    }

    #[test]
    fn a_channel_that_is_zero_everywhere_has_a_gradient() {
        for device in devices() {
            let mut layer = GlobalResponseNorm::new(2, &mut Initializer::new(1, &device));
            layer.weight = layer.weight.map(|weight| weight.ones_like().require_grad());
            let x = Tensor::<4>::from_data([[[[0.0, 1.0], [0.0, 2.0]]]], &device).require_grad();
            let y = layer.forward(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).unwrap();
            for values in [y.into_data(), gradient.into_data()] {
                let values = values.try_into_vec::<f32>().unwrap();
                assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
            }
        }
    }
}

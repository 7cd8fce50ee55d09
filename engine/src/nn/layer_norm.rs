//! Layer normalisation, over the last dimension or over channels.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Initializer;
use super::kernels;
use super::layout::{channels_first, channels_last};

/// `torch.nn.LayerNorm` over one dimension: each pixel by the mean and the biased variance of its own channels.
///
/// It computes in 32 bits and gives back the type it is given.
///
/// # Sources
/// Ba, Kiros and Hinton 2016, Layer Normalization, eq. 4.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    /// Scale 1, shift 0; `epsilon` is added to a variance before its root.
    pub fn new(channels: usize, epsilon: f64, init: &mut Initializer) -> Self {
        Self { weight: init.constant(channels, 1.0), bias: init.constant(channels, 0.0), epsilon }
    }

    /// # Shapes
    /// - `x`: `[…, channels]`
    /// - returns the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernels::layer_norm(x, [self.weight.val(), self.bias.val()], self.epsilon)
    }

    /// The same for images: timm's and smp's `LayerNorm2d`.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - returns the same
    pub fn forward_image(&self, x: Tensor<4>) -> Tensor<4> {
        channels_first(self.forward(channels_last(x)))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::*;
    use crate::nn::golden::devices;
    use crate::nn::golden::tokens::Golden;

    #[test]
    fn each_pixel_is_normalised_with_torchs_values_and_gradients() {
        let golden = Golden::of("layer_norm");
        for device in devices() {
            let layer = golden.filled(LayerNorm::new(5, 1e-6, &mut Initializer::new(1, &device)));
            golden.check(&layer, &device, |x| layer.forward(x));
            golden.check(&layer, &device, |x| channels_last(layer.forward_image(channels_first(x))));
        }
    }

    #[test]
    fn sixteen_bits_stay_sixteen_bits() {
        for device in devices() {
            let layer = LayerNorm::new(3, 1e-6, &mut Initializer::new(1, &device));
            let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device).cast(DType::BF16);
            let y = layer.forward(x);
            assert_eq!(y.dtype(), DType::BF16);
            let y = y.cast(DType::F32).into_data().try_into_vec::<f32>().unwrap();
            let expected = 1.5_f32.sqrt();
            assert!(y[1] == 0.0 && (y[2] - expected).abs() < 0.01 && (y[0] + expected).abs() < 0.01, "{y:?}");
        }
    }
}

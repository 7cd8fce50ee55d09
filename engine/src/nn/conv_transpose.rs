//! Transposed convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;

use super::conv::ConvGeometry;
use super::init::{Initializer, WeightInit};
use super::precision::cast;

/// `torch.nn.ConvTranspose2d` with a bias: a convolution's gradient as a layer, which enlarges by its stride.
///
/// It computes through burn's operations, whose gradient of the weight is a convolution with batch and channels swapped.
///
/// # Sources
/// Zeiler et al. 2010, Deconvolutional Networks.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    padding: usize,
}

impl ConvTranspose2d {
    /// Draws weights and bias as torch does. Of the geometry, dilation and groups are 1.
    pub fn new(geometry: ConvGeometry, init: &mut Initializer) -> Self {
        let ConvGeometry { in_channels, out_channels, kernel, stride, padding, dilation, groups } = geometry;
        debug_assert!(dilation == 1 && groups == 1, "no network of ours dilates or groups one");
        let weight = init.weight([in_channels, out_channels, kernel, kernel], WeightInit::TorchDefault);
        // As torch counts: the fan in of a transposed kernel is what a pixel of the input goes out to.
        let fan_in = out_channels * kernel * kernel;
        let bias = init.uniform_vector(out_channels, (1.0 / fan_in as f64).sqrt());
        Self { weight, bias, stride, padding }
    }

    /// # Shapes
    /// - `x`: `[batch, in_channels, height, width]`
    /// - returns `[batch, out_channels, h, w]` with `h = (height - 1) * stride - 2 * padding + kernel`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = ConvTransposeOptions::new([self.stride; 2], [self.padding; 2], [0; 2], [1; 2], 1);
        let (weight, bias) = (cast(self.weight.val(), x.dtype()), cast(self.bias.val(), x.dtype()));
        conv_transpose2d(x, weight, Some(bias), options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::{Golden, devices, filled};

    #[test]
    fn it_has_torchs_values_and_gradients() {
        let case = Golden::only("conv_transpose");
        for device in devices() {
            let geometry = ConvGeometry::new(3, 2, 4).with_stride(2).with_padding(1);
            let layer = filled(ConvTranspose2d::new(geometry, &mut Initializer::new(0, &device)));
            let x = case.input(&device);
            let gradients = case.check(&x, layer.forward(x.clone()));
            case.check_parameters(&layer, &gradients);
        }
    }
}

//! Depthwise separable convolution.

use burn::module::Module;
use burn::tensor::Tensor;

use super::conv::{Bias, Conv2d, ConvGeometry};
use super::init::{Initializer, WeightInit};

/// A convolution of each channel alone, then one of 1x1 over all of them, both without bias: smp's `SeparableConv2d`.
///
/// # Sources
/// Chollet 2017, Xception: Deep Learning with Depthwise Separable Convolutions.
#[derive(Module, Debug)]
pub struct SeparableConv2d {
    at_0: Conv2d,
    at_1: Conv2d,
}

impl SeparableConv2d {
    /// Draws the weights; the geometry is that of the whole.
    pub fn new(geometry: ConvGeometry, weight: WeightInit, init: &mut Initializer) -> Self {
        let ConvGeometry { in_channels, out_channels, .. } = geometry;
        let depthwise = ConvGeometry { out_channels: in_channels, groups: in_channels, ..geometry };
        Self {
            at_0: Conv2d::new(depthwise, weight, Bias::Absent, init),
            at_1: Conv2d::new(ConvGeometry::new(in_channels, out_channels, 1), weight, Bias::Absent, init),
        }
    }

    /// # Shapes
    /// As for [`Conv2d`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.at_1.forward(self.at_0.forward(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::{Golden, devices, filled};

    #[test]
    fn it_has_torchs_values_and_gradients() {
        let case = Golden::only("separable");
        for device in devices() {
            let geometry = ConvGeometry::new(3, 4, 3).with_dilation(2);
            let layer =
                SeparableConv2d::new(geometry, WeightInit::TorchDefault, &mut Initializer::new(0, &device));
            let layer = filled(layer);
            let x = case.input(&device);
            let gradients = case.check(&x, layer.forward(x.clone()));
            case.check_parameters(&layer, &gradients);
        }
    }
}

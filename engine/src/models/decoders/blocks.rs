//! What several decoders are made of.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::{BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, relu};

/// Convolution, batch normalisation, ReLU: smp's `Conv2dReLU`.
#[derive(Module, Debug)]
pub(super) struct ConvNormRelu {
    at_0: Conv2d,
    at_1: BatchNorm2d,
}

impl ConvNormRelu {
    /// 3x3, as smp initialises decoders.
    pub(super) fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self::of(ConvGeometry::new(inputs, outputs, 3), WeightInit::KaimingUniformFanIn, init)
    }

    /// 1x1, as smp initialises decoders.
    pub(super) fn pointwise(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self::of(ConvGeometry::new(inputs, outputs, 1), WeightInit::KaimingUniformFanIn, init)
    }

    pub(super) fn of(geometry: ConvGeometry, weight: WeightInit, init: &mut Initializer) -> Self {
        Self {
            at_0: Conv2d::new(geometry, weight, Bias::Absent, init),
            at_1: BatchNorm2d::new(geometry.out_channels, init),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.at_1.forward(self.at_0.forward(x)))
    }
}

/// A convolution with a bias, as smp initialises decoders.
pub(super) fn conv(geometry: ConvGeometry, init: &mut Initializer) -> Conv2d {
    Conv2d::new(geometry, WeightInit::KaimingUniformFanIn, Bias::Zero, init)
}

/// Height and width.
pub(super) fn size(x: &Tensor<4>) -> [usize; 2] {
    let [_, _, height, width] = x.dims();
    [height, width]
}

/// Twice the height and width.
pub(super) fn doubled(x: &Tensor<4>) -> [usize; 2] {
    size(x).map(|extent| 2 * extent)
}

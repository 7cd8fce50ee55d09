//! The segmentation head.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::{Bias, Conv2d, ConvGeometry, Corners, Initializer, WeightInit, resize_bilinear};

/// How the segmentation head is made that ends an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadSpec {
    in_channels: usize,
    kernel: usize,
    upsampling: usize,
    weight: WeightInit,
    bias: Bias,
}

impl HeadSpec {
    /// From so many channels by a square kernel, in the size it is given, initialised as smp does.
    pub(super) const fn new(in_channels: usize, kernel: usize) -> Self {
        Self { in_channels, kernel, upsampling: 1, weight: WeightInit::XavierUniform, bias: Bias::Zero }
    }

    /// The same, enlarged so many times.
    pub(super) const fn with_upsampling(self, upsampling: usize) -> Self {
        Self { upsampling, ..self }
    }

    /// The same with weights as torch draws them: smp's DeepLab heads.
    pub(super) const fn as_torch_draws(self) -> Self {
        Self { weight: WeightInit::TorchDefault, bias: Bias::TorchDefault, ..self }
    }
}

/// smp's `SegmentationHead`: one convolution to the logits of a class, enlarged to the size of the image.
#[derive(Module, Debug)]
pub(super) struct SegmentationHead {
    at_0: Conv2d,
    #[module(skip)]
    upsampling: usize,
}

impl SegmentationHead {
    pub(super) fn new(spec: HeadSpec, classes: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(spec.in_channels, classes, spec.kernel);
        Self { at_0: Conv2d::new(geometry, spec.weight, spec.bias, init), upsampling: spec.upsampling }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.at_0.forward(x);
        let [_, _, height, width] = x.dims();
        resize_bilinear(x, [height, width].map(|extent| extent * self.upsampling), Corners::Aligned)
    }
}

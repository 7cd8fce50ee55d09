//! The segmentation head.

use burn::module::Module;
use burn::tensor::Tensor;

use super::decoders::HeadSpec;
use crate::nn::{Bias, Conv2d, ConvGeometry, Initializer, WeightInit};

/// smp's `SegmentationHead`: one convolution to the logits of a class.
#[derive(Module, Debug)]
pub(super) struct SegmentationHead {
    at_0: Conv2d,
}

impl SegmentationHead {
    pub(super) fn new(spec: HeadSpec, classes: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(spec.in_channels, classes, spec.kernel);
        Self { at_0: Conv2d::new(geometry, WeightInit::XavierUniform, Bias::Zero, init) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.at_0.forward(x)
    }
}

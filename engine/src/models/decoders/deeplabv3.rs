//! The DeepLabV3 decoder.
//!
//! # Sources
//! Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation; smp 0.6's `DeepLabV3Decoder` over features of an eighth
//! of the image's size.

use burn::module::Module;
use burn::tensor::Tensor;

use super::aspp::{Aspp, CHANNELS, Kernels};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, relu};

/// The deepest features at five scales.
#[derive(Module, Debug)]
pub(in crate::models) struct DeepLabV3Decoder {
    aspp: Aspp,
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl DeepLabV3Decoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec { depth: 5, output_stride: 8 };
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 1).with_upsampling(8).as_torch_draws();
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES).normalising_whole_images();

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(CHANNELS, CHANNELS, 3);
        Self {
            aspp: Aspp::new(channels.last().copied().unwrap_or_default(), Kernels::Whole, init),
            conv: Conv2d::new(geometry, WeightInit::TorchDefault, Bias::Absent, init),
            bn: BatchNorm2d::new(CHANNELS, init),
        }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let x = self.aspp.forward(features.deepest);
        relu(self.bn.forward(self.conv.forward(x)))
    }
}

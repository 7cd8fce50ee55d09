//! The DeepLabV3+ decoder.
//!
//! # Sources
//! Chen et al. 2018, Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, figure 2; smp 0.6's
//! `DeepLabV3PlusDecoder` over features of a sixteenth of the image's size.

use burn::module::Module;
use burn::tensor::Tensor;

use super::aspp::{Aspp, CHANNELS, Kernels, SeparableNormRelu, pointwise};
use super::blocks::{ConvNormRelu, size};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{
    BatchNorm2d, ConvGeometry, Corners, Initializer, SeparableConv2d, WeightInit, relu, resize_bilinear,
};

/// Place of the features of a quarter of the image's size, the image's own being 0.
const FINE: usize = 2;
/// Channels they are brought to: the paper's.
const FINE_CHANNELS: usize = 48;

/// The deepest features at five scales, joined with those of a quarter of the image's size.
#[derive(Module, Debug)]
pub(in crate::models) struct DeepLabV3PlusDecoder {
    aspp: Deep,
    block1: ConvNormRelu,
    block2: SeparableNormRelu,
}

#[derive(Module, Debug)]
struct Deep {
    at_0: Aspp,
    at_1: SeparableConv2d,
    at_2: BatchNorm2d,
}

impl DeepLabV3PlusDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec { depth: 5, output_stride: 16 };
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 1).with_upsampling(4).as_torch_draws();
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES).normalising_whole_images();

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let deepest = channels.last().copied().unwrap_or_default();
        let fine = channels.get(FINE).copied().unwrap_or_default();
        let kernel = |inputs| ConvGeometry::new(inputs, CHANNELS, 3);
        Self {
            aspp: Deep {
                at_0: Aspp::new(deepest, Kernels::Separable, init),
                at_1: SeparableConv2d::new(kernel(CHANNELS), WeightInit::TorchDefault, init),
                at_2: BatchNorm2d::new(CHANNELS, init),
            },
            block1: pointwise(fine, FINE_CHANNELS, init),
            block2: SeparableNormRelu::new(kernel(FINE_CHANNELS + CHANNELS), init),
        }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let Deep { at_0, at_1, at_2 } = &self.aspp;
        let deep = relu(at_2.forward(at_1.forward(at_0.forward(deepest))));
        match shallow.into_iter().nth(FINE) {
            Some(fine) => {
                let deep = resize_bilinear(deep, size(&fine), Corners::Aligned);
                self.block2.forward(Tensor::cat(vec![deep, self.block1.forward(fine)], 1))
            }
            // No encoder of depth 5 lacks them.
            None => deep,
        }
    }
}

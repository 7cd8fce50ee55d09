//! The decoder of SegFormer.
//!
//! # Sources
//! Xie et al. 2021, SegFormer, section 3.2; smp 0.6's `SegformerDecoder`: features are joined at a quarter of the image's
//! size, the deepest first, by one convolution.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{ConvNormRelu, size};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{Corners, Initializer, Linear, WeightInit, channels_first, channels_last, resize_bilinear};

/// Channels of each feature before they are joined, and of what is made of them: smp's default.
const CHANNELS: usize = 256;
/// The image's size by that of the output.
const SCALE: usize = 4;

/// A linear layer on each pixel of each feature, and what is made of all.
#[derive(Module, Debug)]
pub(in crate::models) struct SegformerDecoder {
    mlp_stage: Vec<Projection>,
    fuse_stage: ConvNormRelu,
}

impl SegformerDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 1).with_upsampling(SCALE);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES);

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let used = channels.iter().skip(1).rev().copied().filter(|channels| *channels > 0);
        let mlp_stage: Vec<Projection> = used.map(|channels| Projection::new(channels, init)).collect();
        let fuse_stage = ConvNormRelu::pointwise(mlp_stage.len() * CHANNELS, CHANNELS, init);
        Self { mlp_stage, fuse_stage }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let image = shallow.first().unwrap_or(&deepest);
        let target = size(image).map(|extent| extent / SCALE);
        // An encoder's empty feature map has no linear layer: it is the shallowest, and `zip` ends before it.
        let downwards = std::iter::once(deepest).chain(shallow.into_iter().rev());
        let resized = self.mlp_stage.iter().zip(downwards);
        let resized = resized.map(|(stage, x)| resize_bilinear(stage.forward(x), target, Corners::Edges));
        self.fuse_stage.forward(Tensor::cat(resized.collect(), 1))
    }
}

/// smp's `MLP`: a linear layer on each pixel.
#[derive(Module, Debug)]
struct Projection {
    linear: Linear,
}

impl Projection {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        Self { linear: Linear::new(inputs, CHANNELS, WeightInit::XavierUniform, init) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        channels_first(self.linear.forward(channels_last(x)))
    }
}

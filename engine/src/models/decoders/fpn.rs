//! The decoder of a feature pyramid network.
//!
//! # Sources
//! Lin et al. 2017, Feature Pyramid Networks for Object Detection; Kirillov et al. 2019, Panoptic Feature Pyramid Networks, figure 3;
//! smp 0.6's `FPNDecoder`: the levels are added up.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{conv, doubled, size};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{
    Bias, Conv2d, ConvGeometry, Corners, Dropout, GroupNorm, Initializer, WeightInit, relu, resize_bilinear,
    upsample_nearest,
};

/// Channels of the pyramid and of what is made of each of its levels: smp's defaults.
const PYRAMID: usize = 256;
const SEGMENTATION: usize = 128;
/// Groups of a normalisation.
const GROUPS: usize = 32;
/// Share of the channels that are dropped while training: smp's default.
const DROPOUT: f64 = 0.2;

/// A pyramid from the deepest features up, each level enlarged to a quarter of the image, and their sum.
#[derive(Module, Debug)]
pub(in crate::models) struct FpnDecoder {
    p5: Conv2d,
    p4: Lateral,
    p3: Lateral,
    p2: Lateral,
    seg_blocks: Levels,
    dropout: Dropout,
}

/// What is made of each level, the deepest first.
#[derive(Module, Debug)]
struct Levels {
    at_0: Level,
    at_1: Level,
    at_2: Level,
    at_3: Level,
}

impl FpnDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(SEGMENTATION, 1).with_upsampling(4);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES);

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let mut features = channels.iter().rev().copied();
        let mut next = || features.next().unwrap_or_default();
        Self {
            p5: conv(ConvGeometry::new(next(), PYRAMID, 1), init),
            p4: Lateral::new(next(), init),
            p3: Lateral::new(next(), init),
            p2: Lateral::new(next(), init),
            seg_blocks: Levels {
                at_0: Level::new(3, init),
                at_1: Level::new(2, init),
                at_2: Level::new(1, init),
                at_3: Level::new(0, init),
            },
            dropout: Dropout::of_channels(DROPOUT, init),
        }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let Levels { at_0, at_1, at_2, at_3 } = &self.seg_blocks;
        let mut x = self.p5.forward(deepest);
        let mut sum = at_0.forward(x.clone());
        let upwards = [(&self.p4, at_1), (&self.p3, at_2), (&self.p2, at_3)];
        for ((lateral, level), skip) in upwards.into_iter().zip(shallow.into_iter().rev()) {
            x = lateral.forward(x, skip);
            sum = sum + level.forward(x.clone());
        }
        self.dropout.forward(sum)
    }
}

/// smp's `FPNBlock`: the level below, enlarged, and the encoder's features in as many channels.
#[derive(Module, Debug)]
struct Lateral {
    skip_conv: Conv2d,
}

impl Lateral {
    fn new(skip: usize, init: &mut Initializer) -> Self {
        Self { skip_conv: conv(ConvGeometry::new(skip, PYRAMID, 1), init) }
    }

    fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        upsample_nearest(x, size(&skip)) + self.skip_conv.forward(skip)
    }
}

/// smp's `SegmentationBlock`: so many times convolved and doubled, once convolved at least.
#[derive(Module, Debug)]
struct Level {
    block: Vec<ConvGroupRelu>,
    #[module(skip)]
    doublings: usize,
}

impl Level {
    fn new(doublings: usize, init: &mut Initializer) -> Self {
        let inputs = std::iter::once(PYRAMID).chain(std::iter::repeat(SEGMENTATION));
        let block = inputs.take(doublings.max(1)).map(|inputs| ConvGroupRelu::new(inputs, init)).collect();
        Self { block, doublings }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block.iter().enumerate().fold(x, |x, (step, block)| {
            let x = block.forward(x);
            let to = if step < self.doublings { doubled(&x) } else { size(&x) };
            resize_bilinear(x, to, Corners::Aligned)
        })
    }
}

/// smp's `Conv3x3GNReLU`, but for its upsampling.
#[derive(Module, Debug)]
struct ConvGroupRelu {
    block: Sequence,
}

#[derive(Module, Debug)]
struct Sequence {
    at_0: Conv2d,
    at_1: GroupNorm,
}

impl ConvGroupRelu {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(inputs, SEGMENTATION, 3);
        let block = Sequence {
            at_0: Conv2d::new(geometry, WeightInit::KaimingUniformFanIn, Bias::Absent, init),
            at_1: GroupNorm::new(GROUPS, SEGMENTATION, init),
        };
        Self { block }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.block.at_1.forward(self.block.at_0.forward(x)))
    }
}

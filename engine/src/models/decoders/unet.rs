//! The U-Net decoder.
//!
//! # Sources
//! Ronneberger et al. 2015, U-Net; smp 0.6's `UnetDecoder`: nearest upsampling to the skip's size, no
//! attention, no centre block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::HeadSpec;
use crate::models::encoders::Features;
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, relu, upsample_nearest,
    upsample_nearest_and_join,
};

/// Channels after each of the five steps up: smp's default.
const CHANNELS: [usize; 5] = [256, 128, 64, 32, 16];

/// Five steps up, each joined with the encoder's features of that resolution.
#[derive(Module, Debug)]
pub(in crate::models) struct UnetDecoder {
    blocks: Vec<UpBlock>,
}

impl UnetDecoder {
    pub(super) const HEAD: HeadSpec = HeadSpec { in_channels: CHANNELS[CHANNELS.len() - 1], kernel: 3 };

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let (_input, features) = channels.split_at(1.min(channels.len()));
        let mut below = features.last().copied().unwrap_or_default();
        // Skips from the second deepest feature upwards; the last step has none.
        let skips = features.iter().rev().skip(1).copied().chain(std::iter::once(0));
        let blocks = skips
            .zip(CHANNELS)
            .map(|(skip, outputs)| {
                let block = UpBlock::new(below + skip, outputs, init);
                below = outputs;
                block
            })
            .collect();
        Self { blocks }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let last = self.blocks.len().saturating_sub(1);
        self.blocks.iter().zip(shallow.into_iter().rev()).enumerate().fold(
            deepest,
            |x, (step, (block, skip))| {
                let [_, _, height, width] = skip.dims();
                // The image itself is no skip, but the last step returns to its size.
                block.forward(x, (step != last).then_some(skip), [height, width])
            },
        )
    }
}

/// Upsampling, joining, and two convolutions.
#[derive(Module, Debug)]
struct UpBlock {
    conv1: ConvNormRelu,
    conv2: ConvNormRelu,
}

impl UpBlock {
    fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self {
            conv1: ConvNormRelu::new(inputs, outputs, init),
            conv2: ConvNormRelu::new(outputs, outputs, init),
        }
    }

    fn forward(&self, x: Tensor<4>, skip: Option<Tensor<4>>, size: [usize; 2]) -> Tensor<4> {
        let x = match skip {
            Some(skip) => upsample_nearest_and_join(x, skip),
            None => upsample_nearest(x, size),
        };
        self.conv2.forward(self.conv1.forward(x))
    }
}

/// 3x3 convolution, batch normalisation, ReLU: smp's `Conv2dReLU`.
#[derive(Module, Debug)]
struct ConvNormRelu {
    at_0: Conv2d,
    at_1: BatchNorm2d,
}

impl ConvNormRelu {
    fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(inputs, outputs, 3);
        Self {
            at_0: Conv2d::new(geometry, WeightInit::KaimingUniformFanIn, Bias::Absent, init),
            at_1: BatchNorm2d::new(outputs, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.at_1.forward(self.at_0.forward(x)))
    }
}

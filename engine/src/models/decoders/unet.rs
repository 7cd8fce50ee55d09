//! The U-Net decoder.
//!
//! # Sources
//! Ronneberger et al. 2015, U-Net; smp 0.6's `UnetDecoder`: nearest upsampling to the skip's size, no
//! attention, no centre block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::ConvNormRelu;
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{Initializer, upsample_nearest, upsample_nearest_and_join};

/// Channels after each of the five steps up: smp's default.
const CHANNELS: [usize; 5] = [256, 128, 64, 32, 16];

/// Five steps up, each joined with the encoder's features of that resolution.
#[derive(Module, Debug)]
pub(in crate::models) struct UnetDecoder {
    blocks: Vec<UpBlock>,
}

impl UnetDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS[CHANNELS.len() - 1], 3);
    pub(super) const INPUT: InputNeeds = InputNeeds::ANY;

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
                let [_, channels, height, width] = skip.dims();
                // Neither the image itself nor a feature map without channels is a skip, but the step goes to its size.
                block.forward(x, (step != last && channels > 0).then_some(skip), [height, width])
            },
        )
    }
}

/// Upsampling, joining, and two convolutions.
#[derive(Module, Debug)]
pub(super) struct UpBlock {
    conv1: ConvNormRelu,
    conv2: ConvNormRelu,
}

impl UpBlock {
    pub(super) fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self {
            conv1: ConvNormRelu::new(inputs, outputs, init),
            conv2: ConvNormRelu::new(outputs, outputs, init),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>, skip: Option<Tensor<4>>, size: [usize; 2]) -> Tensor<4> {
        let x = match skip {
            Some(skip) => upsample_nearest_and_join(x, skip),
            None => upsample_nearest(x, size),
        };
        self.conv2.forward(self.conv1.forward(x))
    }
}

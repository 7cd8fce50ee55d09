//! The LinkNet decoder.
//!
//! # Sources
//! Chaurasia and Culurciello 2017, LinkNet: Exploiting Encoder Representations for Efficient Semantic Segmentation; smp 0.6's
//! `LinknetDecoder`, which has four skips where the paper has three.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::ConvNormRelu;
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{BatchNorm2d, ConvGeometry, ConvTranspose2d, Initializer, relu};

/// Channels before the head: smp's default.
const CHANNELS: usize = 32;
/// A block computes with so many times fewer channels than it takes.
const REDUCTION: usize = 4;

/// Five steps up, each added to the encoder's features of that resolution.
#[derive(Module, Debug)]
pub(in crate::models) struct LinknetDecoder {
    blocks: Vec<Step>,
}

impl LinknetDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 1);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES);

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let inputs = channels.iter().skip(1).rev().copied();
        let outputs = inputs.clone().skip(1).chain(std::iter::once(CHANNELS));
        let blocks = inputs.zip(outputs).map(|(inputs, outputs)| Step::new(inputs, outputs, init)).collect();
        Self { blocks }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { mut shallow, deepest } = features;
        // The image is no skip: the last step is the one without.
        shallow.drain(..1.min(shallow.len()));
        let mut skips = shallow.into_iter().rev();
        self.blocks.iter().fold(deepest, |x, step| {
            let x = step.forward(x);
            match skips.next() {
                Some(skip) => x + skip,
                None => x,
            }
        })
    }
}

/// Narrower, twice as large, and to the channels of the skip.
#[derive(Module, Debug)]
struct Step {
    block: Sequence,
}

#[derive(Module, Debug)]
struct Sequence {
    at_0: ConvNormRelu,
    at_1: Doubling,
    at_2: ConvNormRelu,
}

impl Step {
    fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        let narrow = inputs / REDUCTION;
        let block = Sequence {
            at_0: ConvNormRelu::pointwise(inputs, narrow, init),
            at_1: Doubling::new(narrow, init),
            at_2: ConvNormRelu::pointwise(narrow, outputs, init),
        };
        Self { block }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Sequence { at_0, at_1, at_2 } = &self.block;
        at_2.forward(at_1.forward(at_0.forward(x)))
    }
}

/// smp's `TransposeX2`.
#[derive(Module, Debug)]
struct Doubling {
    at_0: ConvTranspose2d,
    at_1: BatchNorm2d,
}

impl Doubling {
    fn new(channels: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(channels, channels, 4).with_stride(2).with_padding(1);
        Self { at_0: ConvTranspose2d::new(geometry, init), at_1: BatchNorm2d::new(channels, init) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.at_1.forward(self.at_0.forward(x)))
    }
}

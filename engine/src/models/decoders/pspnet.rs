//! The PSPNet decoder.
//!
//! # Sources
//! Zhao et al. 2017, Pyramid Scene Parsing Network, figure 3; smp 0.6's `PSPDecoder`: the encoder's first three features, so that the
//! deepest has an eighth of the image's size, and no normalisation where one mean is left of each channel.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{ConvNormRelu, conv, size};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Corners, Dropout, Initializer, WeightInit, average_pool, relu,
    resize_bilinear,
};

/// Fields a side of the grids that means are taken over.
const GRIDS: [usize; 4] = [1, 2, 3, 6];
/// Channels before the head: smp's default.
const CHANNELS: usize = 512;
/// Share of the channels that are dropped while training: smp's default.
const DROPOUT: f64 = 0.2;

/// The deepest features beside their means over grids of four sizes.
#[derive(Module, Debug)]
pub(in crate::models) struct PspDecoder {
    psp: Pyramid,
    conv: ConvNormRelu,
    dropout: Dropout,
}

#[derive(Module, Debug)]
struct Pyramid {
    blocks: Vec<Grid>,
}

impl PspDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec { depth: 3, output_stride: 32 };
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 3).with_upsampling(8);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES);

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let deepest = channels.last().copied().unwrap_or_default();
        let blocks = GRIDS.map(|fields| Grid::new(deepest, fields, init)).into();
        Self {
            psp: Pyramid { blocks },
            conv: ConvNormRelu::pointwise(2 * deepest, CHANNELS, init),
            dropout: Dropout::of_channels(DROPOUT, init),
        }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let x = features.deepest;
        let mut beside: Vec<Tensor<4>> = self.psp.blocks.iter().map(|grid| grid.forward(x.clone())).collect();
        beside.push(x);
        self.dropout.forward(self.conv.forward(Tensor::cat(beside, 1)))
    }
}

/// smp's `PSPBlock`: means over the fields of a grid, convolved and brought back to the size of the features.
#[derive(Module, Debug)]
struct Grid {
    pool: Pooled,
    #[module(skip)]
    fields: usize,
}

#[derive(Module, Debug)]
struct Pooled {
    at_1: Convolved,
}

#[derive(Module, Debug)]
struct Convolved {
    at_0: Conv2d,
    at_1: Option<BatchNorm2d>,
}

impl Grid {
    fn new(inputs: usize, fields: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(inputs, inputs / GRIDS.len(), 1);
        let at_1 = match fields {
            1 => Convolved { at_0: conv(geometry, init), at_1: None },
            _ => Convolved {
                at_0: Conv2d::new(geometry, WeightInit::KaimingUniformFanIn, Bias::Absent, init),
                at_1: Some(BatchNorm2d::new(geometry.out_channels, init)),
            },
        };
        Self { pool: Pooled { at_1 }, fields }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let to = size(&x);
        let Convolved { at_0, at_1 } = &self.pool.at_1;
        let x = at_0.forward(average_pool(x, [self.fields; 2]));
        let x = match at_1 {
            Some(norm) => norm.forward(x),
            None => x,
        };
        resize_bilinear(relu(x), to, Corners::Aligned)
    }
}

//! The decoder of UPerNet.
//!
//! # Sources
//! Xiao et al. 2018, Unified Perceptual Parsing for Scene Understanding, section 3.1; Zhao et al. 2016, Pyramid Scene Parsing
//! Network, section 3.2; smp 0.6's `UPerNetDecoder`, which normalises the encoder's features first.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{ConvNormRelu, size};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{Corners, Initializer, LayerNorm, average_pool, resize_bilinear};

/// Channels of the pyramid: smp's default.
const CHANNELS: usize = 256;
/// Fields a side of the grids that means of the deepest feature are taken over: smp's default.
const GRIDS: [usize; 4] = [1, 2, 3, 6];
/// The image and the feature at half its size are not used.
const UNUSED: usize = 2;
/// Epsilon of the normalisations.
const EPSILON: f64 = 1e-6;

/// A pyramid over the encoder's features, the deepest of which are pooled before, joined at a quarter of the image's size.
#[derive(Module, Debug)]
pub(in crate::models) struct UPerNetDecoder {
    feature_norms: Vec<LayerNorm>,
    psp: PyramidPooling,
    fpn_lateral_blocks: Vec<Lateral>,
    fpn_conv_blocks: Vec<ConvNormRelu>,
    fusion_block: ConvNormRelu,
}

impl UPerNetDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 1).with_upsampling(4);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES).normalising_whole_images();

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let used = channels.get(UNUSED..).unwrap_or_default();
        let (deepest, laterals) = used.split_last().map_or((0, used), |(deepest, others)| (*deepest, others));
        let levels = laterals.len() + 1;
        Self {
            feature_norms: used.iter().map(|&channels| LayerNorm::new(channels, EPSILON, init)).collect(),
            psp: PyramidPooling::new(deepest, init),
            fpn_lateral_blocks: laterals.iter().rev().map(|&channels| Lateral::new(channels, init)).collect(),
            fpn_conv_blocks: laterals.iter().map(|_| ConvNormRelu::new(CHANNELS, CHANNELS, init)).collect(),
            fusion_block: ConvNormRelu::new(levels * CHANNELS, CHANNELS, init),
        }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let above = self.fpn_lateral_blocks.len();
        let mut state = self.psp.forward(self.feature_norms[above].forward_image(deepest));
        let mut levels = vec![state.clone()];
        let upwards = self.feature_norms[..above].iter().zip(shallow.into_iter().skip(UNUSED)).rev();
        let blocks = self.fpn_lateral_blocks.iter().zip(&self.fpn_conv_blocks);
        for ((lateral, conv), (norm, feature)) in blocks.zip(upwards) {
            state = lateral.forward(state, norm.forward_image(feature));
            levels.push(conv.forward(state.clone()));
        }
        // The largest, which the others are brought to, comes first.
        let target = size(&state);
        let levels = levels.into_iter().rev().map(|level| resize_bilinear(level, target, Corners::Edges));
        self.fusion_block.forward(Tensor::cat(levels.collect(), 1))
    }
}

/// smp's `PSPModule`: the deepest feature beside its means over grids of four sizes.
#[derive(Module, Debug)]
struct PyramidPooling {
    blocks: Vec<Grid>,
    out_conv: ConvNormRelu,
}

impl PyramidPooling {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        Self {
            blocks: GRIDS.map(|fields| Grid::new(inputs, fields, init)).into(),
            out_conv: ConvNormRelu::new(inputs + GRIDS.len() * CHANNELS, CHANNELS, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let means: Vec<_> = self.blocks.iter().map(|grid| grid.forward(x.clone())).collect();
        self.out_conv.forward(Tensor::cat([vec![x], means].concat(), 1))
    }
}

/// Means over the fields of a grid, convolved and brought back to the size of the feature.
#[derive(Module, Debug)]
struct Grid {
    at_1: ConvNormRelu,
    #[module(skip)]
    fields: usize,
}

impl Grid {
    fn new(inputs: usize, fields: usize, init: &mut Initializer) -> Self {
        Self { at_1: ConvNormRelu::pointwise(inputs, CHANNELS, init), fields }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let target = size(&x);
        resize_bilinear(self.at_1.forward(average_pool(x, [self.fields; 2])), target, Corners::Edges)
    }
}

/// smp's `FPNLateralBlock`: the level below, enlarged, and the encoder's feature in as many channels.
#[derive(Module, Debug)]
struct Lateral {
    conv_norm_relu: ConvNormRelu,
}

impl Lateral {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        Self { conv_norm_relu: ConvNormRelu::pointwise(inputs, CHANNELS, init) }
    }

    fn forward(&self, below: Tensor<4>, feature: Tensor<4>) -> Tensor<4> {
        let feature = self.conv_norm_relu.forward(feature);
        let target = size(&feature);
        resize_bilinear(below, target, Corners::Edges) + feature
    }
}

//! Dual path networks: a residual path and a dense one that grows with every block.
//!
//! # Sources
//! Chen et al. 2017, Dual Path Networks, table 1; smp 0.6's `_dpn` and `dpn`: batch normalisation with epsilon 0.001,
//! convolutions that start as PyTorch leaves them, features that are the joined paths behind a ReLU.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{EncoderSpec, Features, Walk};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, max_pool_3x3_stride_2, relu,
};

const EPSILON: f64 = 1e-3;
/// Channels of the residual path in the first stage of a small network; each further stage has twice as many.
const WIDTH: usize = 64;
/// A network that is not small has so many times the channels in its residual path.
const EXPANSION: usize = 4;

/// What a network of the family is made of.
#[derive(Debug, Clone, Copy)]
struct Variant {
    /// Channels and kernel of the first convolution.
    stem: (usize, usize),
    /// Channels of the residual path in the first stage.
    width: usize,
    /// Channels of the grouped convolutions in the first stage, and their groups.
    grouped: (usize, usize),
    /// Blocks of each stage.
    blocks: [usize; 4],
    /// By how many channels each block of a stage makes the dense path grow.
    growth: [usize; 4],
}

impl Variant {
    fn of(name: &str) -> Option<Self> {
        match name {
            "dpn68" => Some(Self {
                stem: (10, 3),
                width: WIDTH,
                grouped: (128, 32),
                blocks: [3, 4, 12, 3],
                growth: [16, 32, 32, 64],
            }),
            "dpn107" => Some(Self {
                stem: (128, 7),
                width: WIDTH * EXPANSION,
                grouped: (200, 50),
                blocks: [4, 8, 20, 3],
                growth: [20, 64, 64, 128],
            }),
            _ => None,
        }
    }

    /// Channels behind a stage, both paths joined.
    fn channels(self, stage: usize) -> usize {
        // The first block projects two growths into the dense path, and every block adds one.
        (self.width << stage) + (self.blocks[stage] + 2) * self.growth[stage]
    }
}

/// DPN without its pooling and classifier.
#[derive(Module, Debug)]
pub(in crate::models) struct Dpn {
    features: Layers,
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl Dpn {
    pub(super) const NAMES: &'static [&'static str] = &["dpn68", "dpn107"];

    /// `None` if `name` is not among [`Dpn::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        let variant = Variant::of(name)?;
        let stages = [0, 1, 2, 3].map(|stage| variant.channels(stage));
        let channels = [&[spec.in_channels, variant.stem.0], stages.as_slice()].concat();
        let features = Layers::new(variant, spec, init);
        Some(Self { features, out_channels: spec.wanted.computed(&channels) })
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        // Behind the image and the stem.
        let wanted = self.out_channels.len().saturating_sub(2);
        let Layers { conv1_1, conv2_, conv3_, conv4_, conv5_, conv5_bn_ac } = &self.features;
        let stem = conv1_1.forward(x.clone());
        let mut paths = Paths { residual: max_pool_3x3_stride_2(stem.clone()), dense: None };
        let mut features = Features::of_image(x).then(stem);
        let stages = [conv2_, conv3_, conv4_, conv5_];
        for (at, stage) in stages.into_iter().take(wanted).enumerate() {
            paths = stage.iter().fold(paths, |paths, block| block.forward(paths));
            let joined = paths.clone().joined();
            features =
                features.then(if at == 3 { relu(conv5_bn_ac.bn.forward(joined)) } else { relu(joined) });
        }
        features
    }
}

/// The layers by their names: those of a stage count from 1.
#[derive(Module, Debug)]
struct Layers {
    conv1_1: Stem,
    conv2_: Vec<Block>,
    conv3_: Vec<Block>,
    conv4_: Vec<Block>,
    conv5_: Vec<Block>,
    conv5_bn_ac: LastNorm,
}

impl Layers {
    fn new(variant: Variant, spec: EncoderSpec, init: &mut Initializer) -> Self {
        let EncoderSpec { in_channels, wanted } = spec;
        let (stem, kernel) = variant.stem;
        let first = ConvGeometry::new(in_channels, stem, kernel).with_stride(2);
        let stage = |stage: usize, inputs: usize, walk: Walk, init: &mut Initializer| -> Vec<Block> {
            let growth = variant.growth[stage];
            let (middle, groups) = variant.grouped;
            (0..variant.blocks[stage])
                .map(|block| {
                    let of = DualPath {
                        inputs: match block {
                            0 => inputs,
                            _ => (variant.width << stage) + (block + 2) * growth,
                        },
                        middle: middle << stage,
                        groups,
                        width: variant.width << stage,
                        growth,
                        walk,
                    };
                    let projection = match (block, stage) {
                        (0, 0) => Projection::Same,
                        (0, _) => Projection::Halved,
                        _ => Projection::Absent,
                    };
                    Block::new(of, projection, init)
                })
                .collect()
        };
        Self {
            conv1_1: Stem { conv: conv(first, init), bn: norm(stem, init) },
            conv2_: stage(0, stem, Walk { stride: 1, dilation: 1 }, init),
            conv3_: stage(1, variant.channels(0), wanted.walk(8), init),
            conv4_: stage(2, variant.channels(1), wanted.walk(16), init),
            conv5_: stage(3, variant.channels(2), wanted.walk(32), init),
            conv5_bn_ac: LastNorm { bn: norm(variant.channels(3), init) },
        }
    }
}

#[derive(Module, Debug)]
struct Stem {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl Stem {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.bn.forward(self.conv.forward(x)))
    }
}

#[derive(Module, Debug)]
struct LastNorm {
    bn: BatchNorm2d,
}

/// What goes from block to block.
#[derive(Debug, Clone)]
struct Paths {
    residual: Tensor<4>,
    /// None behind the stem.
    dense: Option<Tensor<4>>,
}

impl Paths {
    fn joined(self) -> Tensor<4> {
        match self.dense {
            Some(dense) => Tensor::cat(vec![self.residual, dense], 1),
            None => self.residual,
        }
    }

    /// The first `width` channels are the residual path.
    fn parted(x: Tensor<4>, width: usize) -> [Tensor<4>; 2] {
        let [_, channels, _, _] = x.dims();
        [x.clone().narrow(1, 0, width), x.narrow(1, width, channels - width)]
    }
}

/// What a block is made of.
#[derive(Debug, Clone, Copy)]
struct DualPath {
    inputs: usize,
    middle: usize,
    groups: usize,
    width: usize,
    growth: usize,
    /// Of the stage; its first block has the stride.
    walk: Walk,
}

/// How a block's input comes to its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Projection {
    /// As it is.
    Absent,
    /// By a convolution without a stride.
    Same,
    /// By a convolution with the stage's stride.
    Halved,
}

/// 1x1, grouped 3x3 and 1x1 convolution, each behind a normalisation; the output is added to one path and joined to the
/// other.
#[derive(Module, Debug)]
struct Block {
    c1x1_w_s1: Option<NormConv>,
    c1x1_w_s2: Option<NormConv>,
    c1x1_a: NormConv,
    c3x3_b: NormConv,
    c1x1_c: NormConv,
    #[module(skip)]
    width: usize,
}

impl Block {
    fn new(of: DualPath, projection: Projection, init: &mut Initializer) -> Self {
        let DualPath { inputs, middle, groups, width, growth, walk } = of;
        let stride = if projection == Projection::Halved { walk.stride } else { 1 };
        let mut projects = |when| {
            let geometry = ConvGeometry::new(inputs, width + 2 * growth, 1).with_stride(stride);
            (projection == when).then(|| NormConv::new(geometry, init))
        };
        let (c1x1_w_s1, c1x1_w_s2) = (projects(Projection::Same), projects(Projection::Halved));
        let grouped = ConvGeometry::new(middle, middle, 3).with_dilation(walk.dilation);
        Self {
            c1x1_w_s1,
            c1x1_w_s2,
            c1x1_a: NormConv::new(ConvGeometry::new(inputs, middle, 1), init),
            c3x3_b: NormConv::new(grouped.with_stride(stride).with_groups(groups), init),
            c1x1_c: NormConv::new(ConvGeometry::new(middle, width + growth, 1), init),
            width,
        }
    }

    fn forward(&self, paths: Paths) -> Paths {
        let (x, residual, dense) = match self.c1x1_w_s1.as_ref().or(self.c1x1_w_s2.as_ref()) {
            Some(projection) => {
                let x = paths.joined();
                let [residual, dense] = Paths::parted(projection.forward(x.clone()), self.width);
                (x, residual, Some(dense))
            }
            None => (paths.clone().joined(), paths.residual, paths.dense),
        };
        let y = self.c1x1_c.forward(self.c3x3_b.forward(self.c1x1_a.forward(x)));
        let [added, grown] = Paths::parted(y, self.width);
        let dense = dense.into_iter().chain([grown]).collect();
        Paths { residual: residual + added, dense: Some(Tensor::cat(dense, 1)) }
    }
}

/// Batch normalisation, ReLU, convolution.
#[derive(Module, Debug)]
struct NormConv {
    bn: BatchNorm2d,
    conv: Conv2d,
}

impl NormConv {
    fn new(geometry: ConvGeometry, init: &mut Initializer) -> Self {
        Self { bn: norm(geometry.in_channels, init), conv: conv(geometry, init) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(relu(self.bn.forward(x)))
    }
}

fn conv(geometry: ConvGeometry, init: &mut Initializer) -> Conv2d {
    Conv2d::new(geometry, WeightInit::TorchDefault, Bias::Absent, init)
}

fn norm(channels: usize, init: &mut Initializer) -> BatchNorm2d {
    BatchNorm2d::new(channels, init).with_epsilon(EPSILON)
}

//! EfficientNet: inverted residuals with squeeze and excitation, scaled in width and depth.
//!
//! While training, blocks are left out at random (drop connect), more of them the deeper they lie.
//!
//! # Sources
//! Tan and Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, table 1; smp 0.6's
//! `_efficientnet`: TensorFlow's padding for the published image size, batch normalisation with epsilon 0.001 and momentum
//! 0.01, convolutions that start as PyTorch leaves them.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{EncoderSpec, Features};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, DropPath, Initializer, SamePadding, WeightInit, excite,
    global_average, silu,
};

/// Channels of the first and of the last layer, before they are scaled.
const STEM: usize = 32;
const HEAD: usize = 1280;
/// Channels are rounded to multiples of this.
const DIVISOR: usize = 8;
/// The channels between squeeze and excitation are fewer than the block's inputs by this.
const REDUCTION: usize = 4;
/// Share of the samples that skip the last block while training, were there one more; it grows with the depth.
const DROP_RATE: f64 = 0.2;
const EPSILON: f64 = 1e-3;
const MOMENTUM: f64 = 0.01;

/// So many blocks alike before they are scaled, but for the stride, which is the first's.
struct Stage {
    blocks: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
}

const STAGES: [Stage; 7] = [
    Stage { blocks: 1, kernel: 3, stride: 1, expansion: 1, channels: 16 },
    Stage { blocks: 2, kernel: 3, stride: 2, expansion: 6, channels: 24 },
    Stage { blocks: 2, kernel: 5, stride: 2, expansion: 6, channels: 40 },
    Stage { blocks: 3, kernel: 3, stride: 2, expansion: 6, channels: 80 },
    Stage { blocks: 3, kernel: 5, stride: 1, expansion: 6, channels: 112 },
    Stage { blocks: 4, kernel: 5, stride: 2, expansion: 6, channels: 192 },
    Stage { blocks: 1, kernel: 3, stride: 1, expansion: 6, channels: 320 },
];

/// How a network of the family is scaled.
#[derive(Debug, Clone, Copy)]
struct Scaling {
    /// Of the channels.
    width: f64,
    /// Of the blocks of a stage.
    depth: f64,
    /// The image size it was published for.
    image: usize,
    /// The blocks whose outputs smp hands out behind the stem's.
    feature_blocks: [usize; 4],
}

impl Scaling {
    fn of(name: &str) -> Option<Self> {
        let (width, depth, image, feature_blocks) = match name {
            "efficientnet-b0" => (1.0, 1.0, 224, [2, 4, 8, 15]),
            "efficientnet-b1" => (1.0, 1.1, 240, [4, 7, 15, 22]),
            "efficientnet-b2" => (1.1, 1.2, 260, [4, 7, 15, 22]),
            "efficientnet-b3" => (1.2, 1.4, 300, [4, 7, 17, 25]),
            "efficientnet-b4" => (1.4, 1.8, 380, [5, 9, 21, 31]),
            _ => return None,
        };
        Some(Self { width, depth, image, feature_blocks })
    }

    /// Scaled, and rounded to the nearest multiple of eight that is not more than a tenth below.
    fn channels(self, unscaled: usize) -> usize {
        let scaled = unscaled as f64 * self.width;
        let rounded = (scaled as usize + DIVISOR / 2) / DIVISOR * DIVISOR;
        let rounded = rounded.max(DIVISOR);
        if (rounded as f64) < 0.9 * scaled { rounded + DIVISOR } else { rounded }
    }

    fn blocks(self, unscaled: usize) -> usize {
        (unscaled as f64 * self.depth).ceil() as usize
    }

    /// The size by which strides are told: that of the image by that of the features behind this block, as smp takes it.
    fn nominal_stride(self, block: usize) -> usize {
        match block {
            _ if block > self.feature_blocks[2] => 32,
            _ if block > self.feature_blocks[1] => 16,
            _ => 8,
        }
    }
}

/// EfficientNet without its pooling and classifier. The last convolution is in the state dict and not computed, as in smp.
#[derive(Module, Debug)]
pub(in crate::models) struct EfficientNet {
    _conv_stem: Conv2d,
    _bn0: BatchNorm2d,
    _blocks: Vec<Block>,
    _conv_head: Conv2d,
    _bn1: BatchNorm2d,
    #[module(skip)]
    stem_padding: Option<SamePadding>,
    #[module(skip)]
    feature_blocks: [usize; 4],
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl EfficientNet {
    pub(super) const NAMES: &'static [&'static str] =
        &["efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4"];

    /// `None` if `name` is not among [`EfficientNet::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        Scaling::of(name).map(|scaling| Self::scaled(scaling, spec, init))
    }

    fn scaled(scaling: Scaling, spec: EncoderSpec, init: &mut Initializer) -> Self {
        let EncoderSpec { in_channels, wanted } = spec;
        let stem = scaling.channels(STEM);
        let geometry = ConvGeometry::new(in_channels, stem, 3).with_stride(2);
        let (geometry, stem_padding) = SamePadding::new(scaling.image, 3, 2).into_geometry(geometry);
        let (conv_stem, bn0) = (conv(geometry, Bias::Absent, init), norm(stem, init));

        let total: usize = STAGES.iter().map(|stage| scaling.blocks(stage.blocks)).sum();
        let mut blocks: Vec<Block> = Vec::with_capacity(total);
        let mut channels = Vec::with_capacity(total);
        let (mut inputs, mut size) = (stem, scaling.image.div_ceil(2));
        for stage in STAGES {
            let outputs = scaling.channels(stage.channels);
            for repeat in 0..scaling.blocks(stage.blocks) {
                let place = blocks.len();
                let of = Inverted {
                    inputs,
                    hidden: inputs * stage.expansion,
                    outputs,
                    kernel: stage.kernel,
                    stride: if repeat == 0 { stage.stride } else { 1 },
                    size,
                    dilation: wanted.walk(scaling.nominal_stride(place)).dilation,
                    // smp's first block of a stage is never added to its input.
                    drop_rate: (repeat > 0).then_some(DROP_RATE * place as f64 / total as f64),
                };
                blocks.push(Block::new(of, init));
                channels.push(outputs);
                (inputs, size) = (outputs, size.div_ceil(of.stride));
            }
        }
        let head = scaling.channels(HEAD);
        let handed_out: Vec<usize> = [in_channels, stem]
            .into_iter()
            .chain(scaling.feature_blocks.map(|block| channels[block]))
            .collect();
        Self {
            _conv_stem: conv_stem,
            _bn0: bn0,
            _blocks: blocks,
            _conv_head: conv(ConvGeometry::new(inputs, head, 1), Bias::Absent, init),
            _bn1: norm(head, init),
            stem_padding,
            feature_blocks: scaling.feature_blocks,
            out_channels: wanted.computed(&handed_out),
        }
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        let stem = padded(x.clone(), self.stem_padding);
        let stem = silu(self._bn0.forward(self._conv_stem.forward(stem)));
        let mut features = Features::of_image(x).then(stem);
        let mut done = 0;
        // Behind the image and the stem.
        for block in self.feature_blocks.into_iter().take(self.out_channels.len().saturating_sub(2)) {
            let x = features.deepest.clone();
            features = features.then(self._blocks[done..=block].iter().fold(x, |x, block| block.forward(x)));
            done = block + 1;
        }
        features
    }
}

/// What an inverted residual is made of.
#[derive(Debug, Clone, Copy)]
struct Inverted {
    inputs: usize,
    hidden: usize,
    outputs: usize,
    kernel: usize,
    /// Before strides become dilations.
    stride: usize,
    /// Height and width that reach it of an image of the published size.
    size: usize,
    dilation: usize,
    /// Share of the samples left out while training; none where it is not added to its input.
    drop_rate: Option<f64>,
}

/// Widens, walks depthwise, weighs its channels, narrows; added to its input where it can be.
#[derive(Module, Debug)]
struct Block {
    _expand_conv: Option<Conv2d>,
    _bn0: Option<BatchNorm2d>,
    _depthwise_conv: Conv2d,
    _bn1: BatchNorm2d,
    _se_reduce: Conv2d,
    _se_expand: Conv2d,
    _project_conv: Conv2d,
    _bn2: BatchNorm2d,
    #[module(skip)]
    padding: Option<SamePadding>,
    drop_path: Option<DropPath>,
}

impl Block {
    fn new(of: Inverted, init: &mut Initializer) -> Self {
        let Inverted { inputs, hidden, outputs, kernel, stride, size, dilation, drop_rate } = of;
        let depthwise = ConvGeometry::new(hidden, hidden, kernel).with_groups(hidden);
        let (depthwise, padding) = if dilation == 1 {
            SamePadding::new(size, kernel, stride).into_geometry(depthwise.with_stride(stride))
        } else {
            (depthwise.with_dilation(dilation), None)
        };
        let (expand_conv, bn0) = (hidden != inputs)
            .then(|| (conv(ConvGeometry::new(inputs, hidden, 1), Bias::Absent, init), norm(hidden, init)))
            .unzip();
        let squeezed = (inputs / REDUCTION).max(1);
        Self {
            _expand_conv: expand_conv,
            _bn0: bn0,
            _depthwise_conv: conv(depthwise, Bias::Absent, init),
            _bn1: norm(hidden, init),
            _se_reduce: conv(ConvGeometry::new(hidden, squeezed, 1), Bias::TorchDefault, init),
            _se_expand: conv(ConvGeometry::new(squeezed, hidden, 1), Bias::TorchDefault, init),
            _project_conv: conv(ConvGeometry::new(hidden, outputs, 1), Bias::Absent, init),
            _bn2: norm(outputs, init),
            padding,
            drop_path: drop_rate.map(|rate| DropPath::new(rate, init)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut y = x.clone();
        if let (Some(expand_conv), Some(bn0)) = (&self._expand_conv, &self._bn0) {
            y = silu(bn0.forward(expand_conv.forward(y)));
        }
        let y = self._depthwise_conv.forward(padded(y, self.padding));
        let y = silu(self._bn1.forward(y));
        let squeezed = silu(self._se_reduce.forward(global_average(y.clone())));
        let y = excite(y, self._se_expand.forward(squeezed));
        let y = self._bn2.forward(self._project_conv.forward(y));
        match &self.drop_path {
            Some(drop_path) => drop_path.forward(y) + x,
            None => y,
        }
    }
}

fn padded(x: Tensor<4>, padding: Option<SamePadding>) -> Tensor<4> {
    match padding {
        Some(padding) => padding.surround(x),
        None => x,
    }
}

fn conv(geometry: ConvGeometry, bias: Bias, init: &mut Initializer) -> Conv2d {
    Conv2d::new(geometry, WeightInit::TorchDefault, bias, init)
}

fn norm(channels: usize, init: &mut Initializer) -> BatchNorm2d {
    BatchNorm2d::new(channels, init).with_epsilon(EPSILON).with_momentum(MOMENTUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels and blocks of the published networks.
    #[test]
    fn channels_and_blocks_are_scaled_and_rounded_as_published() {
        for (name, stem, head, channels, blocks) in [
            ("efficientnet-b0", 32, 1280, [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1]),
            ("efficientnet-b2", 32, 1408, [16, 24, 48, 88, 120, 208, 352], [2, 3, 3, 4, 4, 5, 2]),
            ("efficientnet-b4", 48, 1792, [24, 32, 56, 112, 160, 272, 448], [2, 4, 4, 6, 6, 8, 2]),
        ] {
            let scaling = Scaling::of(name).unwrap();
            assert_eq!((scaling.channels(STEM), scaling.channels(HEAD)), (stem, head), "{name}");
            assert_eq!(STAGES.map(|stage| scaling.channels(stage.channels)), channels, "{name}");
            assert_eq!(STAGES.map(|stage| scaling.blocks(stage.blocks)), blocks, "{name}");
        }
    }
}

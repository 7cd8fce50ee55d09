//! Residual networks, and those whose middle convolution is grouped (ResNeXt).
//!
//! # Sources
//! He et al. 2015, Deep Residual Learning for Image Recognition, table 1; Xie et al. 2016, Aggregated Residual
//! Transformations for Deep Neural Networks, table 1; torchvision's `resnet`, which puts the stride of a bottleneck on its
//! 3x3 convolution.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{EncoderSpec, Features, Walk};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, max_pool_3x3_stride_2, relu,
};

/// Channels of the stem and of each stage before a bottleneck's expansion.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// A bottleneck's output has so many times the width of its stage.
const EXPANSION: usize = 4;
/// Channels of the images the published weights were trained on.
const RGB: usize = 3;

/// ResNet without its pooling and classifier.
#[derive(Module, Debug)]
pub(in crate::models) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    #[module(skip)]
    out_channels: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
enum BlockKind {
    Basic,
    /// The middle convolution is in so many groups, each of so many channels in the first stage.
    Bottleneck {
        groups: usize,
        width_per_group: usize,
    },
}

impl BlockKind {
    /// One group of the stage's own width.
    const BOTTLENECK: Self = Self::Bottleneck { groups: 1, width_per_group: WIDTHS[0] };

    const fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck { .. } => EXPANSION,
        }
    }
}

impl ResNet {
    pub(super) const NAMES: &'static [&'static str] = &[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
    ];

    /// `None` if `name` is not among [`ResNet::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        let grouped = |width_per_group| BlockKind::Bottleneck { groups: 32, width_per_group };
        let (kind, depths) = match name {
            "resnet18" => (BlockKind::Basic, [2, 2, 2, 2]),
            "resnet34" => (BlockKind::Basic, [3, 4, 6, 3]),
            "resnet50" => (BlockKind::BOTTLENECK, [3, 4, 6, 3]),
            "resnet101" => (BlockKind::BOTTLENECK, [3, 4, 23, 3]),
            "resnet152" => (BlockKind::BOTTLENECK, [3, 8, 36, 3]),
            "resnext50_32x4d" => (grouped(4), [3, 4, 6, 3]),
            "resnext101_32x8d" => (grouped(8), [3, 4, 23, 3]),
            _ => return None,
        };
        Some(Self::of_blocks(kind, depths, spec, init))
    }

    fn of_blocks(kind: BlockKind, depths: [usize; 4], spec: EncoderSpec, init: &mut Initializer) -> Self {
        let EncoderSpec { in_channels, wanted } = spec;
        // smp replaces the first convolution when there are not three channels, and leaves torch's default in it.
        let stem_init =
            if in_channels == RGB { WeightInit::KaimingNormalFanOut } else { WeightInit::TorchDefault };
        let stem = ConvGeometry::new(in_channels, WIDTHS[0], 7).with_stride(2);
        let expanded = WIDTHS.map(|width| width * kind.expansion());
        let stage = |index: usize, inputs: usize, walk: Walk, init: &mut Initializer| {
            let onwards = Walk { stride: 1, ..walk };
            (0..depths[index])
                .map(|block| match block {
                    0 => Block::new(kind, inputs, WIDTHS[index], walk, init),
                    _ => Block::new(kind, expanded[index], WIDTHS[index], onwards, init),
                })
                .collect()
        };
        Self {
            conv1: Conv2d::new(stem, stem_init, Bias::Absent, init),
            bn1: BatchNorm2d::new(WIDTHS[0], init),
            layer1: stage(0, WIDTHS[0], Walk { stride: 1, dilation: 1 }, init),
            layer2: stage(1, expanded[0], wanted.walk(8), init),
            layer3: stage(2, expanded[1], wanted.walk(16), init),
            layer4: stage(3, expanded[2], wanted.walk(32), init),
            out_channels: wanted.computed(&[&[in_channels, WIDTHS[0]], expanded.as_slice()].concat()),
        }
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        // Behind the image and the stem.
        let stages = self.out_channels.len().saturating_sub(2);
        let stem = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let mut features = Features::of_image(x).then(stem);
        let layers = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for (at, layer) in layers.into_iter().take(stages).enumerate() {
            let x = features.deepest.clone();
            let x = if at == 0 { max_pool_3x3_stride_2(x) } else { x };
            features = features.then(layer.iter().fold(x, |x, block| block.forward(x)));
        }
        features
    }
}

/// A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm2d>,
    downsample: Option<Downsample>,
}

impl Block {
    fn new(kind: BlockKind, inputs: usize, width: usize, walk: Walk, init: &mut Initializer) -> Self {
        let outputs = width * kind.expansion();
        let strided = |geometry: ConvGeometry| geometry.with_stride(walk.stride);
        let dilated = |inputs, outputs| ConvGeometry::new(inputs, outputs, 3).with_dilation(walk.dilation);
        let (first, second, third) = match kind {
            BlockKind::Basic => (strided(dilated(inputs, width)), dilated(width, width), None),
            BlockKind::Bottleneck { groups, width_per_group } => {
                let middle = width * width_per_group / WIDTHS[0] * groups;
                let second = strided(dilated(middle, middle)).with_groups(groups);
                let third = ConvGeometry::new(middle, outputs, 1);
                (ConvGeometry::new(inputs, middle, 1), second, Some(third))
            }
        };
        let conv1 = conv(first, init);
        let bn1 = BatchNorm2d::new(first.out_channels, init);
        let conv2 = conv(second, init);
        let bn2 = BatchNorm2d::new(second.out_channels, init);
        let (conv3, bn3) = third.map(|third| (conv(third, init), BatchNorm2d::new(outputs, init))).unzip();
        let downsample = (walk.stride != 1 || inputs != outputs)
            .then(|| Downsample::new(inputs, outputs, walk.stride, init));
        Self { conv1, bn1, conv2, bn2, conv3, bn3, downsample }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x.clone()),
            None => x.clone(),
        };
        let x = relu(self.bn1.forward(self.conv1.forward(x)));
        let mut x = self.bn2.forward(self.conv2.forward(x));
        if let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) {
            x = bn3.forward(conv3.forward(relu(x)));
        }
        relu(x + shortcut)
    }
}

/// Brings the shortcut to the block's resolution and channels.
#[derive(Module, Debug)]
struct Downsample {
    at_0: Conv2d,
    at_1: BatchNorm2d,
}

impl Downsample {
    fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Initializer) -> Self {
        Self {
            at_0: conv(ConvGeometry::new(inputs, outputs, 1).with_stride(stride), init),
            at_1: BatchNorm2d::new(outputs, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.at_1.forward(self.at_0.forward(x))
    }
}

fn conv(geometry: ConvGeometry, init: &mut Initializer) -> Conv2d {
    Conv2d::new(geometry, WeightInit::KaimingNormalFanOut, Bias::Absent, init)
}

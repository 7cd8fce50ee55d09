//! Residual networks.
//!
//! # Sources
//! He et al. 2015, Deep Residual Learning for Image Recognition, table 1; torchvision's `resnet`, which
//! puts the stride of a bottleneck on its 3x3 convolution.

use burn::module::Module;
use burn::tensor::Tensor;

use super::Features;
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, max_pool_3x3_stride_2, relu,
};

/// Channels of the stem and of each stage before a bottleneck's expansion.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// A bottleneck's output has so many times the channels of its middle.
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
    Bottleneck,
}

impl BlockKind {
    const fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => EXPANSION,
        }
    }
}

impl ResNet {
    pub(super) const NAMES: &'static [&'static str] = &["resnet18", "resnet34", "resnet50"];

    /// `None` if `name` is not among [`ResNet::NAMES`].
    pub(super) fn new(name: &str, in_channels: usize, init: &mut Initializer) -> Option<Self> {
        let (kind, depths) = match name {
            "resnet18" => (BlockKind::Basic, [2, 2, 2, 2]),
            "resnet34" => (BlockKind::Basic, [3, 4, 6, 3]),
            "resnet50" => (BlockKind::Bottleneck, [3, 4, 6, 3]),
            _ => return None,
        };
        Some(Self::of_blocks(kind, depths, in_channels, init))
    }

    fn of_blocks(kind: BlockKind, depths: [usize; 4], in_channels: usize, init: &mut Initializer) -> Self {
        // smp replaces the first convolution when there are not three channels, and leaves torch's default in it.
        let stem_init =
            if in_channels == RGB { WeightInit::KaimingNormalFanOut } else { WeightInit::TorchDefault };
        let stem = ConvGeometry::new(in_channels, WIDTHS[0], 7).with_stride(2);
        let expanded = WIDTHS.map(|width| width * kind.expansion());
        let stage = |index: usize, inputs: usize, stride: usize, init: &mut Initializer| {
            (0..depths[index])
                .map(|block| match block {
                    0 => Block::new(kind, inputs, WIDTHS[index], stride, init),
                    _ => Block::new(kind, expanded[index], WIDTHS[index], 1, init),
                })
                .collect()
        };
        Self {
            conv1: Conv2d::new(stem, stem_init, Bias::Absent, init),
            bn1: BatchNorm2d::new(WIDTHS[0], init),
            layer1: stage(0, WIDTHS[0], 1, init),
            layer2: stage(1, expanded[0], 2, init),
            layer3: stage(2, expanded[1], 2, init),
            layer4: stage(3, expanded[2], 2, init),
            out_channels: [&[in_channels, WIDTHS[0]], expanded.as_slice()].concat(),
        }
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        let stem = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let mut deepest = through(&self.layer1, max_pool_3x3_stride_2(stem.clone()));
        let mut shallow = vec![x, stem];
        for layer in [&self.layer2, &self.layer3, &self.layer4] {
            shallow.push(deepest.clone());
            deepest = through(layer, deepest);
        }
        Features { shallow, deepest }
    }
}

fn through(layer: &[Block], x: Tensor<4>) -> Tensor<4> {
    layer.iter().fold(x, |x, block| block.forward(x))
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
    fn new(kind: BlockKind, inputs: usize, width: usize, stride: usize, init: &mut Initializer) -> Self {
        let outputs = width * kind.expansion();
        let first_stride = match kind {
            BlockKind::Basic => stride,
            BlockKind::Bottleneck => 1,
        };
        let first_kernel = match kind {
            BlockKind::Basic => 3,
            BlockKind::Bottleneck => 1,
        };
        let second_stride = stride / first_stride;
        let conv1 = conv(ConvGeometry::new(inputs, width, first_kernel).with_stride(first_stride), init);
        let bn1 = BatchNorm2d::new(width, init);
        let conv2 = conv(ConvGeometry::new(width, width, 3).with_stride(second_stride), init);
        let bn2 = BatchNorm2d::new(width, init);
        let (conv3, bn3) = match kind {
            BlockKind::Basic => (None, None),
            BlockKind::Bottleneck => {
                let conv3 = conv(ConvGeometry::new(width, outputs, 1), init);
                (Some(conv3), Some(BatchNorm2d::new(outputs, init)))
            }
        };
        let downsample =
            (stride != 1 || inputs != outputs).then(|| Downsample::new(inputs, outputs, stride, init));
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

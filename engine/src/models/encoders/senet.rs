//! Residual networks whose blocks weigh their channels (squeeze and excitation).
//!
//! # Sources
//! Hu et al. 2017, Squeeze-and-Excitation Networks; smp 0.6's `_senet`, which follows the Caffe weights: a bottleneck has
//! its stride on its first 1x1 convolution, and the stem's pooling hangs over the edge.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{EncoderSpec, Features, Walk};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, excite, global_average,
    max_pool_3x3_stride_2_ceil, relu,
};

/// Channels of the stem, and the width of each stage.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// A bottleneck's output has so many times the width of its stage.
const EXPANSION: usize = 4;
/// The channels between squeeze and excitation are fewer by this.
const REDUCTION: usize = 16;

/// SE-ResNet without its pooling and classifier. Its convolutions start as PyTorch leaves them, as in smp.
#[derive(Module, Debug)]
pub(in crate::models) struct SeNet {
    layer0: Stem,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl SeNet {
    pub(super) const NAMES: &'static [&'static str] = &["se_resnet50"];

    /// `None` if `name` is not among [`SeNet::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        match name {
            "se_resnet50" => Some(Self::of_blocks([3, 4, 6, 3], spec, init)),
            _ => None,
        }
    }

    fn of_blocks(depths: [usize; 4], spec: EncoderSpec, init: &mut Initializer) -> Self {
        let EncoderSpec { in_channels, wanted } = spec;
        let expanded = WIDTHS.map(|width| width * EXPANSION);
        let stage = |index: usize, inputs: usize, walk: Walk, init: &mut Initializer| {
            let onwards = Walk { stride: 1, ..walk };
            (0..depths[index])
                .map(|block| match block {
                    0 => Block::new(inputs, WIDTHS[index], walk, init),
                    _ => Block::new(expanded[index], WIDTHS[index], onwards, init),
                })
                .collect()
        };
        Self {
            layer0: Stem::new(in_channels, init),
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
        let stem = self.layer0.forward(x.clone());
        let mut features = Features::of_image(x).then(stem);
        let layers = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for (at, layer) in layers.into_iter().take(stages).enumerate() {
            let x = features.deepest.clone();
            let x = if at == 0 { max_pool_3x3_stride_2_ceil(x) } else { x };
            features = features.then(layer.iter().fold(x, |x, block| block.forward(x)));
        }
        features
    }
}

#[derive(Module, Debug)]
struct Stem {
    conv1: Conv2d,
    bn1: BatchNorm2d,
}

impl Stem {
    fn new(in_channels: usize, init: &mut Initializer) -> Self {
        Self {
            conv1: conv(ConvGeometry::new(in_channels, WIDTHS[0], 7).with_stride(2), Bias::Absent, init),
            bn1: BatchNorm2d::new(WIDTHS[0], init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.bn1.forward(self.conv1.forward(x)))
    }
}

/// A residual block: 1x1, 3x3 and 1x1 convolution, then squeeze and excitation.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    se_module: SqueezeExcitation,
    downsample: Option<Downsample>,
}

impl Block {
    fn new(inputs: usize, width: usize, walk: Walk, init: &mut Initializer) -> Self {
        let outputs = width * EXPANSION;
        let first = ConvGeometry::new(inputs, width, 1).with_stride(walk.stride);
        let second = ConvGeometry::new(width, width, 3).with_dilation(walk.dilation);
        Self {
            conv1: conv(first, Bias::Absent, init),
            bn1: BatchNorm2d::new(width, init),
            conv2: conv(second, Bias::Absent, init),
            bn2: BatchNorm2d::new(width, init),
            conv3: conv(ConvGeometry::new(width, outputs, 1), Bias::Absent, init),
            bn3: BatchNorm2d::new(outputs, init),
            se_module: SqueezeExcitation::new(outputs, init),
            downsample: (walk.stride != 1 || inputs != outputs)
                .then(|| Downsample::new(inputs, outputs, walk.stride, init)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x.clone()),
            None => x.clone(),
        };
        let x = relu(self.bn1.forward(self.conv1.forward(x)));
        let x = relu(self.bn2.forward(self.conv2.forward(x)));
        let x = self.bn3.forward(self.conv3.forward(x));
        relu(self.se_module.forward(x) + shortcut)
    }
}

#[derive(Module, Debug)]
struct SqueezeExcitation {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl SqueezeExcitation {
    fn new(channels: usize, init: &mut Initializer) -> Self {
        let squeezed = channels / REDUCTION;
        Self {
            fc1: conv(ConvGeometry::new(channels, squeezed, 1), Bias::TorchDefault, init),
            fc2: conv(ConvGeometry::new(squeezed, channels, 1), Bias::TorchDefault, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let squeezed = relu(self.fc1.forward(global_average(x.clone())));
        excite(x, self.fc2.forward(squeezed))
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
            at_0: conv(ConvGeometry::new(inputs, outputs, 1).with_stride(stride), Bias::Absent, init),
            at_1: BatchNorm2d::new(outputs, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.at_1.forward(self.at_0.forward(x))
    }
}

fn conv(geometry: ConvGeometry, bias: Bias, init: &mut Initializer) -> Conv2d {
    Conv2d::new(geometry, WeightInit::TorchDefault, bias, init)
}

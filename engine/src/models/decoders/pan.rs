//! The decoder of a pyramid attention network.
//!
//! # Sources
//! Li et al. 2018, Pyramid Attention Network for Semantic Segmentation, figures 3 and 4; smp 0.6's `PANDecoder`.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::blocks::{conv, size};
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{
    BatchNorm2d, Conv2d, ConvGeometry, Corners, Initializer, global_average, max_pool_2x2, relu,
    resize_bilinear,
};

/// Channels of all that is decoded: smp's default.
const CHANNELS: usize = 32;
/// The deepest features have a sixteenth of the image's size and are halved three times.
const AT_LEAST: usize = 16 * 8;

/// Attention by a pyramid at the deepest features, then three steps in which deeper features weigh the channels of shallower ones.
#[derive(Module, Debug)]
pub(in crate::models) struct PanDecoder {
    fpa: PyramidAttention,
    gau3: Guided,
    gau2: Guided,
    gau1: Guided,
}

impl PanDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec { depth: 5, output_stride: 16 };
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS, 3).with_upsampling(4);
    pub(super) const INPUT: InputNeeds =
        InputNeeds::of(Self::FEATURES).at_least(AT_LEAST).normalising_whole_images();

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let mut features = channels.iter().rev().copied();
        let mut next = || features.next().unwrap_or_default();
        Self {
            fpa: PyramidAttention::new(next(), init),
            gau3: Guided::new(next(), init),
            gau2: Guided::new(next(), init),
            gau1: Guided::new(next(), init),
        }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let steps = [&self.gau3, &self.gau2, &self.gau1];
        let steps = steps.into_iter().zip(shallow.into_iter().rev());
        steps.fold(self.fpa.forward(deepest), |deep, (step, shallow)| step.forward(shallow, deep))
    }
}

/// smp's `ConvBnRelu`, whose convolution has a bias.
#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl ConvNorm {
    fn new(inputs: usize, outputs: usize, kernel: usize, init: &mut Initializer) -> Self {
        let conv = conv(ConvGeometry::new(inputs, outputs, kernel), init);
        Self { conv, bn: BatchNorm2d::new(outputs, init) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.normalised(x))
    }

    /// Without the ReLU.
    fn normalised(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(x))
    }
}

/// smp's `FPABlock`: what is seen at three lower resolutions weighs the features, and their mean is added.
#[derive(Module, Debug)]
struct PyramidAttention {
    branch1: BehindPool,
    mid: Alone,
    down1: BehindPool,
    down2: BehindPool,
    down3: TwoBehindPool,
    conv2: ConvNorm,
    conv1: ConvNorm,
}

/// Place 0 is a pooling.
#[derive(Module, Debug)]
struct BehindPool {
    at_1: ConvNorm,
}

#[derive(Module, Debug)]
struct Alone {
    at_0: ConvNorm,
}

/// Place 0 is a pooling.
#[derive(Module, Debug)]
struct TwoBehindPool {
    at_1: ConvNorm,
    at_2: ConvNorm,
}

impl PyramidAttention {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        Self {
            branch1: BehindPool { at_1: ConvNorm::new(inputs, CHANNELS, 1, init) },
            mid: Alone { at_0: ConvNorm::new(inputs, CHANNELS, 1, init) },
            down1: BehindPool { at_1: ConvNorm::new(inputs, 1, 7, init) },
            down2: BehindPool { at_1: ConvNorm::new(1, 1, 5, init) },
            down3: TwoBehindPool { at_1: ConvNorm::new(1, 1, 3, init), at_2: ConvNorm::new(1, 1, 3, init) },
            conv2: ConvNorm::new(1, 1, 5, init),
            conv1: ConvNorm::new(1, 1, 7, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let whole = self.branch1.at_1.forward(global_average(x.clone()));
        let middle = self.mid.at_0.forward(x.clone());
        let half = self.down1.at_1.forward(max_pool_2x2(x));
        let quarter = self.down2.at_1.forward(max_pool_2x2(half.clone()));
        let TwoBehindPool { at_1, at_2 } = &self.down3;
        let eighth = at_2.forward(at_1.forward(max_pool_2x2(quarter.clone())));

        let enlarged = |x: Tensor<4>, like: &Tensor<4>| resize_bilinear(x, size(like), Corners::Aligned);
        let x = enlarged(eighth, &quarter) + self.conv2.forward(quarter);
        let x = enlarged(x, &half) + self.conv1.forward(half);
        let x = enlarged(x, &middle) * middle;
        // The mean of each channel, everywhere.
        x + whole
    }
}

/// smp's `GAUBlock`: features weighed by the means of deeper ones, and these added.
#[derive(Module, Debug)]
struct Guided {
    conv1: BehindPool,
    conv2: ConvNorm,
}

impl Guided {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        Self {
            conv1: BehindPool { at_1: ConvNorm::new(CHANNELS, CHANNELS, 1, init) },
            conv2: ConvNorm::new(inputs, CHANNELS, 3, init),
        }
    }

    fn forward(&self, shallow: Tensor<4>, deep: Tensor<4>) -> Tensor<4> {
        let weights = sigmoid(self.conv1.at_1.normalised(global_average(deep.clone())));
        let enlarged = resize_bilinear(deep, size(&shallow), Corners::Aligned);
        enlarged + self.conv2.forward(shallow) * weights
    }
}

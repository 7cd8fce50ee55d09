//! Atrous spatial pyramid pooling: what both DeepLab decoders begin with.
//!
//! # Sources
//! Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation, figure 5; smp 0.6's `ASPP`. smp leaves the weights
//! of these decoders and their heads as torch draws them.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{ConvNormRelu, size};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Corners, Dropout, Initializer, SeparableConv2d, WeightInit,
    global_average, relu, resize_bilinear,
};

/// Channels of everything in these decoders: smp's default.
pub(super) const CHANNELS: usize = 256;
/// Distances of a kernel's places from each other: smp's default.
const RATES: [usize; 3] = [12, 24, 36];
/// Share of the values that are dropped while training: smp's default.
const DROPOUT: f64 = 0.5;

/// How a kernel of 3x3 is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernels {
    Whole,
    Separable,
}

/// The same features seen at five scales.
#[derive(Module, Debug)]
pub(super) struct Aspp {
    convs: Scales,
    project: ConvNormRelu,
    dropout: Dropout,
}

#[derive(Module, Debug)]
struct Scales {
    at_0: ConvNormRelu,
    at_1: Atrous,
    at_2: Atrous,
    at_3: Atrous,
    at_4: Mean,
}

impl Aspp {
    pub(super) fn new(inputs: usize, kernels: Kernels, init: &mut Initializer) -> Self {
        let [near, middle, far] = RATES;
        Self {
            convs: Scales {
                at_0: pointwise(inputs, CHANNELS, init),
                at_1: Atrous::new(inputs, near, kernels, init),
                at_2: Atrous::new(inputs, middle, kernels, init),
                at_3: Atrous::new(inputs, far, kernels, init),
                at_4: Mean::new(inputs, init),
            },
            project: pointwise(5 * CHANNELS, CHANNELS, init),
            dropout: Dropout::of_values(DROPOUT, init),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Scales { at_0, at_1, at_2, at_3, at_4 } = &self.convs;
        let mut seen = vec![at_0.forward(x.clone())];
        seen.extend([at_1, at_2, at_3].map(|atrous| atrous.forward(x.clone())));
        seen.push(at_4.forward(x));
        self.dropout.forward(self.project.forward(Tensor::cat(seen, 1)))
    }
}

/// 1x1 convolution, batch normalisation, ReLU.
pub(super) fn pointwise(inputs: usize, outputs: usize, init: &mut Initializer) -> ConvNormRelu {
    ConvNormRelu::of(ConvGeometry::new(inputs, outputs, 1), WeightInit::TorchDefault, init)
}

/// A convolution whose kernel has its places apart.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "three of them in a model")]
enum Atrous {
    Whole(ConvNormRelu),
    Separable(SeparableNormRelu),
}

impl Atrous {
    fn new(inputs: usize, rate: usize, kernels: Kernels, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(inputs, CHANNELS, 3).with_dilation(rate);
        match kernels {
            Kernels::Whole => Self::Whole(ConvNormRelu::of(geometry, WeightInit::TorchDefault, init)),
            Kernels::Separable => Self::Separable(SeparableNormRelu::new(geometry, init)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Whole(conv) => conv.forward(x),
            Self::Separable(conv) => conv.forward(x),
        }
    }
}

/// Separable convolution, batch normalisation, ReLU.
#[derive(Module, Debug)]
pub(super) struct SeparableNormRelu {
    at_0: SeparableConv2d,
    at_1: BatchNorm2d,
}

impl SeparableNormRelu {
    pub(super) fn new(geometry: ConvGeometry, init: &mut Initializer) -> Self {
        Self {
            at_0: SeparableConv2d::new(geometry, WeightInit::TorchDefault, init),
            at_1: BatchNorm2d::new(geometry.out_channels, init),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.at_1.forward(self.at_0.forward(x)))
    }
}

/// smp's `ASPPPooling`: the mean of each channel, convolved, everywhere.
#[derive(Module, Debug)]
struct Mean {
    at_1: Conv2d,
    at_2: BatchNorm2d,
}

impl Mean {
    fn new(inputs: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(inputs, CHANNELS, 1);
        Self {
            at_1: Conv2d::new(geometry, WeightInit::TorchDefault, Bias::Absent, init),
            at_2: BatchNorm2d::new(CHANNELS, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let to = size(&x);
        let mean = relu(self.at_2.forward(self.at_1.forward(global_average(x))));
        resize_bilinear(mean, to, Corners::Edges)
    }
}

//! MobileNetV2: inverted residuals of depthwise convolutions.
//!
//! # Sources
//! Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, table 2; torchvision's `mobilenetv2`, whose
//! places in its list of layers smp 0.6 hands features out at.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{EncoderSpec, FeatureSpec, Features};
use crate::nn::{BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, relu6};

/// Channels of the first layer.
const STEM: usize = 32;
/// Channels of the last layer.
const LAST: usize = 1280;
/// Channels of the images the published weights were trained on.
const RGB: usize = 3;
/// The places in the list of layers whose outputs are features.
const FEATURE_PLACES: [usize; 5] = [1, 3, 6, 13, 18];
/// The first place of the stages that bring the image to a sixteenth and a thirty-second of its size.
const DILATABLE: [(usize, usize); 2] = [(7, 16), (14, 32)];

/// So many blocks alike, but for the stride, which is the first's.
struct Stage {
    expansion: usize,
    channels: usize,
    blocks: usize,
    stride: usize,
}

const STAGES: [Stage; 7] = [
    Stage { expansion: 1, channels: 16, blocks: 1, stride: 1 },
    Stage { expansion: 6, channels: 24, blocks: 2, stride: 2 },
    Stage { expansion: 6, channels: 32, blocks: 3, stride: 2 },
    Stage { expansion: 6, channels: 64, blocks: 4, stride: 2 },
    Stage { expansion: 6, channels: 96, blocks: 3, stride: 1 },
    Stage { expansion: 6, channels: 160, blocks: 3, stride: 2 },
    Stage { expansion: 6, channels: 320, blocks: 1, stride: 1 },
];

/// MobileNetV2 without its classifier.
#[derive(Module, Debug)]
pub(in crate::models) struct MobileNetV2 {
    features: Vec<Layer>,
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl MobileNetV2 {
    pub(super) const NAMES: &'static [&'static str] = &["mobilenet_v2"];

    /// `None` if `name` is not among [`MobileNetV2::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        Self::NAMES.contains(&name).then(|| Self::of_stages(spec, init))
    }

    fn of_stages(spec: EncoderSpec, init: &mut Initializer) -> Self {
        let EncoderSpec { in_channels, wanted } = spec;
        // smp replaces the first convolution when there are not three channels, and leaves torch's default in it.
        let stem_init =
            if in_channels == RGB { WeightInit::KaimingNormalFanOut } else { WeightInit::TorchDefault };
        let stem = ConvGeometry::new(in_channels, STEM, 3).with_stride(2);
        let mut features = vec![Layer::Plain(ConvNorm::new(stem, stem_init, init))];
        let mut channels = vec![STEM];
        let mut inputs = STEM;
        for stage in STAGES {
            for block in 0..stage.blocks {
                let of = Inverted {
                    inputs,
                    outputs: stage.channels,
                    hidden: inputs * stage.expansion,
                    stride: if block == 0 { stage.stride } else { 1 },
                    dilation: dilation(features.len(), wanted),
                };
                features.push(Layer::Inverted(InvertedResidual::new(of, init)));
                channels.push(stage.channels);
                inputs = stage.channels;
            }
        }
        let last = ConvGeometry::new(inputs, LAST, 1);
        features.push(Layer::Plain(ConvNorm::new(last, WeightInit::KaimingNormalFanOut, init)));
        channels.push(LAST);
        let handed_out: Vec<usize> =
            std::iter::once(in_channels).chain(FEATURE_PLACES.map(|place| channels[place])).collect();
        Self { features, out_channels: wanted.computed(&handed_out) }
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        let mut features = Features::of_image(x);
        let mut done = 0;
        for place in FEATURE_PLACES.into_iter().take(self.out_channels.len().saturating_sub(1)) {
            let x = features.deepest.clone();
            features = features.then(self.features[done..=place].iter().fold(x, |x, layer| layer.forward(x)));
            done = place + 1;
        }
        features
    }
}

/// Dilation of the layer at this place.
fn dilation(place: usize, wanted: FeatureSpec) -> usize {
    let stage = DILATABLE.into_iter().rev().find(|(first, _)| place >= *first);
    stage.map_or(1, |(_, stride)| wanted.walk(stride).dilation)
}

#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has nineteen of them, almost all of the larger kind"
)]
enum Layer {
    Plain(ConvNorm),
    Inverted(InvertedResidual),
}

impl Layer {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Plain(layer) => layer.forward(x),
            Self::Inverted(layer) => layer.forward(x),
        }
    }
}

/// Convolution, batch normalisation, ReLU6.
#[derive(Module, Debug)]
struct ConvNorm {
    at_0: Conv2d,
    at_1: BatchNorm2d,
}

impl ConvNorm {
    fn new(geometry: ConvGeometry, weight: WeightInit, init: &mut Initializer) -> Self {
        Self {
            at_0: Conv2d::new(geometry, weight, Bias::Absent, init),
            at_1: BatchNorm2d::new(geometry.out_channels, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu6(self.at_1.forward(self.at_0.forward(x)))
    }
}

/// What an inverted residual is made of.
#[derive(Debug, Clone, Copy)]
struct Inverted {
    inputs: usize,
    hidden: usize,
    outputs: usize,
    /// Before strides become dilations.
    stride: usize,
    dilation: usize,
}

/// Widens, walks depthwise, narrows; added to its input where it can be.
#[derive(Module, Debug)]
struct InvertedResidual {
    conv: Path,
    #[module(skip)]
    is_residual: bool,
}

impl InvertedResidual {
    fn new(of: Inverted, init: &mut Initializer) -> Self {
        let Inverted { inputs, hidden, outputs, stride, dilation } = of;
        let narrow = ConvGeometry::new(hidden, outputs, 1);
        let walked = if dilation == 1 { stride } else { 1 };
        let depthwise = ConvGeometry::new(hidden, hidden, 3)
            .with_dilation(dilation)
            .with_stride(walked)
            .with_groups(hidden);
        let weight = WeightInit::KaimingNormalFanOut;
        let conv = if inputs == hidden {
            Path::Direct(Direct {
                at_0: ConvNorm::new(depthwise, weight, init),
                at_1: Conv2d::new(narrow, weight, Bias::Absent, init),
                at_2: BatchNorm2d::new(outputs, init),
            })
        } else {
            Path::Widened(Widened {
                at_0: ConvNorm::new(ConvGeometry::new(inputs, hidden, 1), weight, init),
                at_1: ConvNorm::new(depthwise, weight, init),
                at_2: Conv2d::new(narrow, weight, Bias::Absent, init),
                at_3: BatchNorm2d::new(outputs, init),
            })
        };
        Self { conv, is_residual: stride == 1 && inputs == outputs }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = match &self.conv {
            Path::Direct(path) => path.at_2.forward(path.at_1.forward(path.at_0.forward(x.clone()))),
            Path::Widened(path) => {
                let y = path.at_1.forward(path.at_0.forward(x.clone()));
                path.at_3.forward(path.at_2.forward(y))
            }
        };
        if self.is_residual { x + y } else { y }
    }
}

#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has seventeen of them, all but one of the larger kind"
)]
enum Path {
    Direct(Direct),
    Widened(Widened),
}

/// A path that has the width of its input.
#[derive(Module, Debug)]
struct Direct {
    at_0: ConvNorm,
    at_1: Conv2d,
    at_2: BatchNorm2d,
}

#[derive(Module, Debug)]
struct Widened {
    at_0: ConvNorm,
    at_1: ConvNorm,
    at_2: Conv2d,
    at_3: BatchNorm2d,
}

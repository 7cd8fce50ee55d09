//! ConvNeXt V2, by timm's names.
//!
//! # Sources
//! Liu et al. 2022, A ConvNet for the 2020s, figure 4; Woo et al. 2023, ConvNeXt V2, section 3 and table 8; timm's
//! `convnext`, and smp 0.6's `TimmUniversalEncoder` for which features it hands out.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::{EncoderSpec, Features};
use crate::nn::{
    Bias, Conv2d, ConvGeometry, GlobalResponseNorm, Initializer, LayerNorm, Linear, WeightInit,
    channels_first, channels_last, gelu,
};

/// Channels of each stage.
const WIDTHS: [usize; 4] = [96, 192, 384, 768];
/// Blocks of each stage.
const DEPTHS: [usize; 4] = [3, 3, 9, 3];
/// Height and width of the patches of the stem.
const PATCH: usize = 4;
/// Height and width of the depthwise kernels.
const KERNEL: usize = 7;
/// The hidden layer of a block has so many times its channels.
const EXPANSION: usize = 4;
/// Epsilon of the normalisations.
const EPSILON: f64 = 1e-6;

/// ConvNeXt V2 without its classifier; the first feature map, at half the image's size, has no channels.
#[derive(Module, Debug)]
pub(in crate::models) struct ConvNext {
    model: Stages,
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl ConvNext {
    pub(super) const NAMES: &'static [&'static str] = &["tu-convnextv2_tiny"];

    /// `None` if `name` is not among [`ConvNext::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        if !Self::NAMES.contains(&name) {
            return None;
        }
        let EncoderSpec { in_channels, wanted } = spec;
        let out_channels = wanted.computed(&[&[in_channels, 0], WIDTHS.as_slice()].concat());
        // timm leaves out the stages nobody asked for.
        let stages = out_channels.len().saturating_sub(2);
        Some(Self { model: Stages::new(in_channels, stages, wanted.output_stride, init), out_channels })
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        let model = &self.model;
        let mut through = model.stem_1.forward_image(model.stem_0.forward(x.clone()));
        let stages = [&model.stages_0, &model.stages_1, &model.stages_2, &model.stages_3];
        let mut features = Features::of_image(x).then_empty();
        for stage in stages.into_iter().flatten() {
            through = stage.forward(through);
            features = features.then(through.clone());
        }
        features
    }
}

/// What timm keeps of a model whose features alone are wanted.
#[derive(Module, Debug)]
struct Stages {
    stem_0: Conv2d,
    stem_1: LayerNorm,
    stages_0: Option<Stage>,
    stages_1: Option<Stage>,
    stages_2: Option<Stage>,
    stages_3: Option<Stage>,
}

impl Stages {
    fn new(in_channels: usize, stages: usize, output_stride: usize, init: &mut Initializer) -> Self {
        let stem = ConvGeometry::new(in_channels, WIDTHS[0], PATCH).with_stride(PATCH).with_padding(0);
        let stage = |index: usize, init: &mut Initializer| {
            let walk = StageWalk::of(PATCH << index, output_stride);
            (index < stages).then(|| Stage::new(index, walk, init))
        };
        Self {
            stem_0: Conv2d::new(stem, WeightInit::Normal002, Bias::Zero, init),
            stem_1: LayerNorm::new(WIDTHS[0], EPSILON, init),
            stages_0: stage(0, init),
            stages_1: stage(1, init),
            stages_2: stage(2, init),
            stages_3: stage(3, init),
        }
    }
}

/// How a stage walks; a stage whose stride became a dilation begins with half of it.
#[derive(Debug, Clone, Copy)]
struct StageWalk {
    stride: usize,
    first_dilation: usize,
    dilation: usize,
}

impl StageWalk {
    /// Of the stage that brings the image's size by its own to `stride`.
    fn of(stride: usize, output_stride: usize) -> Self {
        match stride.checked_div(output_stride) {
            Some(dilation) if dilation > 1 => {
                Self { stride: 1, first_dilation: dilation.div_ceil(2), dilation }
            }
            _ => Self { stride: 2, first_dilation: 1, dilation: 1 },
        }
    }
}

/// A step down, but in the first stage, then blocks.
#[derive(Module, Debug)]
struct Stage {
    downsample: Option<Downsample>,
    blocks: Vec<Block>,
}

impl Stage {
    fn new(index: usize, walk: StageWalk, init: &mut Initializer) -> Self {
        let width = WIDTHS[index];
        let downsample = index.checked_sub(1).map(|above| Downsample::new(WIDTHS[above], width, walk, init));
        Self {
            downsample,
            blocks: (0..DEPTHS[index]).map(|_| Block::new(width, walk.dilation, init)).collect(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        };
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}

/// Normalisation and a 2x2 convolution.
#[derive(Module, Debug)]
struct Downsample {
    at_0: LayerNorm,
    at_1: Conv2d,
    /// Zeros at the left or above, and at the right or below: what keeps the size where the stride is 1.
    #[module(skip)]
    padding: [usize; 2],
}

impl Downsample {
    fn new(inputs: usize, outputs: usize, walk: StageWalk, init: &mut Initializer) -> Self {
        let StageWalk { stride, first_dilation, .. } = walk;
        let geometry = ConvGeometry::new(inputs, outputs, 2).with_stride(stride);
        let geometry = geometry.with_dilation(first_dilation).with_padding(0);
        let padding = if stride == 1 { [first_dilation / 2, first_dilation.div_ceil(2)] } else { [0, 0] };
        Self {
            at_0: LayerNorm::new(inputs, EPSILON, init),
            at_1: Conv2d::new(geometry, WeightInit::Normal002, Bias::Zero, init),
            padding,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.at_0.forward_image(x);
        let [before, after] = self.padding;
        let x = if before + after == 0 {
            x
        } else {
            x.pad((before, after, before, after), PadMode::Constant(0.0))
        };
        self.at_1.forward(x)
    }
}

/// A depthwise convolution, then a small network on each pixel.
#[derive(Module, Debug)]
struct Block {
    conv_dw: Conv2d,
    norm: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(width: usize, dilation: usize, init: &mut Initializer) -> Self {
        let geometry = ConvGeometry::new(width, width, KERNEL).with_dilation(dilation).with_groups(width);
        Self {
            conv_dw: Conv2d::new(geometry, WeightInit::Normal002, Bias::Zero, init),
            norm: LayerNorm::new(width, EPSILON, init),
            mlp: Mlp::new(width, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inner = self.norm.forward(channels_last(self.conv_dw.forward(x.clone())));
        channels_first(self.mlp.forward(inner)) + x
    }
}

/// Two linear layers, with the responses of a channel weighed against the others' between them.
#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    grn: GlobalResponseNorm,
    fc2: Linear,
}

impl Mlp {
    fn new(width: usize, init: &mut Initializer) -> Self {
        let hidden = EXPANSION * width;
        Self {
            fc1: Linear::new(width, hidden, WeightInit::Normal002, init),
            grn: GlobalResponseNorm::new(hidden, init),
            fc2: Linear::new(hidden, width, WeightInit::Normal002, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fc2.forward(self.grn.forward(gelu(self.fc1.forward(x))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::devices;
    use crate::nn::golden::tokens::Golden;

    #[test]
    fn a_block_has_timms_values_and_gradients() {
        let golden = Golden::of("convnext_block");
        for device in devices() {
            let layer = golden.filled(Block::new(4, 1, &mut Initializer::new(1, &device)));
            golden.check(&layer, &device, |x| channels_last(layer.forward(channels_first(x))));
        }
    }

    /// timm pads where a kernel of two keeps the size: on the right and below alone, or on both sides.
    #[test]
    fn a_step_down_without_a_stride_has_timms_values_and_gradients() {
        for (name, stride) in [("convnext_dilated_2", 32), ("convnext_dilated_4", 64)] {
            let golden = Golden::of(name);
            for device in devices() {
                let walk = StageWalk::of(stride, 16);
                let layer = golden.filled(Downsample::new(3, 4, walk, &mut Initializer::new(1, &device)));
                golden.check(&layer, &device, |x| channels_last(layer.forward(channels_first(x))));
            }
        }
    }
}

//! MaxViT, by timm's names.
//!
//! # Sources
//! Tu et al. 2022, MaxViT, section 3 and figure 2; timm's `maxxvit` for the configuration `maxvit_tiny_rw_224`, which differs
//! from the paper's, and smp 0.6's `TimmUniversalEncoder` for which features it hands out.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;

use super::{EncoderSpec, Features};
use crate::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, LayerNorm, Linear, Partition, RelativePositionBias,
    RelativePositions, WeightInit, attend, channels_first, channels_last, excite, gelu, global_average,
    join_heads, part_heads, silu,
};

/// Channels of the two convolutions of the stem.
const STEM: [usize; 2] = [32, 64];
/// Channels of each stage.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// Blocks of each stage.
const DEPTHS: [usize; 4] = [2, 2, 5, 2];
/// Height and width of windows and grids: the image's by its size over the deepest feature's.
const SIDE: usize = 7;
/// Channels of a head.
const HEAD: usize = 32;
/// Hidden layers have so many times the channels of what goes in.
const EXPANSION: usize = 4;
/// The hidden layer that weighs channels has this part of them.
const SQUEEZE: usize = 16;
/// Epsilon of the layer normalisations.
const EPSILON: f64 = 1e-6;

/// MaxViT without its classifier.
#[derive(Module, Debug)]
pub(in crate::models) struct MaxVit {
    model: Stages,
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl MaxVit {
    pub(super) const NAMES: &'static [&'static str] = &["tu-maxvit_tiny_rw_224"];

    /// `None` if `name` is not among [`MaxVit::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        if !Self::NAMES.contains(&name) {
            return None;
        }
        let EncoderSpec { in_channels, wanted } = spec;
        let out_channels = wanted.computed(&[&[in_channels, STEM[1]], WIDTHS.as_slice()].concat());
        // timm leaves out the stages nobody asked for.
        let stages = out_channels.len().saturating_sub(2);
        Some(Self { model: Stages::new(in_channels, stages, init), out_channels })
    }

    /// What height and width of images are multiples of, so that the features of every depth are whole windows.
    pub(super) const fn multiple_of(depth: usize) -> usize {
        if depth < 2 { 1 } else { SIDE << depth }
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        let model = &self.model;
        let mut through = model.stem.forward(x.clone());
        let mut features = Features::of_image(x).then(through.clone());
        let stages = [&model.stages_0, &model.stages_1, &model.stages_2, &model.stages_3];
        for stage in stages.into_iter().flatten() {
            through = stage.blocks.iter().fold(through, |x, block| block.forward(x));
            features = features.then(through.clone());
        }
        features
    }
}

/// What timm keeps of a model whose features alone are wanted.
#[derive(Module, Debug)]
struct Stages {
    stem: Stem,
    stages_0: Option<Stage>,
    stages_1: Option<Stage>,
    stages_2: Option<Stage>,
    stages_3: Option<Stage>,
}

impl Stages {
    fn new(in_channels: usize, stages: usize, init: &mut Initializer) -> Self {
        let positions = RelativePositions::new(SIDE, init);
        let stage = |index: usize, init: &mut Initializer| {
            let inputs = index.checked_sub(1).map_or(STEM[1], |above| WIDTHS[above]);
            (index < stages).then(|| Stage::new([inputs, WIDTHS[index]], DEPTHS[index], &positions, init))
        };
        Self {
            stem: Stem::new(in_channels, init),
            stages_0: stage(0, init),
            stages_1: stage(1, init),
            stages_2: stage(2, init),
            stages_3: stage(3, init),
        }
    }
}

/// Two convolutions, to half the image's size.
#[derive(Module, Debug)]
struct Stem {
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
}

impl Stem {
    fn new(in_channels: usize, init: &mut Initializer) -> Self {
        Self {
            conv1: conv(ConvGeometry::new(in_channels, STEM[0], 3).with_stride(2), init),
            norm1: BatchNorm2d::new(STEM[0], init),
            conv2: conv(ConvGeometry::new(STEM[0], STEM[1], 3), init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv2.forward(silu(self.norm1.forward(self.conv1.forward(x))))
    }
}

/// A level of timm's names.
#[derive(Module, Debug)]
struct Stage {
    blocks: Vec<Block>,
}

impl Stage {
    fn new(
        [inputs, width]: [usize; 2],
        depth: usize,
        positions: &RelativePositions,
        init: &mut Initializer,
    ) -> Self {
        let blocks = (0..depth).map(|block| match block {
            0 => Block::new(InvertedBottleneck::new(inputs, width, 2, init), width, positions, init),
            _ => Block::new(InvertedBottleneck::new(width, width, 1, init), width, positions, init),
        });
        Self { blocks: blocks.collect() }
    }
}

/// Convolutions, attention among near pixels, attention among far ones.
#[derive(Module, Debug)]
struct Block {
    conv: InvertedBottleneck,
    attn_block: PartitionAttention,
    attn_grid: PartitionAttention,
}

impl Block {
    fn new(
        conv: InvertedBottleneck,
        width: usize,
        positions: &RelativePositions,
        init: &mut Initializer,
    ) -> Self {
        let near = Attention::new(width, HEAD, positions, init);
        let attn_block = PartitionAttention::new(width, near, Partition::Windows { side: SIDE }, init);
        let far = Attention::new(width, HEAD, positions, init);
        let attn_grid = PartitionAttention::new(width, far, Partition::Grid { side: SIDE }, init);
        Self { conv, attn_block, attn_grid }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = channels_last(self.conv.forward(x));
        channels_first(self.attn_grid.forward(self.attn_block.forward(x)))
    }
}

/// timm's `MbConvBlock`: 1x1, depthwise 3x3 and 1x1 convolutions, normalised beforehand, the channels weighed before the last.
#[derive(Module, Debug)]
struct InvertedBottleneck {
    shortcut: Option<Shortcut>,
    pre_norm: BatchNorm2d,
    conv1_1x1: Conv2d,
    norm1: BatchNorm2d,
    conv2_kxk: Conv2d,
    norm2: BatchNorm2d,
    se: SqueezeExcitation,
    conv3_1x1: Conv2d,
}

impl InvertedBottleneck {
    fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Initializer) -> Self {
        let hidden = EXPANSION * inputs;
        let depthwise = ConvGeometry::new(hidden, hidden, 3).with_stride(stride).with_groups(hidden);
        Self {
            shortcut: (stride == 2).then(|| Shortcut::new(inputs, outputs, init)),
            pre_norm: BatchNorm2d::new(inputs, init),
            conv1_1x1: conv(ConvGeometry::new(inputs, hidden, 1), init),
            norm1: BatchNorm2d::new(hidden, init),
            conv2_kxk: Conv2d::new(depthwise, WeightInit::KaimingNormalDepthwise, Bias::Absent, init),
            norm2: BatchNorm2d::new(hidden, init),
            se: SqueezeExcitation::new(hidden, init),
            conv3_1x1: conv(ConvGeometry::new(hidden, outputs, 1), init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x.clone()),
            None => x.clone(),
        };
        let x = silu(self.norm1.forward(self.conv1_1x1.forward(self.pre_norm.forward(x))));
        let x = silu(self.norm2.forward(self.conv2_kxk.forward(x)));
        self.conv3_1x1.forward(self.se.forward(x)) + shortcut
    }
}

/// Half the size by means, and other channels where the block has.
#[derive(Module, Debug)]
struct Shortcut {
    expand: Option<Conv2d>,
}

impl Shortcut {
    fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self { expand: (inputs != outputs).then(|| conv(ConvGeometry::new(inputs, outputs, 1), init)) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = avg_pool2d(x, AvgPoolOptions::new([2, 2]));
        match &self.expand {
            Some(expand) => expand.forward(x),
            None => x,
        }
    }
}

/// Weighs each channel by the means of all.
///
/// # Sources
/// Hu et al. 2017, Squeeze-and-Excitation Networks, section 3.
#[derive(Module, Debug)]
struct SqueezeExcitation {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl SqueezeExcitation {
    fn new(channels: usize, init: &mut Initializer) -> Self {
        let hidden = channels / SQUEEZE;
        let conv = |inputs: usize, outputs: usize, init: &mut Initializer| {
            let geometry = ConvGeometry::new(inputs, outputs, 1);
            Conv2d::new(geometry, WeightInit::KaimingNormalFanOut, Bias::Zero, init)
        };
        Self { fc1: conv(channels, hidden, init), fc2: conv(hidden, channels, init) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let logits = self.fc2.forward(silu(self.fc1.forward(global_average(x.clone()))));
        excite(x, logits)
    }
}

/// timm's `PartitionAttentionCl`: attention within each group of pixels, then a small network on each pixel.
#[derive(Module, Debug)]
struct PartitionAttention {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    #[module(skip)]
    partition: Partition,
}

impl PartitionAttention {
    fn new(width: usize, attn: Attention, partition: Partition, init: &mut Initializer) -> Self {
        Self {
            norm1: LayerNorm::new(width, EPSILON, init),
            attn,
            norm2: LayerNorm::new(width, EPSILON, init),
            mlp: Mlp::new(width, init),
            partition,
        }
    }

    /// Takes and gives `[batch, height, width, channels]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let groups = self.partition.part(self.norm1.forward(x.clone()));
        let x = x + self.partition.join(self.attn.forward(groups), shape);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

/// timm's `AttentionCl`: each head has its query, key and value side by side.
#[derive(Module, Debug)]
struct Attention {
    qkv: Linear,
    rel_pos: RelativePositionBias,
    proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    /// Heads of `head` channels.
    fn new(width: usize, head: usize, positions: &RelativePositions, init: &mut Initializer) -> Self {
        let heads = width / head;
        Self {
            qkv: Linear::new(width, 3 * width, WeightInit::XavierUniform, init),
            rel_pos: RelativePositionBias::new(positions, heads, init),
            proj: Linear::new(width, width, WeightInit::XavierUniform, init),
            heads,
        }
    }

    fn forward(&self, groups: Tensor<3>) -> Tensor<3> {
        let all = part_heads(self.qkv.forward(groups), self.heads);
        let [_, _, _, width] = all.dims();
        let third = |index: usize| all.clone().narrow(3, index * width / 3, width / 3);
        let gathered = attend(third(0), third(1), third(2), Some(self.rel_pos.forward()));
        self.proj.forward(join_heads(gathered))
    }
}

/// Two linear layers on each pixel. Their biases start at zero; timm's are drawn with deviation 1e-6.
#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    fn new(width: usize, init: &mut Initializer) -> Self {
        let hidden = EXPANSION * width;
        Self {
            fc1: Linear::new(width, hidden, WeightInit::XavierUniform, init),
            fc2: Linear::new(hidden, width, WeightInit::XavierUniform, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fc2.forward(gelu(self.fc1.forward(x)))
    }
}

/// Without a bias.
fn conv(geometry: ConvGeometry, init: &mut Initializer) -> Conv2d {
    Conv2d::new(geometry, WeightInit::KaimingNormalFanOut, Bias::Absent, init)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::devices;
    use crate::nn::golden::tokens::Golden;

    #[test]
    fn attention_among_near_and_far_pixels_has_timms_values_and_gradients() {
        let near = ("window_attention", Partition::Windows { side: 2 });
        let far = ("grid_attention", Partition::Grid { side: 2 });
        for (name, partition) in [near, far] {
            let golden = Golden::of(name);
            for device in devices() {
                let init = &mut Initializer::new(1, &device);
                let attn = Attention::new(8, 4, &RelativePositions::new(2, init), init);
                let layer = golden.filled(PartitionAttention::new(8, attn, partition, init));
                golden.check(&layer, &device, |x| layer.forward(x));
            }
        }
    }

    #[test]
    fn a_bottleneck_has_timms_values_and_gradients() {
        let golden = Golden::of("inverted_bottleneck");
        for device in devices() {
            let init = &mut Initializer::new(1, &device);
            let layer = golden.filled(InvertedBottleneck::new(4, 6, 2, init));
            golden.check(&layer, &device, |x| channels_last(layer.forward(channels_first(x))));
        }
    }
}

//! Mix vision transformers: the encoders of SegFormer.
//!
//! # Sources
//! Xie et al. 2021, SegFormer, section 3.1 and table 6; smp 0.6's `MixVisionTransformerEncoder` for names, epsilons and
//! what becomes of the strides where an architecture wants dilations.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{EncoderSpec, Features, Walk};
use crate::nn::{
    Bias, Conv2d, ConvGeometry, DropPath, Initializer, LayerNorm, Linear, WeightInit, attend, channels_first,
    channels_last, gelu, join_heads, part_heads,
};

/// Channels of the images the published weights were trained on.
const RGB: usize = 3;
/// Heads of the attention of each stage.
const HEADS: [usize; 4] = [1, 2, 5, 8];
/// Keys and values are taken from the image made smaller by so much.
const REDUCTIONS: [usize; 4] = [8, 4, 2, 1];
/// The hidden layer of a block has so many times its channels.
const EXPANSION: usize = 4;
/// Share of the samples whose path through the last block is left out while training; those before have less, in even steps.
const DROPPED: f64 = 0.1;
/// Epsilon of the normalisations of blocks and stages.
const EPSILON: f64 = 1e-6;
/// Epsilon of those behind a convolution: PyTorch's default.
const EPSILON_BEHIND_CONVOLUTION: f64 = 1e-5;

/// Four stages of embedding, blocks and normalisation. The first feature map, at half the image's size, has no channels.
#[derive(Module, Debug)]
pub(in crate::models) struct MixVisionTransformer {
    patch_embed1: PatchEmbedding,
    patch_embed2: PatchEmbedding,
    patch_embed3: PatchEmbedding,
    patch_embed4: PatchEmbedding,
    block1: Vec<Block>,
    norm1: LayerNorm,
    block2: Vec<Block>,
    norm2: LayerNorm,
    block3: Vec<Block>,
    norm3: LayerNorm,
    block4: Vec<Block>,
    norm4: LayerNorm,
    #[module(skip)]
    out_channels: Vec<usize>,
}

impl MixVisionTransformer {
    pub(super) const NAMES: &'static [&'static str] =
        &["mit_b0", "mit_b1", "mit_b2", "mit_b3", "mit_b4", "mit_b5"];

    /// `None` if `name` is not among [`MixVisionTransformer::NAMES`].
    pub(super) fn new(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
        const SMALL: [usize; 4] = [32, 64, 160, 256];
        const LARGE: [usize; 4] = [64, 128, 320, 512];
        let (widths, depths) = match name {
            "mit_b0" => (SMALL, [2, 2, 2, 2]),
            "mit_b1" => (LARGE, [2, 2, 2, 2]),
            "mit_b2" => (LARGE, [3, 4, 6, 3]),
            "mit_b3" => (LARGE, [3, 4, 18, 3]),
            "mit_b4" => (LARGE, [3, 8, 27, 3]),
            "mit_b5" => (LARGE, [3, 6, 40, 3]),
            _ => return None,
        };
        Some(Self::of_stages(widths, depths, spec, init))
    }

    fn of_stages(widths: [usize; 4], depths: [usize; 4], spec: EncoderSpec, init: &mut Initializer) -> Self {
        let EncoderSpec { in_channels, wanted } = spec;
        let [first, second, third, fourth] = widths;
        let whole = Walk { stride: 1, dilation: 1 };
        let walks = [whole, wanted.walk(8), wanted.walk(16), wanted.walk(32)];
        // smp replaces the first convolution when there are not three channels, and leaves torch's default in it.
        let (stem_weight, stem_bias) = match in_channels {
            RGB => (WeightInit::KaimingNormalFanOut, Bias::Zero),
            _ => (WeightInit::TorchDefault, Bias::TorchDefault),
        };
        let stem = ConvGeometry::new(in_channels, first, 7).with_stride(4);
        let embed = |inputs: usize, stage: usize, init: &mut Initializer| {
            let geometry = ConvGeometry::new(inputs, widths[stage], 3).with_stride(2);
            PatchEmbedding::new(
                walked(geometry, walks[stage]),
                WeightInit::KaimingNormalFanOut,
                Bias::Zero,
                init,
            )
        };
        let steps = depths.iter().sum::<usize>().saturating_sub(1).max(1) as f64;
        let blocks = |stage: usize, init: &mut Initializer| {
            let before: usize = depths[..stage].iter().sum();
            let dropped = |block: usize| DROPPED * (before + block) as f64 / steps;
            (0..depths[stage])
                .map(|block| Block::new(widths[stage], stage, walks[stage], dropped(block), init))
                .collect()
        };
        Self {
            patch_embed1: PatchEmbedding::new(stem, stem_weight, stem_bias, init),
            patch_embed2: embed(first, 1, init),
            patch_embed3: embed(second, 2, init),
            patch_embed4: embed(third, 3, init),
            block1: blocks(0, init),
            norm1: LayerNorm::new(first, EPSILON, init),
            block2: blocks(1, init),
            norm2: LayerNorm::new(second, EPSILON, init),
            block3: blocks(2, init),
            norm3: LayerNorm::new(third, EPSILON, init),
            block4: blocks(3, init),
            norm4: LayerNorm::new(fourth, EPSILON, init),
            out_channels: wanted.computed(&[in_channels, 0, first, second, third, fourth]),
        }
    }

    pub(super) fn out_channels(&self) -> &[usize] {
        &self.out_channels
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Features {
        let stages = [
            (&self.patch_embed1, &self.block1, &self.norm1),
            (&self.patch_embed2, &self.block2, &self.norm2),
            (&self.patch_embed3, &self.block3, &self.norm3),
            (&self.patch_embed4, &self.block4, &self.norm4),
        ];
        // Behind the image and the empty feature map.
        let wanted = self.out_channels.len().saturating_sub(2);
        let mut through = x.clone();
        let mut features = Features::of_image(x).then_empty();
        for (embed, blocks, norm) in stages.into_iter().take(wanted) {
            let tokens = blocks.iter().fold(embed.forward(through), |x, block| block.forward(x));
            through = channels_first(norm.forward(tokens));
            features = features.then(through.clone());
        }
        features
    }
}

/// What smp makes of each convolution of a stage whose stride became a dilation.
fn walked(geometry: ConvGeometry, walk: Walk) -> ConvGeometry {
    match walk.dilation {
        1 => geometry,
        dilation => geometry.with_stride(1).with_dilation(dilation),
    }
}

/// Overlapping patches of an image as tokens.
#[derive(Module, Debug)]
struct PatchEmbedding {
    proj: Conv2d,
    norm: LayerNorm,
}

impl PatchEmbedding {
    fn new(geometry: ConvGeometry, weight: WeightInit, bias: Bias, init: &mut Initializer) -> Self {
        Self {
            proj: Conv2d::new(geometry, weight, bias, init),
            norm: LayerNorm::new(geometry.out_channels, EPSILON_BEHIND_CONVOLUTION, init),
        }
    }

    /// From an image to `[batch, height, width, channels]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(channels_last(self.proj.forward(x)))
    }
}

/// Attention, then a small network on each token that also looks at its neighbours.
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attn: Attention,
    drop_path: DropPath,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(width: usize, stage: usize, walk: Walk, dropped: f64, init: &mut Initializer) -> Self {
        Self {
            norm1: LayerNorm::new(width, EPSILON, init),
            attn: Attention::new(width, HEADS[stage], REDUCTIONS[stage], walk, init),
            drop_path: DropPath::new(dropped, init),
            norm2: LayerNorm::new(width, EPSILON, init),
            mlp: Mlp::new(width, walk, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.clone() + self.drop_path.forward(self.attn.forward(self.norm1.forward(x)));
        x.clone() + self.drop_path.forward(self.mlp.forward(self.norm2.forward(x)))
    }
}

/// Attention whose keys and values are those of a smaller image.
#[derive(Module, Debug)]
struct Attention {
    q: Linear,
    kv: Linear,
    proj: Linear,
    sr: Option<Conv2d>,
    norm: Option<LayerNorm>,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    fn new(width: usize, heads: usize, reduction: usize, walk: Walk, init: &mut Initializer) -> Self {
        let linear =
            |outputs: usize, init: &mut Initializer| Linear::new(width, outputs, WeightInit::Normal002, init);
        let q = linear(width, init);
        let kv = linear(2 * width, init);
        let proj = linear(width, init);
        let (sr, norm) = match reduction {
            1 => (None, None),
            _ => {
                let geometry =
                    ConvGeometry::new(width, width, reduction).with_stride(reduction).with_padding(0);
                let geometry = walked(geometry, walk);
                let sr = Conv2d::new(geometry, WeightInit::KaimingNormalFanOut, Bias::Zero, init);
                (Some(sr), Some(LayerNorm::new(width, EPSILON_BEHIND_CONVOLUTION, init)))
            }
        };
        Self { q, kv, proj, sr, norm, heads }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let [batch, height, width, channels] = shape;
        let tokens = x.clone().reshape([batch, height * width, channels]);
        let sources = match (&self.sr, &self.norm) {
            (Some(sr), Some(norm)) => {
                let smaller = norm.forward(channels_last(sr.forward(channels_first(x))));
                let [_, height, width, _] = smaller.dims();
                smaller.reshape([batch, height * width, channels])
            }
            _ => tokens.clone(),
        };
        let query = part_heads(self.q.forward(tokens), self.heads);
        let pairs = self.kv.forward(sources);
        let key = part_heads(pairs.clone().narrow(2, 0, channels), self.heads);
        let value = part_heads(pairs.narrow(2, channels, channels), self.heads);
        self.proj.forward(join_heads(attend(query, key, value, None))).reshape(shape)
    }
}

/// Two linear layers with a depthwise convolution between them, which tells a token where it is.
#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    dwconv: DepthwiseConvolution,
    fc2: Linear,
}

impl Mlp {
    fn new(width: usize, walk: Walk, init: &mut Initializer) -> Self {
        let hidden = EXPANSION * width;
        Self {
            fc1: Linear::new(width, hidden, WeightInit::Normal002, init),
            dwconv: DepthwiseConvolution::new(hidden, walk, init),
            fc2: Linear::new(hidden, width, WeightInit::Normal002, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let hidden = self.dwconv.dwconv.forward(channels_first(self.fc1.forward(x)));
        self.fc2.forward(gelu(channels_last(hidden)))
    }
}

/// A level of smp's names.
#[derive(Module, Debug)]
struct DepthwiseConvolution {
    dwconv: Conv2d,
}

impl DepthwiseConvolution {
    fn new(channels: usize, walk: Walk, init: &mut Initializer) -> Self {
        let geometry = walked(ConvGeometry::new(channels, channels, 3).with_groups(channels), walk);
        Self { dwconv: Conv2d::new(geometry, WeightInit::KaimingNormalDepthwise, Bias::Zero, init) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::devices;
    use crate::nn::golden::tokens::Golden;

    #[test]
    fn attention_with_fewer_keys_has_smps_values_and_gradients() {
        for (name, width, dilation) in [("mit_attention", 8, 1), ("mit_attention_dilated", 4, 2)] {
            let golden = Golden::of(name);
            for device in devices() {
                let init = &mut Initializer::new(1, &device);
                let layer = golden.filled(Attention::new(width, 2, 2, Walk { stride: 1, dilation }, init));
                golden.check(&layer, &device, |x| layer.forward(x));
            }
        }
    }

    #[test]
    fn the_network_of_a_block_has_smps_values_and_gradients() {
        let golden = Golden::of("mit_mlp");
        for device in devices() {
            let init = &mut Initializer::new(1, &device);
            let layer = golden.filled(Mlp::new(4, Walk { stride: 1, dilation: 1 }, init));
            golden.check(&layer, &device, |x| layer.forward(x));
        }
    }
}

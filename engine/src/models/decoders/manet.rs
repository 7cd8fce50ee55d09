//! The MA-Net decoder.
//!
//! # Sources
//! Fan et al. 2020, MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation; smp 0.6's `MAnetDecoder`, whose attention over
//! positions has one softmax over all pairs of positions, and reads what comes out of it in another order than it went in.

#![expect(non_snake_case, reason = "fields are called as smp's, and the derived code calls its variables so")]

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::blocks::{ConvNormRelu, conv, size};
use super::unet::UpBlock;
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::{
    Conv2d, ConvGeometry, Initializer, global_average, relu, softmax_of_all, upsample_nearest_and_join,
};

/// Channels after each of the five steps up: smp's default.
const CHANNELS: [usize; 5] = [256, 128, 64, 32, 16];
/// Channels of the maps that positions are compared by: smp's default.
const COMPARED: usize = 64;
/// A gate sees so many times fewer channels than it opens: smp's default.
const REDUCTION: usize = 16;

/// Attention over positions at the deepest features, then five steps up, each but the last with attention over channels.
#[derive(Module, Debug)]
pub(in crate::models) struct MAnetDecoder {
    center: PositionAttention,
    blocks: Vec<Step>,
}

impl MAnetDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS[CHANNELS.len() - 1], 3);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES);

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        let (_input, features) = channels.split_at(1.min(channels.len()));
        let mut below = features.last().copied().unwrap_or_default();
        let center = PositionAttention::new(below, init);
        // Skips from the second deepest feature upwards; the last step has none.
        let skips = features.iter().rev().skip(1).copied().chain(std::iter::once(0));
        let blocks = skips
            .zip(CHANNELS)
            .map(|(skip, outputs)| {
                let step = match skip {
                    0 => Step::Plain(UpBlock::new(below, outputs, init)),
                    _ => Step::Fused(Fusion::new(below, skip, outputs, init)),
                };
                below = outputs;
                step
            })
            .collect();
        Self { center, blocks }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { shallow, deepest } = features;
        let x = self.center.forward(deepest);
        self.blocks.iter().zip(shallow.into_iter().rev()).fold(x, |x, (step, skip)| match step {
            Step::Fused(block) => block.forward(x, skip),
            // What is beside it, the image or features without a channel, is no skip but has its size.
            Step::Plain(block) => block.forward(x, None, size(&skip)),
        })
    }
}

/// A step up, with a skip or without.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "five of them in a model, four of the largest")]
enum Step {
    /// With attention over channels.
    Fused(Fusion),
    /// As a U-Net's.
    Plain(UpBlock),
}

/// smp's `PABBlock`: every position takes from every other by how alike they are.
#[derive(Module, Debug)]
struct PositionAttention {
    top_conv: Conv2d,
    center_conv: Conv2d,
    bottom_conv: Conv2d,
    out_conv: Conv2d,
}

impl PositionAttention {
    fn new(channels: usize, init: &mut Initializer) -> Self {
        Self {
            top_conv: conv(ConvGeometry::new(channels, COMPARED, 1), init),
            center_conv: conv(ConvGeometry::new(channels, COMPARED, 1), init),
            bottom_conv: conv(ConvGeometry::new(channels, channels, 3), init),
            out_conv: conv(ConvGeometry::new(channels, channels, 3), init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let top: Tensor<3> = self.top_conv.forward(x.clone()).flatten(2, 3);
        let center: Tensor<3> = self.center_conv.forward(x.clone()).flatten(2, 3);
        let bottom: Tensor<3> = self.bottom_conv.forward(x.clone()).flatten(2, 3);
        let alike = softmax_of_all(center.swap_dims(1, 2).matmul(top));
        let taken = alike.matmul(bottom.swap_dims(1, 2));
        // As smp: positions are read as if channels came first.
        self.out_conv.forward(x + taken.reshape(shape))
    }
}

/// smp's `MFABBlock`: upsampling, joining, and two convolutions, with a gate for each channel by what both sides see.
#[derive(Module, Debug)]
struct Fusion {
    hl_conv: Narrowing,
    SE_ll: Gate,
    SE_hl: Gate,
    conv1: ConvNormRelu,
    conv2: ConvNormRelu,
}

impl Fusion {
    fn new(inputs: usize, skip: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self {
            hl_conv: Narrowing {
                at_0: ConvNormRelu::new(inputs, inputs, init),
                at_1: ConvNormRelu::pointwise(inputs, skip, init),
            },
            SE_ll: Gate::new(skip, init),
            SE_hl: Gate::new(skip, init),
            conv1: ConvNormRelu::new(2 * skip, outputs, init),
            conv2: ConvNormRelu::new(outputs, outputs, init),
        }
    }

    /// Gated before it is enlarged, and not after as in smp: the means are the same, and the work a quarter.
    fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = self.hl_conv.at_1.forward(self.hl_conv.at_0.forward(x));
        let gate = self.SE_hl.forward(x.clone()) + self.SE_ll.forward(skip.clone());
        let x = upsample_nearest_and_join(x * gate, skip);
        self.conv2.forward(self.conv1.forward(x))
    }
}

/// To the channels of the skip.
#[derive(Module, Debug)]
struct Narrowing {
    at_0: ConvNormRelu,
    at_1: ConvNormRelu,
}

/// Squeeze and excitation: one number in 0 … 1 for each channel.
///
/// # Sources
/// Hu et al. 2017, Squeeze-and-Excitation Networks, eq. 2 and 3.
#[derive(Module, Debug)]
struct Gate {
    at_1: Conv2d,
    at_3: Conv2d,
}

impl Gate {
    fn new(channels: usize, init: &mut Initializer) -> Self {
        let reduced = (channels / REDUCTION).max(1);
        Self {
            at_1: conv(ConvGeometry::new(channels, reduced, 1), init),
            at_3: conv(ConvGeometry::new(reduced, channels, 1), init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        sigmoid(self.at_3.forward(relu(self.at_1.forward(global_average(x)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::{Golden, devices, filled, read};

    #[test]
    fn attention_over_positions_has_torchs_values_and_gradients() {
        let case = Golden::only("position_attention");
        for device in devices() {
            let block = filled(PositionAttention::new(5, &mut Initializer::new(0, &device)));
            let x = case.input(&device);
            let gradients = case.check(&x, block.forward(x.clone()));
            case.check_parameters(&block, &gradients);
        }
    }

    #[test]
    fn attention_over_channels_has_torchs_values_and_gradients() {
        let case = Golden::only("channel_attention");
        for device in devices() {
            let block = filled(Fusion::new(6, 4, 3, &mut Initializer::new(0, &device)));
            let (x, skip) = (case.input(&device), case.second_input(&device));
            let gradients = case.check(&x, block.forward(x.clone(), skip.clone()));
            let of_skip = read(skip.grad(&gradients).unwrap());
            case.close(&format!("{device:?}"), "second_input_gradient", &of_skip);
            case.check_parameters(&block, &gradients);
        }
    }
}

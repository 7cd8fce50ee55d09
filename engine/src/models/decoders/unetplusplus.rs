//! The U-Net++ decoder.
//!
//! # Sources
//! Zhou et al. 2018, UNet++: A Nested U-Net Architecture, eq. 1; smp 0.6's `UnetPlusPlusDecoder`: nearest upsampling, no attention, no
//! centre block, no deep supervision.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::size;
use super::unet::UpBlock;
use super::{HeadSpec, InputNeeds};
use crate::models::encoders::{FeatureSpec, Features};
use crate::nn::Initializer;

/// Channels after each of the five steps up: smp's default.
const CHANNELS: [usize; 5] = [256, 128, 64, 32, 16];

/// U-Nets of every depth in one: a node takes the node below it and all nodes of its resolution.
#[derive(Module, Debug)]
pub(in crate::models) struct UnetPlusPlusDecoder {
    blocks: Blocks,
}

/// `x_{row}_{column}` in smp's order. A column has one resolution; the last row begins with what the encoder sees there.
#[derive(Module, Debug)]
struct Blocks {
    x_0_0: UpBlock,
    x_0_1: UpBlock,
    x_1_1: UpBlock,
    x_0_2: UpBlock,
    x_1_2: UpBlock,
    x_2_2: UpBlock,
    x_0_3: UpBlock,
    x_1_3: UpBlock,
    x_2_3: UpBlock,
    x_3_3: UpBlock,
    x_0_4: UpBlock,
}

impl UnetPlusPlusDecoder {
    pub(super) const FEATURES: FeatureSpec = FeatureSpec::WHOLE;
    pub(super) const HEAD: HeadSpec = HeadSpec::new(CHANNELS[CHANNELS.len() - 1], 3);
    pub(super) const INPUT: InputNeeds = InputNeeds::of(Self::FEATURES);

    /// `channels` are those of the encoder's features, the input's own first.
    pub(super) fn new(channels: &[usize], init: &mut Initializer) -> Self {
        // From the deepest upwards.
        let features: Vec<usize> = channels.iter().skip(1).rev().copied().collect();
        let feature = |at: usize| features.get(at).copied().unwrap_or_default();
        let mut node = |row: usize, column: usize| {
            let skip = feature(column + 1);
            let skips = skip * (column + 1 - row);
            match row {
                0 => {
                    let below = if column == 0 { feature(0) } else { CHANNELS[column - 1] };
                    UpBlock::new(below + skips, CHANNELS[column], init)
                }
                _ => UpBlock::new(feature(column) + skips, skip, init),
            }
        };
        let blocks = Blocks {
            x_0_0: node(0, 0),
            x_0_1: node(0, 1),
            x_1_1: node(1, 1),
            x_0_2: node(0, 2),
            x_1_2: node(1, 2),
            x_2_2: node(2, 2),
            x_0_3: node(0, 3),
            x_1_3: node(1, 3),
            x_2_3: node(2, 3),
            x_3_3: node(3, 3),
            x_0_4: UpBlock::new(CHANNELS[3], CHANNELS[4], init),
        };
        Self { blocks }
    }

    pub(super) fn forward(&self, features: Features) -> Tensor<4> {
        let Features { mut shallow, deepest } = features;
        let image = (!shallow.is_empty()).then(|| size(&shallow.remove(0)));
        let mut below = deepest;
        let mut column_before = Vec::new();
        for (column, skip) in self.blocks.columns().into_iter().zip(shallow.into_iter().rev()) {
            let made = climb(&column, std::mem::take(&mut column_before), below, &skip);
            below = skip;
            column_before = made;
        }
        // The longest way; the image is no skip, but the last step returns to its size.
        let longest = column_before.into_iter().next().unwrap_or(below);
        let image = image.unwrap_or_else(|| size(&longest));
        self.blocks.x_0_4.forward(longest, None, image)
    }
}

/// The nodes of a column, row 0 first: each enlarges the node of its row in the column before, the last one the encoder's own
/// features `below`, and takes all nodes that were made after it and the encoder's `skip`.
fn climb(column: &[&UpBlock], before: Vec<Tensor<4>>, below: Tensor<4>, skip: &Tensor<4>) -> Vec<Tensor<4>> {
    let mut made: Vec<Tensor<4>> = Vec::with_capacity(column.len());
    let inputs = std::iter::once(below).chain(before.into_iter().rev());
    for (block, x) in column.iter().rev().zip(inputs) {
        let beside: Vec<Tensor<4>> = made.iter().rev().chain([skip]).cloned().collect();
        let beside = if made.is_empty() { skip.clone() } else { Tensor::cat(beside, 1) };
        let to = size(skip);
        made.push(block.forward(x, Some(beside), to));
    }
    made.reverse();
    made
}

impl Blocks {
    /// The columns that take features of the encoder, row 0 first.
    fn columns(&self) -> [Vec<&UpBlock>; 4] {
        [
            vec![&self.x_0_0],
            vec![&self.x_0_1, &self.x_1_1],
            vec![&self.x_0_2, &self.x_1_2, &self.x_2_2],
            vec![&self.x_0_3, &self.x_1_3, &self.x_2_3, &self.x_3_3],
        ]
    }
}

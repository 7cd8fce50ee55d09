//! Attention of many heads.

use burn::module::{Module, Param};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Tensor, module};

use super::init::{Initializer, WeightInit};
use super::kernels::softmax;
use super::precision::cast;

/// `softmax(query keyᵗ / sqrt(width) + bias) value`: what each query gathers.
///
/// # Shapes
/// - `query`: `[batch, heads, queries, width]`
/// - `key`, `value`: `[batch, heads, keys, width]`
/// - `bias`: `[1, heads, queries, keys]`
/// - returns `[batch, heads, queries, width]`
///
/// # Sources
/// Vaswani et al. 2017, Attention Is All You Need, eq. 1.
pub fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, bias: Option<Tensor<4>>) -> Tensor<4> {
    if bias.is_none() && !query.device().is_autodiff() {
        // Never holds all weights at once. It has no gradient in burn.
        return module::attention(query, key, value, None, None, AttentionModuleOptions::default());
    }
    let [_, _, _, width] = query.dims();
    let scores = query.mul_scalar(1.0 / (width as f64).sqrt()).matmul(key.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => {
            let bias = cast(bias, scores.dtype());
            scores + bias
        }
        None => scores,
    };
    softmax(scores).matmul(value)
}

/// Parts the last dimension among heads.
///
/// # Shapes
/// - `x`: `[batch, places, heads * width]`
/// - returns `[batch, heads, places, width]`
pub fn part_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, places, channels] = x.dims();
    x.reshape([batch, places, heads, channels / heads]).swap_dims(1, 2)
}

/// Lays the heads side by side again.
///
/// # Shapes
/// - `x`: `[batch, heads, places, width]`
/// - returns `[batch, places, heads * width]`
pub fn join_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, places, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, places, heads * width])
}

/// How far apart the places of a square window are: for each query and key, the row of a table of biases.
///
/// It is a matrix of zeros and ones that the table is multiplied by. So the gradient is a sum in a fixed order on every
/// device, which the gradient of an index is not.
#[derive(Debug, Clone)]
pub struct RelativePositions {
    chosen: Tensor<2>,
    side: usize,
}

impl RelativePositions {
    /// Those of a window of `side` x `side`.
    pub fn new(side: usize, init: &Initializer) -> Self {
        let places = side * side;
        let distances = (2 * side - 1).pow(2);
        let mut chosen = vec![0.0; places * places * distances];
        for (pair, row) in chosen.chunks_exact_mut(distances).enumerate() {
            row[distance(pair / places, pair % places, side)] = 1.0;
        }
        Self { chosen: init.table(chosen, [places * places, distances]), side }
    }
}

/// timm's `RelPosBias`: what attention within a square window adds to the score of two places, by how far apart they are.
///
/// # Sources
/// Liu et al. 2021, Swin Transformer, eq. 4.
#[derive(Module, Debug)]
pub struct RelativePositionBias {
    relative_position_bias_table: Param<Tensor<2>>,
    chosen: Tensor<2>,
    #[module(skip)]
    places: usize,
}

impl RelativePositionBias {
    /// For `heads`; layers may share their positions.
    pub fn new(positions: &RelativePositions, heads: usize, init: &mut Initializer) -> Self {
        let RelativePositions { chosen, side } = positions;
        let [_, distances] = chosen.dims();
        Self {
            relative_position_bias_table: init.weight([distances, heads], WeightInit::Normal002),
            chosen: chosen.clone(),
            places: side * side,
        }
    }

    /// # Shapes
    /// - returns `[1, heads, places, places]`
    pub fn forward(&self) -> Tensor<4> {
        let [_, heads] = self.relative_position_bias_table.dims();
        let biases = self.chosen.clone().matmul(self.relative_position_bias_table.val());
        biases.swap_dims(0, 1).reshape([1, heads, self.places, self.places])
    }
}

/// The row of the table for a query and a key, counted row by row within a window.
fn distance(query: usize, key: usize, side: usize) -> usize {
    let apart = |query: usize, key: usize| query + side - 1 - key;
    apart(query / side, key / side) * (2 * side - 1) + apart(query % side, key % side)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::golden::devices;

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    /// Rows of the table in the order of the paper's code: the last row is the query at the lower right of the key.
    #[test]
    fn a_bias_is_that_of_the_distance_of_two_places() {
        for device in devices() {
            let init = &mut Initializer::new(1, &device);
            let positions = RelativePositions::new(2, init);
            let mut layer = RelativePositionBias::new(&positions, 1, init);
            let table: Vec<f32> = (0_u8..9).map(f32::from).collect();
            let table = Tensor::from_data(TensorData::new(table, [9, 1]), &device);
            layer.relative_position_bias_table = layer.relative_position_bias_table.map(|_| table);
            let biases = layer.forward();
            assert_eq!(biases.dims(), [1, 1, 4, 4]);
            let expected = [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4].map(|row: u8| f32::from(row));
            assert_eq!(read(biases), expected);
        }
    }

    /// Without gradients another kernel computes, that holds fewer numbers at a time.
    #[test]
    fn attention_is_the_same_with_and_without_gradients() {
        for device in devices() {
            let numbers = |shape: [usize; 4], step: f32| {
                let count = shape.iter().product::<usize>();
                let values = (0..count).map(|at| (at as f32 * step).sin()).collect();
                Tensor::<4>::from_data(TensorData::new(values, shape), &device)
            };
            let query = numbers([2, 3, 5, 4], 0.7);
            let [key, value] = [1.3, 2.1].map(|step| numbers([2, 3, 7, 4], step));
            let trained = attend(query.clone(), key.clone(), value.clone(), None);
            let [query, key, value] = [query, key, value].map(Tensor::without_autodiff);
            let evaluated = attend(query, key, value, None);
            for (a, b) in read(trained).into_iter().zip(read(evaluated)) {
                assert!((a - b).abs() < 1e-5, "{a} and {b}");
            }
        }
    }
}

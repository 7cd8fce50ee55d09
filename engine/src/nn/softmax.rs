//! Shares of a whole.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Tensor};

use super::precision::cast;

/// The softmax over all values of a sample, in 32 bits, given back in the type of `x`.
///
/// # Shapes
/// - `x`: `[batch, rows, columns]`
/// - returns the same; each sample sums to 1
pub fn softmax_of_all(x: Tensor<3>) -> Tensor<3> {
    let shape @ [batch, rows, columns] = x.dims();
    let dtype = x.dtype();
    let shares = softmax(cast(x, DType::F32).reshape([batch, rows * columns]), 1);
    cast(shares.reshape(shape), dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::devices;

    #[test]
    fn each_sample_is_a_whole_of_its_own_and_large_values_do_no_harm() {
        for device in devices() {
            let x = Tensor::<3>::from_data([[[1000.0_f32, 1000.0]], [[0.0, 3.0_f32.ln()]]], &device);
            let shares: Vec<f32> = softmax_of_all(x).into_data().try_into_vec().unwrap();
            for (got, expected) in shares.into_iter().zip([0.5, 0.5, 0.25, 0.75]) {
                assert!((got - expected).abs() < 1e-6, "{got}, not {expected}, on {device:?}");
            }
        }
    }
}

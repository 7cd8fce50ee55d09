//! Pooling beside that of the residual networks' stem.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// `torch.nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)`: halves height and width; the last window may hang over
/// the edge, none begins before it.
pub fn max_pool_3x3_stride_2_ceil(x: Tensor<4>) -> Tensor<4> {
    let mut options = MaxPoolOptions::new([3, 3]);
    options.stride = [2, 2];
    options.ceil_mode = true;
    max_pool2d(x, options)
}

/// `torch.nn.AdaptiveAvgPool2d(1)`: the mean of each channel.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - returns `[batch, channels, 1, 1]`
pub fn global_average(x: Tensor<4>) -> Tensor<4> {
    x.mean_dims(&[3, 2])
}

/// Squeeze and excitation: each channel of `x` times the sigmoid of its logit.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - `logits`: `[batch, channels, 1, 1]`
/// - returns as `x`
///
/// # Sources
/// Hu et al. 2017, Squeeze-and-Excitation Networks, eq. 3 and 4.
pub fn excite(x: Tensor<4>, logits: Tensor<4>) -> Tensor<4> {
    x * sigmoid(logits)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    #[test]
    fn the_last_window_hangs_over_and_none_begins_before_the_edge() {
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            for (row, expected) in [
                (vec![9.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0], vec![9.0, 4.0, 5.0]),
                (vec![9.0, 1.0, -2.0, -3.0, -4.0], vec![9.0, -2.0]),
                (vec![-9.0, -1.0], vec![-1.0]),
            ] {
                let shape = [1, 1, 3, row.len()];
                let x = Tensor::from_data(TensorData::new(row.repeat(3), shape), &device);
                let got = max_pool_3x3_stride_2_ceil(x).into_data().try_into_vec::<f32>().unwrap();
                assert_eq!(got, expected, "{device:?}");
            }
        }
    }

    #[test]
    fn a_channel_is_scaled_by_its_own_gate() {
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            let values: Vec<f32> = (0..8).map(|value| value as f32).collect();
            let x = Tensor::<4>::from_data(TensorData::new(values, [1, 2, 2, 2]), &device);
            let means = global_average(x.clone());
            assert_eq!(means.dims(), [1, 2, 1, 1]);
            let read = |x: Tensor<4>| x.into_data().try_into_vec::<f32>().unwrap();
            assert_eq!(read(means.clone()), [1.5, 5.5]);
            // The sigmoid of ln 3 is 3/4, of 0 it is 1/2.
            let logits =
                Tensor::from_data(TensorData::new(vec![0.0_f32, 3.0_f32.ln()], [1, 2, 1, 1]), &device);
            let expected = [0.0, 0.5, 1.0, 1.5, 3.0, 3.75, 4.5, 5.25];
            for (got, expected) in read(excite(x, logits)).into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-6, "{got}, not {expected}, on {device:?}");
            }
        }
    }
}

//! What a network does between its layers.

use burn::tensor::Tensor;
use burn::tensor::module::{interpolate, max_pool2d};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions, MaxPoolOptions};

/// `max(x, 0)`.
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    super::kernels::relu(x)
}

/// `torch.nn.MaxPool2d(kernel_size=3, stride=2, padding=1)`: halves height and width, rounding up.
pub fn max_pool_3x3_stride_2(x: Tensor<4>) -> Tensor<4> {
    let mut options = MaxPoolOptions::new([3, 3]);
    options.stride = [2, 2];
    options.padding = [(1, 1), (1, 1)];
    max_pool2d(x, options)
}

/// `torch.nn.MaxPool2d(kernel_size=2, stride=2)`: halves height and width, rounding down.
pub fn max_pool_2x2(x: Tensor<4>) -> Tensor<4> {
    max_pool2d(x, MaxPoolOptions::new([2, 2]))
}

/// `torch.nn.functional.interpolate(mode="nearest")` to `[height, width]`.
pub fn upsample_nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if [height, width] == size {
        return x;
    }
    let options =
        InterpolateOptions::new(InterpolateMode::Nearest).with_align_corners(false).with_output_size(size);
    interpolate(x, options)
}

/// `torch.cat([interpolate(x, size=skip's, mode="nearest"), skip], dim=1)`: the way up of a U-Net, as one operation.
///
/// # Shapes
/// - `x`: `[batch, channels, h, w]`
/// - `skip`: `[batch, channels of the skip, height, width]`
/// - returns `[batch, channels + channels of the skip, height, width]`
pub fn upsample_nearest_and_join(x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    super::kernels::upsample_join(x, skip)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    fn devices() -> impl Iterator<Item = Device> {
        BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok())
    }

    /// The source of output i of n is floor(i in / n), whatever the sizes.
    #[test]
    fn nearest_upsampling_takes_the_pixel_pytorch_takes() {
        for device in devices() {
            for (from, to) in [(4, 8), (3, 5), (2, 7), (7, 4)] {
                let row = (0..from).map(|value| value as f32).collect();
                let x = Tensor::from_data(TensorData::new(row, [1, 1, 1, from]), &device);
                let got = upsample_nearest(x, [2, to]).into_data().try_into_vec::<f32>().unwrap();
                let expected: Vec<f32> = (0..2 * to).map(|i| (i % to * from / to) as f32).collect();
                assert_eq!(got, expected, "{from} to {to} on {device:?}");
            }
        }
    }

    #[test]
    fn pooling_pads_with_less_than_any_value_and_rounds_up() {
        for device in devices() {
            let row = vec![-5.0_f32, -4.0, -3.0, -2.0, -1.0];
            let x = Tensor::from_data(TensorData::new(row, [1, 1, 1, 5]), &device);
            let got = max_pool_3x3_stride_2(x).into_data().try_into_vec::<f32>().unwrap();
            assert_eq!(got, [-4.0, -2.0, -1.0], "{device:?}");
        }
    }
}

//! What a network does between its layers.

use burn::tensor::Tensor;
use burn::tensor::module::{interpolate, max_pool2d};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions, MaxPoolOptions};

/// `max(x, 0)`.
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    burn::tensor::activation::relu(x)
}

/// `torch.nn.MaxPool2d(kernel_size=3, stride=2, padding=1)`: halves height and width, rounding up.
pub fn max_pool_3x3_stride_2(x: Tensor<4>) -> Tensor<4> {
    let mut options = MaxPoolOptions::new([3, 3]);
    options.stride = [2, 2];
    options.padding = [(1, 1), (1, 1)];
    max_pool2d(x, options)
}

/// `torch.nn.functional.interpolate(mode="nearest")` to `[height, width]`.
pub fn upsample_nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if [height, width] == size {
        return x;
    }
    let options = InterpolateOptions::new(InterpolateMode::Nearest)
        .with_align_corners(false)
        .with_output_size(size);
    interpolate(x, options)
}

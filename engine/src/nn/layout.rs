//! Images as convolutions take them and as linear layers take them.
//!
//! Both are views of the same memory where the channels lie innermost already, as [`kernels`](super::kernels) has them on
//! the processor.

use burn::tensor::Tensor;

/// `[batch, channels, height, width]` to `[batch, height, width, channels]`.
pub fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// `[batch, height, width, channels]` to `[batch, channels, height, width]`.
pub fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

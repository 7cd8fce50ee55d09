//! Activations beside ReLU.

use burn::tensor::Tensor;

/// `torch.nn.SiLU`, also called swish: `x` times its sigmoid.
pub fn silu(x: Tensor<4>) -> Tensor<4> {
    super::kernels::silu(x)
}

/// `torch.nn.ReLU6`: `x` between 0 and 6.
pub fn relu6(x: Tensor<4>) -> Tensor<4> {
    super::kernels::relu6(x)
}

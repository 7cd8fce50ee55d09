//! The activation of transformers.

use burn::tensor::Tensor;

/// `torch.nn.GELU`: `x` times the share of a standard normal distribution that lies below it, exactly and not by its
/// approximation with a hyperbolic tangent.
///
/// # Sources
/// Hendrycks and Gimpel 2016, Gaussian Error Linear Units, section 2.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::gelu(x)
}

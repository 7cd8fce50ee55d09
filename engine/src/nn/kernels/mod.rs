//! The arithmetic of the layers: torch's own kernels where libtorch computes, burn's operations elsewhere.
//!
//! burn-tch composes the backward pass of a convolution and both passes of a batch normalisation of many small
//! operations, and an optimizer step of a dozen a parameter; torch has each as one. Both ways have the same meaning, and the
//! tests hold them to the same values.
//!
//! Layout. On the processor, libtorch convolves images whose channels lie innermost (`channels_last`) a sixth to a fourth faster, so
//! four-dimensional weights are laid out so once ([`laid_out`]); a convolution brings its input into the layout of
//! its weights, and what follows keeps the layout it is given. On a GPU the gain hangs on its kind and the precision:
//! images stay as they are. docs/performance.md has the figures. What is stored (checkpoints, exports) is in the plain order always.

#[cfg(feature = "tch")]
mod torch;

use burn::tensor::{DType, Int, Tensor};

use super::precision::cast;
use burn::tensor::module as composed;

/// How a convolution moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) groups: usize,
}

/// What a batch normalisation gives while training.
#[derive(Debug)]
pub(super) struct Normalised {
    pub(super) output: Tensor<4>,
    /// The running mean after this batch.
    pub(super) running_mean: Tensor<1>,
    /// The running variance after this batch.
    pub(super) running_var: Tensor<1>,
}

/// One step's constants of AdamW.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamWStep {
    /// Steps of this parameter, this one included.
    pub(crate) step: u64,
    pub(crate) learning_rate: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
}

/// A parameter with its moments.
#[derive(Debug)]
pub(crate) struct Moved<const D: usize> {
    pub(crate) parameter: Tensor<D>,
    pub(crate) mean: Tensor<D>,
    pub(crate) square: Tensor<D>,
}

/// `torch.nn.functional.conv2d`, in the type of `x`.
pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, of: Convolution) -> Tensor<4> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        let y = torch::conv2d(x, weight, of);
        return match bias {
            None => y,
            Some(bias) => {
                let [channels] = bias.dims();
                let bias = cast(bias, y.dtype());
                y + bias.reshape([1, channels, 1, 1])
            }
        };
    }
    let options = burn::tensor::ops::ConvOptions::new(of.stride, of.padding, of.dilation, of.groups);
    let dtype = x.dtype();
    composed::conv2d(x, cast(weight, dtype), bias.map(|bias| cast(bias, dtype)), options)
}

/// Normalises by the batch, in 32 bits, and moves the running statistics by `momentum`; the running variance takes the unbiased
/// one.
pub(super) fn batch_norm_train(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    running: [Tensor<1>; 2],
    momentum: f64,
    epsilon: f64,
) -> Normalised {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return torch::batch_norm_train(x, affine, running, momentum, epsilon);
    }
    let [batch, _, height, width] = x.dims();
    let count = (batch * height * width) as f64;
    let [weight, bias] = affine;
    let dtype = x.dtype();
    let result = composed::batch_norm_train(cast(x, DType::F32), weight, bias, epsilon);
    // One value per channel has no spread: PyTorch refuses it, n / (n - 1) would be infinite.
    let unbiased = result.variance.mul_scalar(count / (count - 1.0).max(1.0));
    let blend = |running: Tensor<1>, batch: Tensor<1>| {
        (running.mul_scalar(1.0 - momentum) + batch.detach().mul_scalar(momentum)).detach()
    };
    let [running_mean, running_var] = running;
    Normalised {
        output: cast(result.output, dtype),
        running_mean: blend(running_mean, result.mean),
        running_var: blend(running_var, unbiased),
    }
}

/// Normalises by the running statistics, in 32 bits.
pub(super) fn batch_norm_eval(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    running: [Tensor<1>; 2],
    epsilon: f64,
) -> Tensor<4> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) && !x.device().is_autodiff() {
        return torch::batch_norm_eval(x, affine, running, epsilon);
    }
    let ([weight, bias], [mean, variance]) = (affine, running);
    let dtype = x.dtype();
    cast(composed::batch_norm(cast(x, DType::F32), weight, bias, mean, variance, epsilon), dtype)
}

/// `max(x, 0)`.
pub(super) fn relu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return torch::relu(x);
    }
    burn::tensor::activation::relu(x)
}

/// `max(x, 0)`, 6 at most.
pub(super) fn relu6(x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return torch::relu6(x);
    }
    x.clamp(0.0, 6.0)
}

/// `x` times its sigmoid.
pub(super) fn silu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return torch::silu(x);
    }
    burn::tensor::activation::silu(x)
}

/// `x` enlarged to the size of `skip` by nearest pixels, with `skip` behind it along the channels.
pub(super) fn upsample_join(x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return torch::upsample_join(x, skip);
    }
    let [_, _, height, width] = skip.dims();
    Tensor::cat(vec![super::upsample_nearest(x, [height, width]), skip], 1)
}

/// Normalises over the last dimension, in 32 bits.
pub(super) fn layer_norm<const D: usize>(x: Tensor<D>, affine: [Tensor<1>; 2], epsilon: f64) -> Tensor<D> {
    let dtype = x.dtype();
    let x = cast(x, DType::F32);
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return cast(torch::layer_norm(x, affine, epsilon), dtype);
    }
    let [weight, bias] = affine;
    cast(composed::layer_norm(x, weight, Some(bias), epsilon), dtype)
}

/// Shares that add up to 1 along the last dimension, in 32 bits.
pub(super) fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    let x = cast(x, DType::F32);
    #[cfg(feature = "tch")]
    if torch::computes_on(&x.device()) {
        return cast(torch::softmax(x), dtype);
    }
    cast(burn::tensor::activation::softmax(x, D - 1), dtype)
}

/// One step of AdamW, in the memory of what nobody else holds.
///
/// # Sources
/// Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2; order of operations of PyTorch's
/// `torch.optim.AdamW`.
pub(crate) fn adamw<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: Option<[Tensor<D>; 2]>,
    step: AdamWStep,
) -> Moved<D> {
    let [mean, square] = moments.unwrap_or_else(|| [parameter.zeros_like(), parameter.zeros_like()]);
    #[cfg(feature = "tch")]
    if torch::computes_on(&parameter.device()) {
        return torch::adamw(Moved { parameter, mean, square }, gradient, step);
    }
    let AdamWStep { step, learning_rate, beta1, beta2, epsilon, weight_decay } = step;
    let mean = mean.mul_scalar(beta1).add(gradient.clone().mul_scalar(1.0 - beta1));
    let square = square.mul_scalar(beta2).add(gradient.square().mul_scalar(1.0 - beta2));
    // `powf` of a step count beyond 2^53 is out of reach; the cast is exact.
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    let denominator = square.clone().sqrt().div_scalar(correction(beta2).sqrt()).add_scalar(epsilon);
    let delta = mean.clone().div(denominator).mul_scalar(learning_rate / correction(beta1));
    let parameter = parameter.mul_scalar(1.0 - learning_rate * weight_decay).sub(delta);
    Moved { parameter, mean, square }
}

/// Whether the processor computes there, where the sums of every kernel come in one order.
pub(super) fn computes_on_processor(device: &burn::tensor::Device) -> bool {
    #[cfg(feature = "tch")]
    if torch::computes_on(device) {
        return torch::prefers_channels_last(device);
    }
    #[cfg(feature = "flex")]
    if matches!(device.clone().without_autodiff().as_dispatch(), burn::backend::DispatchDevice::Flex(_)) {
        return true;
    }
    false
}

/// Where the values stand, from the largest down. Equal ones keep their order on libtorch; elsewhere their order follows from
/// the values alone.
#[cfg_attr(not(feature = "segmentation"), allow(dead_code, reason = "one loss needs it"))]
pub(crate) fn order_descending(values: Tensor<1>) -> Tensor<1, Int> {
    #[cfg(feature = "tch")]
    if torch::computes_on(&values.device()) {
        return torch::order_descending(values);
    }
    values.argsort_descending(0)
}

/// A weight in the layout that its device convolves fastest; anything else, and the values, as they are.
pub(crate) fn laid_out<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "tch")]
    if D == 4 && torch::prefers_channels_last(&tensor.device()) {
        return torch::channels_last(tensor);
    }
    tensor
}

#[cfg(test)]
mod tests;

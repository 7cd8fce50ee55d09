//! Torch's kernels as operations of burn, gradients included.
//!
//! [`TorchKernels`] is a backend extension of burn: the macro routes a call by the device of its tensors, to `LibTorch` itself
//! or, where gradients are recorded, to the nodes in [`autodiff`]. It is called for tensors on libtorch only.

#![expect(deprecated, reason = "burn 0.22 is the last with libtorch; docs/decisions says why we stay")]

mod autodiff;
mod ffi;
mod tokens;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, LibTorch, LibTorchDevice, backend_extension};
use burn::tensor::{Device, Int, Tensor};
use burn_tch::TchTensor;

use super::{AdamWStep, Convolution, Moved, Normalised};

pub(super) use tokens::{layer_norm, softmax};

/// Whether libtorch computes there.
pub(super) fn computes_on(device: &Device) -> bool {
    libtorch(device).is_some()
}

/// Whether convolutions are faster there with the channels innermost.
pub(super) fn prefers_channels_last(device: &Device) -> bool {
    libtorch(device) == Some(LibTorchDevice::Cpu)
}

fn libtorch(device: &Device) -> Option<LibTorchDevice> {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::LibTorch(device) => Some(*device),
        _ => None,
    }
}

/// What a node has to keep, besides the output that goes on.
pub(super) struct BatchStatistics<B: Backend> {
    output: FloatTensor<B>,
    mean: FloatTensor<B>,
    deviation: FloatTensor<B>,
    running_mean: FloatTensor<B>,
    running_var: FloatTensor<B>,
}

/// Operations with a gradient.
#[backend_extension(Autodiff, LibTorch)]
pub(super) trait TorchKernels: Backend {
    fn torch_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, of: Convolution) -> FloatTensor<Self>;
    /// Output, running mean, running variance.
    fn torch_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        momentum: f64,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    fn torch_relu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    fn torch_relu6(x: FloatTensor<Self>) -> FloatTensor<Self>;
    fn torch_silu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    fn torch_upsample_join(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl TorchKernels for LibTorch {
    fn torch_conv2d(x: TchTensor, weight: TchTensor, of: Convolution) -> TchTensor {
        TchTensor::new(ffi::conv2d(&x.tensor, &weight.tensor, of))
    }

    fn torch_batch_norm(
        x: TchTensor,
        weight: TchTensor,
        bias: TchTensor,
        running_mean: TchTensor,
        running_var: TchTensor,
        momentum: f64,
        epsilon: f64,
    ) -> (TchTensor, TchTensor, TchTensor) {
        let of = batch_statistics(&x, [&weight, &bias], [&running_mean, &running_var], momentum, epsilon);
        (of.output, of.running_mean, of.running_var)
    }

    fn torch_relu(x: TchTensor) -> TchTensor {
        x.unary_ops(|mut x| x.relu_(), tch::Tensor::relu)
    }

    fn torch_relu6(x: TchTensor) -> TchTensor {
        x.unary_ops(|mut x| x.relu6_(), tch::Tensor::relu6)
    }

    fn torch_silu(x: TchTensor) -> TchTensor {
        x.unary_ops(|mut x| x.silu_(), tch::Tensor::silu)
    }

    fn torch_upsample_join(x: TchTensor, skip: TchTensor) -> TchTensor {
        TchTensor::new(ffi::upsample_join(&x.tensor, &skip.tensor))
    }
}

fn batch_statistics(
    x: &TchTensor,
    [weight, bias]: [&TchTensor; 2],
    [mean, variance]: [&TchTensor; 2],
    momentum: f64,
    epsilon: f64,
) -> BatchStatistics<LibTorch> {
    let affine = [&weight.tensor, &bias.tensor];
    let running = [&mean.tensor, &variance.tensor];
    let [output, mean, deviation, running_mean, running_var] =
        ffi::batch_norm_train(&x.tensor, affine, running, momentum, epsilon).map(TchTensor::new);
    BatchStatistics { output, mean, deviation, running_mean, running_var }
}

pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, of: Convolution) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::torch_conv2d(x.into_dispatch(), weight.into_dispatch(), of))
}

pub(super) fn batch_norm_train(
    x: Tensor<4>,
    [weight, bias]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    momentum: f64,
    epsilon: f64,
) -> Normalised {
    let (output, running_mean, running_var) = Dispatch::torch_batch_norm(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        momentum,
        epsilon,
    );
    Normalised {
        output: Tensor::from_dispatch(output),
        running_mean: Tensor::from_dispatch(running_mean),
        running_var: Tensor::from_dispatch(running_var),
    }
}

/// Without a gradient.
pub(super) fn batch_norm_eval(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    running: [Tensor<1>; 2],
    epsilon: f64,
) -> Tensor<4> {
    let (x, affine, running) = (primitive(x), affine.map(primitive), running.map(primitive));
    let (affine, running) = (affine.each_ref(), running.each_ref());
    let y = ffi::batch_norm_eval(
        &x.tensor,
        affine.map(|one| &one.tensor),
        running.map(|one| &one.tensor),
        epsilon,
    );
    Tensor::from_primitive::<LibTorch>(TchTensor::new(y))
}

pub(super) fn relu(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::torch_relu(x.into_dispatch()))
}

pub(super) fn relu6(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::torch_relu6(x.into_dispatch()))
}

pub(super) fn silu(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::torch_silu(x.into_dispatch()))
}

pub(super) fn upsample_join(x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::torch_upsample_join(x.into_dispatch(), skip.into_dispatch()))
}

/// The values of a tensor that nothing was computed from yet.
pub(super) fn channels_last<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let is_autodiff = x.device().is_autodiff();
    let primitive = primitive(if is_autodiff { x.inner() } else { x });
    let laid_out = ffi::channels_last(&primitive.tensor).map_or(primitive, TchTensor::new);
    let laid_out = Tensor::from_primitive::<LibTorch>(laid_out);
    if is_autodiff { laid_out.autodiff() } else { laid_out }
}

pub(super) fn adamw<const D: usize>(state: Moved<D>, gradient: Tensor<D>, step: AdamWStep) -> Moved<D> {
    let Moved { parameter, mean, square } = state;
    let mut state = [parameter, mean, square].map(|one| owned(primitive(one)));
    ffi::adamw(&mut state, &primitive(gradient).tensor, step);
    let [parameter, mean, square] = state.map(|one| Tensor::from_primitive::<LibTorch>(TchTensor::new(one)));
    Moved { parameter, mean, square }
}

/// Of values without a gradient.
pub(super) fn order_descending(values: Tensor<1>) -> Tensor<1, Int> {
    let order = primitive(values).tensor.argsort_stable(true, 0, true);
    Tensor::from_primitive::<LibTorch>(TchTensor::new(order))
}

/// The tensor with its memory to itself.
fn owned(tensor: TchTensor) -> tch::Tensor {
    if tensor.can_mut() { tensor.tensor } else { tensor.tensor.copy() }
}

#[expect(clippy::expect_used, reason = "asked for tensors of libtorch only")]
fn primitive<const D: usize>(tensor: Tensor<D>) -> TchTensor {
    tensor.try_into_primitive::<LibTorch>().expect("a tensor of libtorch")
}

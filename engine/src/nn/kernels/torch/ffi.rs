//! `kernels/kernels.cpp`, over libtorch's tensors.
//!
//! burn's operations can not fail, and burn-tch panics with torch's text where torch refuses one; so do these. The run that
//! asked for it ends with that text as its failure.

#![expect(unsafe_code, reason = "calls of the shim over libtorch's C++ interface")]

use std::ffi::c_void;
use std::ptr::null_mut;

use engine_devices::shim::{ErrorText, call};
use tch::Tensor;

use super::super::{AdamWStep, Convolution};

/// C's `EngineConvolution`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Of {
    stride: [i64; 2],
    padding: [i64; 2],
    dilation: [i64; 2],
    groups: i64,
}

type In = *const c_void;
type Out = *mut *mut c_void;

unsafe extern "C" {
    fn engine_conv2d(x: In, weight: In, of: Of, y: Out, error: ErrorText) -> bool;
    fn engine_conv2d_backward(
        grad: In,
        x: In,
        weight: In,
        of: Of,
        wants_x: bool,
        wants_weight: bool,
        grad_x: Out,
        grad_weight: Out,
        error: ErrorText,
    ) -> bool;
    fn engine_batch_norm_train(
        x: In,
        weight: In,
        bias: In,
        running_mean: In,
        running_var: In,
        momentum: f64,
        epsilon: f64,
        out: Out,
        error: ErrorText,
    ) -> bool;
    fn engine_batch_norm_backward(
        grad: In,
        x: In,
        weight: In,
        batch_mean: In,
        batch_deviation: In,
        epsilon: f64,
        wants_x: bool,
        wants_weight: bool,
        wants_bias: bool,
        out: Out,
        error: ErrorText,
    ) -> bool;
    fn engine_batch_norm_eval(
        x: In,
        weight: In,
        bias: In,
        mean: In,
        variance: In,
        epsilon: f64,
        y: Out,
        error: ErrorText,
    ) -> bool;
    fn engine_relu_backward(grad: *mut c_void, y: In, in_place: bool, grad_x: Out, error: ErrorText) -> bool;
    fn engine_upsample_join(x: In, skip: In, joined: Out, error: ErrorText) -> bool;
    fn engine_upsample_join_backward(
        grad: In,
        inner: i64,
        height: i64,
        width: i64,
        of_x: Out,
        of_skip: Out,
        error: ErrorText,
    ) -> bool;
    fn engine_layer_norm_backward(
        grad: In,
        x: In,
        weight: In,
        bias: In,
        mean: In,
        deviation: In,
        wants_x: bool,
        wants_weight: bool,
        wants_bias: bool,
        out: Out,
        error: ErrorText,
    ) -> bool;
    fn engine_channels_last(x: In, y: Out, error: ErrorText) -> bool;
    fn engine_is_channels_last(x: In) -> bool;
    fn engine_adamw(
        parameter: *mut c_void,
        gradient: In,
        mean: *mut c_void,
        square: *mut c_void,
        step: f64,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        error: ErrorText,
    ) -> bool;
}

fn given(tensor: &Tensor) -> In {
    tensor.as_ptr().cast()
}

impl From<Convolution> for Of {
    fn from(of: Convolution) -> Self {
        let both = |values: [usize; 2]| values.map(|value| value as i64);
        Self {
            stride: both(of.stride),
            padding: both(of.padding),
            dilation: both(of.dilation),
            groups: of.groups as i64,
        }
    }
}

/// Runs a kernel.
#[expect(clippy::panic, reason = "as burn-tch: an operation of burn has no other way to fail")]
fn run(kernel: &str, body: impl FnOnce(ErrorText) -> bool) {
    if let Err(text) = call(body) {
        panic!("libtorch refused {kernel}: {text}");
    }
}

/// What a kernel made; nothing where it was not asked for.
fn made(pointer: *mut c_void) -> Option<Tensor> {
    // SAFETY: the shim gives a new `at::Tensor` that is ours, or null.
    (!pointer.is_null()).then(|| unsafe { Tensor::from_ptr(pointer.cast()) })
}

/// What a kernel always makes.
#[expect(clippy::expect_used, reason = "the shim leaves it null only where it was told to, or failed")]
fn surely(pointer: *mut c_void) -> Tensor {
    made(pointer).expect("a kernel makes what it is asked for")
}

pub(super) fn conv2d(x: &Tensor, weight: &Tensor, of: Convolution) -> Tensor {
    let mut y = null_mut();
    run("a convolution", |error| {
        // SAFETY: the tensors outlive the call, `y` is a local.
        unsafe { engine_conv2d(given(x), given(weight), of.into(), &raw mut y, error) }
    });
    surely(y)
}

/// Gradients of the input and of the weight, those that are wanted.
pub(super) fn conv2d_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    of: Convolution,
    wanted: [bool; 2],
) -> [Option<Tensor>; 2] {
    let (mut of_x, mut of_weight) = (null_mut(), null_mut());
    run("a convolution's gradient", |error| {
        let (grad, x, weight) = (given(grad), given(x), given(weight));
        let [wants_x, wants_weight] = wanted;
        let (out_x, out_weight) = (&raw mut of_x, &raw mut of_weight);
        // SAFETY: as for `conv2d`.
        unsafe {
            engine_conv2d_backward(
                grad,
                x,
                weight,
                of.into(),
                wants_x,
                wants_weight,
                out_x,
                out_weight,
                error,
            )
        }
    });
    [made(of_x), made(of_weight)]
}

/// Output, the batch's mean and reciprocal deviation, the running mean and variance after it.
pub(super) fn batch_norm_train(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [running_mean, running_var]: [&Tensor; 2],
    momentum: f64,
    epsilon: f64,
) -> [Tensor; 5] {
    let mut out = [null_mut(); 5];
    run("a batch normalisation", |error| {
        let (weight, bias) = (given(weight), given(bias));
        let (mean, variance) = (given(running_mean), given(running_var));
        // SAFETY: as for `conv2d`; five tensors are given out.
        unsafe {
            engine_batch_norm_train(
                given(x),
                weight,
                bias,
                mean,
                variance,
                momentum,
                epsilon,
                out.as_mut_ptr(),
                error,
            )
        }
    });
    out.map(surely)
}

/// Gradients of the input, the scale and the shift, those that are wanted.
pub(super) fn batch_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    [batch_mean, batch_deviation]: [&Tensor; 2],
    epsilon: f64,
    wanted: [bool; 3],
) -> [Option<Tensor>; 3] {
    let mut out = [null_mut(); 3];
    run("a batch normalisation's gradient", |error| {
        let (grad, x, weight) = (given(grad), given(x), given(weight));
        let (mean, deviation) = (given(batch_mean), given(batch_deviation));
        let [wants_x, wants_weight, wants_bias] = wanted;
        // SAFETY: as for `conv2d`; three tensors are given out.
        unsafe {
            engine_batch_norm_backward(
                grad,
                x,
                weight,
                mean,
                deviation,
                epsilon,
                wants_x,
                wants_weight,
                wants_bias,
                out.as_mut_ptr(),
                error,
            )
        }
    });
    out.map(made)
}

pub(super) fn batch_norm_eval(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, variance]: [&Tensor; 2],
    epsilon: f64,
) -> Tensor {
    let mut y = null_mut();
    run("a batch normalisation", |error| {
        let (weight, bias) = (given(weight), given(bias));
        let (mean, variance) = (given(mean), given(variance));
        // SAFETY: as for `conv2d`.
        unsafe { engine_batch_norm_eval(given(x), weight, bias, mean, variance, epsilon, &raw mut y, error) }
    });
    surely(y)
}

/// Gradient of the input of a ReLU with this output; the caller gives the gradient away where `in_place`.
pub(super) fn relu_backward(mut grad: Tensor, y: &Tensor, in_place: bool) -> Tensor {
    let mut of_x = null_mut();
    run("a ReLU's gradient", |error| {
        // SAFETY: as for `conv2d`; `grad` is ours, and nobody else's where it is written to.
        unsafe { engine_relu_backward(grad.as_mut_ptr().cast(), given(y), in_place, &raw mut of_x, error) }
    });
    made(of_x).unwrap_or(grad)
}

/// `x` in the size of `skip`, by nearest pixels, with `skip` behind it along the channels.
pub(super) fn upsample_join(x: &Tensor, skip: &Tensor) -> Tensor {
    let mut joined = null_mut();
    run("an upsampling", |error| {
        // SAFETY: as for `conv2d`.
        unsafe { engine_upsample_join(given(x), given(skip), &raw mut joined, error) }
    });
    surely(joined)
}

/// Gradients of both; `x` had so many channels, and this height and width.
pub(super) fn upsample_join_backward(grad: &Tensor, [inner, height, width]: [usize; 3]) -> [Tensor; 2] {
    let (mut of_x, mut of_skip) = (null_mut(), null_mut());
    run("an upsampling's gradient", |error| {
        let [inner, height, width] = [inner, height, width].map(|extent| extent as i64);
        // SAFETY: as for `conv2d`.
        unsafe {
            engine_upsample_join_backward(
                given(grad),
                inner,
                height,
                width,
                &raw mut of_x,
                &raw mut of_skip,
                error,
            )
        }
    });
    [of_x, of_skip].map(surely)
}

/// Gradients of the input, the scale and the shift of a layer normalisation, those that are wanted.
pub(super) fn layer_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, deviation]: [&Tensor; 2],
    wanted: [bool; 3],
) -> [Option<Tensor>; 3] {
    let mut out = [null_mut(); 3];
    run("a layer normalisation's gradient", |error| {
        let (grad, x, weight, bias) = (given(grad), given(x), given(weight), given(bias));
        let (mean, deviation) = (given(mean), given(deviation));
        let [wants_x, wants_weight, wants_bias] = wanted;
        // SAFETY: as for `conv2d`; three tensors are given out.
        unsafe {
            engine_layer_norm_backward(
                grad,
                x,
                weight,
                bias,
                mean,
                deviation,
                wants_x,
                wants_weight,
                wants_bias,
                out.as_mut_ptr(),
                error,
            )
        }
    });
    out.map(made)
}

/// A copy with the channels innermost; nothing if they are.
pub(super) fn channels_last(x: &Tensor) -> Option<Tensor> {
    // SAFETY: the tensor outlives the call.
    if unsafe { engine_is_channels_last(given(x)) } {
        return None;
    }
    let mut y = null_mut();
    // SAFETY: as for `conv2d`.
    run("a change of layout", |error| unsafe { engine_channels_last(given(x), &raw mut y, error) });
    made(y)
}

/// One step, into the three tensors themselves: parameter, mean, square.
pub(super) fn adamw(state: &mut [Tensor; 3], gradient: &Tensor, step: AdamWStep) {
    let [parameter, mean, square] = state;
    run("an AdamW step", |error| {
        // SAFETY: the tensors outlive the call, and the caller holds those that are written to alone.
        unsafe {
            engine_adamw(
                parameter.as_mut_ptr().cast(),
                given(gradient),
                mean.as_mut_ptr().cast(),
                square.as_mut_ptr().cast(),
                step.step as f64,
                step.learning_rate,
                step.beta1,
                step.beta2,
                step.weight_decay,
                step.epsilon,
                error,
            )
        }
    });
}

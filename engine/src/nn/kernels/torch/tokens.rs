//! Torch's kernels of transformers: normalisation and softmax over the last dimension, gradients included.
//!
//! burn's autodiff composes both of a dozen passes over memory; torch has one for each direction.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, LibTorch, backend_extension};
use burn::tensor::Tensor;
use burn_tch::TchTensor;

use super::autodiff::register;
use super::ffi;

/// Operations with a gradient.
#[backend_extension(Autodiff, LibTorch)]
pub(super) trait TokenKernels: Backend {
    fn torch_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
    fn torch_softmax(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl TokenKernels for LibTorch {
    fn torch_layer_norm(x: TchTensor, weight: TchTensor, bias: TchTensor, epsilon: f64) -> TchTensor {
        Self::layer_statistics(&x, &weight, &bias, epsilon).output
    }

    fn torch_softmax(x: TchTensor) -> TchTensor {
        TchTensor::new(x.tensor.internal_softmax(-1, false))
    }
}

/// What a node has to keep, besides the output that goes on.
struct LayerStatistics<B: Backend> {
    output: FloatTensor<B>,
    mean: FloatTensor<B>,
    deviation: FloatTensor<B>,
}

/// What the nodes call: the passes themselves.
trait TokenPasses: TokenKernels {
    fn layer_statistics(
        x: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        bias: &FloatTensor<Self>,
        epsilon: f64,
    ) -> LayerStatistics<Self>;
    /// Gradients of the input, the scale and the shift, those that are wanted.
    fn layer_norm_backward(
        grad: &FloatTensor<Self>,
        kept: &KeptLayer<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3];
    fn softmax_backward(grad: &FloatTensor<Self>, y: &FloatTensor<Self>) -> FloatTensor<Self>;
}

impl TokenPasses for LibTorch {
    fn layer_statistics(
        x: &TchTensor,
        weight: &TchTensor,
        bias: &TchTensor,
        epsilon: f64,
    ) -> LayerStatistics<Self> {
        let over = weight.tensor.size();
        let (output, mean, deviation) =
            x.tensor.native_layer_norm(over, Some(&weight.tensor), Some(&bias.tensor), epsilon);
        let [output, mean, deviation] = [output, mean, deviation].map(TchTensor::new);
        LayerStatistics { output, mean, deviation }
    }

    fn layer_norm_backward(
        grad: &TchTensor,
        kept: &KeptLayer<Self>,
        wanted: [bool; 3],
    ) -> [Option<TchTensor>; 3] {
        let KeptLayer { x, weight, bias, mean, deviation } = kept;
        let affine = [&weight.tensor, &bias.tensor];
        let statistics = [&mean.tensor, &deviation.tensor];
        ffi::layer_norm_backward(&grad.tensor, &x.tensor, affine, statistics, wanted)
            .map(|one| one.map(TchTensor::new))
    }

    fn softmax_backward(grad: &TchTensor, y: &TchTensor) -> TchTensor {
        let (grad, y) = (&grad.tensor, &y.tensor);
        TchTensor::new(tch::Tensor::internal_softmax_backward_data(grad, y, -1, y.kind()))
    }
}

/// What the gradient of a layer normalisation is made of.
#[derive(Debug)]
struct KeptLayer<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    mean: FloatTensor<B>,
    deviation: FloatTensor<B>,
}

// Derived, it would ask it of the backend.
impl<B: Backend> Clone for KeptLayer<B> {
    fn clone(&self) -> Self {
        let Self { x, weight, bias, mean, deviation } = self;
        Self {
            x: x.clone(),
            weight: weight.clone(),
            bias: bias.clone(),
            mean: mean.clone(),
            deviation: deviation.clone(),
        }
    }
}

#[derive(Debug)]
struct LayerNormNode;

impl<B: TokenPasses> Backward<B, 3> for LayerNormNode {
    type State = KeptLayer<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let given = B::layer_norm_backward(&grad, &ops.state, wanted);
        register::<B, _>(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), given);
    }
}

#[derive(Debug)]
struct SoftmaxNode;

impl<B: TokenPasses> Backward<B, 1> for SoftmaxNode {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::softmax_backward(&grad, &ops.state));
        }
    }
}

impl<B: TokenPasses, C: CheckpointStrategy> TokenKernels for Autodiff<B, C> {
    fn torch_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let parents = [x.node(), weight.node(), bias.node()];
        let [x, weight, bias] = [x, weight, bias].map(FloatTensor::<Self>::into_primitive);
        let LayerStatistics { output, mean, deviation } = B::layer_statistics(&x, &weight, &bias, epsilon);
        match LayerNormNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(KeptLayer { x, weight, bias, mean, deviation }, output),
            OpsKind::UnTracked(node) => node.finish(output),
        }
    }

    fn torch_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let parents = [x.node()];
        let y = B::torch_softmax(x.into_primitive());
        match SoftmaxNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(y.clone(), y),
            OpsKind::UnTracked(node) => node.finish(y),
        }
    }
}

pub(in super::super) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    [weight, bias]: [Tensor<1>; 2],
    epsilon: f64,
) -> Tensor<D> {
    let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::torch_layer_norm(x.into_dispatch(), weight, bias, epsilon))
}

pub(in super::super) fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::torch_softmax(x.into_dispatch()))
}

//! Nodes of burn's autodiff over torch's kernels.
//!
//! What a node keeps it holds as clones: as long as they live, nobody writes into their memory.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, LibTorch, TensorMetadata};
use burn_tch::TchTensor;

use super::{BatchStatistics, Convolution, TorchKernels, batch_statistics, ffi};

/// Where ReLU6 ends.
const RELU6_BOUND: f64 = 6.0;

/// What the nodes call: the passes themselves.
pub(super) trait Passes: TorchKernels {
    fn conv2d_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        of: Convolution,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2];
    fn batch_statistics(
        x: &FloatTensor<Self>,
        affine: [&FloatTensor<Self>; 2],
        running: [&FloatTensor<Self>; 2],
        momentum: f64,
        epsilon: f64,
    ) -> BatchStatistics<Self>;
    fn batch_norm_backward(
        grad: FloatTensor<Self>,
        kept: Kept<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3];
    fn torch_relu_backward(grad: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
    /// By the output, which is inside its bounds where the input was.
    fn torch_relu6_backward(grad: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
    /// By the input.
    fn torch_silu_backward(grad: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradients of what was enlarged, which had these channels, height and width, and of what was joined to it.
    fn upsample_join_backward(grad: FloatTensor<Self>, of: [usize; 3]) -> [FloatTensor<Self>; 2];
}

impl Passes for LibTorch {
    fn conv2d_backward(
        grad: TchTensor,
        x: TchTensor,
        weight: TchTensor,
        of: Convolution,
        wanted: [bool; 2],
    ) -> [Option<TchTensor>; 2] {
        ffi::conv2d_backward(&grad.tensor, &x.tensor, &weight.tensor, of, wanted)
            .map(|one| one.map(TchTensor::new))
    }

    fn batch_statistics(
        x: &TchTensor,
        affine: [&TchTensor; 2],
        running: [&TchTensor; 2],
        momentum: f64,
        epsilon: f64,
    ) -> BatchStatistics<Self> {
        batch_statistics(x, affine, running, momentum, epsilon)
    }

    fn batch_norm_backward(grad: TchTensor, kept: Kept<Self>, wanted: [bool; 3]) -> [Option<TchTensor>; 3] {
        let Kept { x, weight, mean, deviation, epsilon } = kept;
        let batch = [&mean.tensor, &deviation.tensor];
        ffi::batch_norm_backward(&grad.tensor, &x.tensor, &weight.tensor, batch, epsilon, wanted)
            .map(|one| one.map(TchTensor::new))
    }

    fn torch_relu_backward(grad: TchTensor, y: TchTensor) -> TchTensor {
        let in_place = grad.can_mut();
        TchTensor::new(ffi::relu_backward(grad.tensor, &y.tensor, in_place))
    }

    fn torch_relu6_backward(grad: TchTensor, y: TchTensor) -> TchTensor {
        TchTensor::new(y.tensor.hardtanh_backward(&grad.tensor, 0.0, RELU6_BOUND))
    }

    fn torch_silu_backward(grad: TchTensor, x: TchTensor) -> TchTensor {
        TchTensor::new(x.tensor.silu_backward(&grad.tensor))
    }

    fn upsample_join_backward(grad: TchTensor, of: [usize; 3]) -> [TchTensor; 2] {
        ffi::upsample_join_backward(&grad.tensor, of).map(TchTensor::new)
    }
}

/// What the gradient of a batch normalisation is made of.
#[derive(Debug)]
pub(super) struct Kept<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    mean: FloatTensor<B>,
    deviation: FloatTensor<B>,
    epsilon: f64,
}

// Derived, it would ask it of the backend.
impl<B: Backend> Clone for Kept<B> {
    fn clone(&self) -> Self {
        let Self { x, weight, mean, deviation, epsilon } = self;
        Self {
            x: x.clone(),
            weight: weight.clone(),
            mean: mean.clone(),
            deviation: deviation.clone(),
            epsilon: *epsilon,
        }
    }
}

/// Hands each parent that wants one its gradient.
pub(super) fn register<B: Backend, const N: usize>(
    grads: &mut Gradients,
    parents: [Option<NodeId>; N],
    given: [Option<FloatTensor<B>>; N],
) {
    for (parent, grad) in parents.into_iter().zip(given) {
        if let (Some(parent), Some(grad)) = (parent, grad) {
            grads.register::<B>(parent, grad);
        }
    }
}

#[derive(Debug)]
struct Conv2dNode;

impl<B: Passes> Backward<B, 2> for Conv2dNode {
    type State = (FloatTensor<B>, FloatTensor<B>, Convolution);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, of) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let given = B::conv2d_backward(grad, x, weight, of, wanted);
        register::<B, _>(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), given);
    }
}

#[derive(Debug)]
struct BatchNormNode;

impl<B: Passes> Backward<B, 3> for BatchNormNode {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let given = B::batch_norm_backward(grad, ops.state, wanted);
        register::<B, _>(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), given);
    }
}

#[derive(Debug)]
struct ReluNode;

impl<B: Passes> Backward<B, 1> for ReluNode {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::torch_relu_backward(grad, ops.state));
        }
    }
}

#[derive(Debug)]
struct Relu6Node;

impl<B: Passes> Backward<B, 1> for Relu6Node {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::torch_relu6_backward(grad, ops.state));
        }
    }
}

#[derive(Debug)]
struct SiluNode;

impl<B: Passes> Backward<B, 1> for SiluNode {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::torch_silu_backward(grad, ops.state));
        }
    }
}

#[derive(Debug)]
struct UpsampleJoinNode;

impl<B: Passes> Backward<B, 2> for UpsampleJoinNode {
    type State = [usize; 3];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let given = B::upsample_join_backward(grad, ops.state);
        register::<B, _>(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), given.map(Some));
    }
}

impl<B: Passes, C: CheckpointStrategy> TorchKernels for Autodiff<B, C> {
    fn torch_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, of: Convolution) -> FloatTensor<Self> {
        let parents = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        match Conv2dNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let y = B::torch_conv2d(x.clone(), weight.clone(), of);
                node.finish((x, weight, of), y)
            }
            OpsKind::UnTracked(node) => node.finish(B::torch_conv2d(x, weight, of)),
        }
    }

    fn torch_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        momentum: f64,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let parents = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let affine = [&weight, bias.primitive()];
        let running = [running_mean.primitive(), running_var.primitive()];
        let BatchStatistics { output, mean, deviation, running_mean, running_var } =
            B::batch_statistics(&x, affine, running, momentum, epsilon);
        let output = match BatchNormNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(Kept { x, weight, mean, deviation, epsilon }, output),
            OpsKind::UnTracked(node) => node.finish(output),
        };
        (output, FloatTensor::<Self>::new(running_mean), FloatTensor::<Self>::new(running_var))
    }

    fn torch_relu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let parents = [x.node()];
        let y = B::torch_relu(x.into_primitive());
        match ReluNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(y.clone(), y),
            OpsKind::UnTracked(node) => node.finish(y),
        }
    }

    fn torch_relu6(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let parents = [x.node()];
        let y = B::torch_relu6(x.into_primitive());
        match Relu6Node.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(y.clone(), y),
            OpsKind::UnTracked(node) => node.finish(y),
        }
    }

    fn torch_silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let parents = [x.node()];
        let x = x.into_primitive();
        match SiluNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let y = B::torch_silu(x.clone());
                node.finish(x, y)
            }
            OpsKind::UnTracked(node) => node.finish(B::torch_silu(x)),
        }
    }

    fn torch_upsample_join(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self> {
        let parents = [x.node(), skip.node()];
        let [_, channels, height, width] = x.primitive().shape().dims();
        let joined = B::torch_upsample_join(x.into_primitive(), skip.into_primitive());
        match UpsampleJoinNode.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish([channels, height, width], joined),
            OpsKind::UnTracked(node) => node.finish(joined),
        }
    }
}

//! Normalisation by groups of channels.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use super::init::Initializer;
use super::kernels::batch_norm_train;
use super::precision::cast;

/// Added to a variance before its root: PyTorch's default.
const EPSILON: f64 = 1e-5;

/// `torch.nn.GroupNorm`: each group of a sample's channels by its own mean and biased variance, while training and after.
///
/// A group of a sample is to it what a channel is to a batch normalisation, and that is one kernel on libtorch.
///
/// # Sources
/// Wu and He 2018, Group Normalization.
#[derive(Module, Debug)]
pub struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
}

impl GroupNorm {
    /// Scale 1, shift 0; `groups` divides `channels`.
    pub fn new(groups: usize, channels: usize, init: &mut Initializer) -> Self {
        debug_assert!(channels.is_multiple_of(groups), "{channels} channels in {groups} groups");
        Self { weight: init.constant(channels, 1.0), bias: init.constant(channels, 0.0), groups }
    }

    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - returns the same
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let (dtype, device) = (x.dtype(), x.device());
        let all = batch * self.groups;
        let grouped = cast(x, DType::F32).reshape([1, all, channels / self.groups * height, width]);
        let (zeros, ones) = (Tensor::zeros([all], &device), Tensor::ones([all], &device));
        let (affine, running) = ([ones.clone(), zeros.clone()], [zeros, ones]);
        let normalised = batch_norm_train(grouped, affine, running, 0.0, EPSILON).output.reshape(shape);
        let along = |values: &Param<Tensor<1>>| values.val().reshape([1, channels, 1, 1]);
        cast(normalised * along(&self.weight) + along(&self.bias), dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::golden::{Golden, devices, filled, read};

    #[test]
    fn it_has_torchs_values_and_gradients_and_evaluates_as_it_trains() {
        let case = Golden::only("group_norm");
        for device in devices() {
            let layer = filled(GroupNorm::new(2, 6, &mut Initializer::new(0, &device)));
            let x = case.input(&device);
            let gradients = case.check(&x, layer.forward(x.clone()));
            case.check_parameters(&layer, &gradients);
            let evaluated = layer.valid().forward(x.without_autodiff());
            case.close(&format!("{device:?}"), "output", &read(evaluated));
        }
    }
}

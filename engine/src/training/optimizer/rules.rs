//! How a parameter moves along its gradient.

use burn::tensor::Tensor;

use super::config::{AdamConfig, OptimizerConfig, SgdConfig};
use crate::nn::kernels::{AdamWStep, Moved, adamw};

/// One parameter's turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Steps of the parameter, this one included.
    pub(super) step: u64,
    pub(super) learning_rate: f64,
}

/// A parameter after its turn, and what is kept of it, in the order of the [slots](OptimizerConfig::slots).
#[derive(Debug)]
pub(super) struct Stepped<const D: usize> {
    pub(super) parameter: Tensor<D>,
    pub(super) kept: Vec<Tensor<D>>,
}

impl OptimizerConfig {
    /// Moves a parameter. `kept` is what was kept of it the last time: nothing at its first turn.
    pub(super) fn step<const D: usize>(
        &self,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        kept: Vec<Tensor<D>>,
        turn: Turn,
    ) -> Stepped<D> {
        match self {
            Self::AdamW(config) => adam(*config, parameter, gradient, kept, turn),
            Self::Adam(config) => {
                let gradient = decayed(gradient, &parameter, config.weight_decay);
                adam(AdamConfig { weight_decay: 0.0, ..*config }, parameter, gradient, kept, turn)
            }
            Self::Sgd(config) => sgd(*config, parameter, gradient, kept, turn),
        }
    }
}

/// The gradient with weight decay in it.
fn decayed<const D: usize>(gradient: Tensor<D>, parameter: &Tensor<D>, weight_decay: f64) -> Tensor<D> {
    if weight_decay == 0.0 {
        return gradient;
    }
    gradient.add(parameter.clone().mul_scalar(weight_decay))
}

/// # Sources
/// Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2; without weight decay it is Kingma and Ba 2015,
/// Adam, algorithm 1.
fn adam<const D: usize>(
    config: AdamConfig,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    kept: Vec<Tensor<D>>,
    Turn { step, learning_rate }: Turn,
) -> Stepped<D> {
    let AdamConfig { beta1, beta2, epsilon, weight_decay } = config;
    let constants = AdamWStep { step, learning_rate, beta1, beta2, epsilon, weight_decay };
    let moments = <[Tensor<D>; 2]>::try_from(kept).ok();
    let Moved { parameter, mean, square } = adamw(parameter, gradient, moments, constants);
    Stepped { parameter, kept: vec![mean, square] }
}

/// # Sources
/// Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, in the form of PyTorch's
/// `torch.optim.SGD` (dampening 0): the momentum gathers gradients, and the learning rate is applied to it.
fn sgd<const D: usize>(
    SgdConfig { momentum, nesterov, weight_decay }: SgdConfig,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    kept: Vec<Tensor<D>>,
    Turn { learning_rate, .. }: Turn,
) -> Stepped<D> {
    let gradient = decayed(gradient, &parameter, weight_decay);
    if momentum == 0.0 {
        return Stepped { parameter: parameter.sub(gradient.mul_scalar(learning_rate)), kept };
    }
    let gathered = match kept.into_iter().next() {
        Some(before) => before.mul_scalar(momentum).add(gradient.clone()),
        None => gradient.clone(),
    };
    let along = match nesterov {
        true => gradient.add(gathered.clone().mul_scalar(momentum)),
        false => gathered.clone(),
    };
    Stepped { parameter: parameter.sub(along.mul_scalar(learning_rate)), kept: vec![gathered] }
}

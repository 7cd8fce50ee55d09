//! Optimizers over the parameters of a module, with their state by parameter name.
//!
//! burn has some of its own; they keep their constants in single precision (1 - 0.999 is then off in the
//! fifth digit), and their state is found by ids that differ from process to process. Here the constants
//! are double, and the state is named after the parameter, so that a checkpoint says what is what.

mod config;
mod rules;
mod state;

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::container::TensorContainer;
use burn::tensor::{Gradients, Tensor};

pub use config::{AdamConfig, OptimizerConfig, OptimizerName, SgdConfig};
use rules::{Stepped, Turn};
pub use state::{OptimizerError, OptimizerState};

/// An optimizer as PyTorch computes it.
///
/// A parameter without a gradient is left as it is, decay included, and its own step count does not
/// move: buffers such as running statistics are never touched.
///
/// # Sources
/// Order of operations of PyTorch's `torch.optim.AdamW`, `Adam` and `SGD` (single tensor).
pub struct Optimizer {
    config: OptimizerConfig,
    names: HashMap<ParamId, String>,
    steps: BTreeMap<String, u64>,
    /// What is kept of every parameter, by its name: one container for each of the config's slots.
    kept: Vec<TensorContainer<String>>,
}

impl Optimizer {
    /// An optimizer that has taken no step, over the parameters named here; others are left alone.
    pub fn new(config: OptimizerConfig, names: HashMap<ParamId, String>) -> Self {
        let kept = config.slots().iter().map(|_| TensorContainer::default()).collect();
        Self { config, names, steps: BTreeMap::new(), kept }
    }

    /// Takes one step along the gradients of one backward pass and returns the module with its new parameters.
    pub fn step<M: Module>(&mut self, learning_rate: f64, module: M, gradients: Gradients) -> M {
        let gradients = GradientsParams::from_grads(gradients, &module);
        self.step_along(learning_rate, module, gradients)
    }

    /// Takes one step along gradients that were gathered: over several batches, or over several processes.
    ///
    /// Where torch computes, weights and what is kept of them change in their own memory if nobody else holds them: give the
    /// module away rather than a clone of it.
    pub fn step_along<M: Module>(&mut self, learning_rate: f64, module: M, gradients: GradientsParams) -> M {
        let mut update = Update { optimizer: self, learning_rate, gradients };
        module.map(&mut update)
    }

    fn updated<const D: usize>(
        &mut self,
        name: String,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        learning_rate: f64,
    ) -> Tensor<D> {
        let step = self.steps.get(&name).copied().unwrap_or(0).saturating_add(1);
        let kept = self.kept.iter_mut().filter_map(|slot| slot.remove::<Tensor<D>>(&name)).collect();
        let Stepped { parameter, kept } =
            self.config.step(parameter, gradient, kept, Turn { step, learning_rate });
        for (slot, tensor) in self.kept.iter_mut().zip(kept) {
            slot.register(name.clone(), tensor);
        }
        self.steps.insert(name, step);
        parameter
    }
}

struct Update<'a> {
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    gradients: GradientsParams,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(name) = self.optimizer.names.get(&param.id).cloned() else {
            return param;
        };
        let Some(gradient) = self.gradients.remove(param.id) else {
            return param;
        };
        param.map(|parameter| {
            let updated = self.optimizer.updated(name, parameter.inner(), gradient, self.learning_rate);
            updated.autodiff().require_grad()
        })
    }
}

#[cfg(test)]
mod tests;

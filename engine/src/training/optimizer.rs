//! AdamW over the parameters of a module, with its state by parameter name.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::container::TensorContainer;
use burn::tensor::{Gradients, Tensor, TensorData};

use crate::models::NamedTensor;

/// Constants of [`AdamW`]; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the corrected squares.
    pub epsilon: f64,
    /// Share of the learning rate by which a parameter shrinks in a step.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// AdamW as PyTorch computes it.
///
/// burn has one of its own; it keeps its constants in single precision (1 - 0.999 is then off in the
/// fifth digit), and its state is found by ids that differ from process to process. Here the constants
/// are double, and the state is named after the parameter, so that a checkpoint says what is what.
///
/// A parameter without a gradient is left as it is, decay included, and its own step count does not
/// move: buffers such as running statistics are never touched.
///
/// # Sources
/// Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2; order of operations
/// of PyTorch's `torch.optim.AdamW` (single tensor).
pub struct AdamW {
    config: AdamWConfig,
    names: HashMap<ParamId, String>,
    steps: BTreeMap<String, u64>,
    moments: Moments,
}

/// Both moments of every parameter, by its name.
#[derive(Default)]
struct Moments {
    mean: TensorContainer<String>,
    square: TensorContainer<String>,
}

/// Why the state of an optimizer could not be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// The state holds nothing for a parameter it should know.
    #[error("the optimizer state lacks `{name}`")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// The state holds a tensor for no parameter of the model.
    #[error("the optimizer state holds `{name}`, which the model has not")]
    Unexpected {
        /// Name of the tensor.
        name: String,
    },
    /// Parameter and state differ in shape.
    #[error("the optimizer state of `{name}` has shape {found:?}, the parameter {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape of the parameter.
        expected: Vec<usize>,
        /// Shape in the state.
        found: Vec<usize>,
    },
    /// A tensor could not be read back from the device.
    #[error("the optimizer state of `{name}` can not be read from the device: {reason}")]
    Device {
        /// Name of the tensor.
        name: String,
        /// What the backend said.
        reason: String,
    },
}

impl AdamW {
    /// An optimizer that has taken no step, over the parameters named here; others are left alone.
    pub fn new(config: AdamWConfig, names: HashMap<ParamId, String>) -> Self {
        Self { config, names, steps: BTreeMap::new(), moments: Moments::default() }
    }

    /// Takes one step along `gradients` and returns the module with its new parameters.
    pub fn step<M: Module>(&mut self, learning_rate: f64, module: M, gradients: Gradients) -> M {
        let mut update = Update { optimizer: self, learning_rate, gradients };
        module.map(&mut update)
    }

    /// The state as named tensors: `{parameter}.exp_avg`, `{parameter}.exp_avg_sq`; and the steps taken by
    /// each parameter.
    ///
    /// # Errors
    /// [`OptimizerError::Device`] if the device does not give a tensor back.
    pub fn state<M: Module>(&self, module: &M) -> Result<OptimizerState, OptimizerError> {
        let mut collect = Collect { optimizer: self, tensors: Vec::new(), error: None };
        module.visit(&mut collect);
        match collect.error {
            Some(error) => Err(error),
            None => Ok(OptimizerState { steps: self.steps.clone(), tensors: collect.tensors }),
        }
    }

    /// An optimizer that goes on from a state.
    ///
    /// # Errors
    /// [`OptimizerError`] if the state does not fit the module's parameters.
    pub fn restore<M: Module>(
        config: AdamWConfig,
        names: HashMap<ParamId, String>,
        state: OptimizerState,
        module: &M,
    ) -> Result<Self, OptimizerError> {
        let tensors = state.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let mut restore = Restore {
            optimizer: Self { config, names, steps: state.steps, moments: Moments::default() },
            tensors,
            seen: 0,
            error: None,
        };
        module.visit(&mut restore);
        if let Some(error) = restore.error {
            return Err(error);
        }
        if let Some(name) = restore.tensors.into_keys().next() {
            return Err(OptimizerError::Unexpected { name });
        }
        if restore.seen < restore.optimizer.steps.len() {
            return Err(OptimizerError::Unexpected { name: "a step count".into() });
        }
        Ok(restore.optimizer)
    }

    fn updated<const D: usize>(
        &mut self,
        name: String,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        learning_rate: f64,
    ) -> Tensor<D> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let step = self.steps.get(&name).copied().unwrap_or(0) + 1;
        let gradient_part = gradient.clone().mul_scalar(1.0 - beta1);
        let square_part = gradient.square().mul_scalar(1.0 - beta2);
        let mean = match self.moments.mean.remove::<Tensor<D>>(&name) {
            Some(mean) => mean.mul_scalar(beta1).add(gradient_part),
            None => gradient_part,
        };
        let square = match self.moments.square.remove::<Tensor<D>>(&name) {
            Some(square) => square.mul_scalar(beta2).add(square_part),
            None => square_part,
        };
        // `powf` of a step count beyond 2^53 is out of reach; the cast is exact.
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let denominator = square.clone().sqrt().div_scalar(correction(beta2).sqrt()).add_scalar(epsilon);
        let delta = mean.clone().div(denominator).mul_scalar(learning_rate / correction(beta1));
        self.moments.mean.register(name.clone(), mean);
        self.moments.square.register(name.clone(), square);
        self.steps.insert(name, step);
        parameter.mul_scalar(1.0 - learning_rate * weight_decay).sub(delta)
    }
}

/// State of an [`AdamW`] on the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps taken by each parameter.
    pub steps: BTreeMap<String, u64>,
    /// Both moments of each parameter.
    pub tensors: Vec<NamedTensor>,
}

fn mean_name(parameter: &str) -> String {
    format!("{parameter}.exp_avg")
}

fn square_name(parameter: &str) -> String {
    format!("{parameter}.exp_avg_sq")
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    learning_rate: f64,
    gradients: Gradients,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(name) = self.optimizer.names.get(&param.id).cloned() else {
            return param;
        };
        let Some(gradient) = param.val().grad_remove(&mut self.gradients) else {
            return param;
        };
        param.map(|parameter| {
            let updated = self.optimizer.updated(name, parameter.inner(), gradient, self.learning_rate);
            updated.autodiff().require_grad()
        })
    }
}

struct Collect<'a> {
    optimizer: &'a AdamW,
    tensors: Vec<NamedTensor>,
    error: Option<OptimizerError>,
}

impl Collect<'_> {
    fn push<const D: usize>(&mut self, name: String, tensor: Option<Tensor<D>>) {
        let Some(tensor) = tensor else { return };
        let shape = tensor.dims().to_vec();
        match tensor.into_data().try_to_vec::<f32>() {
            Ok(values) => self.tensors.push(NamedTensor { name, shape, values }),
            Err(reason) => {
                self.error.get_or_insert(OptimizerError::Device { name, reason: format!("{reason:?}") });
            }
        }
    }
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(name) = self.optimizer.names.get(&param.id) else { return };
        self.push(mean_name(name), self.optimizer.moments.mean.get::<Tensor<D>>(name));
        self.push(square_name(name), self.optimizer.moments.square.get::<Tensor<D>>(name));
    }
}

struct Restore {
    optimizer: AdamW,
    tensors: BTreeMap<String, NamedTensor>,
    seen: usize,
    error: Option<OptimizerError>,
}

impl Restore {
    fn take<const D: usize>(
        &mut self,
        name: String,
        param: &Param<Tensor<D>>,
    ) -> Result<Tensor<D>, OptimizerError> {
        let expected = param.val().dims().to_vec();
        let tensor =
            self.tensors.remove(&name).ok_or_else(|| OptimizerError::Missing { name: name.clone() })?;
        if tensor.shape != expected {
            return Err(OptimizerError::Shape { name, expected, found: tensor.shape });
        }
        let data = TensorData::new(tensor.values, tensor.shape);
        Ok(Tensor::from_data(data, &param.val().device().inner()))
    }

    fn restore<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<(), OptimizerError> {
        let name =
            self.optimizer.names.get(&param.id).filter(|name| self.optimizer.steps.contains_key(*name));
        let Some(name) = name.cloned() else { return Ok(()) };
        self.seen += 1;
        let mean = self.take(mean_name(&name), param)?;
        let square = self.take(square_name(&name), param)?;
        self.optimizer.moments.mean.register(name.clone(), mean);
        self.optimizer.moments.square.register(name, square);
        Ok(())
    }
}

impl ModuleVisitor for Restore {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Err(error) = self.restore(param) {
            self.error.get_or_insert(error);
        }
    }
}

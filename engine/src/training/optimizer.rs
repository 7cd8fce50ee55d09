//! AdamW over the parameters of a module, with its state by parameter name.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::container::TensorContainer;
use burn::tensor::{Gradients, Tensor, TensorData};

use crate::models::NamedTensor;
use crate::nn::kernels::{AdamWStep, Moved, adamw};

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

    /// Takes one step along the gradients of one backward pass and returns the module with its new parameters.
    pub fn step<M: Module>(&mut self, learning_rate: f64, module: M, gradients: Gradients) -> M {
        let gradients = GradientsParams::from_grads(gradients, &module);
        self.step_along(learning_rate, module, gradients)
    }

    /// Takes one step along gradients that were gathered: over several batches, or over several processes.
    ///
    /// Where torch computes, weights and moments change in their own memory if nobody else holds them: give the module
    /// away rather than a clone of it.
    pub fn step_along<M: Module>(&mut self, learning_rate: f64, module: M, gradients: GradientsParams) -> M {
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
        let step = self.steps.get(&name).copied().unwrap_or(0).saturating_add(1);
        let mean = self.moments.mean.remove::<Tensor<D>>(&name);
        let moments =
            mean.zip(self.moments.square.remove::<Tensor<D>>(&name)).map(|(mean, square)| [mean, square]);
        let constants = AdamWStep { step, learning_rate, beta1, beta2, epsilon, weight_decay };
        let Moved { parameter, mean, square } = adamw(parameter, gradient, moments, constants);
        self.moments.mean.register(name.clone(), mean);
        self.moments.square.register(name.clone(), square);
        self.steps.insert(name, step);
        parameter
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

struct Collect<'a> {
    optimizer: &'a AdamW,
    tensors: Vec<NamedTensor>,
    error: Option<OptimizerError>,
}

impl Collect<'_> {
    fn push<const D: usize>(&mut self, name: String, tensor: Option<Tensor<D>>) {
        let Some(tensor) = tensor else { return };
        let shape = tensor.dims().to_vec();
        match tensor.into_data().try_into_vec::<f32>() {
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

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    #[derive(Module, Debug)]
    struct Pair {
        a: Param<Tensor<1>>,
        b: Param<Tensor<2>>,
    }

    fn device() -> Device {
        let backend = BackendName::best(ComputeDevice::Cpu).unwrap();
        backend.device(ComputeDevice::Cpu).unwrap().autodiff()
    }

    fn pair() -> Pair {
        let device = device();
        Pair {
            a: Param::from_tensor(Tensor::from_data([0.5_f32, -2.0], &device)),
            b: Param::from_tensor(Tensor::from_data([[1.0_f32]], &device)),
        }
    }

    fn names(pair: &Pair) -> HashMap<ParamId, String> {
        HashMap::from([(pair.a.id, "a".to_owned()), (pair.b.id, "b".to_owned())])
    }

    /// Loss whose gradient is 2a; `b` takes no part.
    fn gradients(pair: &Pair) -> Gradients {
        pair.a.val().square().sum().backward()
    }

    fn values(pair: &Pair) -> Vec<f32> {
        pair.a.val().into_data().try_to_vec::<f32>().unwrap()
    }

    #[test]
    fn the_steps_are_those_of_the_formula() {
        let mut pair = pair();
        let mut optimizer = AdamW::new(AdamWConfig::default(), names(&pair));
        let (rate, mut mean, mut square) = (0.1, [0.0_f64; 2], [0.0_f64; 2]);
        let mut expected = [0.5_f64, -2.0];
        for step in 1..=5 {
            let taken = gradients(&pair);
            pair = optimizer.step(rate, pair, taken);
            for i in 0..2 {
                let gradient = 2.0 * expected[i];
                mean[i] = 0.9 * mean[i] + 0.1 * gradient;
                square[i] = 0.999 * square[i] + 0.001 * gradient * gradient;
                let (mean, square) =
                    (mean[i] / (1.0 - 0.9_f64.powi(step)), square[i] / (1.0 - 0.999_f64.powi(step)));
                expected[i] = expected[i] * (1.0 - rate * 0.01) - rate * mean / (square.sqrt() + 1e-8);
            }
            for (ours, theirs) in values(&pair).into_iter().zip(expected) {
                assert!((f64::from(ours) - theirs).abs() < 1e-5, "step {step}: {ours} for {theirs}");
            }
        }
    }

    #[test]
    fn a_parameter_without_gradient_or_name_stays_as_it_is() {
        let pair = pair();
        let (before, only_b) = (values(&pair), HashMap::from([(pair.b.id, "b".to_owned())]));
        let mut optimizer = AdamW::new(AdamWConfig::default(), only_b);
        let taken = gradients(&pair);
        let pair = optimizer.step(0.1, pair, taken);
        assert_eq!(values(&pair), before);
        assert_eq!(pair.b.val().into_data().try_to_vec::<f32>().unwrap(), [1.0]);
        assert_eq!(optimizer.state(&pair).unwrap(), OptimizerState::default());
    }

    #[test]
    fn a_restored_optimizer_goes_on_to_the_same_bits() {
        let pair = pair();
        let mut optimizer = AdamW::new(AdamWConfig::default(), names(&pair));
        let taken = gradients(&pair);
        let pair = optimizer.step(0.1, pair, taken);
        let state = optimizer.state(&pair).unwrap();
        let mut restored = AdamW::restore(AdamWConfig::default(), names(&pair), state, &pair).unwrap();
        let (one, other) = (gradients(&pair), gradients(&pair));
        let bits = |pair: Pair| values(&pair).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(optimizer.step(0.1, pair.clone(), one)), bits(restored.step(0.1, pair, other)));
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_by_name() {
        let pair = pair();
        let mut optimizer = AdamW::new(AdamWConfig::default(), names(&pair));
        let taken = gradients(&pair);
        let pair = optimizer.step(0.1, pair, taken);
        let state = optimizer.state(&pair).unwrap();
        let refused = |spoil: fn(&mut OptimizerState)| {
            let mut state = state.clone();
            spoil(&mut state);
            match AdamW::restore(AdamWConfig::default(), names(&pair), state, &pair) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            }
        };
        assert!(refused(|state| drop(state.tensors.remove(0))).contains("lacks `a.exp_avg`"));
        assert!(refused(|state| state.tensors[1].shape = vec![2, 1]).contains("a.exp_avg_sq"));
        assert!(refused(|state| state.tensors[0].name = "c.exp_avg".into()).contains("a.exp_avg"));
        let stray = refused(|state| {
            state.tensors.push(NamedTensor { name: "c.exp_avg".into(), shape: vec![1], values: vec![0.0] });
        });
        assert!(stray.contains("c.exp_avg"), "{stray}");
    }
}

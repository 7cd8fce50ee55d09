//! What an optimizer knows, on the host: taken down and restored by parameter name.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

use super::{Optimizer, OptimizerConfig};
use crate::models::NamedTensor;

/// State of an [`Optimizer`] on the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps taken by each parameter.
    pub steps: BTreeMap<String, u64>,
    /// What is kept of each parameter.
    pub tensors: Vec<NamedTensor>,
}

/// Why the state of an optimizer could not be taken down or restored.
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

fn tensor_name(parameter: &str, slot: &str) -> String {
    format!("{parameter}.{slot}")
}

impl Optimizer {
    /// The state: tensors named `{parameter}.{what}`, by PyTorch's names (`exp_avg` and `exp_avg_sq`, or `momentum_buffer`), and
    /// the steps taken by each parameter.
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
    /// [`OptimizerError`] if the state does not fit the module's parameters, or is another optimizer's.
    pub fn restore<M: Module>(
        config: OptimizerConfig,
        names: HashMap<ParamId, String>,
        state: OptimizerState,
        module: &M,
    ) -> Result<Self, OptimizerError> {
        let tensors = state.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let mut optimizer = Self::new(config, names);
        optimizer.steps = state.steps;
        let mut restore = Restore { optimizer, tensors, seen: 0, error: None };
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
}

struct Collect<'a> {
    optimizer: &'a Optimizer,
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
        for (slot, kept) in self.optimizer.config.slots().iter().zip(&self.optimizer.kept) {
            self.push(tensor_name(name, slot), kept.get::<Tensor<D>>(name));
        }
    }
}

struct Restore {
    optimizer: Optimizer,
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
        for (at, slot) in self.optimizer.config.slots().iter().enumerate() {
            let tensor = self.take(tensor_name(&name, slot), param)?;
            self.optimizer.kept[at].register(name.clone(), tensor);
        }
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

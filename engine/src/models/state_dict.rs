//! A model's tensors by the names smp gives them, out and in.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

use super::SegmentationModel;
use super::error::{Mismatch, ModelError};

/// Buffers of PyTorch's batch normalisation that count batches; nothing is computed from them.
pub(super) const BATCHES_TRACKED: &str = "num_batches_tracked";
/// What PyTorch keeps with a model but does not train.
const BUFFERS: [&str; 2] = ["running_mean", "running_var"];

/// A tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name in smp's state dict.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub values: Vec<f32>,
}

/// What is known of a tensor without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// burn's id, which optimizers go by. The same in every model of these names.
    pub id: ParamId,
    /// Name in smp's state dict.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is trained; running statistics are not.
    pub is_trained: bool,
}

impl SegmentationModel {
    /// Every tensor, in smp's order, `num_batches_tracked` left out.
    pub fn parameter_infos(&self) -> Vec<ParameterInfo> {
        let mut visitor = Infos::default();
        self.visit(&mut visitor);
        visitor.infos
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        let trained = self.parameter_infos().into_iter().filter(|info| info.is_trained);
        trained.map(|info| info.shape.iter().product::<usize>()).sum()
    }

    /// Every tensor with its values, in smp's order, `num_batches_tracked` left out.
    ///
    /// # Errors
    /// [`ModelError::Unreadable`] if the device does not hand one back.
    pub fn state_dict(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let mut visitor = Values::default();
        self.visit(&mut visitor);
        visitor.tensors.into_iter().collect()
    }

    /// The model with these values; order does not matter, every tensor must be there once and fit.
    ///
    /// Parameter ids, devices and what is frozen stay.
    ///
    /// # Errors
    /// [`ModelError::StateDictMismatch`] names all that is missing, unexpected or of another shape.
    pub fn load_state_dict(self, tensors: Vec<NamedTensor>) -> Result<Self, ModelError> {
        let tensors: BTreeMap<String, NamedTensor> = tensors
            .into_iter()
            .filter(|tensor| !tensor.name.ends_with(BATCHES_TRACKED))
            .map(|tensor| (tensor.name.clone(), tensor))
            .collect();
        let mismatch = compare(&self.parameter_infos(), &tensors);
        if !mismatch.is_empty() {
            return Err(ModelError::StateDictMismatch(Box::new(mismatch)));
        }
        Ok(self.map(&mut Loader { path: Path::default(), tensors }))
    }
}

fn compare(model: &[ParameterInfo], weights: &BTreeMap<String, NamedTensor>) -> Mismatch {
    let mut mismatch = Mismatch::default();
    for info in model {
        match weights.get(&info.name) {
            None => mismatch.missing.push(info.name.clone()),
            Some(tensor) if tensor.shape != info.shape => {
                mismatch.shapes.push((info.name.clone(), tensor.shape.clone(), info.shape.clone()));
            }
            Some(_) => {}
        }
    }
    let names: BTreeSet<&str> = model.iter().map(|info| info.name.as_str()).collect();
    mismatch.unexpected = weights.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
    mismatch
}

/// Where a traversal is, in smp's terms: enum variants are no part of a name, and `at_0` is `0`.
#[derive(Default)]
struct Path {
    segments: Vec<String>,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        let segment = if container.starts_with("Enum:") { "" } else { name.strip_prefix("at_").unwrap_or(name) };
        self.segments.push(segment.to_owned());
    }

    fn exit(&mut self) {
        self.segments.pop();
    }

    fn name(&self) -> String {
        let named: Vec<&str> = self.segments.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        named.join(".")
    }
}

#[derive(Default)]
struct Infos {
    path: Path,
    infos: Vec<ParameterInfo>,
}

impl ModuleVisitor for Infos {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        let is_trained = !BUFFERS.iter().any(|buffer| name.ends_with(buffer));
        let shape = param.lazy_shape().to_vec();
        self.infos.push(ParameterInfo { id: param.id, name, shape, is_trained });
    }
}

#[derive(Default)]
struct Values {
    path: Path,
    tensors: Vec<Result<NamedTensor, ModelError>>,
}

impl ModuleVisitor for Values {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        let shape = param.lazy_shape().to_vec();
        self.tensors.push(match param.val().into_data().convert::<f32>().into_vec::<f32>() {
            Ok(values) => Ok(NamedTensor { name, shape, values }),
            Err(error) => Err(ModelError::Unreadable { name, reason: format!("{error:?}") }),
        });
    }
}

struct Loader {
    path: Path,
    tensors: BTreeMap<String, NamedTensor>,
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(tensor) = self.tensors.remove(&self.path.name()) else {
            return param;
        };
        param.map(|old| {
            let data = TensorData::new(tensor.values, tensor.shape);
            let new = Tensor::from_data(data, &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

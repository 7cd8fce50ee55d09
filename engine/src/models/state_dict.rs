//! A model's tensors by the names smp gives them, out and in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};

#[cfg(feature = "segmentation")]
use super::SegmentationModel;
use super::error::{Mismatch, ModelError};
use crate::nn::kernels::laid_out;

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

#[cfg(feature = "segmentation")]
impl SegmentationModel {
    /// Every tensor, in smp's order, `num_batches_tracked` left out.
    pub fn parameter_infos(&self) -> Vec<ParameterInfo> {
        infos(self)
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        count_trained(&self.parameter_infos())
    }

    /// Every tensor with its values, in smp's order, `num_batches_tracked` left out.
    ///
    /// # Errors
    /// [`ModelError::Unreadable`] if the device does not hand one back.
    pub fn state_dict(&self) -> Result<Vec<NamedTensor>, ModelError> {
        module_tensors(self)
    }

    /// The model with these values; order does not matter, every tensor must be there and fit.
    /// `num_batches_tracked` may be there and is not kept.
    ///
    /// Parameter ids, devices and what is frozen stay.
    ///
    /// # Errors
    /// [`ModelError::StateDictMismatch`] names all that is missing, unexpected or of another shape.
    pub fn load_state_dict(self, tensors: Vec<NamedTensor>) -> Result<Self, ModelError> {
        load_tensors_by_name(self, tensors)
    }

    /// Replaces exactly the `expected` tensors.
    pub(super) fn load_tensors(
        self,
        expected: &[ParameterInfo],
        tensors: impl IntoIterator<Item = NamedTensor>,
    ) -> Result<Self, ModelError> {
        load_exactly(self, expected, tensors)
    }
}

/// Any module with the values of a state dict, as [`SegmentationModel::load_state_dict`].
pub(crate) fn load_tensors_by_name<M: Module>(module: M, tensors: Vec<NamedTensor>) -> Result<M, ModelError> {
    let expected = infos(&module);
    let tensors = tensors.into_iter().filter(|tensor| !tensor.name.ends_with(BATCHES_TRACKED));
    load_exactly(module, &expected, tensors)
}

fn load_exactly<M: Module>(
    module: M,
    expected: &[ParameterInfo],
    tensors: impl IntoIterator<Item = NamedTensor>,
) -> Result<M, ModelError> {
    let tensors: BTreeMap<String, NamedTensor> =
        tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mismatch = compare(expected, &tensors);
    if !mismatch.is_empty() {
        return Err(ModelError::StateDictMismatch(Box::new(mismatch)));
    }
    Ok(loaded(module, tensors))
}

/// A model or a part of it with these tensors in the places of their names.
pub(super) fn loaded<M: Module>(module: M, tensors: BTreeMap<String, NamedTensor>) -> M {
    module.map(&mut Loader { path: Path::default(), tensors })
}

/// Every tensor of a model or a part of it, in smp's order.
pub(crate) fn infos(module: &impl Module) -> Vec<ParameterInfo> {
    let mut visitor = Infos::default();
    module.visit(&mut visitor);
    visitor.infos
}

/// Every tensor of a model or a part of it with its values, in smp's order.
pub(crate) fn module_tensors(module: &impl Module) -> Result<Vec<NamedTensor>, ModelError> {
    let mut visitor = Values::default();
    module.visit(&mut visitor);
    visitor.tensors.into_iter().collect()
}

/// Whether a checkpoint keeps all of a module, which draws what it draws lazily when this looks at it.
///
/// # Errors
/// [`ModelError::Unkept`] for a parameter of other numbers than 32-bit floats, and for two that would have one name.
pub(crate) fn check_module(module: &impl Module) -> Result<(), ModelError> {
    let mut visitor = Check::default();
    module.visit(&mut visitor);
    visitor.error.map_or(Ok(()), Err)
}

/// Names of the parameters of a module that gradients flow to.
pub(crate) fn trained_names(module: &impl Module) -> HashMap<ParamId, String> {
    let mut visitor = Trained::default();
    module.visit(&mut visitor);
    visitor.names
}

/// How many values gradients flow to.
pub(crate) fn trained_count(module: &impl Module) -> usize {
    let mut visitor = Trained::default();
    module.visit(&mut visitor);
    visitor.values
}

/// Number of trained values.
pub(super) fn count_trained(infos: &[ParameterInfo]) -> usize {
    let trained = infos.iter().filter(|info| info.is_trained);
    trained.map(|info| info.shape.iter().product::<usize>()).sum()
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

/// Where a traversal is, in smp's terms: enum variants are no part of a name, `at_0` is `0`, and what is in a list whose name
/// ends in `_` counts from 1 and is written behind that name, `conv2_1`.
#[derive(Default)]
struct Path {
    segments: Vec<String>,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        let segment =
            if container.starts_with("Enum:") { "" } else { name.strip_prefix("at_").unwrap_or(name) };
        self.segments.push(segment.to_owned());
    }

    fn exit(&mut self) {
        self.segments.pop();
    }

    fn name(&self) -> String {
        let mut name = String::new();
        for segment in self.segments.iter().filter(|segment| !segment.is_empty()) {
            match segment.parse::<usize>() {
                Ok(index) if name.ends_with('_') => name.push_str(&(index + 1).to_string()),
                _ if name.is_empty() => name.push_str(segment),
                _ => {
                    name.push('.');
                    name.push_str(segment);
                }
            }
        }
        name
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
struct Check {
    path: Path,
    names: BTreeSet<String>,
    error: Option<ModelError>,
}

impl Check {
    fn refuse(&mut self, reason: &'static str) {
        let name = self.path.name();
        self.error.get_or_insert(ModelError::Unkept { name, reason });
    }
}

impl ModuleVisitor for Check {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().dtype() != DType::F32 {
            self.refuse("holds floats of other than 32 bits");
        }
        if !self.names.insert(self.path.name()) {
            self.refuse("is the name of two parameters");
        }
    }

    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<D, Int>>) {
        self.refuse("holds whole numbers");
    }

    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<D, Bool>>) {
        self.refuse("holds truth values");
    }
}

#[derive(Default)]
struct Trained {
    path: Path,
    names: HashMap<ParamId, String>,
    values: usize,
}

impl ModuleVisitor for Trained {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.names.insert(param.id, self.path.name());
            self.values += param.lazy_shape().num_elements();
        }
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
        self.tensors.push(match param.val().into_data().convert::<f32>().try_into_vec::<f32>() {
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
            let new = laid_out(Tensor::from_data(data, &old.device()));
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

#[cfg(test)]
#[cfg(feature = "segmentation")]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};
    use crate::models::read_safetensors;

    fn model(seed: u64) -> SegmentationModel {
        let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
        SegmentationModel::build("UNET", "ResNet18", 2, seed, &device.autodiff()).unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_weights_on_every_backend() {
        let weights: Vec<_> = BackendName::ALL
            .into_iter()
            .filter_map(|name| name.device(ComputeDevice::Cpu).ok())
            .map(|device| SegmentationModel::build("Unet", "resnet18", 2, 7, &device).unwrap())
            .map(|model| model.state_dict().unwrap())
            .collect();
        assert!(!weights.is_empty() && weights.iter().all(|other| *other == weights[0]));
        assert!(weights[0] != model(8).state_dict().unwrap(), "another seed, other weights");
    }

    #[test]
    fn weights_survive_safetensors_and_ids_and_gradients_stay() {
        let (from, into) = (model(1), model(2));
        let bytes = from.to_safetensors(12).unwrap();
        let infos = into.parameter_infos();
        let loaded = into.load_safetensors(&bytes).unwrap();
        assert!(loaded.state_dict().unwrap() == from.state_dict().unwrap());
        assert_eq!(loaded.parameter_infos(), infos);

        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tracked = file.tensor("encoder.layer2.0.downsample.1.num_batches_tracked").unwrap();
        assert_eq!((tracked.shape(), tracked.data()), (&[][..], &12_i64.to_le_bytes()[..]));

        let x = Tensor::<4>::ones([1, 2, 32, 32], &loaded.devices()[0].clone().autodiff());
        let gradients = loaded.forward(x).sum().backward();
        let gradients = burn::optim::GradientsParams::from_grads(gradients, &loaded);
        let trained = infos.iter().filter(|info| info.is_trained).count();
        assert_eq!(gradients.len(), trained, "every trained tensor has a gradient, and no other");
    }

    #[test]
    fn all_that_does_not_fit_is_listed() {
        let mut weights = model(1).state_dict().unwrap();
        weights[0].shape = vec![64, 2, 49];
        weights[1].name = "encoder.bn1.scale".into();
        let error = model(1).load_state_dict(weights).unwrap_err().to_string();
        for part in
            ["missing: encoder.bn1.weight", "unexpected: encoder.bn1.scale", "[64, 2, 49]", "[64, 2, 7, 7]"]
        {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let bytes = model(1).to_safetensors(0).unwrap();
        let error = read_safetensors(&bytes[..bytes.len() - 1]).unwrap_err();
        assert!(matches!(error, ModelError::WeightsFile(_)), "{error}");
    }

    #[test]
    fn unknown_names_get_a_hint() {
        let device = model(1).devices()[0].clone();
        let build =
            |arch, encoder| SegmentationModel::build(arch, encoder, 3, 1, &device).unwrap_err().to_string();
        assert!(build("Unett", "resnet18").contains("did you mean `Unet`?"));
        assert!(build("Unet", "resnet19").contains("did you mean `resnet18`?"));
        assert_eq!(
            SegmentationModel::build("Unet", "resnet18", 0, 1, &device).unwrap_err(),
            ModelError::NoInputChannels
        );
    }
}

//! Layers against PyTorch: values and gradients in `layers.json`, made by `tests/python/layers_golden.py`.
//!
//! Both sides fill inputs and parameters by the hash of the model fixtures. What is differentiated is the sum of the output,
//! each element times a number of its own.

pub(crate) mod tokens;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use serde_json::Value;

use crate::backend::{BackendName, ComputeDevice};

/// Places of the input, of a second one and of the weights of the output, as far as their filling goes.
const INPUT: u32 = 100_003;
const SECOND_INPUT: u32 = 100_004;
const WEIGHTS: u32 = 100_005;
/// Rounding of sums of some hundred products, relative to 1 and to the value.
const TOLERANCE: f32 = 1e-4;

/// Every backend of this build, with autodiff.
pub(crate) fn devices() -> Vec<Device> {
    let devices = BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok());
    devices.map(Device::autodiff).collect()
}

pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}

/// The hash that stands in for random numbers, in [-1, 1).
fn hashed(place: u32, element: u32) -> f64 {
    let mut x =
        element.wrapping_mul(2_654_435_761).wrapping_add(place.wrapping_mul(40_503)).wrapping_add(12_345);
    x ^= x >> 16;
    x = x.wrapping_mul(0x45D_9F3B);
    x ^= x >> 16;
    x = x.wrapping_mul(0x45D_9F3B);
    x ^= x >> 16;
    2.0 * (f64::from(x) / 4_294_967_296.0) - 1.0
}

fn numbers(place: u32, shape: &[usize]) -> Vec<f64> {
    (0..shape.iter().product::<usize>() as u32).map(|element| hashed(place, element)).collect()
}

fn of_values<const D: usize>(values: Vec<f64>, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn tensor<const D: usize>(place: u32, shape: [usize; D], device: &Device) -> Tensor<D> {
    of_values(numbers(place, &shape), shape, device)
}

/// An output, and the gradients of its weighted sum.
pub(crate) fn weighted(y: Tensor<4>) -> (Tensor<4>, Gradients) {
    let weights = tensor(WEIGHTS, y.dims(), &y.device());
    let gradients = (y.clone() * weights).sum().backward();
    (y, gradients)
}

/// One input of a layer and what torch makes of it.
pub(crate) struct Golden {
    name: String,
    value: Value,
}

impl Golden {
    /// Every case of a layer.
    pub(crate) fn cases(layer: &str) -> Vec<Self> {
        let all: Value = serde_json::from_str(include_str!("layers.json")).unwrap();
        let cases = all[layer].as_array().unwrap().iter().enumerate();
        cases.map(|(at, value)| Self { name: format!("{layer}[{at}]"), value: value.clone() }).collect()
    }

    /// The only case of a layer.
    pub(crate) fn only(layer: &str) -> Self {
        let mut cases = Self::cases(layer);
        assert_eq!(cases.len(), 1, "{layer}");
        cases.remove(0)
    }

    fn shape<const N: usize>(&self, field: &str) -> [usize; N] {
        let shape: Vec<usize> = serde_json::from_value(self.value[field].clone()).unwrap();
        shape.try_into().unwrap()
    }

    fn values(&self, field: &str) -> Vec<f32> {
        serde_json::from_value(self.value[field].clone()).unwrap()
    }

    /// Height and width asked for.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.shape("size")
    }

    /// The input.
    pub(crate) fn input(&self, device: &Device) -> Tensor<4> {
        tensor(INPUT, self.shape("input"), device).require_grad()
    }

    /// The second input, of a layer that joins two.
    pub(crate) fn second_input(&self, device: &Device) -> Tensor<4> {
        tensor(SECOND_INPUT, self.shape("second_input"), device).require_grad()
    }

    /// Holds the output and the gradient of the input to torch's.
    pub(crate) fn check(&self, x: &Tensor<4>, y: Tensor<4>) -> Gradients {
        let device = format!("{:?}", y.device());
        let (y, gradients) = weighted(y);
        self.close(&device, "output", &read(y));
        self.close(&device, "input_gradient", &read(x.grad(&gradients).unwrap()));
        gradients
    }

    /// Holds the gradients of a module's parameters to torch's, in the order of the state dict.
    pub(crate) fn check_parameters<M: Module>(&self, module: &M, gradients: &Gradients) {
        check_parameters(&self.name, module, gradients, &self.value);
    }

    /// Holds values to torch's.
    pub(crate) fn close(&self, device: &str, field: &str, ours: &[f32]) {
        assert_close(&format!("{} on {device}, {field}", self.name), ours, &self.values(field));
    }
}

/// Holds the gradients of a module's parameters to `parameter_gradients` of a case.
fn check_parameters<M: Module>(name: &str, module: &M, gradients: &Gradients, case: &Value) {
    let mut found = Found { gradients, parameters: Vec::new() };
    module.visit(&mut found);
    let expected: Vec<Vec<f32>> = serde_json::from_value(case["parameter_gradients"].clone()).unwrap();
    assert_eq!(found.parameters.len(), expected.len(), "{name}: parameters with a gradient");
    for (at, (ours, theirs)) in found.parameters.iter().zip(&expected).enumerate() {
        assert_close(&format!("{name}, gradient of parameter {at}"), ours, theirs);
    }
}

fn assert_close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * scale, "{what}[{at}]: {a}, not {b}");
    }
}

/// A module with the values that the script gives it.
pub(crate) fn filled<M: Module>(module: M) -> M {
    module.map(&mut Fill::default())
}

#[derive(Default)]
struct Fill {
    names: Vec<String>,
    /// Of the parameters so far.
    shapes: Vec<Vec<usize>>,
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.names.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.names.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.dims();
        let scale = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        let value = |v: f64| match self.names.last().map(String::as_str).unwrap_or_default() {
            "running_var" => 1.0 + v / 2.0,
            "running_mean" | "bias" => v / 10.0,
            _ if D > 1 => v * scale,
            _ => 1.0 + v / 10.0,
        };
        let values = numbers(self.shapes.len() as u32, &shape).into_iter().map(value).collect();
        self.shapes.push(shape.to_vec());
        param.map(|old| {
            let new = of_values(values, shape, &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

struct Found<'a> {
    gradients: &'a Gradients,
    parameters: Vec<Vec<f32>>,
}

impl ModuleVisitor for Found<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.parameters.extend(param.val().grad(self.gradients).map(read));
    }
}

//! Layers of transformers against smp and timm: `tokens.json`, made by `tests/python/token_golden.py`.
//!
//! Both sides fill inputs and parameters by the hash of the model fixtures. What is differentiated is the sum of the output,
//! each element times a number of its own. Images are `[batch, height, width, channels]`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::{Fill, INPUT, assert_close, check_parameters, read, tensor, weighted};

/// A layer, one input, and what Python makes of it.
pub(crate) struct Golden {
    layer: &'static str,
    value: Value,
}

impl Golden {
    pub(crate) fn of(layer: &'static str) -> Self {
        let all: Value = serde_json::from_str(include_str!("tokens.json")).unwrap();
        Self { layer, value: all[layer].clone() }
    }

    /// A module with the values that the script gives it; its tensors have the names that the script tells.
    pub(crate) fn filled<M: Module>(&self, module: M) -> M {
        let mut fill = Fill::default();
        let module = module.map(&mut fill);
        let expected: Vec<Vec<usize>> = serde_json::from_value(self.value["shapes"].clone()).unwrap();
        assert_eq!(fill.shapes, expected, "{}: shapes", self.layer);
        module
    }

    /// Holds output, gradient of the input and gradients of the parameters to Python's.
    pub(crate) fn check<M: Module>(
        &self,
        module: &M,
        device: &Device,
        forward: impl Fn(Tensor<4>) -> Tensor<4>,
    ) {
        let shape: [usize; 4] = serde_json::from_value(self.value["input"].clone()).unwrap();
        let x = tensor(INPUT, shape, device).require_grad();
        let (y, gradients) = weighted(forward(x.clone()));
        self.close("output", &read(y));
        self.close("input_gradient", &read(x.grad(&gradients).unwrap()));
        check_parameters(self.layer, module, &gradients, &self.value);
    }

    fn close(&self, field: &str, ours: &[f32]) {
        let theirs: Vec<f32> = serde_json::from_value(self.value[field].clone()).unwrap();
        assert_close(&format!("{}, {field}", self.layer), ours, &theirs);
    }
}

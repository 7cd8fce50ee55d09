//! Gradients held within bounds.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Added to the norm before anything is divided by it.
const EPSILON: f64 = 1e-6;

/// How far gradients may reach. Both bounds are above 0.
///
/// # Sources
/// PyTorch, `torch.nn.utils.clip_grad_norm_` (of norm 2) and `clip_grad_value_`; Pascanu et al. 2013, On the difficulty of
/// training recurrent neural networks, algorithm 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clipping {
    /// Norm of all gradients together: where it is larger, all of them become smaller by one factor.
    Norm(f64),
    /// Size of every single value.
    Value(f64),
}

impl Clipping {
    /// The bound.
    pub fn at(self) -> f64 {
        match self {
            Self::Norm(at) | Self::Value(at) => at,
        }
    }

    /// Clips the gradients of a module's parameters. Nothing waits for the device.
    pub fn clip<M: Module>(self, module: &M, gradients: GradientsParams) -> GradientsParams {
        let bound = match self {
            Self::Value(at) => Bound::Size(at),
            Self::Norm(at) => match norm(module, &gradients) {
                Some(norm) => {
                    let factor = norm.add_scalar(EPSILON).recip().mul_scalar(at).clamp_max(1.0);
                    Bound::Factor(Box::new(factor))
                }
                None => return gradients,
            },
        };
        let mut each = Each { bound, gradients, clipped: GradientsParams::new() };
        module.visit(&mut each);
        each.clipped
    }
}

/// The norm of all gradients together, `[1]`; none where there is no gradient.
fn norm<M: Module>(module: &M, gradients: &GradientsParams) -> Option<Tensor<1>> {
    let mut squares = Squares { gradients, sums: Vec::new() };
    module.visit(&mut squares);
    let Squares { sums, .. } = squares;
    (!sums.is_empty()).then(|| Tensor::cat(sums, 0).sum().sqrt())
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sums.push(gradient.square().sum());
        }
    }
}

enum Bound {
    Factor(Box<Tensor<1>>),
    Size(f64),
}

struct Each {
    bound: Bound,
    gradients: GradientsParams,
    clipped: GradientsParams,
}

impl ModuleVisitor for Each {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let clipped = match &self.bound {
            Bound::Factor(factor) => gradient.mul(factor.as_ref().clone().reshape([1; D])),
            Bound::Size(at) => gradient.clamp(-at, *at),
        };
        self.clipped.register(param.id, clipped);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use serde_json::Value;

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    /// What PyTorch makes of the same gradients.
    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gradient-clipping.json"));

    #[derive(Module, Debug)]
    struct Three {
        a: Param<Tensor<2>>,
        b: Param<Tensor<1>>,
        c: Param<Tensor<3>>,
        without: Param<Tensor<1>>,
    }

    fn values(of: &Value) -> Vec<f32> {
        of.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
    }

    fn tensor<const D: usize>(golden: &Value, name: &str, device: &Device) -> Tensor<D> {
        let gradient = &golden["gradients"][name];
        let shape: Vec<usize> =
            gradient["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        Tensor::from_data(TensorData::new(values(&gradient["values"]), shape), device)
    }

    fn module(golden: &Value, device: &Device) -> (Three, GradientsParams) {
        let zeros = Tensor::<1>::zeros([2], device);
        let (a, b, c) =
            (tensor(golden, "a", device), tensor(golden, "b", device), tensor(golden, "c", device));
        let mut gradients = GradientsParams::new();
        let module = Three {
            a: Param::from_tensor(a.zeros_like()),
            b: Param::from_tensor(b.zeros_like()),
            c: Param::from_tensor(c.zeros_like()),
            without: Param::from_tensor(zeros),
        };
        gradients.register(module.a.id, a);
        gradients.register(module.b.id, b);
        gradients.register(module.c.id, c);
        (module, gradients)
    }

    fn floats<const D: usize>(gradients: &GradientsParams, param: &Param<Tensor<D>>) -> Vec<f32> {
        gradients.get::<D>(param.id).unwrap().into_data().try_into_vec::<f32>().unwrap()
    }

    #[test]
    fn gradients_are_clipped_as_pytorch_clips_them() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            for case in golden["cases"].as_array().unwrap() {
                let clipping: Clipping = serde_json::from_value(
                    serde_json::json!({ case["algorithm"].as_str().unwrap(): case["at"] }),
                )
                .unwrap();
                let (module, gradients) = module(&golden, &device);
                let clipped = clipping.clip(&module, gradients);
                assert_eq!(clipped.len(), 3, "a parameter without a gradient has none after it");
                let ours = [
                    ("a", floats(&clipped, &module.a)),
                    ("b", floats(&clipped, &module.b)),
                    ("c", floats(&clipped, &module.c)),
                ];
                for (name, ours) in ours {
                    let theirs = values(&case["clipped"][name]);
                    assert_eq!(ours.len(), theirs.len());
                    for (ours, theirs) in ours.into_iter().zip(theirs) {
                        let off = (ours - theirs).abs();
                        assert!(off <= 1e-6 * theirs.abs(), "{clipping:?} {name}: {ours} for {theirs}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_within_bounds_stays_to_the_bit() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        let backend = BackendName::best(ComputeDevice::Cpu).unwrap();
        let device = backend.device(ComputeDevice::Cpu).unwrap();
        for clipping in [Clipping::Norm(1e3), Clipping::Value(1e3)] {
            let (module, gradients) = module(&golden, &device);
            let before = floats(&gradients, &module.a);
            assert_eq!(floats(&clipping.clip(&module, gradients), &module.a), before);
            assert!(clipping.clip(&module, GradientsParams::new()).is_empty());
        }
    }
}

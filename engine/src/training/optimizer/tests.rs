use burn::tensor::{Device, TensorData};
use serde_json::Value;

use super::*;
use crate::backend::{BackendName, ComputeDevice};
use crate::models::NamedTensor;

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
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), names(&pair));
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
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), only_b);
    let taken = gradients(&pair);
    let pair = optimizer.step(0.1, pair, taken);
    assert_eq!(values(&pair), before);
    assert_eq!(pair.b.val().into_data().try_to_vec::<f32>().unwrap(), [1.0]);
    assert_eq!(optimizer.state(&pair).unwrap(), OptimizerState::default());
}

/// What PyTorch's optimizers make of the same gradients; `tests/python/training_goldens.py` makes them.
const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/optimizers.json"));
/// Single precision against double over five steps.
const TOLERANCE: f64 = 2e-6;

fn numbers(of: &Value) -> Vec<f64> {
    of.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn config(case: &Value) -> OptimizerConfig {
    let settings = &case["settings"];
    let decay = settings["weight_decay"].as_f64();
    let adam = |default| AdamConfig { weight_decay: decay.unwrap_or(default), ..AdamConfig::default() };
    match serde_json::from_value(case["name"].clone()).unwrap() {
        OptimizerName::Adamw => OptimizerConfig::AdamW(adam(0.01)),
        OptimizerName::Adam => OptimizerConfig::Adam(adam(0.0)),
        OptimizerName::Sgd => OptimizerConfig::Sgd(SgdConfig {
            momentum: settings["momentum"].as_f64().unwrap_or(0.0),
            nesterov: settings["nesterov"].as_bool().unwrap_or(false),
            weight_decay: decay.unwrap_or(0.0),
        }),
    }
}

fn golden_pair(golden: &Value, device: &Device) -> Pair {
    let floats = |key: &str| numbers(&golden[key]).into_iter().map(|value| value as f32).collect::<Vec<_>>();
    Pair {
        a: Param::from_tensor(Tensor::from_data(TensorData::new(floats("a"), [3]), device)),
        b: Param::from_tensor(Tensor::from_data(TensorData::new(floats("b"), [2, 2]), device)),
    }
}

/// Gradients of both, each by the other.
fn golden_gradients(pair: &Pair) -> Gradients {
    let (a, b) = (pair.a.val(), pair.b.val());
    (a.clone().square().sum() + b.square().sum() * a.narrow(0, 0, 1)).backward()
}

fn assert_near(ours: &[f32], theirs: &[f64], of: &str) {
    assert_eq!(ours.len(), theirs.len(), "{of}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let off = (f64::from(*ours) - theirs).abs();
        assert!(off <= TOLERANCE * theirs.abs().max(1.0), "{of}: {ours} for {theirs}");
    }
}

#[test]
fn five_steps_of_every_optimizer_are_pytorchs() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
        for case in golden["cases"].as_array().unwrap() {
            let mut pair = golden_pair(&golden, &device.clone().autodiff());
            let mut optimizer = Optimizer::new(config(case), names(&pair));
            for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
                let taken = golden_gradients(&pair);
                pair = optimizer.step(golden["rate"].as_f64().unwrap() / (number + 1) as f64, pair, taken);
                let of = format!("{} {}, step {number} on {device:?}", case["name"], case["settings"]);
                assert_near(&values(&pair), &numbers(&step["a"]), &of);
                let b = pair.b.val().into_data().try_to_vec::<f32>().unwrap();
                assert_near(&b, &numbers(&step["b"]), &of);
            }
            let kept = case["kept"].as_object().unwrap();
            let state = optimizer.state(&pair).unwrap();
            assert_eq!(state.tensors.len(), kept.len(), "{case}");
            for NamedTensor { name, values, .. } in state.tensors {
                assert_near(&values, &numbers(&kept[&name]), &format!("{name} of {}", case["name"]));
            }
        }
    }
}

#[test]
fn a_restored_optimizer_goes_on_to_the_same_bits() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let mut pair = golden_pair(&golden, &device());
        let mut optimizer = Optimizer::new(config(case), names(&pair));
        for _ in 0..2 {
            let taken = golden_gradients(&pair);
            pair = optimizer.step(0.1, pair, taken);
        }
        let state = optimizer.state(&pair).unwrap();
        let mut restored = Optimizer::restore(config(case), names(&pair), state, &pair).unwrap();
        let bits = |pair: &Pair| values(pair).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let mut other = pair.clone();
        for _ in 0..2 {
            let taken = golden_gradients(&pair);
            pair = optimizer.step(0.1, pair, taken);
            let taken = golden_gradients(&other);
            other = restored.step(0.1, other, taken);
            assert_eq!(bits(&pair), bits(&other), "{case}");
        }
        assert_eq!(optimizer.state(&pair).unwrap(), restored.state(&other).unwrap(), "{case}");
    }
}

/// A weight that lies in another order than what was restored of it.
#[test]
fn a_laid_out_weight_goes_on_to_the_same_bits_after_its_state_was_restored() {
    #[derive(Module, Debug)]
    struct One {
        weight: Param<Tensor<4>>,
    }
    let device = device();
    let shape = [5, 3, 3, 3];
    let numbers = |factor: f32| {
        let values = (0..shape.iter().product()).map(|at: usize| ((at as f32 + 1.0) * factor).sin());
        Tensor::<4>::from_data(TensorData::new(values.collect(), shape), &device)
    };
    let bits = |one: &One| {
        let values = one.weight.val().into_data().try_into_vec::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for config in [
        OptimizerConfig::AdamW(AdamConfig::default()),
        OptimizerConfig::Adam(AdamConfig::default()),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, nesterov: true, weight_decay: 0.1 }),
    ] {
        let mut one = One { weight: Param::from_tensor(crate::nn::kernels::laid_out(numbers(0.37))) };
        let names = || HashMap::from([(one.weight.id, "weight".to_owned())]);
        let mut optimizer = Optimizer::new(config, names());
        let (names, mut restored, mut other) = (names(), None, None);
        for step in 0..6 {
            let gradients = |one: &One| (one.weight.val() * numbers(0.11 * step as f32)).sum().backward();
            if step == 3 {
                let state = optimizer.state(&one).unwrap();
                restored = Some(Optimizer::restore(config, names.clone(), state, &one).unwrap());
                other = Some(one.clone());
            }
            let taken = gradients(&one);
            one = optimizer.step(0.01, one, taken);
            if let (Some(optimizer), Some(module)) = (&mut restored, other.take()) {
                let taken = gradients(&module);
                let module = optimizer.step(0.01, module, taken);
                assert_eq!(bits(&one), bits(&module), "{config:?}, step {step}");
                other = Some(module);
            }
        }
        assert!(other.is_some());
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_by_name() {
    let pair = pair();
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), names(&pair));
    let taken = gradients(&pair);
    let pair = optimizer.step(0.1, pair, taken);
    let state = optimizer.state(&pair).unwrap();
    let refused = |spoil: fn(&mut OptimizerState)| {
        let mut state = state.clone();
        spoil(&mut state);
        match Optimizer::restore(OptimizerConfig::default(), names(&pair), state, &pair) {
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

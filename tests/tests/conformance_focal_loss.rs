//! Focal loss and its gradients against PyTorch's float64 values, on every CPU backend of this build.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::path::PathBuf;

use engine::backend::burn::tensor::{Device, Int, Tensor, TensorData};
use engine::backend::{BackendName, ComputeDevice};
use engine::loss::{LossError, focal_loss};
use serde_json::Value;

/// float32 against float64: sums of 64 terms keep six digits.
const TOLERANCE: f64 = 2e-6;

fn fixture(name: &str) -> Value {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fixtures");
    let folder = std::env::var_os("ENGINE_FIXTURES").map_or_else(|| PathBuf::from(default), PathBuf::from);
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn cpu_backends() -> Vec<(BackendName, Device)> {
    let cpu = |name: BackendName| name.device(ComputeDevice::Cpu).ok().map(|device| (name, device));
    let devices: Vec<_> = BackendName::ALL.into_iter().filter_map(cpu).collect();
    assert!(!devices.is_empty(), "no CPU backend in this build");
    devices
}

fn image(values: Vec<f32>, device: &Device) -> Tensor<3> {
    let side = values.len();
    Tensor::from_data(TensorData::new(values, [1, 1, side]), device)
}

fn targets(values: Vec<i32>, device: &Device) -> Tensor<3, Int> {
    let side = values.len();
    Tensor::from_data(TensorData::new(values, [1, 1, side]), device)
}

#[test]
fn loss_and_gradients_are_those_of_pytorch() {
    let fixture = fixture("focal_loss.json");
    for (backend, device) in cpu_backends() {
        let device = device.autodiff();
        for (index, case) in fixture["cases"].as_array().unwrap().iter().enumerate() {
            let values = numbers(&case["logits"]).into_iter().map(|value| value as f32).collect();
            let classes = numbers(&case["target"]).into_iter().map(|value| value as i32).collect();
            let logits = image(values, &device).require_grad();
            let gamma = case["gamma"].as_f64().unwrap();
            let loss =
                focal_loss(logits.clone(), targets(classes, &device), case["alpha"].as_f64(), gamma).unwrap();
            let gradients = loss.backward();
            let got = f64::from(loss.into_scalar::<f32>());
            let expected = case["loss"].as_f64().unwrap();
            assert!(
                (got / expected - 1.0).abs() < TOLERANCE,
                "{backend}, case {index}: {got}, not {expected}"
            );

            let got = logits.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
            let expected = numbers(&case["grad"]);
            assert_eq!(got.len(), expected.len());
            let scale = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            for (pixel, (&got, expected)) in got.iter().zip(expected).enumerate() {
                let error = (f64::from(got) - expected).abs();
                assert!(
                    error < TOLERANCE * scale,
                    "{backend}, case {index}, pixel {pixel}: {got}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn extreme_logits_keep_loss_and_gradients_finite() {
    for (backend, device) in cpu_backends() {
        let device = device.autodiff();
        for gamma in [0.0, 0.5, 2.0] {
            let logits = image(vec![-200.0, 200.0, 0.0, -200.0, 200.0, 0.0], &device).require_grad();
            let target = targets(vec![0, 0, 0, 1, 1, 1], &device);
            let loss = focal_loss(logits.clone(), target, Some(0.25), gamma).unwrap();
            let gradients = loss.backward();
            // Right by 200: nothing. Wrong by 200: the cross-entropy. Undecided: 0.5^gamma ln 2.
            let undecided = 0.5_f64.powf(gamma) * std::f64::consts::LN_2;
            let expected = (0.75 + 0.25) * (200.0 + undecided) / 6.0;
            let got = f64::from(loss.into_scalar::<f32>());
            assert!((got / expected - 1.0).abs() < 1e-5, "{backend}, gamma {gamma}: {got}, not {expected}");

            // At 0, d/dz of (1-p)^gamma (-ln p) with p = sigmoid(z): -0.5^(gamma+1) (1 + gamma ln 2).
            let slope = 0.5_f64.powf(gamma + 1.0) * (1.0 + gamma * std::f64::consts::LN_2);
            let gradient = logits.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
            let expected = [0.0, 0.75, 0.75 * slope, -0.25, 0.0, -0.25 * slope].map(|value| value / 6.0);
            for (got, expected) in gradient.into_iter().zip(expected) {
                assert!(
                    (f64::from(got) - expected).abs() < 1e-6,
                    "{backend}, gamma {gamma}: {got}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn nothing_but_ignored_pixels_is_an_error_for_the_mean_and_zero_in_training() {
    for (backend, device) in cpu_backends() {
        let device = device.autodiff();
        let logits = image(vec![1.0, -2.0], &device).require_grad();
        let target = targets(vec![2, 2], &device);
        let error = focal_loss(logits.clone(), target.clone(), None, 2.0).unwrap_err();
        assert_eq!(error, LossError::NothingToAverage);

        let mean = engine::loss::FocalLoss { alpha: None, gamma: 2.0 }.sums(logits.clone(), target).mean();
        let gradient = logits.grad(&mean.backward()).unwrap().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!((mean.into_scalar::<f32>(), gradient), (0.0, vec![0.0, 0.0]), "{backend}");
    }
}

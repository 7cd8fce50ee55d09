use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::Value;

use super::*;
use crate::backend::{BackendName, ComputeDevice};

/// Losses and gradients of PyTorch and segmentation_models_pytorch; `tests/python/training_goldens.py` makes them.
const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/losses.json"));
/// Single precision against double: sums of a hundred terms keep six digits.
const TOLERANCE: f64 = 4e-6;

/// What the golden values were made with.
const PARAMETERS: LossParameters = LossParameters {
    focal: FocalLoss { alpha: Some(0.75), gamma: 2.0 },
    bce: Bce { positive_weight: 3.0 },
    tversky: Tversky { alpha: 0.3, beta: 0.7 },
};

fn loss(formula: &str) -> Loss {
    Loss::new(&formula.parse().unwrap(), PARAMETERS)
}

fn names() -> [&'static str; 6] {
    LossName::ALL.map(LossName::as_str)
}

fn devices() -> Vec<Device> {
    let devices = BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok());
    devices.collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[derive(Clone)]
struct Batch {
    shape: [usize; 3],
    logits: Vec<f32>,
    target: Vec<i32>,
}

impl Batch {
    fn row(logits: &[f32], target: &[i32]) -> Self {
        Self { shape: [1, 1, logits.len()], logits: logits.to_vec(), target: target.to_vec() }
    }

    fn golden(golden: &Value, number: usize) -> Self {
        let shape: Vec<usize> = numbers(&golden["shape"]).into_iter().map(|side| side as usize).collect();
        let batch = &golden["batches"][number];
        Self {
            shape: shape.try_into().unwrap(),
            logits: numbers(&batch["logits"]).into_iter().map(|value| value as f32).collect(),
            target: numbers(&batch["target"]).into_iter().map(|value| value as i32).collect(),
        }
    }

    fn on(&self, device: &Device) -> (Tensor<3>, Tensor<3, Int>) {
        (
            Tensor::from_data(TensorData::new(self.logits.clone(), self.shape), device),
            Tensor::from_data(TensorData::new(self.target.clone(), self.shape), device),
        )
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

fn totals(sums: LossSums) -> LossTotals {
    let one = |tensor: Tensor<1>| f64::from(read(tensor)[0]);
    let overlaps = sums.overlaps.map_or([0.0; 3], |overlaps| {
        let read: [f32; 3] = read(overlaps).try_into().unwrap();
        read.map(f64::from)
    });
    LossTotals { total: one(sums.total), pixels: one(sums.pixels), overlaps }
}

/// Loss and gradient as a step has them.
fn trained(loss: &Loss, batch: &Batch, device: &Device) -> (f64, Vec<f32>) {
    let device = device.clone().autodiff();
    let (logits, target) = batch.on(&device);
    let logits = logits.require_grad();
    let mean = loss.sums(logits.clone(), target).mean();
    let gradients = mean.backward();
    (f64::from(read(mean)[0]), read(logits.grad(&gradients).unwrap()))
}

/// The loss as a validation of these batches has it.
fn validated(loss: &Loss, batches: &[Batch], device: &Device) -> f64 {
    let mut sums = LossTotals::default();
    for batch in batches {
        let (logits, target) = batch.on(device);
        sums.add(&totals(loss.sums(logits, target)));
    }
    loss.mean(&LossTotals::from_flat(sums.to_flat()))
}

fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(names().iter().all(|name| cases.iter().any(|case| case["formula"] == *name)));
    for device in devices() {
        for case in cases {
            let formula = case["formula"].as_str().unwrap();
            let of = format!("{formula} of batch {} on {device:?}", case["batch"]);
            let batch = Batch::golden(&golden, case["batch"].as_u64().unwrap() as usize);
            let (loss, expected) = (loss(formula), case["loss"].as_f64().unwrap());
            let (got, gradient) = trained(&loss, &batch, &device);
            assert!(close(got, expected), "{of}: {got}, not {expected}");
            let got = validated(&loss, std::slice::from_ref(&batch), &device);
            assert!(close(got, expected), "{of}, validated: {got}, not {expected}");
            let expected = numbers(&case["gradient"]);
            assert_eq!(gradient.len(), expected.len());
            let scale = expected.iter().fold(1e-3_f64, |most, value| most.max(value.abs()));
            for (pixel, (got, expected)) in gradient.into_iter().zip(expected).enumerate() {
                let off = (f64::from(got) - expected).abs();
                assert!(off <= TOLERANCE * scale, "{of}, pixel {pixel}: {got}, not {expected}");
            }
        }
    }
}

#[test]
fn ignored_pixels_have_no_part_in_any_loss() {
    let (logits, target) = ([0.5, -1.0, 2.0, 0.25], [1, 0, 1, 0]);
    let with = Batch::row(&[0.5, 40.0, -1.0, 2.0, -40.0, 0.25], &[1, 2, 0, 1, 2, 0]);
    for device in devices() {
        for name in names() {
            let (bare, of_bare) = trained(&loss(name), &Batch::row(&logits, &target), &device);
            let (got, gradient) = trained(&loss(name), &with, &device);
            assert!(close(got, bare), "{name} on {device:?}: {got}, not {bare}");
            assert_eq!([gradient[1], gradient[4]], [0.0; 2], "{name} on {device:?}");
            let counted = [gradient[0], gradient[2], gradient[3], gradient[5]];
            for (got, bare) in counted.into_iter().zip(of_bare) {
                assert!((got - bare).abs() < 1e-6, "{name} on {device:?}: {got}, not {bare}");
            }
        }
    }
}

#[test]
fn nothing_but_ignored_pixels_is_zero_with_zero_gradients() {
    let batch = Batch::row(&[1.0, -200.0, 200.0], &[2, 2, 2]);
    for device in devices() {
        for name in names() {
            assert_eq!(trained(&loss(name), &batch, &device), (0.0, vec![0.0; 3]), "{name} on {device:?}");
            assert_eq!(validated(&loss(name), std::slice::from_ref(&batch), &device), 0.0, "{name}");
        }
    }
}

#[test]
fn huge_logits_keep_losses_and_gradients_finite() {
    for device in devices() {
        for name in names() {
            for target in [[0, 0, 0, 1, 1, 1], [0; 6], [1; 6]] {
                let batch = Batch::row(&[-1e4, 1e4, 0.0, -1e4, 1e4, 0.0], &target);
                let (got, gradient) = trained(&loss(name), &batch, &device);
                assert!(got.is_finite(), "{name} on {device:?}: {got}");
                assert!(gradient.iter().all(|value| value.is_finite()), "{name} on {device:?}: {gradient:?}");
            }
            // Right by far: as good as nothing; and wrong by far is worse.
            let [right, wrong] = [[1e4, -1e4], [-1e4, 1e4]]
                .map(|logits| trained(&loss(name), &Batch::row(&logits, &[1, 0]), &device).0);
            assert!(right.abs() < 1e-6 && wrong > 0.9, "{name} on {device:?}: {right} and {wrong}");
        }
    }
}

#[test]
fn what_is_no_number_shows_in_every_loss() {
    for device in devices() {
        for name in names() {
            for target in [[1, 0], [0, 0]] {
                let batch = Batch::row(&[f32::NAN, 1.0], &target);
                let got = validated(&loss(name), &[batch], &device);
                assert!(!got.is_finite(), "{name} on {device:?}: {got}");
            }
        }
    }
}

/// A batch weighs by its pixels, or its overlap: however a set is cut, the loss of a pass is that of the whole.
#[test]
fn a_pass_has_the_loss_of_its_batches_as_one_but_for_lovasz() {
    let parts = [
        Batch::row(&[0.5, -1.0, 2.0], &[1, 0, 2]),
        Batch::row(&[-0.25, 1.5, -2.0, 0.75, 1.0], &[0, 0, 0, 0, 0]),
        Batch::row(&[3.0, -0.5], &[1, 1]),
    ];
    let joined = |parts: &[Batch]| {
        let logits: Vec<f32> = parts.iter().flat_map(|part| part.logits.clone()).collect();
        let target: Vec<i32> = parts.iter().flat_map(|part| part.target.clone()).collect();
        Batch::row(&logits, &target)
    };
    for device in devices() {
        for name in names() {
            let loss = loss(name);
            let got = validated(&loss, &parts, &device);
            let whole = match name {
                "lovasz" => {
                    let weighted = parts.iter().map(|part| {
                        let pixels = part.target.iter().filter(|target| **target != 2).count();
                        trained(&loss, part, &device).0 * pixels as f64
                    });
                    weighted.sum::<f64>() / 9.0
                }
                _ => trained(&loss, &joined(&parts), &device).0,
            };
            assert!(close(got, whole), "{name} on {device:?}: {got}, not {whole}");
        }
    }
}

#[test]
fn the_focal_loss_of_a_formula_is_the_focal_loss_to_the_bit() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for device in devices() {
        for number in 0..golden["batches"].as_array().unwrap().len() {
            let batch = Batch::golden(&golden, number);
            let device = device.clone().autodiff();
            let (logits, target) = batch.on(&device);
            let logits = logits.require_grad();
            let alone = PARAMETERS.focal.sums(logits.clone(), target).mean();
            let gradients = alone.backward();
            let alone = (f64::from(read(alone)[0]), read(logits.grad(&gradients).unwrap()));
            assert_eq!(trained(&loss("focal"), &batch, &device), alone);
        }
    }
}

/// Of equal errors any may come first: which does is the same every time.
#[test]
fn the_lovasz_hinge_of_equal_errors_is_the_same_every_time() {
    let logits: Vec<f32> = (0..4096).map(|pixel: u16| f32::from(pixel % 7) / 4.0 - 0.75).collect();
    let target: Vec<i32> = (0..4096).map(|pixel| i32::from(pixel * 31 % 11 < 3)).collect();
    let batch = Batch::row(&logits, &target);
    for device in devices() {
        let first = trained(&loss("lovasz"), &batch, &device);
        assert!(first.0 > 0.1);
        (0..3).for_each(|_| assert_eq!(trained(&loss("lovasz"), &batch, &device), first, "{device:?}"));
    }
}

#[test]
fn totals_are_written_as_before_where_nothing_is_new() {
    let totals = LossTotals { total: 1.5, pixels: 3.0, overlaps: [0.0; 3] };
    let written = serde_json::json!({"loss": 1.5, "pixels": 3.0});
    assert_eq!(serde_json::to_value(totals).unwrap(), written);
    assert_eq!(serde_json::from_value::<LossTotals>(written).unwrap(), totals);
    let regions = LossTotals { overlaps: [0.5, 1.0, 2.0], ..totals };
    let read: LossTotals = serde_json::from_value(serde_json::to_value(regions).unwrap()).unwrap();
    assert_eq!(read, regions);
}

//! Pixel metrics and curves against torchmetrics' values, counted on the host and on the device.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::path::PathBuf;

use engine::backend::burn::tensor::{Int, Tensor, TensorData};
use engine::backend::{BackendName, ComputeDevice};
use engine::metrics::{
    ConfusionCounts, DeviceCounts, EvaluationCounts, InstanceCounter, ThresholdCounts, boundary_pixels,
};
use serde_json::Value;

/// torchmetrics computes in float32, from the same counts.
const TOLERANCE: f64 = 2e-6;
/// Fields of the fixture that belong to instance metrics.
const INSTANCE_FIELDS: [&str; 9] = [
    "instance_tp",
    "instance_fp",
    "instance_fn",
    "InstancePrecision",
    "InstanceRecall",
    "InstanceF1Score",
    "InstanceAccuracy",
    "BoundaryIoU",
    "boundary_dilation_px",
];

struct Case {
    shape: [usize; 3],
    probability: Vec<f32>,
    target: Vec<u8>,
    expected: Value,
}

fn cases() -> Vec<Case> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fixtures");
    let folder = std::env::var_os("ENGINE_FIXTURES").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    // Python writes NaN, which JSON does not have.
    let fixture: Value = serde_json::from_str(&text.replace("NaN", "null")).unwrap();
    let case = |case: &Value| {
        let shape: Vec<usize> = numbers(&case["shape"]).into_iter().map(|size| size as usize).collect();
        Case {
            shape: shape.try_into().unwrap(),
            probability: numbers(&case["probability"]).into_iter().map(|value| value as f32).collect(),
            target: numbers(&case["target"]).into_iter().map(|value| value as u8).collect(),
            expected: case["expected"].clone(),
        }
    };
    let cases: Vec<Case> = fixture["cases"].as_array().unwrap().iter().map(case).collect();
    assert!(!cases.is_empty(), "the fixture holds no case");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    let number = |number: &Value| if number.is_null() { f64::NAN } else { number.as_f64().unwrap() };
    value.as_array().unwrap().iter().map(number).collect()
}

fn assert_close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let same = (got - expected).abs() <= TOLERANCE || (got.is_nan() && expected.is_nan());
        assert!(same, "{what}[{index}]: {got}, not {expected}");
    }
}

fn assert_as_expected(case: usize, counts: &EvaluationCounts, expected: &Value) {
    let metrics = counts.metrics("val");
    let curves = counts.curve_data();
    let mut compared = 0;
    for (name, value) in expected.as_object().unwrap() {
        let what = format!("case {case}, {name}");
        match name.as_str() {
            "roc" => {
                let roc = &curves.roc;
                assert_close(&what, &roc.false_positive_rate, &numbers(&value[0]));
                assert_close(&what, &roc.true_positive_rate, &numbers(&value[1]));
                assert_close(&what, &roc.thresholds, &numbers(&value[2]));
            }
            "prc" => {
                let prc = &curves.prc;
                assert_close(&what, &prc.precision, &numbers(&value[0]));
                assert_close(&what, &prc.recall, &numbers(&value[1]));
                assert_close(&what, &prc.thresholds, &numbers(&value[2]));
            }
            "cmx" => assert_eq!(serde_json::json!(curves.cmx_counts), *value, "{what}"),
            "cmx_normalized_true" => {
                for (row, expected) in curves.cmx.iter().zip(value.as_array().unwrap()) {
                    assert_close(&what, row, &numbers(expected));
                }
            }
            instance if INSTANCE_FIELDS.contains(&instance) => continue,
            _ => assert_close(&what, &[metrics[&format!("val/{name}")]], &[value.as_f64().unwrap()]),
        }
        compared += 1;
    }
    assert_eq!(compared, metrics.len() + 4, "case {case}: a metric has no expected value");
}

#[test]
fn counts_on_the_host_give_the_values_of_torchmetrics() {
    for (index, case) in cases().into_iter().enumerate() {
        let mut counts = EvaluationCounts::default();
        counts.add_probabilities(&case.probability, &case.target).unwrap();
        assert_as_expected(index, &counts, &case.expected);
    }
}

#[test]
fn counts_add_over_batches() {
    for (index, case) in cases().into_iter().enumerate() {
        let mut whole = EvaluationCounts::default();
        for (probability, target) in case.probability.chunks(100).zip(case.target.chunks(100)) {
            whole += &EvaluationCounts {
                confusion: ConfusionCounts::of(probability, target).unwrap(),
                curves: ThresholdCounts::of(probability, target).unwrap(),
            };
        }
        assert_as_expected(index, &whole, &case.expected);
    }
}

#[test]
fn instances_are_counted_and_matched_as_scikit_image_and_scipy_have_them() {
    for (index, case) in cases().into_iter().enumerate() {
        let [_, height, width] = case.shape;
        let mut counter = InstanceCounter::default();
        for (probability, target) in
            case.probability.chunks(height * width).zip(case.target.chunks(height * width))
        {
            counter.add(probability, target, (height, width)).unwrap();
        }
        let metrics = counter.sums.metrics("test");
        let counts = counter.sums.at_half;
        for name in INSTANCE_FIELDS {
            let value = match name {
                "instance_tp" => counts.true_positives as f64,
                "instance_fp" => counts.false_positives as f64,
                "instance_fn" => counts.false_negatives as f64,
                "BoundaryIoU" => metrics["test/InstanceBoundaryIoU"],
                "boundary_dilation_px" => f64::from(boundary_pixels(height, width)),
                metric => metrics[&format!("test/{metric}")],
            };
            assert_close(
                &format!("case {index}, {name}"),
                &[value],
                &[case.expected[name].as_f64().unwrap()],
            );
        }
        let curves = counter.sums.curve_data();
        let [tp, fp, fn_] = [counts.true_positives, counts.false_positives, counts.false_negatives];
        assert_eq!(curves.instance_cmx_counts, [[0, fp], [fn_, tp]], "case {index}");
        assert_eq!(curves.instance_prc.precision.len(), 21, "case {index}");
    }
}

/// The fixture's probabilities have four decimals, none of them at a threshold, so that their logits in
/// float32 come back to the same side.
#[test]
fn counts_from_logits_on_the_device_are_those_of_the_host() {
    for backend in BackendName::ALL {
        let Ok(device) = backend.device(ComputeDevice::Cpu) else { continue };
        let mut training = DeviceCounts::new(&device);
        let mut sum = ConfusionCounts::default();
        for case in cases() {
            let logit = |p: &f32| (f64::from(*p) / (1.0 - f64::from(*p))).ln() as f32;
            let logits: Vec<f32> = case.probability.iter().map(logit).collect();
            let target: Vec<i32> = case.target.iter().map(|&target| i32::from(target)).collect();
            let logits = Tensor::<3>::from_data(TensorData::new(logits, case.shape), &device);
            let target = Tensor::<3, Int>::from_data(TensorData::new(target, case.shape), &device);

            let host = ConfusionCounts::of(&case.probability, &case.target).unwrap();
            let mut evaluation = EvaluationCounts::default();
            evaluation.add_logits(logits.clone(), &case.target).unwrap();
            assert_eq!(evaluation.confusion, host, "{backend}");
            assert_eq!(evaluation.curves, ThresholdCounts::of(&case.probability, &case.target).unwrap());

            training.add(logits, target).unwrap();
            sum += host;
        }
        assert_eq!(training.take().unwrap(), sum, "{backend}");
        assert_eq!(training.take().unwrap(), ConfusionCounts::default(), "{backend}: taking empties");
    }
}

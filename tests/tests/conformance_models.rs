//! Models against forward passes of segmentation_models_pytorch: names, shapes, parameter counts, logits.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be read fails the test")]
#![expect(clippy::print_stdout, reason = "the deviations are the result")]

use std::path::PathBuf;

use engine::backend::burn::tensor::{Device, Tensor, TensorData};
use engine::backend::{BackendName, ComputeDevice};
use engine::models::{ModelError, NamedTensor, SegmentationModel};
use serde_json::Value;

/// Logits agree within this share of their standard deviation (models.md).
const TOLERANCE: f64 = 1e-3;
/// Place of the input among the tensors, as far as its filling goes.
const INPUT_PLACE: u32 = 100_003;

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

fn filled(place: usize, name: &str, shape: &[usize]) -> NamedTensor {
    let scale = (6.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let value = |v: f64| match name {
        _ if name.ends_with("running_var") => 1.0 + v / 2.0,
        _ if name.ends_with("running_mean") => v / 10.0,
        _ if shape.len() > 1 => v * scale,
        _ if name.ends_with("bias") => v / 10.0,
        _ => 1.0 + v / 10.0,
    };
    let count = shape.iter().product::<usize>() as u32;
    let values = (0..count).map(|element| value(hashed(place as u32, element)) as f32).collect();
    NamedTensor { name: name.to_owned(), shape: shape.to_vec(), values }
}

fn input(batch: usize, channels: usize, size: usize, device: &Device) -> Tensor<4> {
    let count = (batch * channels * size * size) as u32;
    let values: Vec<f32> = (0..count).map(|element| hashed(INPUT_PLACE, element) as f32).collect();
    Tensor::from_data(TensorData::new(values, [batch, channels, size, size]), device)
}

struct Case {
    file: String,
    fixture: Value,
}

impl Case {
    fn size(&self, field: &str) -> usize {
        self.fixture[field].as_u64().unwrap() as usize
    }

    fn build(&self, device: &Device) -> Result<SegmentationModel, ModelError> {
        let text = |field: &str| self.fixture[field].as_str().unwrap();
        SegmentationModel::build(text("arch"), text("encoder"), self.size("in_channels"), 1, device)
    }

    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        serde_json::from_value(self.fixture["tensors"].clone()).unwrap()
    }
}

fn cases() -> Vec<Case> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fixtures");
    let folder = std::env::var_os("ENGINE_FIXTURES").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let mut cases: Vec<Case> = std::fs::read_dir(folder.join("models"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| Case {
            file: path.file_stem().unwrap().to_string_lossy().into_owned(),
            fixture: serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap(),
        })
        .collect();
    cases.sort_by(|a, b| a.file.cmp(&b.file));
    cases
}

fn compare(case: &Case, backend: BackendName) -> Result<(), ModelError> {
    let what = format!("{} on {backend}", case.file);
    let device = backend.device(ComputeDevice::Cpu).unwrap();
    let model = case.build(&device)?;

    let expected = case.tensors();
    let ours: Vec<(String, Vec<usize>)> =
        model.parameter_infos().into_iter().map(|info| (info.name, info.shape)).collect();
    assert_eq!(ours, expected, "{what}: tensors");
    assert_eq!(model.parameter_count(), case.size("parameters"), "{what}: parameters");

    let weights =
        expected.iter().enumerate().map(|(place, (name, shape))| filled(place, name, shape)).collect();
    let model = model.load_state_dict(weights)?;
    let (batch, size) = (case.size("batch"), case.size("size"));
    let logits = model.forward(input(batch, case.size("in_channels"), size, &device));
    assert_eq!(logits.dims(), [batch, case.size("classes"), size, size], "{what}: shape");

    let logits = logits.into_data().try_into_vec::<f32>().unwrap();
    let bound = TOLERANCE * case.fixture["output_std"].as_f64().unwrap();
    let golden = case.fixture["output"].as_array().unwrap();
    let ours: Vec<f32> = logits.into_iter().step_by(case.size("output_step")).collect();
    assert_eq!(ours.len(), golden.len(), "{what}: outputs");
    let mut worst = 0.0_f64;
    for (index, (got, expected)) in ours.into_iter().zip(golden).enumerate() {
        let expected = expected.as_f64().unwrap();
        let error = (f64::from(got) - expected).abs();
        assert!(error <= bound, "{what}, output {index}: {got}, not {expected}");
        worst = worst.max(error / bound);
    }
    println!("{what}: within {:.1} % of the bound", 100.0 * worst);
    Ok(())
}

/// Every fixture whose names are built; the others are named.
fn compare_all(backend: BackendName) -> Vec<String> {
    let mut compared = Vec::new();
    for case in cases() {
        match compare(&case, backend) {
            Ok(()) => compared.push(case.file),
            Err(error @ (ModelError::UnknownArchitecture { .. } | ModelError::UnknownEncoder { .. })) => {
                engine_tests::skipped(&format!("{} ({error})", case.file));
            }
            Err(error) => panic!("{}: {error}", case.file),
        }
    }
    compared
}

fn assert_the_built_ones_were_compared(compared: &[String]) {
    for model in [
        "Unet-resnet18-3",
        "Unet-resnet34-10",
        "Unet-resnet50-3",
        "Unet-resnext50_32x4d-3",
        "Unet-se_resnet50-3",
        "Unet-mobilenet_v2-3",
        "Unet-efficientnet-b0-3",
        "Unet-dpn107-3",
        "Segformer-mit_b0-3",
        "Segformer-resnet18-3",
        "UPerNet-resnet18-3",
        "UPerNet-tu-convnextv2_tiny-3",
        "UPerNet-tu-maxvit_tiny_rw_224-10",
        "Unet-mit_b2-3",
        "Unet-resnet18-3",
        "Unet-resnet34-10",
        "Unet-resnet50-3",
        "Unet-tu-convnextv2_tiny-3",
    ] {
        assert!(compared.iter().any(|file| file == model), "{model} was not compared");
    }
}

/// Over the smallest encoder.
fn assert_every_architecture_was_compared(compared: &[String]) {
    for arch in SegmentationModel::architectures() {
        let model = format!("{arch}-resnet18-3");
        assert!(compared.contains(&model), "{model} was not compared");
    }
}

#[cfg(feature = "tch")]
#[test]
fn forward_passes_on_tch_are_those_of_smp() {
    let compared = compare_all(BackendName::Tch);
    assert_the_built_ones_were_compared(&compared);
    assert_every_architecture_was_compared(&compared);
}

#[cfg(feature = "flex")]
#[test]
fn forward_passes_on_flex_are_those_of_smp() {
    let compared = compare_all(BackendName::Flex);
    assert_the_built_ones_were_compared(&compared);
    assert_every_architecture_was_compared(&compared);
}

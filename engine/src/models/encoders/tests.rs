//! Encoders against smp's: names, counts, features of every depth and output stride. `tests/python/encoder_goldens.py` made
//! what they are held to; whole models are compared in `tests/tests/conformance_models.rs`.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use super::*;
use crate::backend::{BackendName, ComputeDevice};
use crate::models::state_dict::{count_trained, infos, loaded, module_tensors};
use crate::models::{NamedTensor, ParameterInfo};
use crate::nn::TrainingPass;

const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/encoders.json"));
/// Values agree within this share of the standard deviation of their feature map.
const TOLERANCE: f64 = 1e-3;
/// Place of the image among the tensors, as far as its filling goes.
const INPUT_PLACE: u32 = 100_003;

#[derive(Deserialize)]
struct Golden {
    outlines: Vec<Outline>,
    passes: Vec<Pass>,
}

#[derive(Deserialize)]
struct Outline {
    encoder: String,
    parameters: usize,
    tensors: usize,
    fnv1a: String,
}

#[derive(Deserialize)]
struct Pass {
    encoder: String,
    in_channels: usize,
    depth: usize,
    output_stride: usize,
    batch: usize,
    size: usize,
    features: Vec<FeatureMap>,
}

#[derive(Deserialize)]
struct FeatureMap {
    shape: [usize; 4],
    std: f64,
    step: usize,
    values: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(GOLDEN).unwrap()
}

fn device(name: BackendName) -> Option<Device> {
    name.device(ComputeDevice::Cpu).ok()
}

fn fastest() -> Device {
    device(BackendName::best(ComputeDevice::Cpu).unwrap()).unwrap()
}

fn outlined(name: &str, spec: EncoderSpec, device: &Device) -> Encoder {
    Encoder::build(name, spec, &mut Initializer::outline(device)).unwrap()
}

/// The hash that stands in for random numbers, in [-1, 1).
fn hashed(place: u32, element: u32) -> f64 {
    let mut x =
        element.wrapping_mul(2_654_435_761).wrapping_add(place.wrapping_mul(40_503)).wrapping_add(12_345);
    for _ in 0..2 {
        x ^= x >> 16;
        x = x.wrapping_mul(0x45D_9F3B);
    }
    x ^= x >> 16;
    2.0 * (f64::from(x) / 4_294_967_296.0) - 1.0
}

fn filled(place: usize, info: ParameterInfo) -> NamedTensor {
    let ParameterInfo { name, shape, .. } = info;
    let scale = (6.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let value = |v: f64| match name.as_str() {
        name if name.ends_with("running_var") => 1.0 + v / 2.0,
        name if name.ends_with("running_mean") => v / 10.0,
        _ if shape.len() > 1 => v * scale,
        name if name.ends_with("bias") => v / 10.0,
        _ => 1.0 + v / 10.0,
    };
    let count = shape.iter().product::<usize>() as u32;
    let values = (0..count).map(|element| value(hashed(place as u32, element)) as f32).collect();
    NamedTensor { name, shape, values }
}

fn weights(encoder: &Encoder) -> BTreeMap<String, NamedTensor> {
    let filled = infos(encoder).into_iter().enumerate().map(|(place, info)| filled(place, info));
    filled.map(|tensor| (tensor.name.clone(), tensor)).collect()
}

fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let count = shape.iter().product::<usize>() as u32;
    let values: Vec<f32> = (0..count).map(|element| hashed(INPUT_PLACE, element) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

fn assert_alike(what: &str, golden: &FeatureMap, ours: Tensor<4>) {
    assert_eq!(ours.dims(), golden.shape, "{what}: shape");
    let ours: Vec<f32> = values(ours).into_iter().step_by(golden.step).collect();
    assert_eq!(ours.len(), golden.values.len(), "{what}");
    for (at, (got, expected)) in ours.into_iter().zip(&golden.values).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= TOLERANCE * golden.std, "{what}, value {at}: {got}, not {expected}");
    }
}

/// FNV-1a: enough to tell that a list is another one.
fn fnv1a(text: &str) -> String {
    let step = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

#[test]
fn every_encoder_has_smps_tensors_in_smps_order() {
    let golden = golden().outlines;
    let spec = EncoderSpec { in_channels: 3, wanted: FeatureSpec::WHOLE };
    for of in &golden {
        let infos = infos(&outlined(&of.encoder, spec, &fastest()));
        let lines: String = infos.iter().map(|info| format!("{} {:?}\n", info.name, info.shape)).collect();
        let ours = (infos.len(), count_trained(&infos), fnv1a(&lines));
        assert_eq!(ours, (of.tensors, of.parameters, of.fnv1a.clone()), "{}:\n{lines}", of.encoder);
    }
}

#[test]
fn features_are_smps_at_every_depth_and_output_stride() {
    let device = fastest();
    let mut kept: Option<(String, BTreeMap<String, NamedTensor>)> = None;
    for pass in golden().passes {
        let Pass { encoder: name, in_channels, depth, output_stride, batch, size, features } = pass;
        let what = format!("{name} of depth {depth} and output stride {output_stride}");
        let wanted = FeatureSpec { depth, output_stride };
        let encoder = outlined(&name, EncoderSpec { in_channels, wanted }, &device);
        let weights = match kept.take().filter(|(other, _)| *other == name) {
            Some((_, weights)) => weights,
            None => weights(&encoder),
        };
        let encoder = loaded(encoder, weights.clone());
        let channels: Vec<usize> = features.iter().map(|map| map.shape[1]).collect();
        assert_eq!(encoder.out_channels()[1..], channels, "{what}");
        let Features { shallow, deepest } = encoder.forward(image([batch, in_channels, size, size], &device));
        let ours: Vec<Tensor<4>> = shallow.into_iter().skip(1).chain([deepest]).collect();
        assert_eq!(ours.len(), features.len(), "{what}: feature maps");
        for (at, (golden, ours)) in features.iter().zip(ours).enumerate() {
            assert_alike(&format!("{what}, feature {at}"), golden, ours);
        }
        kept = Some((name, weights));
    }
}

/// The smallest of each family, with the layers whose output nobody takes.
const SMALLEST: [(&str, &[&str]); 5] = [
    ("resnext50_32x4d", &[]),
    ("se_resnet50", &[]),
    ("mobilenet_v2", &[]),
    ("efficientnet-b0", &["_conv_head.weight", "_bn1.weight", "_bn1.bias"]),
    ("dpn68", &[]),
];

#[test]
fn every_trained_tensor_that_is_computed_with_has_a_gradient() {
    let device = fastest().autodiff();
    let spec = EncoderSpec { in_channels: 3, wanted: FeatureSpec::WHOLE };
    for (name, unused) in SMALLEST {
        let encoder = outlined(name, spec, &device);
        let all = weights(&encoder);
        let encoder = loaded(encoder, all);
        let Features { shallow, deepest } = encoder.forward(image([2, 3, 32, 32], &device));
        let sums = shallow.into_iter().skip(1).chain([deepest]).map(|map| map.square().mean());
        let gradients = sums.reduce(|all, one| all + one).unwrap().backward();
        let gradients = GradientsParams::from_grads(gradients, &encoder);
        let without: Vec<String> = infos(&encoder)
            .into_iter()
            .filter(|info| info.is_trained && !has_gradient(&gradients, info))
            .map(|info| info.name)
            .collect();
        assert_eq!(without, unused, "{name}");
    }
}

fn has_gradient(gradients: &GradientsParams, info: &ParameterInfo) -> bool {
    match info.shape.len() {
        1 => gradients.get::<1>(info.id).is_some(),
        _ => gradients.get::<4>(info.id).is_some(),
    }
}

#[test]
fn blocks_are_left_out_by_the_place_in_the_training_and_only_there() {
    let pass = TrainingPass { seed: 1, epoch: 0, batch: 0, rank: 0 };
    let device = fastest().autodiff();
    let spec = EncoderSpec { in_channels: 3, wanted: FeatureSpec { depth: 4, output_stride: 32 } };
    let mut init = Initializer::outline(&device);
    let encoder = Encoder::build("efficientnet-b0", spec, &mut init).unwrap();
    let all = weights(&encoder);
    let encoder = loaded(encoder, all);
    let x = image([8, 3, 32, 32], &device);
    let trained = |pass| {
        init.noise().begin(pass);
        values(encoder.forward(x.clone()).deepest)
    };
    let first = trained(pass);
    assert_ne!(trained(TrainingPass { batch: 1, ..pass }), first);
    assert_eq!(trained(pass), first);

    let evaluated = |pass| {
        init.noise().begin(pass);
        values(encoder.valid().forward(x.clone().without_autodiff()).deepest)
    };
    assert_eq!(evaluated(pass), evaluated(TrainingPass { batch: 1, ..pass }));
}

/// Deviations by the formulas of `torch.nn.init`; of a thousand draws and more, 6 % is more than three times the sampling error.
#[test]
fn weights_start_as_smps_do() {
    let device = fastest();
    let normal_fan_out = |fan: usize| (2.0 / fan as f64).sqrt();
    let torch_default = |fan: usize| (1.0 / fan as f64 / 3.0).sqrt();
    for (encoder, bands, tensors) in [
        (
            "resnext50_32x4d",
            4,
            &[("conv1", torch_default(4 * 49)), ("layer1.0.conv2", normal_fan_out(128 * 9))][..],
        ),
        (
            "se_resnet50",
            3,
            &[("layer0.conv1", torch_default(3 * 49)), ("layer1.0.se_module.fc1", torch_default(256))],
        ),
        ("mobilenet_v2", 3, &[("features.17.conv.2", normal_fan_out(320))]),
        ("efficientnet-b0", 3, &[("_blocks.15._depthwise_conv", torch_default(9))]),
        ("dpn68", 3, &[("features.conv2_1.c1x1_a.conv", torch_default(10))]),
    ] {
        let spec = EncoderSpec { in_channels: bands, wanted: FeatureSpec::WHOLE };
        let built = Encoder::build(encoder, spec, &mut Initializer::new(3, &device)).unwrap();
        let drawn: BTreeMap<String, Vec<f32>> =
            module_tensors(&built).unwrap().into_iter().map(|tensor| (tensor.name, tensor.values)).collect();
        for (layer, expected) in tensors {
            let values = &drawn[&format!("{layer}.weight")];
            assert!(values.len() > 1000, "{encoder} has {} values in {layer}", values.len());
            let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
            let got = (squares / values.len() as f64).sqrt();
            assert!((got / expected - 1.0).abs() < 0.06, "{encoder} {layer}: {got}, not {expected}");
        }
        // Biases beside a kernel are within the bound of its weights.
        if let Some(biases) = drawn.get("layer1.0.se_module.fc1.bias") {
            assert!(biases.iter().all(|bias| bias.abs() <= 1.0 / 16.0));
            assert!(biases.iter().any(|bias| bias.abs() > 1.0 / 64.0));
        }
    }
}

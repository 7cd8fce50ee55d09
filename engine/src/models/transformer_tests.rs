//! Transformers as whole models: their tensors, their gradients, and what they draw while training.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::SegmentationModel;
use crate::backend::{BackendName, ComputeDevice};
use crate::nn::TrainingPass;

fn device() -> Device {
    BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap()
}

fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |code, byte| (code ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `transformer_encoders.json`, made by `tests/python/transformer_encoders.py`.
#[test]
fn every_encoder_has_smps_tensors_in_smps_order() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("transformer_encoders.json")).unwrap();
    for case in cases {
        let text = |field: &str| case[field].as_str().unwrap();
        let infos = SegmentationModel::outline(text("arch"), text("encoder"), 4, &device()).unwrap();
        let infos: Vec<_> = infos.into_iter().filter(|info| info.name.starts_with("encoder.")).collect();
        let what = format!("{} of {}", text("encoder"), text("arch"));
        let lines = infos.iter().map(|info| {
            let extents: Vec<String> = info.shape.iter().map(usize::to_string).collect();
            format!("{} {}\n", info.name, extents.join("x"))
        });
        assert_eq!(infos.len() as u64, case["tensors"].as_u64().unwrap(), "{what}: tensors");
        assert_eq!(format!("{:016x}", fnv1a(&lines.collect::<String>())), text("fnv1a"), "{what}: names");
        let trained = infos.iter().filter(|info| info.is_trained);
        let parameters: usize = trained.map(|info| info.shape.iter().product::<usize>()).sum();
        assert_eq!(parameters as u64, case["parameters"].as_u64().unwrap(), "{what}: parameters");
    }
}

#[test]
fn every_trained_tensor_has_a_gradient() {
    let device = device().autodiff();
    for (arch, encoder, batch, size) in [
        ("Segformer", "mit_b0", 2, 64),
        ("Segformer", "resnet18", 2, 32),
        ("UPerNet", "mit_b0", 2, 32),
        ("Unet", "tu-convnextv2_tiny", 1, 32),
        ("Unet", "tu-maxvit_tiny_rw_224", 1, 224),
    ] {
        let model = SegmentationModel::build(arch, encoder, 2, 1, &device).unwrap();
        let logits = model.forward(Tensor::<4>::ones([batch, 2, size, size], &device));
        assert_eq!(logits.dims(), [batch, 1, size, size]);
        let gradients = GradientsParams::from_grads(logits.sum().backward(), &model);
        let infos = model.parameter_infos();
        let trained = infos.iter().filter(|info| info.is_trained);
        // `from_grads` knows them by their ids.
        assert_eq!(gradients.len(), trained.count(), "{arch} over {encoder}");
    }
}

#[test]
fn the_paths_left_out_follow_from_the_pass_alone() {
    let device = device();
    let model = SegmentationModel::build("Segformer", "mit_b0", 2, 1, &device.clone().autodiff()).unwrap();
    let x = Tensor::<4>::ones([4, 2, 32, 32], &device);
    let pass = |batch| TrainingPass { seed: 7, epoch: 0, batch, rank: 0 };
    let run = |model: &SegmentationModel, batch| {
        model.begin_pass(pass(batch));
        let logits = model.forward(Tensor::from_inner(x.clone()));
        logits.into_data().try_into_vec::<f32>().unwrap()
    };
    let first = run(&model, 0);
    assert_ne!(run(&model, 1), first, "another batch");
    assert_eq!(run(&model, 0), first, "the batch once more, as after a resumption");
    let evaluated = model.valid().forward(x.clone()).into_data().try_into_vec::<f32>().unwrap();
    let (same, _) = evaluated.split_at(evaluated.len() / 4);
    assert!(
        evaluated.chunks(same.len()).all(|sample| sample == same),
        "nothing is left out of an evaluation"
    );
}

/// Unet takes every size, over features that leave one resolution empty too.
#[test]
fn a_unet_over_an_empty_feature_map_takes_odd_sizes() {
    let device = device();
    for encoder in ["mit_b0", "tu-convnextv2_tiny"] {
        let model = SegmentationModel::build("Unet", encoder, 1, 1, &device).unwrap();
        let logits = model.forward(Tensor::<4>::ones([1, 1, 70, 45], &device));
        assert_eq!(logits.dims(), [1, 1, 70, 45], "{encoder}");
    }
}

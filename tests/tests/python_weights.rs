//! Weights to and from PyTorch, with PyTorch itself at the other end.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use engine::backend::burn::module::Module;
use engine::backend::burn::tensor::{Tensor, TensorData};
use engine::backend::{BackendName, ComputeDevice};
use engine::export::{Framework, export};
use engine::models::weights::{Part, WeightsFile};
use engine::models::{NamedTensor, SegmentationModel};
use engine::training::checkpoint::{Checkpoint, Checkpoints, ModelShape, State};
use engine::training::{Kept, TopK, decode_tensors, encode_tensors};
use engine_tests::ground::state;
use engine_tests::peers::{heavy_peer, must, script};
use serde_json::{Value, json};

/// Outputs agree within this share of their spread.
const TOLERANCE: f32 = 1e-4;

/// Networks to be exported: whichever of them this build has.
const EXPORTED: [(&str, &str, usize); 14] = [
    ("unet", "ResNet18", 4),
    ("UnetPlusPlus", "resnet18", 3),
    ("MAnet", "resnet18", 3),
    ("Linknet", "resnet18", 3),
    ("FPN", "resnet18", 3),
    ("PSPNet", "resnet18", 3),
    ("PAN", "resnet18", 3),
    ("DeepLabV3Plus", "resnet18", 3),
    ("UPerNet", "tu-convnextv2_tiny", 3),
    ("Segformer", "mit_b0", 5),
    ("Unet", "mobilenet_v2", 3),
    ("Unet", "efficientnet-b0", 3),
    ("Unet", "se_resnet50", 1),
    ("Unet", "dpn68", 3),
];

fn model(arch: &str, encoder: &str, in_channels: usize) -> SegmentationModel {
    let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
    SegmentationModel::build(arch, encoder, in_channels, 5, &device).unwrap()
}

fn output(model: &SegmentationModel, image: &NamedTensor) -> NamedTensor {
    let shape: [usize; 4] = image.shape.clone().try_into().unwrap();
    let image = Tensor::from_data(TensorData::new(image.values.clone(), shape), &model.devices()[0]);
    let output = model.clone().valid().forward(image);
    let shape = output.dims().to_vec();
    let values = output.into_data().convert::<f32>().try_into_vec::<f32>().unwrap();
    NamedTensor { name: "output".into(), shape, values }
}

/// How far two outputs are apart at the most, as a share of the second's spread.
fn distance(ours: &NamedTensor, theirs: &NamedTensor) -> f32 {
    assert_eq!(ours.shape, theirs.shape);
    let count = theirs.values.len() as f32;
    let mean = theirs.values.iter().sum::<f32>() / count;
    let spread = (theirs.values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
    let pairs = ours.values.iter().zip(&theirs.values);
    pairs.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max) / spread
}

/// Values between -1 and 1 that no two tensors share.
fn waves(count: usize, place: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7 + place * 131) as f32 * 0.37).sin()).collect()
}

/// A network whose running statistics are not those of an untrained one.
fn trained(arch: &str, encoder: &str, in_channels: usize) -> SegmentationModel {
    let model = model(arch, encoder, in_channels);
    let mut tensors = model.state_dict().unwrap();
    for (place, tensor) in tensors.iter_mut().enumerate() {
        let waves = waves(tensor.values.len(), place);
        let wave = |scale: f32, from: f32| waves.iter().map(|wave| from + wave * scale).collect();
        match tensor.name.rsplit('.').next().unwrap() {
            "running_mean" => tensor.values = wave(0.1, 0.0),
            "running_var" => tensor.values = wave(0.5, 1.0),
            "bias" => tensor.values = wave(0.1, 0.0),
            _ => {}
        }
    }
    model.load_state_dict(tensors).unwrap()
}

/// A run's folder with `last`, and the best checkpoint beside it.
fn run_folder(folder: &Path, model: &SegmentationModel, shape: &ModelShape) {
    let mut top_k = TopK::new(Kept::Best(1));
    assert!(top_k.insert("epoch=1-step=7-val_iou=0.30".into(), 0.3).is_empty());
    let hyperparameters = json!({"learning_rate": 1e-3, "augment": null});
    let state = State { top_k, model: Some(shape.clone()), hyperparameters, settings: json!({}), ..state() };
    let weights = model.to_safetensors(7).unwrap();
    let checkpoint = Checkpoint { weights, optimizer_tensors: Vec::new(), state };
    let checkpoints = Checkpoints::open(folder.join("checkpoints")).unwrap();
    checkpoints.write("epoch=1-step=7-val_iou=0.30", &checkpoint).unwrap();
    checkpoints.write_last(&checkpoint).unwrap();
}

#[test]
fn what_is_exported_loads_in_python_and_gives_the_same() {
    let Some(python) = heavy_peer("python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let known = EXPORTED
        .into_iter()
        .filter(|(arch, encoder, _)| SegmentationModel::check_names(arch, encoder).is_ok());
    let mut names = Vec::new();
    for (arch, encoder, in_channels) in known {
        let (model, name) = (trained(arch, encoder, in_channels), format!("{arch}-{encoder}"));
        let case = folder.path().join("exported").join(&name);
        let bands = (0..in_channels).map(|band| format!("band{band}")).collect();
        let shape = ModelShape { arch: arch.into(), encoder: encoder.into(), bands, in_channels };
        let run = folder.path().join(&name);
        std::fs::create_dir_all(&case).unwrap();
        run_folder(&run, &model, &shape);
        let smp = export(&run, &case.join("smp"), Framework::Smp).unwrap();
        assert!(smp.checkpoint.ends_with("epoch=1-step=7-val_iou=0.30"), "the best one: {smp:?}");
        export(&run.join("checkpoints/last"), &case.join("weights.safetensors"), Framework::Engine).unwrap();
        export(&run, &case.join("pipeline.ckpt"), Framework::Smp).unwrap();
        let again = export(&run, &case.join("smp"), Framework::Smp).unwrap_err().to_string();
        assert!(again.contains("there already"), "{again}");
        let size = SegmentationModel::input_needs(arch).unwrap().at_least.max(64);
        let values = waves(2 * in_channels * size * size, 1000);
        let image = NamedTensor { name: "image".into(), shape: vec![2, in_channels, size, size], values };
        let given = [output(&model, &image), image];
        std::fs::write(case.join("known.safetensors"), encode_tensors(&given).unwrap()).unwrap();
        // And back, from each form.
        for form in ["smp", "weights.safetensors", "pipeline.ckpt"] {
            let mut file = WeightsFile::open(&case.join(form)).unwrap();
            let fresh = SegmentationModel::build(arch, encoder, in_channels, 6, &model.devices()[0]).unwrap();
            let (back, left_out) = fresh.load_weights(Part::Whole, &mut file).unwrap();
            assert!(
                left_out.is_empty() && back.state_dict().unwrap() == model.state_dict().unwrap(),
                "{form}"
            );
        }
        names.push(name);
    }
    assert!(!names.is_empty());
    let output =
        must(Command::new(python).arg(script("weights.py")).arg("check").arg(folder.path().join("exported")));
    // Before it, the hub's library says where it loads from.
    let told = String::from_utf8(output.stdout).unwrap();
    let found: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    for name in names {
        let case = &found[&name];
        let spread = case["spread"].as_f64().unwrap();
        for form in ["file", "folder", "checkpoint"] {
            let apart = case[form].as_f64().unwrap() / spread;
            assert!(apart <= f64::from(TOLERANCE), "{name} by {form}: {apart}");
        }
        assert_eq!(case["bands"][0], "band0");
    }
}

/// Loads a file into a network of other first weights, and compares what it gives.
fn assert_gives(
    folder: &Path,
    file: &str,
    part: Part,
    outputs: &BTreeMap<String, NamedTensor>,
    known: &str,
) -> Vec<String> {
    // The decoder and head of Python's network, which an encoder's file lacks.
    let mut plain = WeightsFile::open(&folder.join("plain.pth")).unwrap();
    let start = model("Unet", "resnet18", 2);
    let start = match part {
        Part::Encoder => start.load_weights(Part::Whole, &mut plain).unwrap().0,
        Part::Whole => start,
    };
    let mut opened = WeightsFile::open(&folder.join(file)).unwrap();
    let (loaded, left_out) = start.load_weights(part, &mut opened).unwrap();
    let apart = distance(&output(&loaded, &outputs["image"]), &outputs[known]);
    assert!(apart <= TOLERANCE, "{file}: {apart}");
    left_out.into_iter().map(|left| left.name).collect()
}

#[test]
fn what_pytorch_saved_gives_the_same_here() {
    let Some(python) = heavy_peer("python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    must(Command::new(python).arg(script("weights.py")).arg("make").arg(path));
    let outputs = decode_tensors(&std::fs::read(path.join("outputs.safetensors")).unwrap()).unwrap();
    let outputs: BTreeMap<_, _> = outputs.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    for (file, known) in [
        ("plain.pth", "plain"),
        ("legacy.pth", "plain"),
        ("ddp-protocol4.pt", "plain"),
        ("plain.safetensors", "plain"),
        ("mixed.pt", "plain"),
        ("half.pt", "half"),
        ("bfloat.safetensors", "bfloat"),
    ] {
        let left_out = assert_gives(path, file, Part::Whole, &outputs, known);
        assert!(left_out.is_empty(), "{file}: {left_out:?}");
    }
    let left_out = assert_gives(path, "lightning.ckpt", Part::Whole, &outputs, "lightning");
    assert_eq!(left_out, ["loss.pos_weight"]);
    let left_out = assert_gives(path, "encoder.pth", Part::Encoder, &outputs, "encoder");
    assert_eq!(left_out, ["fc.weight", "fc.bias"]);
    let left_out = assert_gives(path, "plain.pth", Part::Encoder, &outputs, "plain");
    assert!(left_out.iter().all(|name| !name.starts_with("encoder.")) && left_out.len() > 10, "{left_out:?}");

    let refused = |file: &str| WeightsFile::open(&path.join(file)).unwrap_err().to_string();
    let harmful = refused("harmful.ckpt");
    assert!(harmful.contains("to call `posix.system`") && !path.join("was-run").exists(), "{harmful}");
    let object = refused("whole-object.pt");
    assert!(object.contains("segmentation_models_pytorch.base.heads.SegmentationHead"), "{object}");
}

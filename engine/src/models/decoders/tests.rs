//! What holds for every architecture.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use serde_json::Value;

use super::*;
use crate::backend::{BackendName, ComputeDevice};
use crate::models::SegmentationModel;
use crate::nn::TrainingPass;

const PASS: TrainingPass = TrainingPass { seed: 5, epoch: 1, batch: 2, rank: 0 };

fn device() -> Device {
    BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap()
}

fn model(arch: &str, device: &Device) -> SegmentationModel {
    SegmentationModel::build(arch, "resnet18", 2, 3, device).unwrap()
}

/// A batch of two with two channels, and another each time `seed` is.
fn images([height, width]: [usize; 2], seed: u32, device: &Device) -> Tensor<4> {
    let shape = [2, 2, height, width];
    let value = |at: u32| {
        (at.wrapping_add(seed << 20).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u32).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn read(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// The smallest image an architecture takes, and 64 pixels a side at least: below, resnet18 ends in single values.
fn smallest(arch: &str) -> [usize; 2] {
    [SegmentationModel::input_needs(arch).unwrap().at_least.max(64); 2]
}

/// Ids of trained tensors in smp's order, with whether their gradient is there and anything but 0.
struct Reached<'a> {
    gradients: &'a Gradients,
    found: Vec<Option<bool>>,
}

impl ModuleVisitor for Reached<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients);
        self.found.push(gradient.map(|gradient| {
            let values: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
            assert!(values.iter().all(|value| value.is_finite()));
            values.iter().any(|value| *value != 0.0)
        }));
    }
}

#[test]
fn every_trained_tensor_of_every_architecture_gets_a_gradient_and_no_other() {
    let device = device().autodiff();
    for arch in Decoder::KNOWN {
        let model = model(arch, &device);
        let logits = model.forward(images(smallest(arch), 1, &device));
        let weights = images(smallest(arch), 2, &device).narrow(1, 0, 1);
        let gradients = (logits * weights).sum().backward();
        let mut reached = Reached { gradients: &gradients, found: Vec::new() };
        model.visit(&mut reached);
        let infos = model.parameter_infos();
        assert_eq!(infos.len(), reached.found.len());
        let depth = Decoder::features(arch).unwrap().depth;
        for (info, found) in infos.iter().zip(reached.found) {
            // PSPNet ends at the encoder's third features; what is deeper is kept and not computed.
            let is_beyond = depth == 3
                && ["encoder.layer3.", "encoder.layer4."].iter().any(|end| info.name.starts_with(end));
            let expected = info.is_trained && !is_beyond;
            assert_eq!(found.is_some(), expected, "{arch}: {}", info.name);
            // The four hidden units of a gate of MAnet may all be off at first.
            if expected && info.shape.len() == 4 && info.shape[0] > 1 && !info.name.contains(".SE_") {
                assert_eq!(found, Some(true), "{arch}: {} has a gradient of zeros", info.name);
            }
        }
    }
}

#[test]
fn every_architecture_gives_logits_in_the_size_of_the_images_it_says_it_takes() {
    let device = device();
    for arch in Decoder::KNOWN {
        let needs = SegmentationModel::input_needs(arch).unwrap();
        let [height, _] = smallest(arch);
        let size = [height, height + needs.multiple_of];
        SegmentationModel::check_image(arch, size).unwrap();
        let logits = model(arch, &device).forward(images(size, 1, &device));
        assert_eq!(logits.dims(), [2, 1, size[0], size[1]], "{arch}");
        assert!(read(logits).iter().all(|value| value.is_finite()), "{arch}");
    }
}

#[test]
fn what_drops_while_it_trains_follows_from_the_pass_and_drops_nothing_else() {
    let device = device().autodiff();
    for (arch, drops) in [("FPN", true), ("PSPNet", true), ("DeepLabV3Plus", true), ("Linknet", false)] {
        let x = images(smallest(arch), 1, &device);
        let one = model(arch, &device);
        let first = logits_of(&one, PASS, &x);
        assert_eq!(logits_of(&one, PASS, &x), first, "{arch}: the same pass once more");
        for pass in [
            TrainingPass { seed: 6, ..PASS },
            TrainingPass { epoch: 0, ..PASS },
            TrainingPass { batch: 3, ..PASS },
            TrainingPass { rank: 1, ..PASS },
        ] {
            assert_eq!(logits_of(&one, pass, &x) != first, drops, "{arch}: {pass:?}");
        }
        let evaluated = one.valid();
        let x = x.without_autodiff();
        assert_eq!(
            logits_of(&evaluated, PASS, &x),
            logits_of(&evaluated, TrainingPass { batch: 9, ..PASS }, &x),
            "{arch}"
        );
    }
    let x = images([32, 32], 1, &device);
    let [one, other] = [(); 2].map(|()| logits_of(&model("PSPNet", &device), PASS, &x));
    assert_eq!(one, other, "the same pass of another model");
}

fn logits_of(model: &SegmentationModel, pass: TrainingPass, x: &Tensor<4>) -> Vec<f32> {
    model.begin_pass(pass);
    read(model.forward(x.clone()))
}

#[test]
fn sizes_and_batches_an_architecture_does_not_take_are_told_with_what_it_takes() {
    for (arch, size, told) in [
        (
            "fpn",
            [64, 65],
            "`FPN` takes images whose height and width are multiples of 32 and at least 32, not 64 x 65; take patches of 64 x 96",
        ),
        ("PAN", [64, 128], "multiples of 16 and at least 128, not 64 x 128; take patches of 128 x 128"),
        ("PSPNet", [12, 16], "multiples of 8"),
        ("DeepLabV3", [0, 8], "take patches of 8 x 8"),
    ] {
        let error = SegmentationModel::check_image(arch, size).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    SegmentationModel::check_image("Unet", [37, 53]).unwrap();
    SegmentationModel::check_image("DeepLabV3Plus", [48, 80]).unwrap();
    for arch in ["PAN", "DeepLabV3", "DeepLabV3Plus"] {
        let error = SegmentationModel::check_batch(arch, 1).unwrap_err().to_string();
        assert!(error.contains("at least 2 images, not 1"), "{error}");
        SegmentationModel::check_batch(arch, 2).unwrap();
    }
    SegmentationModel::check_batch("PSPNet", 1).unwrap();
}

#[test]
fn architectures_that_need_every_feature_refuse_an_encoder_without_one() {
    let channels = [3, 0, 8, 16, 32, 64];
    for arch in Decoder::KNOWN {
        let built = Decoder::build(arch, &channels, &mut Initializer::new(0, &device()));
        match OF_EVERY_RESOLUTION.contains(arch) {
            true => {
                assert!(built.unwrap_err().to_string().contains("none at 1/2 of the image's size"), "{arch}");
            }
            false => assert!(built.is_ok(), "{arch}"),
        }
    }
}

/// `initial_weights.json` has the root mean square of each tensor that smp draws, made by `tests/python/initial_weights.py`.
#[test]
fn decoders_and_heads_begin_with_weights_as_wide_as_smps() {
    let golden: Value = serde_json::from_str(include_str!("initial_weights.json")).unwrap();
    for arch in Decoder::KNOWN.iter().filter(|arch| !golden[**arch].is_null()) {
        let tensors = model(arch, &device()).state_dict().unwrap();
        let ours: Vec<_> = tensors.iter().filter(|tensor| !tensor.name.starts_with("encoder.")).collect();
        let theirs = golden[*arch].as_object().unwrap();
        assert_eq!(ours.len(), theirs.len(), "{arch}");
        for tensor in ours {
            let theirs = theirs[&tensor.name].as_f64().unwrap();
            let count = tensor.values.len() as f64;
            let squares = tensor.values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            let ours = (squares / count).sqrt();
            // A uniform distribution's sampling error is 0.45 / sqrt(count), on either side.
            // What is to be told apart: 1 / sqrt(fan in) is 2.4 times less than sqrt(6 / fan in).
            let is_close = match theirs {
                0.0 | 1.0 => ours == theirs,
                _ if count < 64.0 => ours > 0.0,
                _ => (ours / theirs - 1.0).abs() < 3.5 / count.sqrt(),
            };
            assert!(is_close, "{arch}: {} is {ours} wide, smp's {theirs}", tensor.name);
        }
    }
    assert_eq!(golden.as_object().unwrap().len(), 9, "every architecture of this folder's list");
}

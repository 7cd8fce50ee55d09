use super::*;
use crate::backend::{BackendName, ComputeDevice};
use crate::models::weights::pytorch::write_pytorch;

fn model(channels: usize, seed: u64) -> SegmentationModel {
    let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
    SegmentationModel::build("unet", "resnet18", channels, seed, &device).unwrap()
}

fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The encoder alone as it would be published, with its classifier.
fn published(model: &SegmentationModel) -> Vec<NamedTensor> {
    let tensors = model.state_dict().unwrap().into_iter();
    let encoder = tensors.filter_map(|tensor| {
        let name = tensor.name.strip_prefix("encoder.")?.to_owned();
        Some(NamedTensor { name, ..tensor })
    });
    let classifier = NamedTensor { name: "fc.bias".into(), shape: vec![1], values: vec![0.0] };
    encoder.chain([classifier]).collect()
}

fn as_pytorch(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pytorch(&mut bytes, &serde_json::Value::Null, tensors, &[("bn1.num_batches_tracked".into(), 3)])
        .unwrap();
    bytes
}

fn names(left_out: &[LeftOut]) -> Vec<&str> {
    left_out.iter().map(|left| left.name.as_str()).collect()
}

#[test]
fn an_encoder_of_three_channels_goes_into_a_model_of_four() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = published(&model(3, 1));
    let path = file(&folder, "encoder.pth", &as_pytorch(&weights));
    let ours = model(4, 2);
    let before = ours.state_dict().unwrap();
    let mut opened = WeightsFile::open(&path).unwrap();
    assert_eq!(names(&ours.check_weights(Part::Encoder, &opened).unwrap()), ["fc.bias"]);
    let (loaded, left_out) = ours.load_weights(Part::Encoder, &mut opened).unwrap();
    assert_eq!(names(&left_out), ["fc.bias"]);
    let after = loaded.state_dict().unwrap();
    assert_eq!(after[0].shape, [64, 4, 7, 7]);
    for (at, (before, after)) in before.iter().zip(&after).enumerate().skip(1) {
        let expected = if after.name.starts_with("encoder.") { &weights[at].values } else { &before.values };
        assert!(after.values == *expected, "{}", after.name);
    }

    weights.remove(5);
    let path = file(&folder, "lacking.pth", &as_pytorch(&weights));
    let error = loaded.check_weights(Part::Encoder, &WeightsFile::open(&path).unwrap()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("missing: encoder.layer1.0.conv1.weight") && text.ends_with("lacking.pth"),
        "{text}"
    );
}

#[test]
fn a_whole_model_comes_back_bit_by_bit_from_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let from = model(2, 1);
    let tensors = from.state_dict().unwrap();
    let lightning: Vec<_> = tensors
        .iter()
        .map(|tensor| NamedTensor { name: format!("model.{}", tensor.name), ..tensor.clone() })
        .collect();
    let safetensors = from.to_safetensors(7).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    std::fs::create_dir(&checkpoint).unwrap();
    std::fs::write(checkpoint.join("weights.safetensors"), &safetensors).unwrap();
    let paths = [
        file(&folder, "a.safetensors", &safetensors),
        // Told by its beginning, not by its name.
        file(&folder, "b.ckpt", &safetensors),
        file(&folder, "c.pt", &as_pytorch(&tensors)),
        file(&folder, "d.ckpt", &as_pytorch(&lightning)),
        checkpoint,
    ];
    for path in paths {
        let mut opened = WeightsFile::open(&path).unwrap();
        let (loaded, left_out) = model(2, 2).load_weights(Part::Whole, &mut opened).unwrap();
        assert!(left_out.is_empty(), "{left_out:?}");
        assert!(loaded.state_dict().unwrap() == tensors, "{}", path.display());
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |name: &str| NamedTensor { name: name.into(), shape: vec![2, 2], values: vec![0.5; 4] };
    let tensors = [tensor("a.weight"), tensor("b.weight")];
    let safetensors = crate::training::encode_tensors(&tensors).unwrap();
    for (name, whole) in [("cut.safetensors", safetensors), ("cut.pt", as_pytorch(&tensors))] {
        for length in 0..whole.len() {
            let path = file(&folder, name, &whole[..length]);
            let error = WeightsFile::open(&path).and_then(|mut file| file.read()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn a_changed_byte_of_a_tensor_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = [NamedTensor { name: "a".into(), shape: vec![64], values: vec![0.5; 64] }];
    let mut bytes = as_pytorch(&tensors);
    let run = [0.5_f32; 8].map(f32::to_le_bytes);
    let at = bytes.windows(32).position(|window| *window == *run.as_flattened()).unwrap();
    bytes[at] ^= 1;
    let path = file(&folder, "changed.pt", &bytes);
    let error = WeightsFile::open(&path).unwrap().read().unwrap_err().to_string();
    assert!(error.contains("checksum of tensor `a` is wrong"), "{error}");
}

#[test]
fn what_is_no_file_of_weights_says_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("notes.txt", &b"hello"[..]), ("empty.pt", b""), ("old.pth", b"\x80\x04]\x94.")] {
        let error = WeightsFile::open(&file(&folder, name, bytes)).unwrap_err().to_string();
        assert!(error.contains("no file of weights") && error.contains(name), "{error}");
    }
    let error = WeightsFile::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no file of weights"), "{error}");
    let error = WeightsFile::open(&folder.path().join("nowhere.pt")).unwrap_err().to_string();
    assert!(error.contains("can not be read") && error.contains("nowhere.pt"), "{error}");
}

#[test]
fn safetensors_of_other_floats_are_widened_and_whole_numbers_told_of() {
    use ::safetensors::tensor::{Dtype, TensorView, serialize};
    let folder = tempfile::tempdir().unwrap();
    let wide: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let views = [
        ("half", TensorView::new(Dtype::F16, vec![1], &[0x00, 0x3e]).unwrap()),
        ("brain", TensorView::new(Dtype::BF16, vec![1], &[0xc0, 0x3f]).unwrap()),
        ("wide", TensorView::new(Dtype::F64, vec![2, 1], &wide).unwrap()),
        ("index", TensorView::new(Dtype::I32, vec![1], &[1, 0, 0, 0]).unwrap()),
        ("bn.num_batches_tracked", TensorView::new(Dtype::I64, vec![], &[1, 0, 0, 0, 0, 0, 0, 0]).unwrap()),
    ];
    let path = file(&folder, "mixed.safetensors", &serialize(views, None).unwrap());
    let mut opened = WeightsFile::open(&path).unwrap();
    let mut read = opened.read().unwrap();
    read.sort_by(|a, b| a.name.cmp(&b.name));
    let read: Vec<_> = read.into_iter().map(|tensor| (tensor.name, tensor.shape, tensor.values)).collect();
    assert_eq!(
        read,
        [
            ("brain".to_owned(), vec![1], vec![1.5]),
            ("half".to_owned(), vec![1], vec![1.5]),
            ("wide".to_owned(), vec![2, 1], vec![1.5, -2.0])
        ]
    );
    assert_eq!(names(opened.left_out()), ["index"]);
}

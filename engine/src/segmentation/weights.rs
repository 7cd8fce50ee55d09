//! Weights a run starts from.

use std::path::{Path, PathBuf};

use super::error::RunError;
use crate::models::{NamedTensor, SegmentationModel, read_safetensors};

/// Where the encoder's tensors are in a model's state dict.
const ENCODER: &str = "encoder.";
/// The classifier of an image network, which a segmentation encoder has not.
const CLASSIFIER: &str = "fc.";
/// Input channels of published weights.
const RGB: usize = 3;
const WEIGHTS_FILE: &str = "weights.safetensors";

/// The model with all its weights taken from a checkpoint folder or a `.safetensors` file.
pub(super) fn load_all(model: SegmentationModel, path: &Path) -> Result<SegmentationModel, RunError> {
    let file = if path.is_dir() { path.join(WEIGHTS_FILE) } else { path.to_owned() };
    let tensors = read(&file)?;
    model.load_state_dict(tensors).map_err(|source| RunError::Weights { path: file, source })
}

/// The model with the weights of its encoder taken from a `.safetensors` file.
///
/// Names may stand with or without `encoder.`; a classifier (`fc.`) in the file is left out, as smp does.
/// Weights of three input channels are adapted to the model's.
pub(super) fn load_encoder(
    model: SegmentationModel,
    source: &str,
    in_channels: usize,
) -> Result<SegmentationModel, RunError> {
    let path = encoder_source(source)?;
    let mut tensors = read(&path)?;
    tensors.retain(|tensor| !tensor.name.starts_with(CLASSIFIER));
    for tensor in &mut tensors {
        if !tensor.name.starts_with(ENCODER) {
            tensor.name.insert_str(0, ENCODER);
        }
    }
    let own = model.state_dict()?;
    for tensor in &mut tensors {
        let like = own.iter().find(|like| like.name == tensor.name);
        if like.is_some_and(|like| takes_other_channels(&like.shape, &tensor.shape, in_channels)) {
            adapt_channels(tensor, in_channels);
        }
    }
    tensors.extend(own.into_iter().filter(|tensor| !tensor.name.starts_with(ENCODER)));
    model.load_state_dict(tensors).map_err(|source| RunError::Weights { path, source })
}

/// The file that `model_encoder_weights` names.
///
/// # Errors
/// [`RunError::NotYet`] for weights that would have to be fetched, [`RunError::Unreadable`] for a file that is not
/// there.
pub(super) fn encoder_source(source: &str) -> Result<PathBuf, RunError> {
    if source.eq_ignore_ascii_case("imagenet") {
        return Err(RunError::NotYet {
            what: "`model_encoder_weights = \"imagenet\"`".into(),
            remedy: "give the path of a `.safetensors` file",
        });
    }
    let path = PathBuf::from(source);
    match std::fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(source) => Err(RunError::Unreadable { what: "the file of encoder weights", path, source }),
    }
}

fn read(path: &Path) -> Result<Vec<NamedTensor>, RunError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if ["pt", "pth", "ckpt"].contains(&extension) {
        return Err(RunError::NotYet {
            what: format!("a PyTorch file of weights ({})", path.display()),
            remedy: "save the state dict with `safetensors.torch.save_file` and give that file",
        });
    }
    let bytes = std::fs::read(path).map_err(|source| RunError::Unreadable {
        what: "the file of weights",
        path: path.to_owned(),
        source,
    })?;
    read_safetensors(&bytes).map_err(|source| RunError::Weights { path: path.to_owned(), source })
}

/// Whether two convolutions differ in nothing but 3 input channels against the model's.
fn takes_other_channels(own: &[usize], file: &[usize], in_channels: usize) -> bool {
    match (own, file) {
        ([own_out, own_in, own_kernel @ ..], [file_out, RGB, file_kernel @ ..]) => {
            own_out == file_out && own_kernel == file_kernel && *own_in == in_channels && *own_in != RGB
        }
        _ => false,
    }
}

/// Turns a convolution over three channels into one over `channels`: the sum for one channel, else the
/// three repeated in turn and scaled by 3/n.
///
/// # Sources
/// segmentation_models_pytorch 0.6, `encoders._utils.patch_first_conv`.
fn adapt_channels(tensor: &mut NamedTensor, channels: usize) {
    let kernel: usize = tensor.shape[2..].iter().product();
    let scale = if channels == 1 { 1.0 } else { RGB as f32 / channels as f32 };
    let mut values = Vec::with_capacity(tensor.shape[0] * channels * kernel);
    for filter in tensor.values.chunks_exact(RGB * kernel) {
        if channels == 1 {
            values.extend((0..kernel).map(|i| filter[i] + filter[kernel + i] + filter[2 * kernel + i]));
            continue;
        }
        for channel in 0..channels {
            let first = channel % RGB * kernel;
            values.extend(filter[first..first + kernel].iter().map(|value| value * scale));
        }
    }
    tensor.values = values;
    tensor.shape[1] = channels;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convolution() -> NamedTensor {
        NamedTensor {
            name: "encoder.conv1.weight".into(),
            shape: vec![2, 3, 1, 1],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    }

    #[test]
    fn one_channel_takes_the_sum_of_three() {
        let mut tensor = convolution();
        adapt_channels(&mut tensor, 1);
        assert_eq!((tensor.shape, tensor.values), (vec![2, 1, 1, 1], vec![6.0, 15.0]));
    }

    #[test]
    fn more_channels_repeat_the_three_scaled() {
        let mut tensor = convolution();
        adapt_channels(&mut tensor, 6);
        assert_eq!(tensor.shape, [2, 6, 1, 1]);
        assert_eq!(tensor.values[..6], [0.5, 1.0, 1.5, 0.5, 1.0, 1.5]);
        assert_eq!(tensor.values[6..], [2.0, 2.5, 3.0, 2.0, 2.5, 3.0]);
    }

    #[test]
    fn only_the_first_convolution_is_adapted() {
        assert!(takes_other_channels(&[64, 6, 7, 7], &[64, 3, 7, 7], 6));
        assert!(!takes_other_channels(&[64, 3, 7, 7], &[64, 3, 7, 7], 3));
        assert!(!takes_other_channels(&[64, 6, 3, 3], &[64, 3, 7, 7], 6));
        assert!(!takes_other_channels(&[3], &[3], 6));
    }

    #[test]
    fn what_can_not_be_read_yet_says_what_to_do() {
        let error = read(Path::new("weights.pth")).unwrap_err();
        assert!(matches!(error, RunError::NotYet { .. }), "{error}");
        let error = read(Path::new("nowhere.safetensors")).unwrap_err();
        assert!(error.to_string().contains("nowhere.safetensors"), "{error}");
    }
}

//! Weights a run starts from.

use std::path::{Path, PathBuf};

use super::error::RunError;
use crate::models::{NamedTensor, SegmentationModel, read_safetensors};
use crate::workload::RunContext;

const WEIGHTS_FILE: &str = "weights.safetensors";

/// Names of tensors that a warning lists at the most; they tell what kind of file it is.
const SHOWN_NAMES: usize = 5;

/// The model with all its weights taken from a checkpoint folder or a `.safetensors` file.
pub(super) fn load_all(model: SegmentationModel, path: &Path) -> Result<SegmentationModel, RunError> {
    let file = if path.is_dir() { path.join(WEIGHTS_FILE) } else { path.to_owned() };
    let tensors = read(&file)?;
    model.load_state_dict(tensors).map_err(|source| RunError::Weights { path: file, source })
}

/// The model with the weights of its encoder taken from a `.safetensors` file. What the file holds besides is said.
pub(super) fn load_encoder(
    model: SegmentationModel,
    source: &str,
    context: &RunContext,
) -> Result<SegmentationModel, RunError> {
    let path = encoder_source(source)?;
    let tensors = read(&path)?;
    match model.load_encoder_weights(tensors) {
        Ok((model, left_out)) => {
            if !left_out.is_empty() {
                let (count, tensors) = (left_out.len(), shown(&left_out));
                let path = path.display();
                context
                    .warn(format!("{count} encoder weights have no use in this model ({tensors}): {path}"));
            }
            Ok(model)
        }
        Err(source) => Err(RunError::Weights { path, source }),
    }
}

fn shown(names: &[String]) -> String {
    let more = if names.len() > SHOWN_NAMES { ", …" } else { "" };
    names.iter().take(SHOWN_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ") + more
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_read_yet_says_what_to_do() {
        let error = read(Path::new("weights.pth")).unwrap_err();
        assert!(matches!(error, RunError::NotYet { .. }), "{error}");
        let error = read(Path::new("nowhere.safetensors")).unwrap_err();
        assert!(error.to_string().contains("nowhere.safetensors"), "{error}");
    }
}

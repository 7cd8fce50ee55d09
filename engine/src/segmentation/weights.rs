//! Weights a run starts from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::RunError;
use super::settings::{SegmentationHyperparameters, SegmentationSettings};
use crate::backend::{BackendName, ComputeDevice};
use crate::models::SegmentationModel;
use crate::models::weights::{LeftOut, Part, Pretrained, WeightsFile};
use crate::training::checkpoint::checkpoint_in;
use crate::workload::RunContext;

/// Environment variable with the folder of published weights.
const WEIGHTS_DIR: &str = "ENGINE_WEIGHTS_DIR";
/// The word for published weights.
const IMAGENET: &str = "imagenet";
/// Names of tensors that a warning lists for each reason, at the most; they tell what kind of file it is.
const SHOWN_NAMES: usize = 12;

/// The files whose weights a fresh run starts from, in the order they are taken.
fn sources(
    settings: &SegmentationSettings,
    hyperparameters: &SegmentationHyperparameters,
) -> Result<Vec<(Part, PathBuf)>, RunError> {
    let mut sources = Vec::new();
    if let Some(source) = &hyperparameters.model_encoder_weights {
        sources.push((Part::Encoder, encoder_source(source, &hyperparameters.model_encoder)?));
    }
    if let Some(path) = &settings.weights_from_checkpoint {
        sources.push((Part::Whole, source("the checkpoint", path)?));
    }
    Ok(sources)
}

/// The model with the weights a fresh run starts from. What a file holds besides is said.
pub(super) fn load(
    mut model: SegmentationModel,
    settings: &SegmentationSettings,
    hyperparameters: &SegmentationHyperparameters,
    context: &RunContext,
) -> Result<SegmentationModel, RunError> {
    for (part, path) in sources(settings, hyperparameters)? {
        let mut file = WeightsFile::open(&path)?;
        let left_out;
        (model, left_out) = model.load_weights(part, &mut file)?;
        if !left_out.is_empty() {
            context.warn(format!(
                "not taken from the weights: {}: {}",
                told(&left_out),
                file.path().display()
            ));
        }
    }
    Ok(model)
}

/// Models that were built to look at their tensors, by architecture, encoder and input channels.
#[derive(Default)]
pub(super) struct Known(BTreeMap<(String, String, usize), SegmentationModel>);

impl Known {
    /// Whether the weights fit: by names and shapes, of whole files. Numbers are read by the run.
    pub(super) fn check(
        &mut self,
        settings: &SegmentationSettings,
        hyperparameters: &SegmentationHyperparameters,
        in_channels: usize,
    ) -> Result<(), RunError> {
        let sources = sources(settings, hyperparameters)?;
        if sources.is_empty() {
            return Ok(());
        }
        let model = self.model(hyperparameters, in_channels)?;
        for (part, path) in sources {
            model.check_weights(part, &WeightsFile::open(&path)?)?;
        }
        Ok(())
    }

    fn model(
        &mut self,
        hyperparameters: &SegmentationHyperparameters,
        in_channels: usize,
    ) -> Result<&SegmentationModel, RunError> {
        let SegmentationHyperparameters { model_arch, model_encoder, .. } = hyperparameters;
        let key = (model_arch.to_lowercase(), model_encoder.to_lowercase(), in_channels);
        Ok(match self.0.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                let device = BackendName::best(ComputeDevice::Cpu)?.device(ComputeDevice::Cpu)?;
                let model = SegmentationModel::build(model_arch, model_encoder, in_channels, 0, &device)?;
                unknown.insert(model)
            }
        })
    }
}

/// What tells the files that runs start from: length and checksum of each. None where there are none.
pub(super) fn fingerprint(
    settings: &SegmentationSettings,
    hyperparameters: &[SegmentationHyperparameters],
) -> Result<Option<Value>, RunError> {
    let mut files = Map::new();
    // It brings its own.
    if settings.continue_from_checkpoint.is_some() {
        return Ok(None);
    }
    for one in hyperparameters {
        for (_, path) in sources(settings, one)? {
            let name = path.display().to_string();
            if !files.contains_key(&name) {
                let (bytes, checksum) = WeightsFile::open(&path)?.checksum()?;
                files.insert(name, json!(format!("{bytes} bytes, {checksum:08x}")));
            }
        }
    }
    Ok((!files.is_empty()).then_some(Value::Object(files)))
}

/// The file that `model-encoder-weights` names for an encoder.
fn encoder_source(named: &str, encoder: &str) -> Result<PathBuf, RunError> {
    if !named.eq_ignore_ascii_case(IMAGENET) {
        return source("the file of encoder weights", Path::new(named));
    }
    let folder = std::env::var_os(WEIGHTS_DIR).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    published(encoder, folder)
}

/// The published weights of an encoder in the folder for them.
fn published(encoder: &str, folder: Option<PathBuf>) -> Result<PathBuf, RunError> {
    let pretrained =
        Pretrained::of(encoder).ok_or_else(|| RunError::NotPublished { encoder: encoder.to_owned() })?;
    let found = folder.as_deref().and_then(|folder| pretrained.find_in(folder));
    found.ok_or(RunError::NotAtHand { pretrained, folder })
}

/// A file or checkpoint the user named; of a run's folder, its best checkpoint.
fn source(what: &'static str, path: &Path) -> Result<PathBuf, RunError> {
    let unreadable = |source| RunError::Unreadable { what, path: path.to_owned(), source };
    let about = std::fs::metadata(path).map_err(unreadable)?;
    let is_run = about.is_dir() && path.join("checkpoints").is_dir();
    Ok(if is_run { checkpoint_in(path)? } else { path.to_owned() })
}

/// What was left out, by reason.
fn told(left_out: &[LeftOut]) -> String {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for LeftOut { name, reason } in left_out {
        by_reason.entry(reason).or_default().push(name);
    }
    let reasons = by_reason.into_iter().map(|(reason, names)| {
        let shown = &names[..names.len().min(SHOWN_NAMES)];
        let more = match names.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more} ({reason})", shown.join(", "))
    });
    reasons.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_weights_that_are_not_there_say_which_file_to_put_where() {
        let error = published("resnet18", None).unwrap_err().to_string();
        for needle in
            ["ENGINE_WEIGHTS_DIR is not set", "resnet18.safetensors", "huggingface.co/smp-hub/resnet18"]
        {
            assert!(error.contains(needle), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = published("ResNet18", Some(folder.path().to_owned())).unwrap_err().to_string();
        assert!(
            error.contains("resnet18-5c106cde.pth") && error.contains("resnet18.imagenet/model"),
            "{error}"
        );
        assert!(error.ends_with(&folder.path().display().to_string()), "{error}");
        std::fs::write(folder.path().join("resnet18.safetensors"), "").unwrap();
        let found = published("resnet18", Some(folder.path().to_owned())).unwrap();
        assert_eq!(found, folder.path().join("resnet18.safetensors"));
        let error = published("resnet19", None).unwrap_err();
        assert!(matches!(error, RunError::NotPublished { .. }), "{error}");
    }

    #[test]
    fn what_is_left_out_is_told_by_reason() {
        let left = |name: &str, reason: &str| LeftOut { name: name.into(), reason: reason.into() };
        let mut all =
            vec![left("fc.bias", "part of a classifier"), left("fc.weight", "part of a classifier")];
        all.extend((0..14).map(|number| left(&format!("d.{number}"), "other")));
        let text = told(&all);
        assert!(
            text.contains("d.11 and 2 more (other); fc.bias, fc.weight (part of a classifier)"),
            "{text}"
        );
    }
}

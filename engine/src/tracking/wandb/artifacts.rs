//! Checkpoints as versions of an artifact.

use std::io;
use std::path::{Path, PathBuf};

use engine_tracking::wandb::run::ArtifactFiles;
use serde_json::{Map, Value, json};

/// What is known of a checkpoint beside its files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) path: PathBuf,
    pub(super) epoch: u32,
    pub(super) monitored: Option<f64>,
}

/// The files of a checkpoint as a version of the run's model.
pub(super) fn model(
    run_id: &str,
    path: &Path,
    known: Option<&Known>,
    aliases: &[&str],
) -> io::Result<ArtifactFiles> {
    let mut files = Vec::new();
    match path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()) {
        // A program's checkpoint may be a single file.
        Some(name) => files.push((name.to_owned(), path.to_owned())),
        None => gather(path, "", &mut files)?,
    }
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it holds no file"));
    }
    files.sort();
    let mut metadata = Map::new();
    if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        metadata.insert("checkpoint".into(), Value::from(name));
    }
    if let Some(known) = known {
        metadata.insert("epoch".into(), json!(known.epoch));
        metadata.insert("monitored".into(), json!(known.monitored));
    }
    Ok(ArtifactFiles {
        name: format!("model-{run_id}"),
        kind: "model".to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        files,
        metadata,
    })
}

/// Every file below a folder, by its path within.
fn gather(folder: &Path, within: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other("it holds a file whose name is no text"))?;
        let within = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            gather(&entry.path(), &within, files)?;
        } else if kind.is_file() {
            files.push((within, entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_a_version_of_its_runs_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("epoch=1-step=8-val_iou=0.50");
        std::fs::create_dir_all(path.join("deep")).unwrap();
        std::fs::write(path.join("weights.safetensors"), "w").unwrap();
        std::fs::write(path.join("deep/state.json"), "s").unwrap();
        let known = Known { path: path.clone(), epoch: 1, monitored: Some(0.5) };
        let model = model("abcd1234", &path, Some(&known), &["best", "latest"]).unwrap();
        assert_eq!((model.name.as_str(), model.kind.as_str()), ("model-abcd1234", "model"));
        assert_eq!(model.aliases, ["best", "latest"]);
        let names: Vec<&str> = model.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["deep/state.json", "weights.safetensors"]);
        let metadata = json!({"checkpoint": "epoch=1-step=8-val_iou=0.50", "epoch": 1, "monitored": 0.5});
        assert_eq!(Value::Object(model.metadata), metadata);
        let single = super::model("abcd1234", &path.join("weights.safetensors"), None, &[]).unwrap();
        assert_eq!(single.files, [("weights.safetensors".to_owned(), path.join("weights.safetensors"))]);
    }

    #[test]
    fn a_checkpoint_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(model("a", &folder.path().join("gone"), None, &[]).is_err());
        assert!(model("a", folder.path(), None, &[]).is_err(), "no file");
    }
}

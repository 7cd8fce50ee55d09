//! `hparams.yaml`: what a run was made of.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::atomic::{self, AtomicError, Durability};

/// Version of the file's form; raised with every change.
pub const HPARAMS_VERSION: u32 = 1;

/// Why `hparams.yaml` could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HparamsError {
    /// The file could not be put in place.
    #[error(transparent)]
    File(#[from] AtomicError),
    /// A value has no form in YAML.
    #[error("the settings can not be written as YAML, give them plain fields: {}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What the writer says.
        source: serde_saphyr::SerializeError,
    },
    /// The file could not be brought to the disk.
    #[error("can not bring the file to the disk, check its free space: {}", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

#[derive(Serialize)]
struct Content<'a, S> {
    version: u32,
    hyperparameters: &'a Map<String, Value>,
    settings: &'a S,
}

/// Writes hyperparameters, in their order, and settings, each under its own key, whole or not at all. A file that says
/// just this stays untouched. Nobody waits for the disk: see [`sync`].
///
/// # Errors
/// [`HparamsError`] if a value has no form in YAML or the file can not be written; a file that was there stays.
pub fn write(
    path: &Path,
    hyperparameters: &Map<String, Value>,
    settings: &impl Serialize,
) -> Result<(), HparamsError> {
    let content = Content { version: HPARAMS_VERSION, hyperparameters, settings };
    let text = serde_saphyr::to_string(&content)
        .map_err(|source| HparamsError::Yaml { path: path.to_owned(), source })?;
    // Whatever keeps it from being read: then it is written.
    if std::fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    Ok(atomic::put(path, Durability::Unsynced, |file| file.write_all(text.as_bytes()))?)
}

/// Brings a file that was written, and its name, to the disk.
///
/// # Errors
/// [`HparamsError::Sync`] if the disk refuses.
pub fn sync(path: &Path) -> Result<(), HparamsError> {
    let sync = || {
        File::open(path)?.sync_all()?;
        atomic::sync_folder_of(path)
    };
    sync().map_err(|source| HparamsError::Sync { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_back_as_what_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hparams.yaml");
        let hyperparameters = json!({
            "model_arch": "Unet", "learning_rate": 1e-3, "tiny": 2.5e-300, "batch_size": 8, "focal_loss_alpha": null,
            "augment": ["HorizontalFlip", "RandomRotate90"], "nothing": [], "nested": {"a": [1, {"b": 2}]},
            "looks_like": ["no", "1e3", "null", "~", "0x10", "- a", "a: b", "two\nlines", "", " x ", "2024-01-01"],
        });
        let settings = json!({"max_epochs": 100, "name with: colon": true});
        write(&path, hyperparameters.as_object().unwrap(), &settings).unwrap();
        let read: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read, json!({"version": 1, "hyperparameters": hyperparameters, "settings": settings}));
        let order: Vec<_> = read["hyperparameters"].as_object().unwrap().keys().collect();
        assert_eq!(order, hyperparameters.as_object().unwrap().keys().collect::<Vec<_>>());
    }

    #[test]
    fn an_unwritable_place_is_told_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not-there").join("hparams.yaml");
        let error = write(&path, &Map::new(), &()).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

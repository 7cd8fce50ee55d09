//! Where an export goes, and how it gets there whole.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;

use engine_tracking::atomic::{Durability, put};
use serde_json::Value;

use super::error::ExportError;
use crate::models::NamedTensor;
use crate::models::weights::pytorch::write_pytorch;
use crate::training::TensorFile;

/// Endings of PyTorch files.
const PYTORCH: [&str; 3] = ["pt", "pth", "ckpt"];
/// Files of a folder, by the names that `smp.from_pretrained` looks for.
const IN_FOLDER: [&str; 2] = ["model.safetensors", "config.json"];

/// What is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Folder(PathBuf),
    Safetensors(PathBuf),
    PyTorch(PathBuf),
}

impl Place {
    /// The place of this name, if nothing is there. An empty folder is nothing.
    pub(super) fn of(to: &Path) -> Result<Self, ExportError> {
        let path = to.to_owned();
        let ending = to.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let place = match ending {
            "safetensors" => Self::Safetensors(path),
            ending if PYTORCH.contains(&ending) => Self::PyTorch(path),
            _ => Self::Folder(path),
        };
        let is_taken = |path: &Path| path.symlink_metadata().is_ok();
        let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        let taken = match &place {
            Self::Folder(path) => (is_taken(path) && !is_empty(path)).then(|| path.clone()),
            Self::Safetensors(path) => {
                [path.clone(), path.with_extension("json")].into_iter().find(|path| is_taken(path))
            }
            Self::PyTorch(path) => is_taken(path).then(|| path.clone()),
        };
        match taken {
            Some(path) => Err(ExportError::Exists { path }),
            None => Ok(place),
        }
    }

    /// Writes everything, and gives the files.
    pub(super) fn write(
        self,
        config: &Value,
        tensors: Vec<NamedTensor>,
        counters: Vec<(String, u64)>,
    ) -> Result<Vec<PathBuf>, ExportError> {
        match self {
            Self::Safetensors(path) => {
                let beside = path.with_extension("json");
                write_config(&beside, config)?;
                write_safetensors(&path, tensors, counters)?;
                Ok(vec![path, beside])
            }
            Self::PyTorch(path) => {
                put(&path, Durability::Synced, |file| {
                    let mut file = BufWriter::new(file);
                    write_pytorch(&mut file, config, &tensors, &counters)?;
                    file.flush()
                })?;
                Ok(vec![path])
            }
            Self::Folder(path) => {
                let aside = aside(&path);
                let filled = fill(&aside, config, tensors, counters);
                let moved = filled.and_then(|()| {
                    fs::rename(&aside, &path)
                        .map_err(|source| ExportError::Folder { path: path.clone(), source })
                });
                if let Err(error) = moved {
                    // The first error is the one to tell; what stays has a name that says what it is.
                    drop(fs::remove_dir_all(&aside));
                    return Err(error);
                }
                Ok(IN_FOLDER.map(|name| path.join(name)).to_vec())
            }
        }
    }
}

/// A folder beside the place, to be filled and renamed.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.exporting", process::id()))
}

fn fill(
    folder: &Path,
    config: &Value,
    tensors: Vec<NamedTensor>,
    counters: Vec<(String, u64)>,
) -> Result<(), ExportError> {
    fs::create_dir(folder).map_err(|source| ExportError::Folder { path: folder.to_owned(), source })?;
    let [weights, beside] = IN_FOLDER.map(|name| folder.join(name));
    write_config(&beside, config)?;
    write_safetensors(&weights, tensors, counters)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| ExportError::Folder { path: folder.to_owned(), source })
}

fn write_config(path: &Path, config: &Value) -> Result<(), ExportError> {
    Ok(put(path, Durability::Synced, |file| writeln!(file, "{config:#}"))?)
}

fn write_safetensors(
    path: &Path,
    tensors: Vec<NamedTensor>,
    counters: Vec<(String, u64)>,
) -> Result<(), ExportError> {
    let laid_out = TensorFile::lay_out(tensors, counters)?;
    Ok(put(path, Durability::Synced, |file| laid_out.write(file))?)
}

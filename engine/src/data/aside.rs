//! A folder that appears whole or not at all: filled beside its place, brought to the disk, renamed.

use std::path::{Path, PathBuf};

use super::error::DataError;

/// Refuses a folder that holds something.
pub(super) fn refuse_taken(dir: &Path) -> Result<(), DataError> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(DataError::NotEmpty { path: dir.into() }),
        },
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => {
            Err(DataError::Io { action: "look into the folder to write", path: dir.into(), source })
        }
    }
}

/// A folder beside the one to be, removed unless it became it.
pub(super) struct Aside {
    pub(super) path: PathBuf,
}

impl Aside {
    pub(super) fn create(dir: &Path) -> Result<Self, DataError> {
        let name = dir.file_name().ok_or_else(|| DataError::SynthSettings {
            what: "the folder has no name; give a path that ends in one".into(),
            path: dir.into(),
        })?;
        clear_left_aside(dir, &name.to_string_lossy());
        let mut aside = std::ffi::OsString::from(".");
        aside.push(name);
        aside.push(format!(".{}{PARTIAL}", std::process::id()));
        let path = dir.with_file_name(aside);
        std::fs::create_dir_all(&path).map_err(|source| DataError::Io {
            action: "create a folder beside the one to write",
            path: path.clone(),
            source,
        })?;
        Ok(Self { path })
    }

    /// Brings everything to the disk and moves it into place.
    pub(super) fn become_folder(self, dir: &Path) -> Result<(), DataError> {
        sync(&self.path).map_err(|source| DataError::Io {
            action: "bring the finished folder to the disk",
            path: dir.into(),
            source,
        })?;
        // An empty folder makes way; anything else in it meanwhile stops the removal.
        match std::fs::remove_dir(dir) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(DataError::Io { action: "replace the empty folder", path: dir.into(), source });
            }
            _ => {}
        }
        std::fs::rename(&self.path, dir).map_err(|source| DataError::Io {
            action: "move the finished folder into place",
            path: dir.into(),
            source,
        })
    }
}

/// What the name of a folder aside ends in.
const PARTIAL: &str = ".partial";

/// Removes the folders that killed processes left aside for this one. What can not be removed is left: it is in nobody's way,
/// save one of this process's own number, which then is told by whoever fills it.
fn clear_left_aside(dir: &Path, name: &str) {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let left = entry.file_name();
        let writer = left.to_str().and_then(|left| {
            left.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(PARTIAL)?.parse().ok()
        });
        let Some(writer) = writer else { continue };
        if (writer == std::process::id() || !engine_tracking::atomic::is_alive(writer))
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "an unfinished folder stays behind");
        }
    }
}

/// Brings a folder to the disk with all that is in it: in one call, for there are thousands of files.
#[cfg(target_os = "linux")]
fn sync(folder: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(folder)?)?)
}

/// There is no such call here: a power cut soon after may cost files of the folder, and `engine data check` finds that.
#[cfg(not(target_os = "linux"))]
fn sync(_: &Path) -> std::io::Result<()> {
    Ok(())
}

impl Drop for Aside {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "an unfinished folder stays behind");
            }
            _ => {}
        }
    }
}

//! What killed engines leave: files aside, checkpoints half-written, the try of a folder, the lock of an engine.
//!
//! None of it does harm, and none of it is ever read: names in use are given in one step, at the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine_tracking::atomic;

use super::ArtifactError;
use crate::tracking::is_abandoned;
use crate::training::checkpoint::{CheckpointError, Checkpoints};

/// What the name of a try to write begins with.
pub(super) const PROBE_PREFIX: &str = ".writable-";

/// What is younger may be an engine's that is just starting, on this machine or another: a try to write lives for
/// milliseconds, and so does a lock that is not held yet. Clocks of machines may differ by minutes.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);

/// Folders of a job that are looked at; what lies in others stays, and does no harm. At 8 folders a run these are 37,000
/// runs, and about ten seconds.
const FOLDERS_AT_MOST: usize = 300_000;

/// Folders of a job lie no deeper: `tune/cv/run/wandb/run-…/files/media/{kind}` are 7 below the first.
const DEPTH_AT_MOST: usize = 8;

/// Name of the folder of a run's checkpoints.
const CHECKPOINTS: &str = "checkpoints";

/// Removes what lies directly in an artifact folder and was forgotten: tries to write, and locks that nobody holds. What can
/// not be looked at or removed is left, for nothing depends on it.
pub(super) fn clear_abandoned(artifact_dir: &Path) {
    let Ok(entries) = fs::read_dir(artifact_dir) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_probe = name.to_string_lossy().starts_with(PROBE_PREFIX);
        let is_hidden = name.to_string_lossy().starts_with('.');
        if is_hidden && is_old(&path) && (is_probe || is_abandoned(&path)) {
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "left by a killed engine: removed"),
                Err(error) => tracing::debug!(%error, path = %path.display(), "left by a killed engine"),
            }
        }
    }
}

fn is_old(path: &Path) -> bool {
    let changed = path.symlink_metadata().and_then(|about| about.modified());
    // Of the future where a server's clock is ahead: then it is not old.
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age >= ABANDONED_AFTER))
}

/// Removes what was left half-written in a folder and all below it.
pub(super) fn clear_below(job_dir: &Path) -> Result<usize, ArtifactError> {
    let mut walk = Walk { folders_left: FOLDERS_AT_MOST, removed: 0, refused: None };
    walk.folder(job_dir, DEPTH_AT_MOST);
    if walk.folders_left == 0 {
        tracing::warn!(path = %job_dir.display(), "more folders than are looked through for what killed engines left");
    }
    match walk.refused {
        None => Ok(walk.removed),
        Some((path, source)) => Err(ArtifactError::Leftover { path, source }),
    }
}

struct Walk {
    folders_left: usize,
    removed: usize,
    /// The first that could not be removed or looked into.
    refused: Option<(PathBuf, io::Error)>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth_left: usize) {
        if self.folders_left == 0 {
            return;
        }
        self.folders_left -= 1;
        if folder.file_name().is_some_and(|name| name == CHECKPOINTS) {
            return self.checkpoints(folder);
        }
        let inside = match atomic::clear_leftovers(folder) {
            Ok(removed) => {
                self.removed += removed;
                folders(folder)
            }
            Err(error) => Err(error),
        };
        match inside {
            Ok(inside) if depth_left > 0 => {
                inside.iter().for_each(|inside| self.folder(inside, depth_left - 1));
            }
            Ok(_) => {}
            Err(error) => self.refuse(folder, error),
        }
    }

    fn checkpoints(&mut self, folder: &Path) {
        match Checkpoints::clear_leftovers(folder.to_owned()) {
            Ok(removed) => self.removed += removed,
            Err(CheckpointError::Io { path, source, .. }) => self.refuse(&path, source),
            Err(error) => self.refuse(folder, io::Error::other(error)),
        }
    }

    fn refuse(&mut self, path: &Path, error: io::Error) {
        self.refused.get_or_insert_with(|| (path.to_owned(), error));
    }
}

/// Folders in a folder, links and hidden ones left out; none if it is not there.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut inside = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            inside.push(entry.path());
        }
    }
    Ok(inside)
}

#[cfg(test)]
mod tests;

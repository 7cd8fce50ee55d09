//! Which checkpoint a folder stands for.

use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::folder::{Checkpoints, LAST};
use super::state::{STATE, State};

/// Folder of a run that its checkpoints lie in.
const OF_RUN: &str = "checkpoints";

/// Whether the folder is a checkpoint.
pub(crate) fn is_checkpoint(path: &Path) -> bool {
    path.join(STATE).is_file()
}

/// Whether the folder is a run's, whatever came of it.
pub(crate) fn is_run(path: &Path) -> bool {
    path.join(OF_RUN).is_dir()
}

/// The checkpoint that a path stands for: itself, or of a run's folder the best one, and the last where none is ranked.
///
/// # Errors
/// [`CheckpointError`] if there is none, or the run's list of the best can not be read.
pub fn checkpoint_in(path: &Path) -> Result<PathBuf, CheckpointError> {
    if is_checkpoint(path) {
        return Ok(path.to_owned());
    }
    let folder = if is_run(path) { path.join(OF_RUN) } else { path.to_owned() };
    let last = folder.join(LAST);
    if !last.is_dir() {
        return Err(CheckpointError::Absent { path: path.to_owned() });
    }
    let checkpoints = Checkpoints::of_another(folder);
    let ranked = State::read(&last)?.top_k;
    let best = ranked.best().map(|best| checkpoints.path(&best.name)).filter(|best| best.is_dir());
    Ok(best.unwrap_or(last))
}

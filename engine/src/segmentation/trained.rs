//! What was trained, by the folder it lies in: a checkpoint, a run with its best, a cv with the best of each of its runs.

use std::path::{Path, PathBuf};

use engine_tracking::run_info::{RunInfoError, read_run_infos};
use thiserror::Error;

use crate::artifacts::ArtifactLayout;
use crate::training::checkpoint::{CheckpointError, checkpoint_in, is_checkpoint, is_run};

/// What makes a folder that of a cv.
const RUN_INFOS: &str = "run_infos.parquet";

/// Why a folder stands for no checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainedError {
    /// It is not there.
    #[error("there is no such folder; give that of a checkpoint, a run or a cv: {}", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// It holds something else.
    #[error(
        "the folder holds no checkpoint; give that of a checkpoint (with state.json), of a run (with checkpoints) or of \
         a cv (with run_infos.parquet): {}",
        path.display()
    )]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// It is a tune's.
    #[error("the folder is that of a tune; give that of one of its cvs, or of its retrained run: {cvs}: {}", path.display())]
    Tune {
        /// Names of its cvs.
        cvs: String,
        /// The folder.
        path: PathBuf,
    },
    /// A run wrote no checkpoint, or they were removed.
    #[error("the run has no checkpoint; let it train until its first validation: {}", path.display())]
    NoCheckpoint {
        /// Folder of the run.
        path: PathBuf,
    },
    /// No run of a cv came to its end.
    #[error("no run of the cv is complete; go on with it by --resume: {}", path.display())]
    NoRun {
        /// Folder of the cv.
        path: PathBuf,
    },
    /// The table of a cv can not be read.
    #[error("the table of the cv can not be read")]
    Table(#[from] RunInfoError),
    /// A checkpoint can not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// The checkpoints a folder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trained {
    /// Folders of the checkpoints, at least one; of a cv in the order of its table.
    pub checkpoints: Vec<PathBuf>,
    /// What the user should know: runs of a cv that did not complete and are left out.
    pub notes: Vec<String>,
}

impl Trained {
    /// Finds the checkpoint itself, the best of a run (the last where none is ranked), or the best of every complete run of a
    /// cv.
    ///
    /// # Errors
    /// [`TrainedError`] if the folder holds none.
    pub fn find(path: &Path) -> Result<Self, TrainedError> {
        if !path.is_dir() {
            return Err(TrainedError::Absent { path: path.into() });
        }
        if is_checkpoint(path) || is_run(path) {
            return Ok(Self { checkpoints: vec![best_of_run(path)?], notes: Vec::new() });
        }
        let table = path.join(RUN_INFOS);
        if table.is_file() {
            return of_cv(path, &table);
        }
        let cvs = cvs_below(path);
        if cvs.is_empty() {
            return Err(TrainedError::Nothing { path: path.into() });
        }
        Err(TrainedError::Tune { cvs: cvs.join(", "), path: path.into() })
    }
}

fn best_of_run(run: &Path) -> Result<PathBuf, TrainedError> {
    match checkpoint_in(run) {
        Err(CheckpointError::Absent { .. }) => Err(TrainedError::NoCheckpoint { path: run.into() }),
        found => Ok(found?),
    }
}

fn of_cv(cv: &Path, table: &Path) -> Result<Trained, TrainedError> {
    let (mut checkpoints, mut left_out) = (Vec::new(), Vec::new());
    for row in read_run_infos(table)? {
        let run = row.run;
        if ["complete", "unstable"].contains(&run.status.as_str()) {
            // By its name and not by the path in the table: a cv may have been moved.
            checkpoints.push(best_of_run(&ArtifactLayout::run_in(cv, &run.run_name, &run.run_id))?);
        } else {
            left_out.push(format!("{} ({})", run.run_name, run.status));
        }
    }
    if checkpoints.is_empty() {
        return Err(TrainedError::NoRun { path: cv.into() });
    }
    let note = || format!("runs of the cv that did not complete are left out: {}", left_out.join(", "));
    let notes = if left_out.is_empty() { Vec::new() } else { vec![note()] };
    Ok(Trained { checkpoints, notes })
}

/// Names of the folders of cvs in that of a tune.
fn cvs_below(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let cvs = entries.filter(|entry| entry.path().join(RUN_INFOS).is_file());
    let mut names: Vec<String> = cvs.map(|cv| cv.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_checkpoints_says_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| Trained::find(path).unwrap_err().to_string();
        assert!(error(&folder.path().join("gone")).contains("no such folder"));
        assert!(error(folder.path()).contains("holds no checkpoint"));
        std::fs::create_dir_all(folder.path().join("t/a-cv0")).unwrap();
        std::fs::write(folder.path().join("t/a-cv0/run_infos.parquet"), b"PAR1").unwrap();
        let tune = error(&folder.path().join("t"));
        assert!(tune.contains("a tune") && tune.contains("a-cv0"), "{tune}");
        assert!(error(&folder.path().join("t/a-cv0")).contains("table of the cv"));
        std::fs::create_dir_all(folder.path().join("r/checkpoints")).unwrap();
        assert!(error(&folder.path().join("r")).contains("no checkpoint"));
    }
}

//! The folder of a tracked run: what lies where, and how it is called.

use std::path::{Path, PathBuf};

/// `wandb/run-20261122_204613-<id>/`: one tracked run on disk. Called `offline-run-…` while nobody sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// Id of the run.
    pub run_id: String,
}

impl RunFolder {
    /// `run-<id>.wandb`, the journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join(format!("run-{}.wandb", self.run_id))
    }

    /// `run-<id>.cursor`, how far it is sent.
    #[must_use]
    pub fn cursor(&self) -> PathBuf {
        self.path.join(format!("run-{}.cursor", self.run_id))
    }

    /// `run-<id>.wandb.synced`, there when everything is sent; the official client looks for it too.
    #[must_use]
    pub fn synced(&self) -> PathBuf {
        self.path.join(format!("run-{}.wandb.synced", self.run_id))
    }

    /// `files/`, what is sent beside the rows.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// `artifacts/`, links to files of artifacts. Not below `files/`: older clients send all that lies there.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// The run in this folder, ours or the official client's: a folder with one `run-<id>.wandb`. `None` if it holds none.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let _ = path;
        todo!()
    }

    /// Every run below a folder, however deep, in the order of their names.
    #[must_use]
    pub fn below(path: &Path) -> Vec<Self> {
        let _ = path;
        todo!()
    }
}

//! What can be wrong with a checkpoint.

use std::path::PathBuf;

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is no such folder.
    #[error("no checkpoint is there; give the path of a checkpoint folder: {}", path.display())]
    Absent {
        /// The folder asked for.
        path: PathBuf,
    },
    /// The folder lacks one of its files.
    #[error("the checkpoint is not whole, `{file}` is missing; use another checkpoint: {}", path.display())]
    MissingFile {
        /// The checkpoint.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// A file is there, but can not be understood: cut, or not what its name says.
    #[error("`{file}` of the checkpoint is damaged ({reason}); use another checkpoint: {}", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a version of the format this build does not know.
    #[error(
        "the checkpoint has format version {found}, this build reads up to {supported}; use the build that wrote it: {}",
        path.display()
    )]
    Version {
        /// The checkpoint.
        path: PathBuf,
        /// Version in the file.
        found: u64,
        /// Latest version this build reads.
        supported: u32,
    },
    /// A checkpoint of a model that is not the segmentation workload's.
    #[error(
        "the checkpoint is of another workload's model, not of a segmentation network; use it with the program that \
         wrote it: {}",
        path.display()
    )]
    OtherWorkload {
        /// The checkpoint.
        path: PathBuf,
    },
    /// Another writer has the folder.
    #[error(
        "another process still writes the run's checkpoints; let it end, or end it, and start again: {}",
        path.display()
    )]
    Busy {
        /// The folder of the checkpoints.
        path: PathBuf,
    },
    /// There is no thread to write on.
    #[error("no thread can be started to write a checkpoint on; check how many threads are allowed")]
    NoThread {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file system said no.
    #[error("a checkpoint file can not be {action}; {}: {}", remedy(action), path.display())]
    Io {
        /// What was tried: `written`, `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// What to do where the file system says no. The checkpoints before are whole either way.
fn remedy(action: &str) -> &'static str {
    match action {
        "read" => "check that it may be read",
        _ => {
            "check that its disk has free space and its folder may be written to; the checkpoints before stay"
        }
    }
}

impl CheckpointError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

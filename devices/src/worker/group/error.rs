//! What can go wrong between the processes of several machines.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::frame::FrameError;
use crate::worker::LaunchError;

/// Why the folder in which rank 0 tells the others what to do could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A file could not be made or read.
    #[error(
        "the ranks' folder can not be used ({doing}): the artifact folder must be shared by all nodes and writable: {}",
        path.display()
    )]
    Io {
        /// What was being done.
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is there and can not be read as what it is.
    #[error("a file of the ranks' folder can not be read: every node must run the same build: {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// The system refused a thread.
    #[error("no thread for the other ranks' messages: raise the limit on processes (ulimit -u)")]
    Thread(#[source] io::Error),
}

/// Why a rank stopped following before rank 0 had ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The folder.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Rank 0 has never been there.
    #[error(
        "rank {rank} has waited {} s for rank 0, which has not come: see what its process says, and check that all \
         nodes see the same folder: {}",
        waited.as_secs(),
        path.display()
    )]
    NeverLed {
        /// Who waited.
        rank: u32,
        /// How long.
        waited: Duration,
        /// Where.
        path: PathBuf,
    },
    /// Rank 0 is gone.
    #[error("rank {rank} has seen no sign of rank 0 for {} s and has ended its worker", silent.as_secs())]
    LeadGone {
        /// Who waited.
        rank: u32,
        /// How long.
        silent: Duration,
    },
    /// A worker could not be started, and rank 0 could not be told.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

//! What can be wrong with jobs seen from outside.

use std::io;
use std::path::PathBuf;

use engine_actors::journal::HistoryError;
use engine_tracking::journal::JournalError;
use thiserror::Error;

use super::status::JobState;
use crate::artifacts::ArtifactError;

/// Why jobs can not be looked at.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobsError {
    /// The artifact folder.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// Nothing of this name.
    #[error("no job is called {name} here; `engine status` lists those there are, --artifact-dir looks elsewhere: {}", path.display())]
    Absent {
        /// The name as given.
        name: String,
        /// The artifact folder.
        path: PathBuf,
    },
    /// A tune and a cv of one name, for instance.
    #[error("{count} jobs are called {name}; give the folder of the one that is meant: {}", paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Several {
        /// The name as given.
        name: String,
        /// How many there are.
        count: usize,
        /// Their folders.
        paths: Vec<PathBuf>,
    },
    /// The journal can not be read or understood.
    #[error(transparent)]
    Journal(#[from] HistoryError),
    /// The file of events.
    #[error("the events of the job can not be read; check the access rights of its folder: {}", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl From<JournalError> for JobsError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error.into())
    }
}

/// Why a job can not be asked to stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It can not be looked at.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// Nobody works on it.
    #[error("{name} is not under way, it is {state}: there is nothing to stop")]
    NotUnderWay {
        /// Name of the job.
        name: String,
        /// How it stands.
        state: JobState,
    },
    /// Another machine works on it.
    #[error("{name} runs on {host}, and no signal reaches it from here: give this command there")]
    Elsewhere {
        /// Name of the job.
        name: String,
        /// The machine.
        host: String,
    },
    /// Its process has only begun.
    #[error("the process that works on {name} has not said yet who it is: try again")]
    NoProcess {
        /// Name of the job.
        name: String,
    },
    /// The process of this id does not hold the job's journal.
    #[error(
        "process {pid} is not the one that works on {name}: it is in another container, belongs to another user, or the id is \
         somebody else's by now; give this command where the job was started"
    )]
    NotItsProcess {
        /// Name of the job.
        name: String,
        /// The id in the journal.
        pid: u32,
    },
    /// The system says no.
    #[error("process {pid} of {name} can not be sent a signal")]
    Refused {
        /// Name of the job.
        name: String,
        /// Its process.
        pid: u32,
        /// What the system says.
        source: io::Error,
    },
}

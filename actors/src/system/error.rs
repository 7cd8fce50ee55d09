//! What can go wrong with a system as a whole.

use std::io;

use engine_devices::LockError;
use thiserror::Error;

/// Why a system did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing to run on.
    #[error("no device to run on: name at least one")]
    NoDevice,
    /// A device takes nothing.
    #[error("devices with no slot take no run: allow at least one slot per device")]
    NoSlot,
    /// The devices can not be kept from other engine processes.
    #[error(transparent)]
    Locks(#[from] LockError),
    /// The system refused a thread.
    #[error("no thread for the actors: raise the limit on processes (ulimit -u)")]
    Thread(#[source] io::Error),
    /// The thread ended before the actors stood.
    #[error("the thread of the actors ended at its start: see the log for the panic")]
    Lost,
}

/// Why a job was not taken, or has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JobError {
    /// As many jobs as may wait do wait.
    #[error("too many jobs wait to be started: start this one again later")]
    Busy,
    /// The system is shut down.
    #[error("the actors are shut down: start another system")]
    ShutDown,
    /// The actor of the job panicked, or the system was shut down under it.
    #[error("the job was lost with its actor: its finished runs are on disk, see the log for the panic")]
    Lost,
}

/// Why a shutdown was not clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The thread of the actors panicked.
    #[error("the thread of the actors panicked: see the log")]
    Panicked,
}

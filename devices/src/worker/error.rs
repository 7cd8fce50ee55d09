//! What can go wrong between a worker and its watcher.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::frame::FrameError;
use crate::lock::LockError;

/// Why a message was not queued for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// As many messages as may wait do wait: the worker does not read.
    #[error("the worker does not read its messages: kill it, or send again later")]
    Full,
    /// The worker is gone or was killed.
    #[error("the worker is gone: launch another")]
    Gone,
}

/// Why a worker could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The system refused a thread.
    #[error("no thread for worker `{name}`: raise the limit on processes (ulimit -u) or run fewer at once")]
    Thread {
        /// Name of the worker.
        name: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Several places, and a launcher that starts one process.
    #[error(
        "worker `{name}` was given {places} places, and this launcher starts one process: use a group launcher"
    )]
    SeveralPlaces {
        /// Name of the worker.
        name: String,
        /// How many.
        places: usize,
    },
    /// The system refused the process.
    #[error("no process for worker `{name}`: check that this file can be run: {}", program.display())]
    Spawn {
        /// Name of the worker.
        name: String,
        /// What was to be run.
        program: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The program that is running could not be found again.
    #[error("the running program's own file is not known: run workers as threads, or name the program")]
    CurrentExe {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No port for the ranks to meet at.
    #[error("no port for the ranks of worker `{name}` to meet at: check the limit on open files (ulimit -n)")]
    Port {
        /// Name of the worker.
        name: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The ranks on other machines could not be told.
    #[error("the other ranks of worker `{name}` could not be told")]
    Order {
        /// Name of the worker.
        name: String,
        /// What the folder they read said.
        #[source]
        source: super::group::SessionError,
    },
    /// The supervising thread ended before the worker was there.
    #[error("worker `{name}` was lost while it was started: launch it again")]
    Lost {
        /// Name of the worker.
        name: String,
    },
}

/// Why a worker could not say something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PortError {
    /// Whoever launched the worker is gone, or has killed it.
    #[error("nobody hears this worker any more: stop")]
    Closed,
    /// The message does not fit a frame; the port still works.
    #[error("the message was not sent")]
    Unsendable(#[source] FrameError),
}

/// Why a process could not take up its part as a worker.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The process was not started as a worker.
    #[error("this process was not started as a worker: only a launcher starts one")]
    NotAWorker,
    /// The process has attached before.
    #[error("this worker has attached already: call it once, first thing in main")]
    Twice,
    /// The process that launched this one is gone already.
    #[error("the process that launched this worker is gone: nothing is left to do")]
    Orphaned,
    /// Another worker is on the device.
    #[error("another worker process is still on the device, which was to be this worker's alone: {}", file.display())]
    DeviceTaken {
        /// The file that the other one has locked.
        file: PathBuf,
    },
    /// The lock on the device can not be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A standard stream could not be set aside or replaced, or a thread was refused.
    #[error("a worker's pipes could not be set up ({step})")]
    Pipes {
        /// What was being done.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

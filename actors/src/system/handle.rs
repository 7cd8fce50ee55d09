//! A job under way, as its caller holds it.

use tokio::sync::oneshot;

use super::JobError;
use crate::stop::{StopLine, StopMode};

/// A job under way. Dropping it lets the job go on; [`JobHandle::stop`] stops it.
#[derive(Debug)]
pub struct JobHandle<O> {
    outcome: oneshot::Receiver<O>,
    line: StopLine,
}

impl<O> JobHandle<O> {
    pub(super) fn new(outcome: oneshot::Receiver<O>, line: StopLine) -> Self {
        Self { outcome, line }
    }

    /// Waits for the outcome, on a thread without an async runtime.
    ///
    /// # Errors
    /// [`JobError::Lost`] if there will be none.
    ///
    /// # Panics
    /// Within an async runtime; use [`JobHandle::outcome`] there.
    pub fn wait(self) -> Result<O, JobError> {
        self.outcome.blocking_recv().map_err(|_| JobError::Lost)
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// [`JobError::Lost`] if there will be none.
    ///
    /// # Cancel safety
    /// Dropped, the job goes on and its outcome is lost but for its files.
    pub async fn outcome(self) -> Result<O, JobError> {
        self.outcome.await.map_err(|_| JobError::Lost)
    }

    /// Asks the job to stop; the outcome still comes. A weaker mode than one asked for before changes nothing.
    pub fn stop(&self, mode: StopMode) {
        self.line.raise(mode);
    }

    /// Something to stop the job with from elsewhere, while this handle is being waited on.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { line: self.line.clone() }
    }
}

/// Stops a job from any thread, a signal handler's for instance.
#[derive(Debug, Clone)]
pub struct Stopper {
    line: StopLine,
}

impl Stopper {
    /// As [`JobHandle::stop`].
    pub fn stop(&self, mode: StopMode) {
        self.line.raise(mode);
    }
}

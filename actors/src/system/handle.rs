//! A job under way, as its caller holds it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::JobError;
use crate::stop::{StopLine, StopMode};

/// A job under way: awaited, it gives the outcome. Dropping it lets the job go on; [`JobHandle::stop`] stops it.
///
/// # Errors
/// Awaited, [`JobError::Lost`] if there will be no outcome.
///
/// # Cancel safety
/// Dropped, the job goes on and its outcome is lost but for its files.
///
/// # Panics
/// Awaited again after it gave the outcome.
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
    /// Within an async runtime; await the handle there.
    pub fn wait(self) -> Result<O, JobError> {
        self.outcome.blocking_recv().map_err(|_| JobError::Lost)
    }

    /// Whether the job is over: its outcome is there to be taken, or was taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.line.is_released()
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

impl<O> Future for JobHandle<O> {
    type Output = Result<O, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map_err(|_| JobError::Lost)
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

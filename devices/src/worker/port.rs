//! The worker's own end: what it hears and where it speaks, the same for a process and a thread.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::channel::{Receiver, Sender};
use serde::Serialize;

use super::error::PortError;
use super::memory::HostMemory;
use super::stderr::mark_end_of_turn;
use super::wire::{AfterWork, Over, Saying};
use crate::frame::{self, FrameError};

/// Both directions of a worker's port.
pub struct WorkerPort<In, Out> {
    receiver: WorkerReceiver<In>,
    sender: WorkerSender<Out>,
}

impl<In, Out> WorkerPort<In, Out> {
    pub(super) fn new(receiver: WorkerReceiver<In>, sender: WorkerSender<Out>) -> Self {
        Self { receiver, sender }
    }

    /// Waits for the next message. `None`: whoever launched this worker is gone or has killed it, so stop.
    pub fn recv(&mut self) -> Option<In> {
        self.receiver.recv()
    }

    /// Whether the worker has been told to stop at once; looked at by work that does not wait for messages.
    #[must_use]
    pub fn killed(&self) -> bool {
        self.receiver.killed()
    }

    /// The two directions apart, for a thread that listens while another works.
    #[must_use]
    pub fn split(self) -> (WorkerReceiver<In>, WorkerSender<Out>) {
        (self.receiver, self.sender)
    }
}

impl<In, Out: Serialize> WorkerPort<In, Out> {
    /// See [`WorkerSender::send`].
    ///
    /// # Errors
    /// As [`WorkerSender::send`].
    pub fn send(&self, message: Out) -> Result<(), PortError> {
        self.sender.send(message)
    }

    /// See [`WorkerSender::work_is_over`].
    pub fn work_is_over(&self, wish: AfterWork) -> AfterWork {
        self.sender.work_is_over(wish)
    }
}

/// What a worker hears.
pub struct WorkerReceiver<In> {
    inbox: Receiver<In>,
    killed: Arc<AtomicBool>,
}

impl<In> WorkerReceiver<In> {
    pub(super) fn new(inbox: Receiver<In>, killed: Arc<AtomicBool>) -> Self {
        Self { inbox, killed }
    }

    /// See [`WorkerPort::recv`].
    pub fn recv(&mut self) -> Option<In> {
        let message = self.inbox.recv().ok();
        // A kill comes before whatever was queued ahead of it.
        message.filter(|_| !self.killed())
    }

    /// See [`WorkerPort::killed`].
    #[must_use]
    pub fn killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

/// Where a worker speaks. Clones speak in turns.
pub struct WorkerSender<Out> {
    line: Line<Out>,
}

enum Line<Out> {
    /// `None` after the pipe has failed: half a frame may be in it.
    Pipe {
        pipe: Arc<Mutex<Option<File>>>,
        at_most: AfterWork,
    },
    Channel(Sender<Out>),
}

impl<Out> Clone for WorkerSender<Out> {
    fn clone(&self) -> Self {
        let line = match &self.line {
            Line::Pipe { pipe, at_most } => Line::Pipe { pipe: Arc::clone(pipe), at_most: *at_most },
            Line::Channel(outbox) => Line::Channel(outbox.clone()),
        };
        Self { line }
    }
}

impl<Out> WorkerSender<Out> {
    /// `at_most` is what the launcher lets the worker do when its work is over.
    pub(super) fn pipe(pipe: File, at_most: AfterWork) -> Self {
        Self { line: Line::Pipe { pipe: Arc::new(Mutex::new(Some(pipe))), at_most } }
    }

    pub(super) fn channel(outbox: Sender<Out>) -> Self {
        Self { line: Line::Channel(outbox) }
    }
}

impl<Out: Serialize> WorkerSender<Out> {
    /// Says something, and waits while the watcher is behind. A process's message is in the pipe on return, so that
    /// it is heard even if the process ends at once.
    ///
    /// # Errors
    /// [`PortError::Closed`] if nobody hears it, [`PortError::Unsendable`] if it does not fit a frame.
    pub fn send(&self, message: Out) -> Result<(), PortError> {
        match &self.line {
            Line::Channel(outbox) => outbox.send(message).map_err(|_| PortError::Closed),
            Line::Pipe { pipe, .. } => write(pipe, &Saying::Said(&message)),
        }
    }

    /// Says that the work the worker was launched for is over, after its last message, and what it took; answers what
    /// the worker is to do now. One that rests opens with its first message again and waits for the next order, or for
    /// the end of its messages; it is told so only if it asks to, was launched so that it may, and is heard.
    ///
    /// A thread always leaves: its launcher starts another for less.
    pub fn work_is_over(&self, wish: AfterWork) -> AfterWork {
        let Line::Pipe { pipe, at_most } = &self.line else { return AfterWork::Leaves };
        let then = match (wish, *at_most) {
            // What it prints from then on is another run's.
            (AfterWork::Rests, AfterWork::Rests) => match mark_end_of_turn() {
                Ok(()) => AfterWork::Rests,
                Err(error) => {
                    tracing::debug!(%error, "a worker can not part its runs' lines");
                    AfterWork::Leaves
                }
            },
            _ => AfterWork::Leaves,
        };
        let over: Saying<'_, Out> = Saying::Over(Over { then, memory: HostMemory::of("self") });
        match write(pipe, &over) {
            Ok(()) if then == AfterWork::Rests => {
                HostMemory::forget_peak();
                AfterWork::Rests
            }
            Ok(()) => AfterWork::Leaves,
            Err(error) => {
                tracing::debug!(%error, "nobody heard that a worker's work is over");
                AfterWork::Leaves
            }
        }
    }
}

fn write(pipe: &Mutex<Option<File>>, message: &impl Serialize) -> Result<(), PortError> {
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(file) = &mut *pipe else { return Err(PortError::Closed) };
    match frame::write(file, message) {
        Ok(()) => Ok(()),
        Err(FrameError::Io(_)) => {
            *pipe = None;
            Err(PortError::Closed)
        }
        Err(error) => Err(PortError::Unsendable(error)),
    }
}

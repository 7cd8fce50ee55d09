//! How work is told to stop: a line from a parent to its child that holds one value and is never full.
//!
//! The value only ever grows stronger, so a child that is slow to look sees the strongest. The line is also a leash: when
//! the parent is gone, by a panic too, the child hears [`StopMode::Kill`].

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How hard to stop, from mild to hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopMode {
    /// What has started goes on to its end; nothing new starts.
    Drain,
    /// Runs finish their step, write their `last` checkpoint and end.
    Cancel,
    /// Workers are killed at once.
    Kill,
}

/// The parent's end. Dropping the last clone kills what hangs on it.
#[derive(Debug, Clone)]
pub struct StopLine {
    sender: watch::Sender<Option<StopMode>>,
}

impl StopLine {
    /// A line and the end for the child.
    #[must_use]
    pub fn new() -> (Self, StopSignal) {
        let (sender, receiver) = watch::channel(None);
        (Self { sender }, StopSignal { receiver })
    }

    /// Asks for a stop. A weaker mode than one asked for before changes nothing.
    pub fn raise(&self, mode: StopMode) {
        self.sender.send_if_modified(|now| {
            let stronger = *now < Some(mode);
            if stronger {
                *now = Some(mode);
            }
            stronger
        });
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.sender.borrow().is_some()
    }

    /// Whether the child is gone.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the child is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped.
    pub async fn released(&self) {
        self.sender.closed().await;
    }
}

/// The child's end, held for as long as the child lives.
#[derive(Debug)]
pub struct StopSignal {
    receiver: watch::Receiver<Option<StopMode>>,
}

/// Keeps a line from being released, for what is still to be done when the child is gone.
#[derive(Debug)]
pub(crate) struct Hold {
    _receiver: watch::Receiver<Option<StopMode>>,
}

impl StopSignal {
    /// Keeps the line from being released.
    pub(crate) fn hold(&self) -> Hold {
        Hold { _receiver: self.receiver.clone() }
    }

    /// The next stop, or `None` when nobody is left to ask for one: for a line that is no leash.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped.
    pub async fn asked(&mut self) -> Option<StopMode> {
        while self.receiver.changed().await.is_ok() {
            let mode = *self.receiver.borrow_and_update();
            if mode.is_some() {
                return mode;
            }
        }
        None
    }

    /// The next stop, stronger than the one before; [`StopMode::Kill`] when the parent is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped.
    pub async fn next(&mut self) -> StopMode {
        self.asked().await.unwrap_or(StopMode::Kill)
    }
}

//! The watcher's end of a worker: remembers whether anyone still listens.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{EventSink, ExitReport, WorkerEvent};

/// Calls the sink, and never again with a message once it has answered `false` or panicked.
pub(super) struct Listener<Out> {
    sink: EventSink<Out>,
    attention: Attention,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attention {
    Listening,
    TurnedAway,
}

impl<Out> Listener<Out> {
    pub(super) fn new(sink: EventSink<Out>) -> Self {
        Self { sink, attention: Attention::Listening }
    }

    /// Whether anyone still listens after this message.
    pub(super) fn hears(&mut self, message: Out) -> bool {
        if self.attention == Attention::Listening && !self.tell(WorkerEvent::Message(message)) {
            self.attention = Attention::TurnedAway;
        }
        self.attention == Attention::Listening
    }

    /// Passes on what the worker printed, to whoever still listens. One who turns away is known to at the next message.
    pub(super) fn printed(&mut self, lines: Vec<String>) {
        if self.attention == Attention::Listening
            && !lines.is_empty()
            && !self.tell(WorkerEvent::Printed(lines))
        {
            self.attention = Attention::TurnedAway;
        }
    }

    /// The last event of all; taking the listener keeps W-1.
    pub(super) fn exited(mut self, report: ExitReport) {
        self.tell(WorkerEvent::Exited(report));
    }

    fn tell(&mut self, event: WorkerEvent<Out>) -> bool {
        let told = catch_unwind(AssertUnwindSafe(|| (self.sink)(event)));
        told.unwrap_or_else(|_| {
            // The panic hook has printed the message; what matters here is that the worker is still looked after.
            tracing::error!("a worker's event sink panicked");
            false
        })
    }
}

//! The event stream as its readers hold it.

use engine_actors::bus::EventBus;
use engine_actors::events::Event;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// A reader of everything that happens, from its subscription on.
///
/// A reader that falls behind by the whole ring loses the oldest events; the stream then yields an
/// [`Event::Warned`] that says how many. A slow reader never slows the engine.
#[derive(Debug)]
pub struct EventStream {
    receiver: Receiver<Event>,
}

impl EventStream {
    pub(super) fn new(receiver: Receiver<Event>) -> Self {
        Self { receiver }
    }

    /// A stream that is over.
    pub(super) fn ended() -> Self {
        Self::new(EventBus::new().subscribe())
    }

    /// Waits for the next event on a plain thread; `None` once the engine is gone.
    ///
    /// # Panics
    /// Within an async runtime; use [`EventStream::next`] there.
    pub fn next_blocking(&mut self) -> Option<Event> {
        taken(self.receiver.blocking_recv())
    }

    /// Waits for the next event; `None` once the engine is gone.
    ///
    /// # Cancel safety
    /// No event is lost when dropped.
    pub async fn next(&mut self) -> Option<Event> {
        taken(self.receiver.recv().await)
    }
}

fn taken(received: Result<Event, RecvError>) -> Option<Event> {
    match received {
        Ok(event) => Some(event),
        Err(RecvError::Closed) => None,
        Err(RecvError::Lagged(missed)) => Some(Event::Warned {
            message: format!("{missed} events were missed: they came faster than they were read"),
        }),
    }
}

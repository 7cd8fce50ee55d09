//! The event bus: one bounded ring that every actor writes to and anybody may read.
//!
//! All events but [`Event::RunProgressed`] are *facts*: they are published once, when it is so. Progress is a hint, and the
//! next one replaces it. A reader that lags behind the ring by more than [`EVENT_RING`](crate::limits::EVENT_RING) events
//! gets `Lagged(n)` in place of the lost ones: it slows nobody, and what is true in the end stands in the outcomes and tables.

use tokio::sync::broadcast;

use crate::events::Event;
use crate::limits::EVENT_RING;

/// The way into the event stream, and to readers of it. Clones write to the same ring.
#[derive(Debug, Clone)]
pub struct EventBus {
    ring: broadcast::Sender<Event>,
}

impl EventBus {
    /// An empty ring without readers.
    #[must_use]
    pub fn new() -> Self {
        Self { ring: broadcast::Sender::new(EVENT_RING) }
    }

    /// Publishes an event. Never waits; without readers the event goes nowhere.
    pub fn publish(&self, event: Event) {
        let readers = self.ring.send(event).unwrap_or_default();
        tracing::trace!(readers, "event published");
    }

    /// A reader of everything published from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.ring.subscribe()
    }
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new()
    }
}

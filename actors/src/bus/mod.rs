//! The event bus: what every actor publishes on and anybody may read.
//!
//! - **Owns** one queue for each reader; nothing where nobody reads.
//! - **Hears** [`EventBus::publish`], from any thread.
//! - **Tells** its [`EventStream`]s, and the bus it was made from.
//!
//! All events but [`Event::RunProgressed`] are *facts*: they are published once, when it is so. Progress is a hint, and a run's
//! next one takes the place of one that was not read yet.
//!
//! Invariants:
//! - BUS-1: a reader gets every fact published while it was subscribed, once, in the order of publishing.
//! - BUS-2: publishing waits for no reader. What waits for one is as many facts as it has not read, and one event of progress for
//!   each run.
//! - BUS-3: progress that a reader does not get is counted, and told with the next one of the same run.

mod queue;
mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::queue::Queue;
pub use self::stream::EventStream;
use crate::events::Event;

/// The way into the event stream, and to readers of it. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct EventBus {
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Hub {
    /// Where everything that is published here is published too.
    above: Option<EventBus>,
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    queues: Vec<Arc<Queue>>,
    is_over: bool,
}

impl EventBus {
    /// A bus without readers.
    #[must_use]
    pub fn new() -> Self {
        Self { hub: Arc::default() }
    }

    /// A bus of a part of the whole, a job: what is published on it its own readers hear, and those of this one.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { hub: Arc::new(Hub { above: Some(self.clone()), readers: Mutex::default() }) }
    }

    /// Publishes an event. Never waits; without readers the event goes nowhere.
    pub fn publish(&self, event: Event) {
        let mut event = Some(event);
        let mut shared = None;
        let mut bus = Some(self);
        while let Some(EventBus { hub }) = bus {
            let mut readers = hub.readers();
            // A stream that was dropped has left its end of the queue to us.
            readers.queues.retain(|queue| Arc::strong_count(queue) > 1);
            for queue in &readers.queues {
                // Shared from the first reader on: without one nothing is allocated.
                if let Some(event) = event.take() {
                    shared = Some(Arc::new(event));
                }
                if let Some(event) = &shared {
                    queue.push(event);
                }
            }
            bus = hub.above.as_ref();
        }
    }

    /// A reader of everything published from now on; of a bus that has ended, a stream that is over.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        let mut readers = self.hub.readers();
        let queue = Arc::new(Queue::default());
        if readers.is_over {
            queue.end();
        } else {
            readers.queues.push(Arc::clone(&queue));
        }
        EventStream::new(queue)
    }

    /// Ends the streams of its readers, once they have read what waits for them. What is published afterwards only the bus it is a
    /// part of hears. Twice is once.
    pub fn end(&self) {
        self.hub.end();
    }
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut readers = self.readers();
        readers.is_over = true;
        readers.queues.drain(..).for_each(|queue| queue.end());
    }
}

impl Drop for Hub {
    /// Nobody is left who could publish.
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;

//! The event stream as a reader holds it.

use std::future::poll_fn;
use std::sync::Arc;

use super::queue::Queue;
use crate::events::Event;

/// A reader of what happens, from its subscription on.
///
/// Facts come all, in order; of progress that is not read in time each run's newest. A reader that is slow, or does not read at
/// all, slows nobody; what waits for it are the facts it has not read. Read it, or drop it.
#[derive(Debug)]
pub struct EventStream {
    queue: Arc<Queue>,
}

impl EventStream {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// A stream that is over.
    #[must_use]
    pub fn ended() -> Self {
        let queue = Queue::default();
        queue.end();
        Self::new(Arc::new(queue))
    }

    /// Waits for the next event; `None` once all is read and there will be no more. Needs no runtime of its own kind.
    ///
    /// # Cancel safety
    /// No event is lost when dropped.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.queue.poll(context)).await
    }

    /// As [`EventStream::next`], for a plain thread: it blocks.
    pub fn next_blocking(&mut self) -> Option<Event> {
        self.queue.wait()
    }

    /// The next event if it is there already. `None` says nothing of whether there will be more.
    pub fn try_next(&mut self) -> Option<Event> {
        self.queue.take()
    }

    /// Events of progress this reader did not get so far, of all runs together: newer ones took their places. Those of one run are
    /// told with its next [`Event::RunProgressed`].
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.queue.skipped()
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, usize) {
        self.queue.len()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.queue.clear();
    }
}

//! What waits for one reader.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::events::Event;

/// Events that wait for one reader: every fact, and of each run the newest progress.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    facts: VecDeque<(u64, Arc<Event>)>,
    /// By place, as facts: what is read is in the order of publishing.
    progress: BTreeMap<u64, Newest>,
    /// Places in `progress`, by run.
    places: HashMap<String, u64>,
    next_place: u64,
    skipped: u64,
    is_over: bool,
    reader: Reader,
}

/// How the reader waits.
#[derive(Debug, Default)]
enum Reader {
    #[default]
    Away,
    Sleeps,
    Polls(Waker),
}

/// A run's newest progress.
#[derive(Debug)]
struct Newest {
    event: Arc<Event>,
    /// What came before it and was not read.
    skipped: u64,
}

impl Queue {
    /// Adds an event. Waits for nobody.
    pub(super) fn push(&self, event: &Arc<Event>) {
        let mut waiting = self.lock();
        waiting.add(event);
        self.wake(waiting);
    }

    /// Lets the reader read what is there, and then ends.
    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.is_over = true;
        self.wake(waiting);
    }

    /// Takes the next event, if one is there.
    pub(super) fn take(&self) -> Option<Event> {
        self.lock().take()
    }

    /// Takes the next event when there is one; `None` at the end.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<Event>> {
        let mut waiting = self.lock();
        match waiting.take() {
            None if !waiting.is_over => {
                waiting.reader = Reader::Polls(context.waker().clone());
                Poll::Pending
            }
            taken => Poll::Ready(taken),
        }
    }

    /// Waits for the next event on this thread; `None` at the end.
    pub(super) fn wait(&self) -> Option<Event> {
        let mut waiting = self.lock();
        loop {
            match waiting.take() {
                None if !waiting.is_over => waiting.reader = Reader::Sleeps,
                taken => return taken,
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Events of progress that were not read and will not be.
    pub(super) fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    /// Drops what waits, for a reader that is gone.
    pub(super) fn clear(&self) {
        *self.lock() = Waiting { is_over: true, ..Waiting::default() };
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let reader = std::mem::take(&mut waiting.reader);
        drop(waiting);
        match reader {
            Reader::Away => {}
            Reader::Sleeps => self.filled.notify_one(),
            Reader::Polls(waker) => waker.wake(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, event: &Arc<Event>) {
        if self.is_over {
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        let Event::RunProgressed { run_id, .. } = &**event else {
            return self.facts.push_back((place, Arc::clone(event)));
        };
        let before = match self.places.get_mut(run_id) {
            Some(known) => self.progress.remove(&std::mem::replace(known, place)),
            None => {
                self.places.insert(run_id.clone(), place);
                None
            }
        };
        let skipped = before.map_or(0, |before| before.skipped + 1);
        self.skipped += u64::from(skipped > 0);
        self.progress.insert(place, Newest { event: Arc::clone(event), skipped });
    }

    fn take(&mut self) -> Option<Event> {
        let fact = self.facts.front().map(|(place, _)| *place);
        let newest = self.progress.first_entry();
        match newest.filter(|newest| fact.is_none_or(|fact| *newest.key() < fact)) {
            None => self.facts.pop_front().map(|(_, event)| Arc::unwrap_or_clone(event)),
            Some(newest) => {
                let Newest { event, skipped: missed } = newest.remove();
                let mut event = Arc::unwrap_or_clone(event);
                if let Event::RunProgressed { run_id, skipped, .. } = &mut event {
                    self.places.remove(run_id);
                    *skipped = missed;
                }
                Some(event)
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        debug_assert_eq!(self.places.len(), self.progress.len());
        (self.facts.len(), self.progress.len())
    }
}

#[cfg(test)]
impl Queue {
    /// Facts and events of progress that wait.
    pub(super) fn len(&self) -> (usize, usize) {
        self.lock().len()
    }
}

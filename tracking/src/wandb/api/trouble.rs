//! What is wrong at the moment with the requests of one run, for whoever shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The troubles of one run's requests. Empty while all goes well.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    next: u64,
    /// By number of the request: the one that waits longest comes first.
    texts: BTreeMap<u64, String>,
}

impl Troubles {
    /// The trouble of the request that has been in trouble longest.
    pub(super) fn first(&self) -> Option<String> {
        self.told().texts.values().next().cloned()
    }

    /// Begins a request, which is not in trouble yet.
    pub(super) fn begin(of: &Arc<Self>) -> Telling {
        let mut told = of.told();
        told.next += 1;
        Telling { of: Arc::clone(of), number: told.next }
    }

    /// Each write leaves a whole map, so a panic elsewhere does no harm to it.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's trouble. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct Telling {
    of: Arc<Troubles>,
    number: u64,
}

impl Telling {
    /// Tells what is wrong, in place of what was told before.
    pub(super) fn tell(&self, text: String) {
        self.of.told().texts.insert(self.number, text);
    }

    /// What was told is over; the request goes on.
    pub(super) fn over(&self) {
        self.of.told().texts.remove(&self.number);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.over();
    }
}

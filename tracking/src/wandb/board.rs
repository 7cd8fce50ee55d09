//! How far each run is sent: written by its follower, read by everyone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::api::Api;
use super::folder::RunFolder;
use super::log::Position;
use super::run::Growth;
use crate::upload::Progress;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Something is to be sent, or may be.
    Open,
    /// All is sent, the end too.
    Sent,
    /// Nothing more can be sent for now, and why.
    Left(String),
}

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where it lies.
    pub(super) folder: RunFolder,
    /// Where it stands.
    pub(super) state: State,
    /// The journal up to here is acknowledged.
    pub(super) acknowledged: Position,
    /// Rows on the way.
    pub(super) rows_under_way: u64,
    /// What is wrong, beside what its requests tell.
    pub(super) trouble: Option<String>,
    api: Api,
    growth: Option<Growth>,
}

impl Entry {
    fn progress(&self) -> Progress {
        let bytes = match &self.growth {
            Some(growth) => *growth.borrow(),
            None => fs::metadata(self.folder.journal()).map_or(0, |known| known.len()),
        };
        Progress {
            run_id: self.folder.run_id.clone(),
            bytes_behind: bytes.saturating_sub(self.acknowledged),
            rows_behind: self.rows_under_way,
            trouble: self.trouble(),
        }
    }

    /// What is wrong at the moment.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone().or_else(|| self.api.trouble())
    }
}

/// All runs by their folders.
#[derive(Debug, Default)]
pub(super) struct Board {
    runs: Mutex<BTreeMap<PathBuf, Entry>>,
    changed: Condvar,
}

impl Board {
    /// Lists a run; one that is listed already is open again.
    pub(super) fn open(&self, folder: &RunFolder, api: &Api, growth: Option<Growth>) {
        let mut runs = self.runs();
        let acknowledged = runs.get(&folder.path).map_or(0, |known| known.acknowledged);
        let entry = Entry {
            folder: folder.clone(),
            state: State::Open,
            acknowledged,
            rows_under_way: 0,
            trouble: None,
            api: api.clone(),
            growth,
        };
        runs.insert(folder.path.clone(), entry);
        self.changed.notify_all();
    }

    /// Changes the entry of a run.
    pub(super) fn change(&self, path: &Path, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.runs().get_mut(path) {
            change(entry);
        }
        self.changed.notify_all();
    }

    /// How far those are that may still get further.
    pub(super) fn progress(&self) -> Vec<Progress> {
        self.runs().values().filter(|entry| entry.state == State::Open).map(Entry::progress).collect()
    }

    /// Those that are not sent to their ends.
    pub(super) fn unsent(&self) -> Vec<Entry> {
        self.runs().values().filter(|entry| entry.state != State::Sent).cloned().collect()
    }

    /// Waits for a change, at the most so long.
    pub(super) fn wait(&self, longest: Duration) {
        // A change that is missed shows after this time.
        drop(self.changed.wait_timeout(self.runs(), longest));
    }

    /// Each write leaves a whole entry, so a panic elsewhere does no harm to it.
    fn runs(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of one run, for whoever sends it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// All runs.
    pub(super) board: Arc<Board>,
    /// Folder of this one.
    pub(super) path: PathBuf,
}

impl Place {
    /// Changes the entry.
    pub(super) fn change(&self, change: impl FnOnce(&mut Entry)) {
        self.board.change(&self.path, change);
    }
}

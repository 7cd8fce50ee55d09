//! What a journal holds of the rows that come anew, read back from it.
//!
//! A run that goes on from a checkpoint logs again what it had logged behind it: the same values, for runs are
//! deterministic. A server takes no row back, so that these are not written again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::records::{EPOCH, STEP_METRIC, TAKEN_NAMES};
use crate::metric::RunPlace;
use crate::wandb::folder::RunFolder;
use crate::wandb::log::{Found, LogError, LogReader};
use crate::wandb::record::{History, Kind};

/// Names that stand at places which are logged again. Grows with the places behind a checkpoint; sets of names are shared.
#[derive(Debug, Default)]
pub(super) struct Standing {
    names: BTreeMap<RunPlace, Arc<BTreeSet<String>>>,
    sets: BTreeSet<Arc<BTreeSet<String>>>,
}

impl Standing {
    /// Reads from a journal what stands at this place, behind it, or after it; without a place all of it.
    ///
    /// The last place before it is among them: a test of the weights of that place is logged there, after it.
    pub(super) fn read(journal: &Path, from: Option<RunPlace>) -> Result<Self, LogError> {
        let mut standing = Self::default();
        let mut is_anew = from.is_none();
        let mut last = None;
        each_row(journal, |row| {
            let Some(place) = place_of(row) else { return };
            is_anew |= Some(place) >= from || Some(place) < last;
            if !is_anew && Some(place) > last {
                standing.names.clear();
            }
            last = last.max(Some(place));
            standing.put(place, row);
        })?;
        standing.sets.clear();
        Ok(standing)
    }

    /// Whether the value stands there already; it then is passed over this once.
    pub(super) fn take(&mut self, place: RunPlace, name: &str) -> bool {
        let Some(names) = self.names.get_mut(&place) else { return false };
        let stands = names.contains(name);
        if stands && names.len() == 1 {
            self.names.remove(&place);
        } else if stands {
            Arc::make_mut(names).remove(name);
        }
        stands
    }

    fn put(&mut self, place: RunPlace, row: &History) {
        let names = row.item.iter().map(|item| &item.key).filter(|key| !TAKEN_NAMES.contains(&key.as_str()));
        let mut names: BTreeSet<String> = names.cloned().collect();
        if let Some(there) = self.names.get(&place) {
            names.extend(there.iter().cloned());
        }
        let names = Arc::new(names);
        let shared = self.sets.get(&names).map_or_else(|| Arc::clone(&names), Arc::clone);
        self.sets.insert(Arc::clone(&shared));
        if !shared.is_empty() {
            self.names.insert(place, shared);
        }
    }
}

/// What the journal of a run says that was left: read without touching it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// Whether its last record is its end.
    pub has_ended: bool,
    /// The values asked for, of each row that has them all.
    pub rows: Vec<Vec<f64>>,
}

impl Past {
    /// Reads the journal of the run with this id below `parent`; `None` if there is none.
    ///
    /// # Errors
    /// [`LogError`] if it can not be read.
    pub fn read(parent: &Path, id: &str, names: &[&str]) -> Result<Option<Self>, LogError> {
        let Some(journal) = newest_journal(parent, id) else { return Ok(None) };
        let mut past = Self::default();
        let mut reader = LogReader::open(&journal, 0)?;
        loop {
            match reader.next()? {
                Found::Record(record, _) => {
                    past.has_ended = matches!(record.kind, Some(Kind::Exit(_)));
                    if let Some(Kind::History(row)) = &record.kind {
                        past.rows
                            .extend(names.iter().map(|name| value(row, name)).collect::<Option<Vec<_>>>());
                    }
                }
                Found::Damage { .. } => {}
                Found::End => return Ok(Some(past)),
            }
        }
    }
}

fn newest_journal(parent: &Path, id: &str) -> Option<PathBuf> {
    if !parent.is_dir() {
        return None;
    }
    // Names end alike and differ in their times.
    RunFolder::below(parent).into_iter().rfind(|folder| folder.run_id == id).map(|folder| folder.journal())
}

/// Damaged stretches are passed over, as where the journal is gone on with.
fn each_row(journal: &Path, mut hear: impl FnMut(&History)) -> Result<(), LogError> {
    let mut reader = LogReader::open(journal, 0)?;
    loop {
        match reader.next()? {
            Found::Record(record, _) => {
                if let Some(Kind::History(row)) = &record.kind {
                    hear(row);
                }
            }
            Found::Damage { .. } => {}
            Found::End => return Ok(()),
        }
    }
}

fn place_of(row: &History) -> Option<RunPlace> {
    let text = |name| Some(row.item.iter().rev().find(|item| item.key == name)?.value_json.as_str());
    Some(RunPlace { epoch: text(EPOCH)?.parse().ok()?, step: text(STEP_METRIC)?.parse().ok()? })
}

fn value(row: &History, name: &str) -> Option<f64> {
    row.item.iter().rev().find(|item| item.key == name)?.value_json.parse().ok()
}

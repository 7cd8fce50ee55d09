//! Reading a journal back, to go on with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::state::State;
use crate::wandb::log::{Found, LogError, LogReader, Position};
use crate::wandb::record::{Items, Kind, Record};

/// What a journal holds already.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) state: State,
    /// Values of the configuration by their outermost keys, as JSON.
    pub(super) config: BTreeMap<String, String>,
    /// Ends of earlier parts of the run, and where they lie.
    pub(super) exits: Vec<(Range<Position>, Record)>,
    /// Where the next record goes.
    pub(super) end: Position,
    /// Stretches that are no records.
    pub(super) damages: u64,
}

/// Reads a journal through. Damaged stretches are passed over, a torn last record is left out of `end`.
pub(super) fn restore(journal: &Path) -> Result<Restored, LogError> {
    let mut reader = LogReader::open(journal, 0)?;
    let mut restored = Restored { end: reader.position(), ..Restored::default() };
    loop {
        match reader.next()? {
            Found::Record(record, next) => {
                restored.apply(*record, next);
                restored.end = next;
            }
            Found::Damage { to, .. } => {
                restored.damages += 1;
                restored.end = to;
            }
            Found::End => {
                restored.end = reader.position();
                return Ok(restored);
            }
        }
    }
}

impl Restored {
    /// When the time of the part that begins now is counted from, in seconds since 1970, and how long the run had run before.
    /// A pause between two parts does not count.
    pub(super) fn clock(&self, started_secs: f64) -> (f64, f64) {
        let ran_secs = self.state.ran_secs;
        let ends = self.exits.iter().filter_map(|(_, record)| match &record.kind {
            Some(Kind::Exit(exit)) => Some(f64::from(exit.runtime)),
            _ => None,
        });
        let ran_before_secs = ends.fold(ran_secs, f64::max);
        (started_secs.max(self.state.last_secs + ran_before_secs - ran_secs), ran_before_secs)
    }

    fn apply(&mut self, record: Record, next: Position) {
        self.state.apply(&record);
        match &record.kind {
            Some(Kind::Run(run)) => run.config.iter().for_each(|items| self.configured(items)),
            Some(Kind::Config(items)) => self.configured(items),
            Some(Kind::Exit(_)) => self.exits.push((self.end..next, record)),
            _ => {}
        }
    }

    fn configured(&mut self, items: &Items) {
        for item in items.update.iter().filter(|item| item.nested_key.is_empty()) {
            self.config.insert(item.key.clone(), item.value_json.clone());
        }
        for item in items.remove.iter().filter(|item| item.nested_key.is_empty()) {
            self.config.remove(&item.key);
        }
    }
}

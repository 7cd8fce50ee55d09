//! What stands in a journal on disk.

use std::path::Path;

use engine_tracking::wandb::log::{Found, LogReader};
use engine_tracking::wandb::record::{History, Kind};

use super::seen::{Row, parse};

/// A journal, read to its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// Its rows, in order.
    pub rows: Vec<Row>,
    /// How many records there are.
    pub records: u64,
    /// Exit code, where its end is there.
    pub exit_code: Option<i32>,
    /// Stretches that are no records.
    pub damage: Vec<(u64, u64)>,
}

/// Reads a journal; a torn last record is not part of it.
///
/// # Panics
/// If it can not be read.
pub fn read(path: &Path) -> Journal {
    let mut reader = LogReader::open(path, 0).unwrap();
    let mut journal = Journal::default();
    loop {
        match reader.next().unwrap() {
            Found::End => return journal,
            Found::Damage { from, to } => journal.damage.push((from, to)),
            Found::Record(record, _) => {
                journal.records += 1;
                assert_eq!(record.num, i64::try_from(journal.records).unwrap(), "records are numbered on");
                match record.kind {
                    Some(Kind::History(row)) => journal.rows.push(row_of(&row)),
                    Some(Kind::Exit(exit)) => journal.exit_code = Some(exit.exit_code),
                    _ => {}
                }
            }
        }
    }
}

fn row_of(history: &History) -> Row {
    let key = |item: &engine_tracking::wandb::record::Item| match item.nested_key.is_empty() {
        true => item.key.clone(),
        false => item.nested_key.join("."),
    };
    history.item.iter().map(|item| (key(item), parse(&item.value_json))).collect()
}

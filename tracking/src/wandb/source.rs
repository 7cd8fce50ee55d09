//! A journal read record by record, with what it comes to so far.

use std::path::Path;

use super::log::{Found, LogError, LogReader, Position};
use super::record::{Kind, Record};
use super::stream::{Fold, Told};

/// Reads a journal and folds it.
#[derive(Debug)]
pub(super) struct Source {
    /// What it comes to, up to `position`.
    pub(super) fold: Fold,
    /// Behind the last record taken.
    pub(super) position: Position,
    reader: LogReader,
    held: Option<(Box<Record>, Position)>,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// A record: where it begins, and what it adds.
    Told(Position, Told),
    /// Bytes that are no record.
    Damage(Position, Position),
    /// Nothing that is whole.
    End,
}

/// Where to go on in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// At the most here.
    pub(super) position: Position,
    /// Before the row of this number.
    pub(super) rows: u64,
}

impl Source {
    /// Opens a journal and reads up to a place without telling what is there. `position` says how far it came: short of the
    /// place if the journal is.
    ///
    /// # Errors
    /// [`LogError`] if it can not be read.
    pub(super) fn open(path: &Path, place: Place) -> Result<Self, LogError> {
        let reader = LogReader::open(path, 0)?;
        let mut source = Self { fold: Fold::default(), position: 0, reader, held: None };
        while source.position < place.position {
            match source.reader.next()? {
                Found::Record(record, next) => {
                    let is_beyond = next > place.position
                        || (source.fold.rows >= place.rows && matches!(record.kind, Some(Kind::History(_))));
                    if is_beyond {
                        source.held = Some((record, next));
                        break;
                    }
                    // What it adds was sent.
                    drop(source.fold.apply(*record));
                    source.position = next;
                }
                Found::Damage { to, .. } => source.position = to,
                Found::End => break,
            }
        }
        Ok(source)
    }

    /// What the records before the first line come to.
    ///
    /// # Errors
    /// [`LogError`] if the journal can not be read.
    pub(super) fn head(path: &Path) -> Result<Fold, LogError> {
        let mut reader = LogReader::open(path, 0)?;
        let mut fold = Fold::default();
        while let Found::Record(record, _) = reader.next()? {
            if let Told::Row(..) | Told::Event(..) | Told::Console(_) | Told::Exit = fold.apply(*record) {
                break;
            }
        }
        Ok(fold)
    }

    /// The next record.
    ///
    /// # Errors
    /// [`LogError`] if the journal can not be read.
    pub(super) fn next(&mut self) -> Result<Next, LogError> {
        let from = self.position;
        let found = match self.held.take() {
            Some((record, next)) => Found::Record(record, next),
            None => self.reader.next()?,
        };
        Ok(match found {
            Found::Record(record, next) => {
                self.position = next;
                Next::Told(from, self.fold.apply(*record))
            }
            Found::Damage { from, to } => {
                self.position = to;
                Next::Damage(from, to)
            }
            Found::End => Next::End,
        })
    }
}

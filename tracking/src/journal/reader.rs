//! Reads a journal back.

use std::path::Path;

use super::FORMAT_VERSION;
use super::error::JournalError;
use super::frame::{self, FILE_HEAD};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins in the file.
    pub at: u64,
    /// What its writer put in.
    pub content: Vec<u8>,
}

/// What an interrupted append left at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where the whole records end.
    pub at: u64,
    /// Bytes behind them.
    pub bytes: u64,
    /// What is wrong with them.
    pub reason: &'static str,
}

/// A journal as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Whole records, in order.
    pub entries: Vec<Entry>,
    /// What is behind them, of no use to anybody.
    pub torn: Option<TornTail>,
    /// Bytes of head and whole records.
    pub whole_bytes: u64,
}

/// Reads a journal, which its writer may be adding to: what is half there is its torn tail.
///
/// Behind a record that is not whole nothing is taken. It is a torn tail, left by an append that was cut short, unless a later
/// record shows that it had been on the disk: then it is damage.
///
/// # Errors
/// [`JournalError::Absent`], [`JournalError::NotAJournal`], [`JournalError::Version`], [`JournalError::Damaged`] with its place,
/// and [`JournalError::Io`].
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let bytes = std::fs::read(path).map_err(JournalError::io("read", path))?;
    parse(path, &bytes)
}

/// Reads a journal from its bytes; the path is for errors.
///
/// # Errors
/// As [`read`], but for those of the file system.
pub fn parse(path: &Path, file: &[u8]) -> Result<Contents, JournalError> {
    match frame::version(file) {
        None => return Err(JournalError::NotAJournal { path: path.to_owned() }),
        Some(FORMAT_VERSION) => {}
        Some(found) => {
            let path = path.to_owned();
            return Err(JournalError::Version { path, found, supported: FORMAT_VERSION });
        }
    }
    let mut entries = Vec::new();
    let mut at = FILE_HEAD;
    while at < file.len() {
        match frame::at(file, at) {
            Ok(found) => {
                entries.push(Entry { at: at as u64, content: found.content.to_vec() });
                at = found.end;
            }
            Err(reason) => {
                let torn = tail(path, file, at, reason)?;
                return Ok(Contents { entries, torn: Some(torn), whole_bytes: at as u64 });
            }
        }
    }
    Ok(Contents { entries, torn: None, whole_bytes: at as u64 })
}

/// What stands behind the last whole record, if it can be what an interrupted append left.
fn tail(path: &Path, file: &[u8], at: usize, reason: &'static str) -> Result<TornTail, JournalError> {
    let (mut whole_behind, mut was_on_disk) = (0, false);
    let mut from = at + 1;
    while let Some(candidate) = frame::next_magic(file, from) {
        match frame::at(file, candidate) {
            Ok(found) => {
                whole_behind += 1;
                was_on_disk |= found.synced > at as u64;
                from = found.end;
            }
            Err(_) => from = candidate + 1,
        }
    }
    if was_on_disk {
        return Err(JournalError::Damaged { path: path.to_owned(), at: at as u64, reason, whole_behind });
    }
    Ok(TornTail { at: at as u64, bytes: (file.len() - at) as u64, reason })
}

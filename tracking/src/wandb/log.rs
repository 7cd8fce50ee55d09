//! The log file under a journal: LevelDB's framing with W&B's header and checksums.

use std::path::Path;

use super::record::Record;

/// Offset of a byte behind whole records: where reading can go on.
pub type Position = u64;

/// Why a log can not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {}

/// What a reader finds next.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A record, and where the next one begins.
    Record(Box<Record>, Position),
    /// Bytes that are no record; reading goes on behind them. Told once for each stretch.
    Damage {
        /// First bad byte.
        from: Position,
        /// Where reading goes on.
        to: Position,
    },
    /// Nothing more that is whole; `next` may find more once the file has grown. A torn last record is this too.
    End,
}

/// Reads records from a log that may still grow.
#[derive(Debug)]
pub struct LogReader {}

impl LogReader {
    /// Opens a log at a position (0: its beginning).
    ///
    /// # Errors
    /// [`LogError`] if the file can not be read or is none of ours.
    pub fn open(path: &Path, at: Position) -> Result<Self, LogError> {
        let _ = (path, at);
        todo!()
    }

    /// The next record, read from the file in blocks: memory does not grow with the file.
    ///
    /// # Errors
    /// [`LogError`] if the file can not be read.
    pub fn next(&mut self) -> Result<Found, LogError> {
        todo!()
    }
}

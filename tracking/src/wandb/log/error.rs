//! What can go wrong with a log.

use std::io;
use std::path::PathBuf;

use super::{MAX_RECORD_BYTES, Position};

/// Why a log can not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It could not be opened or made.
    #[error("can not open the journal, check that its folder exists and may be written to: {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It could not be read.
    #[error("can not read the journal at byte {at}: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where.
        at: Position,
        /// What the system says.
        source: io::Error,
    },
    /// A record could not be written. What was whole stays; nothing further is written.
    #[error(
        "can not write the journal at byte {at}, check the free space of the disk; nothing further of this run is tracked: {}",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Where.
        at: Position,
        /// What the system says.
        source: io::Error,
    },
    /// An earlier write failed.
    #[error("an earlier write to the journal failed, nothing further of this run is tracked: {}", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// The file begins with something else.
    #[error("the file is no journal of W&B, or of a version not known here; move it away: {}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before the position that reading was to go on at: what was there is lost.
    #[error("the journal ends at byte {bytes}, before byte {at} where reading was to go on: {}", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// Where reading was to go on.
        at: Position,
    },
    /// Somebody else writes it.
    #[error("the journal is being written by another process, end that one first: {}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The record is longer than any reader takes. It was not written; others can be.
    #[error("a record of {bytes} bytes is longer than the {MAX_RECORD_BYTES} that fit a journal, log less at once: {}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Length of the record.
        bytes: usize,
    },
}

//! What can be wrong with a journal.

use std::io;
use std::path::PathBuf;

/// Why a journal could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// There is none.
    #[error("no journal is there; name a folder that a job of this engine made: {}", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The file system said no to reading or making it.
    #[error("the journal can not be {action}; check the access rights of its folder: {}", path.display())]
    Io {
        /// What was tried: `read`, `made`, `locked`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something could not be added. What was there before is whole.
    #[error("the journal can not be written at byte {at}; check the free space of the disk: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Where the record was to stand.
        at: u64,
        /// What the system says.
        source: io::Error,
    },
    /// An earlier write could not be brought to the disk: nothing more is taken.
    #[error("the journal is closed since its disk failed; start again with --resume: {}", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// A record that no reader would take.
    #[error("a record of {bytes} bytes is longer than a journal takes ({}): {}", super::MAX_RECORD_BYTES, path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// Another process works on the job.
    #[error("another process works on this job; wait for it, or stop it with `engine cancel`: {}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("this is no journal of the engine, its first bytes are others: {}", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// Written by a version of the format this build does not know.
    #[error("the journal has format version {found}, this build reads {supported}; use the build that wrote it: {}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version this build reads.
        supported: u32,
    },
    /// A record that was on the disk is not what was written.
    #[error(
        "the journal is damaged at byte {at} ({reason}), {whole_behind} whole records lie behind it; put back a copy, or give up what \
         lies behind with `truncate --size={at}`: {}",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        at: u64,
        /// What is wrong with it.
        reason: &'static str,
        /// Whole records that lie behind it.
        whole_behind: u64,
    },
}

impl JournalError {
    pub(super) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Absent { path },
            _ => Self::Io { action, path, source },
        }
    }
}

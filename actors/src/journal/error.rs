//! What can be wrong with what a journal says.

use std::path::PathBuf;

use engine_tracking::journal::JournalError;

/// Why a journal does not tell the history of a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record that is whole, and that this build does not understand.
    #[error("the journal's record at byte {at} can not be understood ({reason}); use the build that wrote it: {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record that can not follow those before it.
    #[error("the journal's record at byte {at} does not follow from those before it ({reason}): {}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

//! What can go wrong with a journal.

use std::io;
use std::path::PathBuf;

use crate::wandb::log::LogError;
use crate::wandb::media::MediaError;

/// Why a run can not be tracked, or something of it.
///
/// A failed write ends a journal ([`RunJournal::is_closed`](super::RunJournal::is_closed)); after everything else it takes
/// further records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The log refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A figure can not be kept.
    #[error(transparent)]
    Figure(#[from] MediaError),
    /// Tracking is switched off.
    #[error("tracking is disabled, no journal is written")]
    Disabled,
    /// The id can be no part of a folder's name.
    #[error("run id {id:?} can not be tracked, use up to 128 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`")]
    UnusableId {
        /// The id.
        id: String,
    },
    /// The folder can not be made.
    #[error("can not make the folder of the tracked run, check that its parent may be written to: {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The journal is that of another run.
    #[error("the journal is that of run {found:?}, not of {wanted:?}; move it away: {}", path.display())]
    OtherRun {
        /// Whose it is.
        found: String,
        /// Whose it was to be.
        wanted: String,
        /// The journal.
        path: PathBuf,
    },
    /// The server takes no artifact of this name.
    #[error(
        "artifact {name:?} can not be kept, name it with up to 128 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`"
    )]
    ArtifactName {
        /// The name.
        name: String,
    },
    /// A path within an artifact leads out of it, or is given twice.
    #[error(
        "{entry:?} can be no file of artifact {name:?}, give each a relative path of its own without `..`"
    )]
    ArtifactEntry {
        /// Name of the artifact.
        name: String,
        /// The path.
        entry: String,
    },
    /// A file of an artifact can not be linked or read.
    #[error("can not keep a file for its artifact, check that it is there and the free space of the disk: {}", path.display())]
    ArtifactFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

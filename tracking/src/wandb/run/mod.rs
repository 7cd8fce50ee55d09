//! One tracked run, written to its journal.
//!
//! Owns the run's folder below `wandb/` and the log in it. Hears rows, figures, system metrics, printed lines, artifacts and
//! the end of the run; tells by [`Growth`] how far there is something to send.
//!
//! Invariants:
//! - JOURNAL-1: a call that returns `Ok` has handed whole records to the operating system; SIGKILL loses none of them.
//! - JOURNAL-2: rows are numbered 0, 1, 2, … without gaps, also across restarts.
//! - JOURNAL-3: `State` after a write is what reading the file back gives.
//! - JOURNAL-4: memory is that of the names logged, whatever the number of rows; and while rows come anew, some bytes for each.
//! - JOURNAL-5: a run that goes on from a checkpoint writes no value and no figure that stands at its place already.

mod artifact_files;
mod error;
mod header;
mod journal;
mod place;
mod records;
mod restore;
mod standing;
mod state;

#[cfg(test)]
mod tests;

use tokio::sync::watch;

pub use error::JournalError;
pub use header::{ArtifactFiles, RunHeader, Severity, Stream};
pub use journal::RunJournal;
pub use standing::Past;

/// Bytes in the journal that are whole records, told on with every write; closed once nobody writes any more.
pub type Growth = watch::Receiver<u64>;

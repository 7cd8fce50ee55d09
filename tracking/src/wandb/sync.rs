//! Sending a folder after the fact: what `engine sync` does.

use super::folder::RunFolder;
use super::key::Key;
use super::settings::Settings;

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Address of the run's page.
    pub url: String,
    /// Rows the server has now.
    pub rows: u64,
    /// Files sent.
    pub files: u64,
    /// Artifacts sent.
    pub artifacts: u64,
    /// What is lost: damaged stretches of the journal, files that are gone, rows too long. Empty if nothing is.
    pub losses: Vec<String>,
    /// Whether everything had been sent before.
    pub was_synced: bool,
}

/// Why a folder was not sent to its end; what was acknowledged stands in its cursor, and the next try goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {}

/// Sends a run's folder, ours or the official client's, from where it was left. A journal without an end counts as a crash: exit
/// code 1. Blocks.
///
/// # Errors
/// [`SyncError`]. A loss is no error here, it stands in [`Synced::losses`].
pub fn sync(folder: &RunFolder, settings: &Settings, key: &Key) -> Result<Synced, SyncError> {
    let _ = (folder, settings, key);
    todo!()
}

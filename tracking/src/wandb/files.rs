//! Files of a run: created on the server by name, then put to signed addresses.

use std::path::Path;

use super::api::{Api, ApiError, RunPath};

/// What became of files that were to be sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Names of those that are there; to be told in `uploaded`.
    pub uploaded: Vec<String>,
    /// Names of those that never will be, and why.
    pub refused: Vec<(String, String)>,
}

/// Sends files below `folder`, at most eight at a time. A file that is gone or refused is told of and keeps the others from
/// nothing.
///
/// # Errors
/// [`ApiError`] if the server can not be reached; then all are to be sent again.
///
/// # Cancel safety
/// Dropped, some may be there; sending them again is harmless.
pub async fn send_files(api: &Api, run: &RunPath, folder: &Path, names: &[String]) -> Result<Sent, ApiError> {
    let _ = (api, run, folder, names);
    todo!()
}

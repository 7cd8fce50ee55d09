//! Artifacts: files under a name, with versions.

use super::api::{Api, ApiError, RunPath};
use super::record::Artifact;

/// What became of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is a new version.
    New,
    /// The server had these very files under this name.
    Known,
}

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The server.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Sends an artifact and commits it: it appears whole or not at all.
///
/// # Errors
/// [`ArtifactError`]; sending it again is harmless.
///
/// # Cancel safety
/// Dropped before the commit, nothing is seen of it.
pub async fn send_artifact(
    api: &Api,
    run: &RunPath,
    artifact: &Artifact,
    history_step: i64,
) -> Result<Committed, ArtifactError> {
    let _ = (api, run, artifact, history_step);
    todo!()
}

//! Artifacts: files under a name, with versions.
//!
//! - `send`: the six steps from a record to a version
//! - `blobs`: the files of one, whole or in parts
//! - `queries`: what is asked of the server

mod blobs;
mod queries;
mod send;
#[cfg(test)]
pub(super) mod tests;

#[cfg(test)]
pub(super) use blobs::Sizes;
#[cfg(test)]
pub(super) use send::send_sized;
pub use send::{ArtifactError, Committed, send_artifact};

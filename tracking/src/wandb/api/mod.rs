//! Requests to a W&B server: transport, authentication, retries, rate limits.
//!
//! - `client`: [`Api`], what is asked, and again until it is answered
//! - `retry`: what is asked again, and when; `limiter`: how fast, over all runs
//! - `transport`: one attempt; `part`: a file as a body; `text`: what a user is told of a refusal
//! - `trouble`: what is wrong at the moment
//!
//! The key goes to the server's own host and nowhere else: not to signed addresses, not after a redirection elsewhere, not
//! into a text.

mod client;
mod error;
mod features;
mod limiter;
mod part;
mod retry;
#[cfg(test)]
mod tests;
mod text;
mod transport;
mod trouble;

use std::path::Path;

pub use client::Api;
pub use error::ApiError;
pub use features::Features;
pub(super) use limiter::TRANSFERS_AT_ONCE;

/// What a `file_stream` request is answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamAnswer {
    /// Whether the user pressed Stop.
    pub stopped: bool,
}

/// What is put.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes of a file, from an offset; streamed.
    OfFile {
        /// The file.
        path: &'a Path,
        /// First byte.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// Where a run lives on the server, from the answer to its creation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunPath {
    /// Owner of the project.
    pub entity: String,
    /// The project.
    pub project: String,
    /// Id of the run.
    pub run: String,
}

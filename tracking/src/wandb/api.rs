//! Requests to a W&B server: transport, authentication, retries, rate limits.

use std::path::Path;

use serde_json::Value;

use super::key::Key;
use super::settings::Pace;

/// Why a request was not answered as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server refused it, and would again.
    #[error("the server refused {what} with status {status}: {message}")]
    Refused {
        /// The request.
        what: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// Retries are used up.
    #[error("no answer to {what}: {message}")]
    Unreachable {
        /// The request.
        what: String,
        /// What was wrong last.
        message: String,
    },
}

/// One server and one key, for all runs of a process: connections, retries and the limiter are shared. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {}

/// What a `file_stream` request is answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamAnswer {
    /// Whether the user pressed Stop.
    pub stopped: bool,
}

impl Api {
    /// A client of the server at `base_url`. Nothing is sent.
    ///
    /// # Errors
    /// [`ApiError`] if the address is none or TLS can not be set up.
    pub fn new(base_url: &str, key: Key, pace: Pace) -> Result<Self, ApiError> {
        let _ = (base_url, key, pace);
        todo!()
    }

    /// Sends a GraphQL query and gives its `data`. Retried as the operation allows.
    ///
    /// # Errors
    /// [`ApiError`] once it is not retried further, and for `errors` in the answer.
    ///
    /// # Cancel safety
    /// Dropped, the request may or may not have been done.
    pub async fn graphql(&self, operation: &str, query: &str, variables: Value) -> Result<Value, ApiError> {
        let _ = (operation, query, variables);
        todo!()
    }

    /// Sends one `file_stream` body.
    ///
    /// # Errors
    /// As [`Api::graphql`].
    ///
    /// # Cancel safety
    /// As [`Api::graphql`]; the offsets in the body make a repetition harmless.
    pub async fn stream(&self, run: &RunPath, body: Vec<u8>) -> Result<StreamAnswer, ApiError> {
        let _ = (run, body);
        todo!()
    }

    /// Puts a file to a signed address, without our key; `headers` are `Name: value`. Gives the answer's `ETag`.
    ///
    /// # Errors
    /// [`ApiError`] once it is not retried further; status 403 and 400 tell of an address that expired.
    ///
    /// # Cancel safety
    /// As [`Api::graphql`].
    pub async fn put(
        &self,
        url: &str,
        headers: &[String],
        body: Part<'_>,
    ) -> Result<Option<String>, ApiError> {
        let _ = (url, headers, body);
        todo!()
    }
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

//! What can go wrong with a request.

use std::io;
use std::path::PathBuf;

/// Why a request was not answered as it should be. No text holds the key or a signed address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server refused it, and would again.
    #[error("the server refused {what} with status {status}: {message}")]
    Refused {
        /// The request.
        what: String,
        /// HTTP status; 200 for `errors` in an answer, and for an answer without what was asked for.
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
    /// The address of the server is none.
    #[error("this is no address of a server ({message}), it should be like https://api.wandb.ai: {address}")]
    Address {
        /// What is wrong with it.
        message: String,
        /// The address, without user and password.
        address: String,
    },
    /// The key can not be sent.
    #[error("the API key holds characters that no key has; copy it again from the server's page of keys")]
    Key,
    /// There is no TLS.
    #[error(
        "can not set up TLS; check that the certificates of the system are installed (ca-certificates), or name them in SSL_CERT_FILE: {message}"
    )]
    Tls {
        /// What is wrong.
        message: String,
    },
    /// A file that was to be sent can not be read.
    #[error("can not read the file that is to be sent: {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ApiError {
    /// An answer that lacks what was asked for.
    pub(crate) fn lacks(what: &str, field: &str) -> Self {
        Self::Refused { what: what.to_owned(), status: 200, message: format!("its answer lacks {field}") }
    }

    /// The status it was refused with.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

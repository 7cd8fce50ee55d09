//! What can be wrong with an image file.

use std::path::PathBuf;

/// Why an image or mask cannot be read or written.
///
/// Every text names what is wrong, what to do about it, and last the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RasterError {
    /// The operating system refuses.
    #[error("cannot {action}; check that it is there and may be used: {source}: {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file is of no kind that is read.
    #[error("the file is no GeoTIFF, PNG or npy; convert it, with gdal_translate for instance: {}", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// The file contradicts itself or ends too early.
    #[error("the {format} is damaged ({reason}); restore it or write it again: {}", path.display())]
    Damaged {
        /// `TIFF`, `PNG`, `npy`.
        format: &'static str,
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// Whole, but of a form that is not read.
    #[error("{what} is not read; {remedy}: {}", path.display())]
    Unsupported {
        /// The form.
        what: String,
        /// What to do.
        remedy: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Reading would take more memory than is allowed for one file.
    #[error("{what} takes {bytes} bytes, more than the {limit} that are allowed; {remedy}: {}", path.display())]
    TooLarge {
        /// Of what so much would be held.
        what: &'static str,
        /// Bytes it takes.
        bytes: u64,
        /// Bytes that are allowed.
        limit: u64,
        /// What to do.
        remedy: &'static str,
        /// The file.
        path: PathBuf,
    },
}

//! Why devices can not be locked.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a device can not be kept from other engine processes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// The lock folder is not there and can not be made, or can not be written to.
    #[error(
        "the folder of device locks can not be used ({source}): have its owner run `chmod 1777` on it, or choose \
         one for all engines of this machine with --lock-dir: {}", path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A lock file can not be opened, locked or written.
    #[error(
        "a device lock can not be taken ({source}): it has to be a plain file that every user may write, on a file \
         system that can lock: {}", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl LockError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

//! Why a model can not be exported.

use std::path::PathBuf;

use engine_tracking::atomic::AtomicError;

use crate::backend::BackendError;
use crate::models::ModelError;
use crate::models::weights::WeightsError;
use crate::training::TensorFileError;
use crate::training::checkpoint::CheckpointError;

/// Why a model can not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Something is there already.
    #[error("this is there already, and nothing is overwritten; give another place: {}", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The checkpoint can not be found or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its weights can not be read, or are not those of its network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its network is none that this build has.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is nothing to build a network on.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The tensors can not be laid out.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// A file can not be written.
    #[error(transparent)]
    Write(#[from] AtomicError),
    /// The folder can not be made.
    #[error("the folder can not be made; check that the one it lies in is there and may be written to: {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

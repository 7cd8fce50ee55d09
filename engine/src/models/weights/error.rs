//! What can be wrong with a file of weights.

use std::io;
use std::path::{Path, PathBuf};

use crate::models::ModelError;

/// Why a file of weights can not be used.
#[derive(Debug, thiserror::Error)]
#[error("{fault}: {}", path.display())]
pub struct WeightsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: WeightsFault,
}

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsFault {
    /// The file system said no.
    #[error("a file of weights can not be read; check that it is there and may be read")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error(
        "this is no file of weights; give a `.safetensors` file, a PyTorch file (`.pt`, `.pth`, `.ckpt`) or the folder of a checkpoint"
    )]
    Kind,
    /// It is cut, or not what it says of itself.
    #[error("the file of weights is damaged, {0}; copy or download it again")]
    Damaged(String),
    /// It is whole, but of a form that is not read.
    #[error("{what}; {remedy}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// It would run a program where it is unpickled.
    #[error(
        "the file tells its reader to call `{0}`, which no weights need: somebody made it to run commands. None was run; delete it, and do not give it to `torch.load`"
    )]
    Hostile(String),
    /// No tensors were found by their names.
    #[error("there is no state dict in the file, {0}; save one with `torch.save(model.state_dict(), path)`")]
    NoStateDict(String),
    /// One tensor can not be used.
    #[error("tensor `{name}` {reason}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The tensors are not the model's.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl WeightsFault {
    /// The error of the file at `path`.
    pub(super) fn at(self, path: &Path) -> WeightsError {
        WeightsError { path: path.to_owned(), fault: self }
    }

    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged(reason.into())
    }

    pub(super) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.to_owned(), reason: reason.into() }
    }
}

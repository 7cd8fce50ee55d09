//! What can keep a prediction from being made.

use std::path::PathBuf;

use engine_devices::{InventoryError, LockError};
use engine_tracking::atomic::AtomicError;

use super::super::error::RunError;
use super::super::trained::TrainedError;
use crate::backend::BackendError;
use crate::config::ConfigError;
use crate::data::{DataError, RasterError};
use crate::training::checkpoint::CheckpointError;

/// Why nothing, or not all, can be predicted. Files that were finished before stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// What to predict with is not there.
    #[error(transparent)]
    Trained(#[from] TrainedError),
    /// A checkpoint can not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A model can not be built, or does not compute.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An image can not be read.
    #[error(transparent)]
    Raster(#[from] RasterError),
    /// A data folder can not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An option of the device.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no such device.
    #[error(transparent)]
    Devices(#[from] InventoryError),
    /// There is no such backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The device can not be kept from others.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Another engine is on the device.
    #[error("{device} is in use by process {pid} for {holder}; wait for it, or name another by --devices")]
    Busy {
        /// The device.
        device: String,
        /// The process.
        pid: u32,
        /// What it does there.
        holder: String,
    },
    /// A number that can not be.
    #[error("`{option}` is {value}; {remedy}")]
    Impossible {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// There is nothing to predict.
    #[error("there is no image to predict; name GeoTIFFs or training data folders")]
    NoInput,
    /// Two inputs would be written to the same files.
    #[error("two inputs are called `{name}` and would be written to the same files; predict them into two folders: {}", path.display())]
    SameName {
        /// The name.
        name: String,
        /// The second of them.
        path: PathBuf,
    },
    /// The models of an ensemble do not see the same.
    #[error("the checkpoints take different bands ({first} and {second}), so they can not be averaged: {}", path.display())]
    Differ {
        /// Bands of the first.
        first: String,
        /// Bands of another.
        second: String,
        /// The other.
        path: PathBuf,
    },
    /// The image does not have as many bands as it should.
    #[error("the image has {found}, but {expected}; {remedy}: {}", path.display())]
    Bands {
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
        /// What to do.
        remedy: &'static str,
        /// The image.
        path: PathBuf,
    },
    /// A file can not be written.
    #[error(transparent)]
    Write(#[from] AtomicError),
    /// The folder for predictions can not be made.
    #[error("the folder for predictions can not be made; name another by --to: {source}: {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

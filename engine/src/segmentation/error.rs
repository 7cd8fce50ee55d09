//! What can end a segmentation run, and what kind of failure that is.

use std::path::{Path, PathBuf};

use engine_actors::outcome::{Cause, Failure};
use engine_tracking::atomic::AtomicError;

use crate::augment::AugmentError;
use crate::backend::BackendError;
use crate::data::DataError;
use crate::figures::FigureError;
use crate::learn::{LearnError, told};
use crate::metrics::MetricsError;
use crate::models::ModelError;
use crate::models::weights::{Pretrained, WeightsError, WeightsFault};
use crate::training::checkpoint::CheckpointError;

/// Why a run can not be done or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// What can end any run of the loop.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The settings in the plan are not those of a segmentation run.
    #[error("the settings of the run can not be read")]
    Settings(#[source] serde_json::Error),
    /// The hyperparameters are not those of a segmentation run.
    #[error("the hyperparameters can not be read")]
    Hyperparameters(#[source] serde_json::Error),
    /// No whole batch can be made.
    #[error(
        "`batch_size` is {batch_size}, but the train set has {samples} samples; choose {samples} or less"
    )]
    BatchLargerThanTrainSet {
        /// Samples asked for.
        batch_size: usize,
        /// Samples there are.
        samples: usize,
    },
    /// No whole batch can be made on every device of the run.
    #[error(
        "`batch_size` is {batch_size} on each of {world} devices, {} in all, but the train set has {samples} samples; \
         choose {} or less, or fewer devices",
        batch_size * world,
        samples / world
    )]
    BatchesLargerThanTrainSet {
        /// Samples asked for on each device.
        batch_size: usize,
        /// Devices.
        world: usize,
        /// Samples there are.
        samples: usize,
    },
    /// A test was asked for, but nothing is held out.
    #[error("there is no test split to test on; set `data-split-method` and `data-split-by`")]
    NoTestSplit,
    /// Published weights that are not at hand.
    #[error("`model-encoder-weights` is imagenet, but {}", to_be_had(pretrained, folder.as_deref()))]
    NotAtHand {
        /// The weights.
        pretrained: &'static Pretrained,
        /// The folder that was looked into.
        folder: Option<PathBuf>,
    },
    /// Nobody published weights that the encoder takes.
    #[error("`model-encoder-weights` is imagenet, but there are no such weights of {encoder}; give a file")]
    NotPublished {
        /// The encoder.
        encoder: String,
    },
    /// A checkpoint of another model.
    #[error("the checkpoint is of another model ({differences}); use its values, or another checkpoint: {}", path.display())]
    OtherModel {
        /// What differs.
        differences: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A checkpoint of the same model, trained in another way.
    #[error(
        "the checkpoint was trained otherwise ({differences}); use its values, or take its weights alone with \
         `weights-from-checkpoint`: {}",
        path.display()
    )]
    TrainedOtherwise {
        /// What differs.
        differences: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A file the user named can not be read.
    #[error("{what} can not be read; check that it is there and may be read: {}", path.display())]
    Unreadable {
        /// What it was to be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of weights can not be read or does not fit.
    #[error(transparent)]
    WeightsFile(#[from] WeightsError),
    /// A figure can not be written.
    #[error("a figure's data can not be written")]
    Figure(#[source] AtomicError),
    /// A figure can not be drawn.
    #[error(transparent)]
    Undrawn(#[from] FigureError),
    /// A thread that the run needs is not to be had.
    #[error("there is no thread for {what}; check the limits on processes and memory of the user")]
    NoThread {
        /// What it was to do.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The data can not be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An augmentation can not be applied.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// The model can not be built, or its tensors not be read or set.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Metrics can not be counted.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// What keeps published weights from being found, and where they can be had.
fn to_be_had(pretrained: &Pretrained, folder: Option<&Path>) -> String {
    let (address, file) = (pretrained.address(), format!("{}.safetensors", pretrained.encoder));
    match folder {
        None => format!(
            "ENGINE_WEIGHTS_DIR is not set; set it to a folder with {file}, which can be had from {address}"
        ),
        Some(folder) => {
            let others: Vec<String> =
                pretrained.files().iter().skip(1).map(|file| file.display().to_string()).collect();
            format!(
                "the folder of ENGINE_WEIGHTS_DIR has no {file}, nor {}; it can be had from {address}: {}",
                others.join(", "),
                folder.display()
            )
        }
    }
}

impl RunError {
    /// The kind of failure, which decides about retries.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Learn(error) => error.cause(),
            Self::Data(_) => Cause::Data,
            Self::Unreadable { .. } | Self::Figure(_) | Self::NoThread { .. } => Cause::Io,
            Self::WeightsFile(WeightsError { fault: WeightsFault::Io(_), .. }) => Cause::Io,
            Self::Metrics(_) => Cause::Lost,
            _ => Cause::Configuration,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self { cause: error.cause(), message: told(&error), stderr_tail: Vec::new() }
    }
}

impl From<BackendError> for RunError {
    fn from(error: BackendError) -> Self {
        Self::Learn(error.into())
    }
}

impl From<CheckpointError> for RunError {
    fn from(error: CheckpointError) -> Self {
        Self::Learn(error.into())
    }
}

//! What can end a segmentation run, and what kind of failure that is.

use std::error::Error;
use std::path::{Path, PathBuf};

use engine_actors::outcome::{Cause, Failure};
use engine_devices::rank::RankError;
use engine_tracking::atomic::AtomicError;

use crate::augment::AugmentError;
use crate::backend::BackendError;
use crate::data::DataError;
use crate::figures::FigureError;
use crate::metrics::MetricsError;
use crate::models::ModelError;
use crate::models::weights::{Pretrained, WeightsError, WeightsFault};
use crate::training::OptimizerError;
use crate::training::checkpoint::CheckpointError;
use crate::training::parallel::ExchangeError;

/// Why a run can not be done or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The settings in the plan are not those of a segmentation run.
    #[error("the settings of the run can not be read")]
    Settings(#[source] serde_json::Error),
    /// The hyperparameters are not those of a segmentation run.
    #[error("the hyperparameters can not be read")]
    Hyperparameters(#[source] serde_json::Error),
    /// A number that allows no run.
    #[error("`{option}` is {value}; {remedy}")]
    Impossible {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// Nobody is left to keep what the run says.
    #[error(
        "the engine is gone, and with it what would keep the run's records: no further checkpoint is written"
    )]
    EngineGone,
    /// An order without a device.
    #[error("the order names no device to run on")]
    NoPlace,
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
    /// The environment does not say which rank of the run this is.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// There is no place for this rank in what the run was given.
    #[error(
        "the run was given {places} devices on this machine, none of them for the process of LOCAL_RANK={local_rank}"
    )]
    NoPlaceForRank {
        /// Devices.
        places: usize,
        /// Number of the process on its machine.
        local_rank: u32,
    },
    /// The ranks of the run could not tell each other what they had to.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The ranks do not go on from the same point.
    #[error(
        "rank {rank} goes on from {theirs}, rank 0 from {ours}; every rank has to see the same run folder, \
         on a file system all machines share"
    )]
    RanksDiffer {
        /// The first rank that differs.
        rank: usize,
        /// Where it is.
        theirs: String,
        /// Where rank 0 is.
        ours: String,
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
    /// A file of weights does not fit.
    #[error("the weights can not be used: {}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: ModelError,
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
    /// The loss is not finite.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch}; lower the learning rate or look at the data. \
         Checkpoints written before stay"
    )]
    Diverged {
        /// Epoch, from 0.
        epoch: u32,
        /// The step, from 1: the one that was not taken where each loss is looked at (on the CPU), else the
        /// first of those since the last look.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The loss of another rank is not finite.
    #[error(
        "the loss is not finite at step {step} of epoch {epoch} on another rank; its own failure says more"
    )]
    DivergedElsewhere {
        /// Epoch, from 0.
        epoch: u32,
        /// The step, from 1, that was not taken.
        step: u64,
    },
    /// The device did not hand a value back.
    #[error("the loss can not be read from the device: {reason}")]
    LostValue {
        /// What the backend said.
        reason: String,
    },
    /// The backend can not be had.
    #[error(transparent)]
    Backend(#[from] BackendError),
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
    /// The optimizer's state can not be read or set.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// A checkpoint can not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
            Self::Data(_) => Cause::Data,
            Self::Diverged { .. } | Self::DivergedElsewhere { .. } => Cause::Diverged,
            Self::Exchange(error) if error.is_loss() => Cause::Lost,
            Self::Unreadable { .. } | Self::Figure(_) | Self::NoThread { .. } => Cause::Io,
            Self::WeightsFile(WeightsError { fault: WeightsFault::Io(_), .. }) => Cause::Io,
            Self::Checkpoint(CheckpointError::Io { .. } | CheckpointError::Busy { .. }) => Cause::Io,
            Self::LostValue { .. } | Self::Metrics(_) | Self::EngineGone => Cause::Lost,
            _ => Cause::Configuration,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors tell their source in their own text.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self { cause: error.cause(), message, stderr_tail: Vec::new() }
    }
}

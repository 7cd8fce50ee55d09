//! What can end a run of the loop, whatever it trains.

use std::error::Error;
use std::path::PathBuf;

use engine_actors::outcome::{Cause, Failure};
use engine_devices::rank::RankError;

use super::learner::BoxError;
use crate::backend::BackendError;
use crate::models::ModelError;
use crate::space::SpaceError;
use crate::training::OptimizerError;
use crate::training::checkpoint::CheckpointError;
use crate::training::parallel::ExchangeError;

/// Why a run can not be trained or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
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
    /// The weights of a checkpoint do not fit.
    #[error("the weights can not be used: {}", path.display())]
    Weights {
        /// The checkpoint.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: ModelError,
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
    /// What the course follows is not measured.
    #[error("`monitor` is {name}, which no validation measures; there are {known}")]
    NotMeasured {
        /// The metric.
        name: String,
        /// Those there are.
        known: String,
    },
    /// What a checkpoint keeps of the epoch can not be written as JSON.
    #[error("the sums of the epoch can not be written")]
    Sums(#[source] serde_json::Error),
    /// The settings in the plan are not those of a learner's run.
    #[error("the settings of the run can not be read: {reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
    },
    /// The hyperparameters are not the learner's.
    #[error("the hyperparameters can not be used: {reason}")]
    Hyperparameters {
        /// What is wrong, and with which of them.
        reason: String,
    },
    /// The search space can not be searched.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The learner did not build its model.
    #[error("the model can not be built")]
    Unbuildable {
        /// What the learner said.
        #[source]
        source: BoxError,
    },
    /// The model has no parameter that gradients flow to.
    #[error(
        "the model has nothing to train; build it on `run.device()`, and leave something of it not frozen"
    )]
    NothingToTrain,
    /// The learner's data can not be used.
    #[error("the data can not be used")]
    Data {
        /// What the learner said.
        #[source]
        source: BoxError,
    },
    /// There is no batch to train on.
    #[error("there is no batch to train on; give the run samples")]
    NothingToTrainOn,
    /// The ranks do not have as many batches.
    #[error(
        "rank {rank} has {theirs} batches to train on, rank 0 has {ours}; give every rank as many, as `Data::of_rows` does"
    )]
    BatchesDiffer {
        /// The first rank that differs.
        rank: usize,
        /// Batches it has.
        theirs: u64,
        /// Batches of rank 0.
        ours: u64,
    },
    /// A test was asked for, but the learner's data have nothing to test on.
    #[error(
        "there is nothing to test on; give the learner's data a test set, with `Data::with_test` or rows to test"
    )]
    NoTest,
    /// The backend can not be had.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The model's tensors can not be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The optimizer's state can not be read or set.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// A checkpoint can not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl LearnError {
    /// The kind of failure, which decides about retries.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Diverged { .. } | Self::DivergedElsewhere { .. } => Cause::Diverged,
            Self::Exchange(error) if error.is_loss() => Cause::Lost,
            Self::Checkpoint(CheckpointError::Io { .. } | CheckpointError::Busy { .. }) => Cause::Io,
            Self::LostValue { .. } | Self::EngineGone => Cause::Lost,
            Self::Data { .. } | Self::NothingToTrainOn => Cause::Data,
            _ => Cause::Configuration,
        }
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Self {
        Self { cause: error.cause(), message: told(&error), stderr_tail: Vec::new() }
    }
}

/// An error with what it comes from, as one fragment.
pub(crate) fn told(error: &dyn Error) -> String {
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
    message
}

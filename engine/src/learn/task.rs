//! What differs from one training to another.

use std::error::Error;
use std::ops::AddAssign;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use engine_actors::outcome::Failure;
use engine_tracking::Metrics;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::LearnError;
use super::history::History;
use super::pass::Pass;
use super::settings::Monitor;
use crate::nn::TrainingPass;
use crate::training::checkpoint::{ModelShape, State};
use crate::training::parallel::Exchange;
use crate::training::{OptimizerConfig, ScheduleConfig};
use crate::workload::{FigureTeller, RunContext};

/// What differs from one training to another: a model, its batches, its loss, what is counted.
///
/// All methods follow from the run's order alone: a training that goes on calls them as one that begins.
pub(crate) trait Task {
    /// What can go wrong.
    type Error: Error + From<LearnError> + Into<Failure>;
    /// What is trained.
    type Model: Module;
    /// Where the batches of an epoch come from.
    type Train;
    /// Some samples.
    type Batch;
    /// What the model made of a batch.
    type Output;
    /// The loss of a batch while it is on the device.
    type Waiting;
    /// What is counted on the device.
    type Counts;
    /// Losses and counts of some batches.
    type Sums: Sums;
    /// What a validation found.
    type Evaluation;

    /// A model with the weights a fresh run begins with, ready to train.
    fn fresh(&self, context: &RunContext) -> Result<Self::Model, Self::Error>;

    /// A model to put a checkpoint's weights into.
    fn untrained(&self) -> Result<Self::Model, Self::Error>;

    /// The next forward pass of the model is this one of the training.
    fn begin_pass(&self, model: &Self::Model, pass: TrainingPass);

    /// Has the model's layers fold into their tensors what they keep beside them, before these are read.
    fn settle(&self, _model: &Self::Model) {}

    /// A checkpoint that a run which does not go on from its own is to begin with.
    fn continues_from(&self) -> Option<&Path> {
        None
    }

    /// What the model is, in a checkpoint.
    fn model_shape(&self) -> Option<ModelShape>;

    /// What takes the steps.
    fn optimizer(&self) -> OptimizerConfig;

    /// How the learning rate changes.
    fn schedule(&self) -> ScheduleConfig;

    /// What early stopping and the best checkpoints follow.
    fn monitor(&self) -> &Monitor;

    /// The word for that in the name of a checkpoint.
    fn monitor_label(&self) -> String;

    /// Looks at a checkpoint that the run is to go on from, refuses what is not this run's, and says whether the optimizer can
    /// go on from what it kept. `is_own` is the run's own checkpoint.
    fn examine(
        &self,
        state: &State,
        is_own: bool,
        path: &Path,
        context: &RunContext,
    ) -> Result<OptimizerGoesOn, Self::Error>;

    /// Samples to train and to validate on, of all processes.
    fn samples(&self) -> (u64, u64);

    /// The batches to train on, in the order of a seed.
    fn train(&self, seed: u64) -> Result<Self::Train, Self::Error>;

    /// How many there are in an epoch.
    fn batches(&self, train: &Self::Train) -> usize;

    /// Those of an epoch.
    fn epoch<'a>(
        &'a self,
        train: &'a Self::Train,
        epoch: u32,
    ) -> impl Iterator<Item = Result<Self::Batch, Self::Error>> + 'a;

    /// Samples of a batch.
    fn batch_samples(&self, batch: &Self::Batch) -> usize;

    /// Runs the model over a batch, on the device that trains.
    fn forward(&self, model: &Self::Model, batch: Self::Batch) -> Self::Output;

    /// The loss to go down along, `[1]`.
    fn loss(&self, output: &Self::Output) -> Tensor<1>;

    /// The loss as it waits to be read, without its graph.
    fn waiting(&self, output: &Self::Output) -> Self::Waiting;

    /// Reads losses that wait; as many come back.
    fn read(&self, waiting: Vec<Self::Waiting>) -> Result<Vec<Self::Sums>, Self::Error>;

    /// The mean loss of some batches.
    fn mean_loss(&self, sums: &Self::Sums) -> f64;

    /// Counts of nothing.
    fn counts(&self) -> Self::Counts;

    /// Counts a batch, its loss left out.
    fn count(&self, counts: &mut Self::Counts, output: Self::Output) -> Result<(), Self::Error>;

    /// What was counted since the last call; waits for the device.
    fn counted(&self, counts: &mut Self::Counts) -> Result<Self::Sums, Self::Error>;

    /// What is logged of batches trained on, named `train/{metric}{suffix}`.
    fn train_metrics(&self, sums: &Self::Sums, suffix: &str) -> Metrics;

    /// Validates a model in evaluation mode; `None` if the run was asked to stop meanwhile. `is_last_chance`: patience runs
    /// out with this one, unless it is a new best.
    fn validate(
        &self,
        model: &Self::Model,
        pass: &Pass<'_>,
        is_last_chance: bool,
    ) -> Result<Option<Self::Evaluation>, Self::Error>;

    /// What is logged of a validation.
    fn val_metrics<'a>(&self, evaluation: &'a Self::Evaluation) -> &'a Metrics;

    /// Metrics that the learning curves show.
    fn in_history(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is to be drawn as the run begins.
    fn beginning(&self) -> Result<Option<Draw>, Self::Error> {
        Ok(None)
    }

    /// What is to be drawn of a validation.
    fn figures(&self, _validated: Validated<'_, Self::Evaluation>) -> Option<Draw> {
        None
    }
}

/// Something to be drawn beside the training.
pub(crate) type Draw = Box<dyn FnOnce(&FigureTeller) + Send>;

/// Whether an optimizer goes on from what a checkpoint kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptimizerGoesOn {
    /// It does.
    Yes,
    /// It begins anew.
    No,
}

/// A validation that is over.
#[cfg_attr(not(feature = "segmentation"), expect(dead_code, reason = "for figures"))]
pub(crate) struct Validated<'a, E> {
    pub(crate) epoch: u32,
    pub(crate) step: u64,
    pub(crate) evaluation: E,
    /// Whether it is the best so far.
    pub(crate) is_best: bool,
    /// Whether patience has run out with it.
    pub(crate) is_last: bool,
    pub(crate) history: &'a History,
}

/// Numbers of batches that add up, over batches and over processes.
pub(crate) trait Sums: Clone + Default + AddAssign + Serialize + DeserializeOwned {
    /// As one row of numbers.
    fn to_flat(&self) -> Vec<f64>;

    /// Takes the numbers of such a row.
    fn set_flat(&mut self, flat: &[f64]);

    /// Makes the rows of all processes hold the same. All of them ask for the same exchanges.
    fn agree(&mut self, _exchange: &dyn Exchange) -> Result<(), LearnError> {
        Ok(())
    }
}

/// Adds up those of all ranks, and how many ranks say yes to each question; one exchange of rows.
pub(crate) fn over_all<S: Sums, const N: usize>(
    mut sums: S,
    exchange: &dyn Exchange,
    questions: [bool; N],
) -> Result<(S, [usize; N]), LearnError> {
    if exchange.world() > 1 {
        sums.agree(exchange)?;
    }
    let mut flat = questions.map(|yes| f64::from(u8::from(yes))).to_vec();
    flat.extend(sums.to_flat());
    exchange.sum(&mut flat)?;
    // A count of ranks is a small whole number.
    let answers = std::array::from_fn(|at| flat[at] as usize);
    sums.set_flat(&flat[N..]);
    Ok((sums, answers))
}

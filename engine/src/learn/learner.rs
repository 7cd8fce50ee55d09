//! What a user brings: a model, its data, what a step is.

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use engine_actors::plan::RunTask;
use serde::de::DeserializeOwned;

use super::data::Data;
use super::settings::LearningSettings;
use super::site::Site;
use crate::training::{OptimizerConfig, ScheduleConfig};

/// Whatever a [`Learner`] can fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A burn model with its data: all that the engine needs to train, cross-validate and tune it.
///
/// [`Learning::new`](super::Learning::new) makes a workload of it. Epochs, validation, checkpoints, early stopping, going on
/// after a stop, several devices and tracking are the engine's.
///
/// One learner serves all runs of a process, side by side too, so what a run does must follow from its
/// [`Run`] alone.
pub trait Learner: Send + Sync + 'static {
    /// What is tuned: any type that serde reads from a table of names and values.
    type Hyperparameters: DeserializeOwned + Send + Sync;
    /// What is trained. Its tensors are of 32-bit floats.
    type Model: Module;
    /// Some samples, as [`Learner::step`] takes them.
    type Batch;

    /// A model with its first weights, on [`Run::device`]. What burn draws at random here follows from the run's seed.
    ///
    /// # Errors
    /// Whatever makes such a model impossible. The run fails and is not tried again.
    fn model(&self, run: &Run<Self::Hyperparameters>) -> Result<Self::Model, BoxError>;

    /// What the run trains, validates and tests on.
    ///
    /// # Errors
    /// Whatever keeps the data from being used. The run fails and is not tried again.
    fn data<'a>(&'a self, run: &Run<Self::Hyperparameters>) -> Result<Data<'a, Self::Batch>, BoxError>;

    /// The loss of a batch, and what else is measured of it. Used to train, to validate and to test: `model` and `batch` are
    /// on a device without autodiff where nothing is learnt, and layers such as dropout are off then.
    ///
    /// # Panics
    /// A panic ends the run as failed, with its message.
    fn step(&self, model: &Self::Model, batch: Self::Batch, run: &Run<Self::Hyperparameters>) -> Step;

    /// What takes the steps; AdamW with PyTorch's constants if not given.
    fn optimizer(&self, _hyperparameters: &Self::Hyperparameters) -> OptimizerConfig {
        OptimizerConfig::default()
    }

    /// The learning rate and how it changes; 0.001 throughout if not given.
    fn schedule(&self, _hyperparameters: &Self::Hyperparameters) -> ScheduleConfig {
        ScheduleConfig::default()
    }
}

/// One run, as a [`Learner`] sees it.
#[derive(Debug)]
pub struct Run<H> {
    /// The run's hyperparameters.
    pub hyperparameters: H,
    site: Site,
    device: Device,
}

impl<H> Run<H> {
    pub(super) fn new(site: &Site, hyperparameters: H) -> Self {
        Self { hyperparameters, site: site.clone(), device: site.device.clone().autodiff() }
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// The device to build the model on: the run's, with autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The fold to validate on, from 0; none where the run trains on everything that is not held out for a test.
    pub fn fold(&self) -> Option<u32> {
        matches!(self.site.plan.task, RunTask::Fit).then_some(self.site.plan.cell.fold)
    }

    /// The run's seed.
    pub fn seed(&self) -> u64 {
        self.site.seed()
    }

    /// Settings of the run.
    pub fn settings(&self) -> &LearningSettings {
        &self.site.learning
    }

    /// Folder of the run.
    pub fn folder(&self) -> &Path {
        &self.site.plan.run_dir
    }

    /// Number of this process among those that train the model together, from 0.
    pub fn rank(&self) -> usize {
        self.site.rank() as usize
    }

    /// Processes that train the model together, at least 1.
    pub fn world(&self) -> usize {
        self.site.world()
    }
}

/// What came of one batch.
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) loss: Tensor<1>,
    pub(super) metrics: Vec<(Cow<'static, str>, Measured)>,
}

/// A number that is measured of a batch, its mean over the samples.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Measured {
    /// On the host.
    Number(f64),
    /// On the device, `[1]`. Nothing waits for it until it is logged.
    OnDevice(Box<Tensor<1>>),
}

impl From<f64> for Measured {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Tensor<1>> for Measured {
    fn from(tensor: Tensor<1>) -> Self {
        Self::OnDevice(Box::new(tensor))
    }
}

impl Step {
    /// A step along a loss: the mean over the batch. Of more values than one the mean is taken.
    pub fn new(loss: Tensor<1>) -> Self {
        let loss = if loss.dims() == [1] { loss } else { loss.mean() };
        Self { loss, metrics: Vec::new() }
    }

    /// Measures something besides the loss: the mean over the batch. It is logged as `train/{name}` and `val/{name}`, the mean
    /// over all samples of an epoch. The name `loss` is the loss's.
    #[must_use]
    pub fn metric(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Measured>) -> Self {
        self.metrics.push((name.into(), value.into()));
        self
    }
}

/// The share of samples whose class is the one with the highest logit.
///
/// # Shapes
/// - `logits`: `[batch, classes]`, or whatever the highest says the class of
/// - `target`: `[batch]`, numbers of classes
/// - returns `[1]`
pub fn accuracy(logits: &Tensor<2>, target: &Tensor<1, Int>) -> Tensor<1> {
    let found = logits.clone().without_autodiff().argmax(1).flatten::<1>(0, 1);
    found.equal(target.clone().without_autodiff()).float().mean()
}

//! A learner of closures, for who needs no type of its own.

use std::fmt;
use std::marker::PhantomData;

use burn::module::Module;
use serde::de::DeserializeOwned;

use super::data::Data;
use super::learner::{BoxError, Learner, Run, Step};
use crate::training::{OptimizerConfig, ScheduleConfig};

/// What follows from hyperparameters.
type By<H, T> = Box<dyn Fn(&H) -> T + Send + Sync>;

/// A [`Learner`] of three closures; [`Learning::new`](super::Learning::new) makes a workload of it.
pub struct Closures<H, M, B, Model, Load, Go> {
    model: Model,
    data: Load,
    step: Go,
    optimizer: Option<By<H, OptimizerConfig>>,
    schedule: Option<By<H, ScheduleConfig>>,
    types: PhantomData<fn() -> (M, B)>,
}

impl<H, M, B, Model, Load, Go> fmt::Debug for Closures<H, M, B, Model, Load, Go> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Closures").finish_non_exhaustive()
    }
}

impl<H, M, B, Model, Load, Go> Closures<H, M, B, Model, Load, Go>
where
    Model: Fn(&Run<H>) -> Result<M, BoxError>,
    Load: Fn(&Run<H>) -> Result<Data<'static, B>, BoxError>,
    Go: Fn(&M, B, &Run<H>) -> Step,
{
    /// A model, its data and what a step is: what [`Learner::model`], [`Learner::data`] and [`Learner::step`] say.
    pub fn new(model: Model, data: Load, step: Go) -> Self {
        Self { model, data, step, optimizer: None, schedule: None, types: PhantomData }
    }

    /// The same with what takes the steps, as [`Learner::optimizer`].
    #[must_use]
    pub fn optimizer(self, by: impl Fn(&H) -> OptimizerConfig + Send + Sync + 'static) -> Self {
        Self { optimizer: Some(Box::new(by)), ..self }
    }

    /// The same with how the learning rate changes, as [`Learner::schedule`].
    #[must_use]
    pub fn schedule(self, by: impl Fn(&H) -> ScheduleConfig + Send + Sync + 'static) -> Self {
        Self { schedule: Some(Box::new(by)), ..self }
    }
}

impl<H, M, B, Model, Load, Go> Learner for Closures<H, M, B, Model, Load, Go>
where
    H: DeserializeOwned + Send + Sync + 'static,
    M: Module + 'static,
    B: 'static,
    Model: Fn(&Run<H>) -> Result<M, BoxError> + Send + Sync + 'static,
    Load: Fn(&Run<H>) -> Result<Data<'static, B>, BoxError> + Send + Sync + 'static,
    Go: Fn(&M, B, &Run<H>) -> Step + Send + Sync + 'static,
{
    type Hyperparameters = H;
    type Model = M;
    type Batch = B;

    fn model(&self, run: &Run<H>) -> Result<M, BoxError> {
        (self.model)(run)
    }

    fn data<'a>(&'a self, run: &Run<H>) -> Result<Data<'a, B>, BoxError> {
        (self.data)(run)
    }

    fn step(&self, model: &M, batch: B, run: &Run<H>) -> Step {
        (self.step)(model, batch, run)
    }

    fn optimizer(&self, hyperparameters: &H) -> OptimizerConfig {
        self.optimizer.as_ref().map_or_else(OptimizerConfig::default, |by| by(hyperparameters))
    }

    fn schedule(&self, hyperparameters: &H) -> ScheduleConfig {
        self.schedule.as_ref().map_or_else(ScheduleConfig::default, |by| by(hyperparameters))
    }
}

//! A learner as a workload.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::Tensor;
use engine_actors::outcome::Failure;
use engine_actors::plan::RunTask;
use engine_actors::protocol::{Phase, RunOrder, RunSummary};
use engine_tracking::{MetricPoint, Metrics};

use super::course::with_weights;
use super::data::Data;
use super::error::LearnError;
use super::hyperparameters::read as read_hyperparameters;
use super::learner::{Learner, Run, Step};
use super::measures::{Measures, Waiting, read};
use super::pass::{Evaluator, Pass};
use super::settings::{LearningSettings, Monitor};
use super::site::Site;
use super::task::{OptimizerGoesOn, Sums, Task};
use super::trainer::{Fitted, fit};
use crate::models::{check_module, trained_count};
use crate::nn::TrainingPass;
use crate::training::checkpoint::{Checkpoint, ModelShape, State};
use crate::training::parallel::{Alone, Exchange, gather};
use crate::training::{OptimizerConfig, ScheduleConfig};
use crate::workload::{RunContext, Workload};

/// Sets the draws of first weights apart from those of the passes.
const FIRST_WEIGHTS: TrainingPass =
    TrainingPass { seed: 0, epoch: u32::MAX, batch: u32::MAX, rank: u32::MAX };

/// burn draws from one generator of the process: who makes a model has it to itself.
static DRAWING: Mutex<()> = Mutex::new(());

/// A [`Learner`] as a [`Workload`]: what an engine is built with.
///
/// Expects [`LearningSettings`] in a plan's settings and the learner's hyperparameters in its hyperparameters;
/// [`Learning::train`], [`Learning::cv`] and [`Learning::tune`] make such requests.
///
/// Clones share the learner.
#[derive(Debug)]
pub struct Learning<L> {
    learner: Arc<L>,
}

impl<L> Clone for Learning<L> {
    fn clone(&self) -> Self {
        Self { learner: Arc::clone(&self.learner) }
    }
}

impl<L: Learner> Learning<L> {
    /// The workload of a learner.
    pub fn new(learner: L) -> Self {
        Self { learner: Arc::new(learner) }
    }
}

impl<L: Learner> Workload for Learning<L> {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let settings: LearningSettings = serde_json::from_value(order.plan.settings.as_ref().clone())
            .map_err(|error| LearnError::Settings { reason: error.to_string() })?;
        let site = Site::read(order, settings)?;
        let hyperparameters = read_hyperparameters(&order.plan.hyperparameters)?;
        // Of the ranks of a data-parallel run, the first speaks.
        let muted = (!site.is_first()).then(|| context.muted());
        let context = muted.as_ref().unwrap_or(context);
        let run = Run::new(&site, hyperparameters);
        let result = match &order.plan.task {
            // A test is one rank's.
            RunTask::Test { .. } if !site.is_first() => Ok(RunSummary::default()),
            RunTask::Test { checkpoint } => test(self.learner.as_ref(), &run, context, checkpoint),
            RunTask::Fit | RunTask::FitAndTest => train(self.learner.as_ref(), &run, context),
        };
        Ok(result?)
    }
}

/// Trains; then, where the run is to test, tests the best weights, or the last ones where no checkpoint is ranked.
fn train<L: Learner>(
    learner: &L,
    run: &Run<L::Hyperparameters>,
    context: &RunContext,
) -> Result<RunSummary, LearnError> {
    let site = run.site();
    let exchange = site.join()?;
    let task = Lesson::new(learner, run, exchange.as_ref())?;
    let tests = site.plan.task == RunTask::FitAndTest;
    if tests && task.data.test.is_none() {
        return Err(LearnError::NoTest);
    }
    let Fitted { summary, checkpoint } = fit(&task, site, context, exchange.as_ref())?;
    if !tests || summary.stopped || !site.is_first() {
        return Ok(summary);
    }
    let tested = test_checkpoint(&task, context, &checkpoint)?;
    let mut metrics = summary.metrics;
    metrics.extend(tested.metrics);
    Ok(RunSummary { metrics, stopped: tested.stopped, ..summary })
}

fn test<L: Learner>(
    learner: &L,
    run: &Run<L::Hyperparameters>,
    context: &RunContext,
    path: &Path,
) -> Result<RunSummary, LearnError> {
    test_checkpoint(&Lesson::new(learner, run, &Alone)?, context, path)
}

fn test_checkpoint<L: Learner>(
    lesson: &Lesson<'_, L>,
    context: &RunContext,
    path: &Path,
) -> Result<RunSummary, LearnError> {
    let site = lesson.run.site();
    let set = lesson.data.test.as_ref().ok_or(LearnError::NoTest)?;
    let Checkpoint { weights, state, .. } = Checkpoint::read(path)?;
    let model = with_weights(lesson.untrained()?, &weights, path)?.valid();
    if let RunTask::Test { .. } = site.plan.task {
        let parameters = trained_count(&lesson.untrained()?) as u64;
        context.prepared(0, set.samples() as u64, parameters, site.device_text.clone());
    }
    let max_epochs = site.learning.max_epochs;
    let pass = Pass { context, exchange: &Alone, phase: Phase::Test, epoch: state.epoch, max_epochs };
    let summary = RunSummary {
        best_checkpoint: Some(path.to_owned()),
        epochs: state.data_order.next_epoch,
        steps: state.step,
        ..RunSummary::default()
    };
    let Some(metrics) = lesson.evaluate(&model, set.as_ref(), &pass, "test")? else {
        return Ok(RunSummary { stopped: true, ..summary });
    };
    context.log(MetricPoint { epoch: state.epoch, step: state.step, values: metrics.clone() });
    Ok(RunSummary { metrics, ..summary })
}

/// A learner's run as the loop trains it.
struct Lesson<'a, L: Learner> {
    learner: &'a L,
    run: &'a Run<L::Hyperparameters>,
    data: Data<'a, L::Batch>,
}

impl<'a, L: Learner> Lesson<'a, L> {
    fn new(
        learner: &'a L,
        run: &'a Run<L::Hyperparameters>,
        exchange: &dyn Exchange,
    ) -> Result<Self, LearnError> {
        let data = learner.data(run).map_err(|source| LearnError::Data { source })?;
        let batches = gather(exchange, [data.train.batches() as f64])?;
        match batches.iter().position(|other| *other != batches[0]) {
            Some(rank) => {
                let [theirs, ours] = [batches[rank], batches[0]].map(|[batches]| batches as u64);
                Err(LearnError::BatchesDiffer { rank, theirs, ours })
            }
            None if data.train.batches() == 0 => Err(LearnError::NothingToTrainOn),
            None => Ok(Self { learner, run, data }),
        }
    }

    fn evaluate(
        &self,
        model: &L::Model,
        set: &(dyn super::data::Batches<L::Batch> + 'a),
        pass: &Pass<'_>,
        prefix: &'static str,
    ) -> Result<Option<Metrics>, LearnError> {
        let evaluating = Evaluating { lesson: self, model, prefix, sums: Measures::default() };
        let batches = set.epoch(0, &self.run.site().device);
        let batches = batches.map(|batch| batch.map_err(|source| LearnError::Data { source }));
        pass.run(evaluating, set.batches(), batches)
    }
}

/// What a learner made of a batch.
struct Output {
    step: Step,
    samples: usize,
}

impl<L: Learner> Task for Lesson<'_, L> {
    type Error = LearnError;
    type Model = L::Model;
    /// The data's order follows from the run's seed, which no checkpoint changes.
    type Train = ();
    type Batch = (L::Batch, usize);
    type Output = Output;
    type Waiting = Waiting;
    type Counts = ();
    type Sums = Measures;
    type Evaluation = Metrics;

    fn fresh(&self, _context: &RunContext) -> Result<L::Model, LearnError> {
        self.untrained()
    }

    fn untrained(&self) -> Result<L::Model, LearnError> {
        let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = TrainingPass { seed: self.run.seed(), ..FIRST_WEIGHTS }.key();
        self.run.device().seed(seed);
        let model = self.learner.model(self.run).map_err(|source| LearnError::Unbuildable { source })?;
        // Draws what is drawn when it is first looked at.
        check_module(&model)?;
        if trained_count(&model) == 0 {
            return Err(LearnError::NothingToTrain);
        }
        Ok(model)
    }

    /// burn's layers draw from one generator of the process, which a pass begins at a place of its own.
    fn begin_pass(&self, _model: &L::Model, pass: TrainingPass) {
        self.run.device().seed(pass.key());
    }

    /// burn's running statistics keep their newest value apart until they are evaluated.
    fn settle(&self, model: &L::Model) {
        drop(model.valid());
    }

    fn model_shape(&self) -> Option<ModelShape> {
        None
    }

    fn optimizer(&self) -> OptimizerConfig {
        self.learner.optimizer(&self.run.hyperparameters)
    }

    fn schedule(&self) -> ScheduleConfig {
        self.learner.schedule(&self.run.hyperparameters)
    }

    fn monitor(&self) -> &Monitor {
        &self.run.settings().monitor
    }

    fn monitor_label(&self) -> String {
        self.monitor().label()
    }

    /// A learner's run goes on from its own checkpoints alone, with other hyperparameters only where its user forced it to.
    fn examine(
        &self,
        state: &State,
        _is_own: bool,
        _path: &Path,
        context: &RunContext,
    ) -> Result<OptimizerGoesOn, LearnError> {
        let kept = state.hyperparameters.as_object().map(read_hyperparameters::<L::Hyperparameters>);
        let keeps_what =
            |theirs: L::Hyperparameters| self.learner.optimizer(&theirs).keeps_what(&self.optimizer());
        if kept.and_then(Result::ok).is_some_and(keeps_what) {
            return Ok(OptimizerGoesOn::Yes);
        }
        context.warn("the run goes on with another optimizer than it was trained with, which begins anew");
        Ok(OptimizerGoesOn::No)
    }

    fn samples(&self) -> (u64, u64) {
        (self.data.train.samples() as u64, self.data.val.samples() as u64)
    }

    fn train(&self, _seed: u64) -> Result<(), LearnError> {
        Ok(())
    }

    fn batches(&self, _train: &()) -> usize {
        self.data.train.batches()
    }

    fn epoch<'b>(
        &'b self,
        _train: &'b (),
        epoch: u32,
    ) -> impl Iterator<Item = Result<(L::Batch, usize), LearnError>> + 'b {
        let batches = self.data.train.epoch(epoch, self.run.device());
        batches.map(|batch| batch.map_err(|source| LearnError::Data { source }))
    }

    fn batch_samples(&self, (_, samples): &(L::Batch, usize)) -> usize {
        *samples
    }

    fn forward(&self, model: &L::Model, (batch, samples): (L::Batch, usize)) -> Output {
        Output { step: self.learner.step(model, batch, self.run), samples }
    }

    fn loss(&self, output: &Output) -> Tensor<1> {
        output.step.loss.clone()
    }

    fn waiting(&self, output: &Output) -> Waiting {
        Waiting::of(&output.step, output.samples)
    }

    fn read(&self, waiting: Vec<Waiting>) -> Result<Vec<Measures>, LearnError> {
        read(waiting)
    }

    fn mean_loss(&self, sums: &Measures) -> f64 {
        sums.mean_loss()
    }

    fn counts(&self) {}

    fn count(&self, _counts: &mut (), _output: Output) -> Result<(), LearnError> {
        Ok(())
    }

    fn counted(&self, _counts: &mut ()) -> Result<Measures, LearnError> {
        Ok(Measures::default())
    }

    fn train_metrics(&self, sums: &Measures, suffix: &str) -> Metrics {
        sums.means("train", suffix)
    }

    fn validate(
        &self,
        model: &L::Model,
        pass: &Pass<'_>,
        _is_last_chance: bool,
    ) -> Result<Option<Metrics>, LearnError> {
        self.evaluate(model, self.data.val.as_ref(), pass, "val")
    }

    fn val_metrics<'b>(&self, evaluation: &'b Metrics) -> &'b Metrics {
        evaluation
    }
}

/// A pass of a learner over a set.
struct Evaluating<'a, 'b, L: Learner> {
    lesson: &'a Lesson<'b, L>,
    model: &'a L::Model,
    prefix: &'static str,
    sums: Measures,
}

impl<L: Learner> Evaluator for Evaluating<'_, '_, L> {
    type Batch = (L::Batch, usize);
    type Error = LearnError;
    type Evaluation = Metrics;

    fn add(&mut self, (batch, samples): (L::Batch, usize)) -> Result<(), LearnError> {
        let step = self.lesson.learner.step(self.model, batch, self.lesson.run);
        for sums in read(vec![Waiting::of(&step, samples)])? {
            self.sums += sums;
        }
        Ok(())
    }

    fn agree(&mut self, exchange: &dyn Exchange) -> Result<(), LearnError> {
        self.sums.agree(exchange)
    }

    fn to_flat(&self) -> Vec<f64> {
        self.sums.to_flat()
    }

    fn finish(mut self, flat: &[f64]) -> Result<Metrics, LearnError> {
        self.sums.set_flat(flat);
        Ok(self.sums.means(self.prefix, ""))
    }
}

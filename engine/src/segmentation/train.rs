//! The training loop: epochs, steps, validations, checkpoints.

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use engine_actors::protocol::{Phase, RunSummary};
use engine_tracking::{MetricPoint, Metrics};

use super::error::RunError;
use super::evaluate::{Evaluation, Pass, pixel_logits, to_device};
use super::figures::write_curves;
use super::prepare::{evaluation_loader, train_loader};
use super::resume::Course;
use super::setup::Setup;
use super::tally::{Clock, NotFinite, Sums, Tally};
use crate::data::{Batch, DataFolder, Loader};
use crate::folds::Division;
use crate::loss::FocalLoss;
use crate::training::checkpoint::{Checkpoints, ModelShape, checkpoint_name};
use crate::workload::RunContext;

/// What early stopping and the best checkpoints follow; higher is better.
const MONITORED: &str = "val/JaccardIndex";

/// How a part of the training came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was done.
    Done,
    /// The run was asked to stop.
    Stopped,
}

/// One run's training.
pub(super) struct Trainer<'a> {
    setup: &'a Setup,
    context: &'a RunContext,
    shape: ModelShape,
    device: Device,
    loss: FocalLoss,
    train: Loader,
    val: Loader,
    checkpoints: Checkpoints,
    course: Course,
    clock: Clock,
}

impl<'a> Trainer<'a> {
    /// Makes everything ready and says so.
    pub(super) fn prepare(
        setup: &'a Setup,
        context: &'a RunContext,
        folder: &Arc<DataFolder>,
        shape: ModelShape,
        division: &Division,
    ) -> Result<Self, RunError> {
        let checkpoints = Checkpoints::open(setup.plan.run_dir.join("checkpoints"))?;
        let val = evaluation_loader(setup, folder, division.val.clone())?;
        // Refused before a model is built: a batch larger than the set, an augmentation that does not fit.
        train_loader(setup, folder, division.train.clone(), setup.seed())?;
        let course = Course::begin(setup, &shape, &checkpoints)?;
        let train = train_loader(setup, folder, division.train.clone(), course.order.seed)?;
        let (train_samples, val_samples) = (division.train.len() as u64, division.val.len() as u64);
        let parameters = course.model.parameter_count() as u64;
        context.prepared(train_samples, val_samples, parameters, setup.device_text.clone());
        Ok(Self {
            setup,
            context,
            shape,
            device: setup.device.clone().autodiff(),
            loss: loss(setup),
            train,
            val,
            checkpoints,
            clock: Clock::start(course.elapsed),
            course,
        })
    }

    /// Trains until the last epoch, until patience runs out, or until asked to stop.
    pub(super) fn run(&mut self) -> Result<End, RunError> {
        while self.course.order.next_epoch < self.setup.settings.max_epochs
            && !self.course.early_stopping.is_exhausted()
        {
            let epoch = self.course.order.next_epoch;
            if self.epoch(epoch)? == End::Stopped {
                self.write_last(epoch)?;
                return Ok(End::Stopped);
            }
        }
        Ok(End::Done)
    }

    /// How the run stands.
    pub(super) fn summary(&self, end: End) -> RunSummary {
        RunSummary {
            metrics: self.course.metrics.clone(),
            best_checkpoint: self.best_checkpoint(),
            epochs: self.course.order.next_epoch,
            steps: self.course.step,
            stopped: end == End::Stopped,
        }
    }

    /// The checkpoint with the best monitored value; none where none is kept.
    pub(super) fn best_checkpoint(&self) -> Option<PathBuf> {
        self.course.top_k.best().map(|ranked| self.checkpoints.path(&ranked.name))
    }

    /// The checkpoint written last.
    pub(super) fn last_checkpoint(&self) -> PathBuf {
        self.checkpoints.last()
    }

    /// One epoch. A stop leaves the course between two batches, or before the validation.
    fn epoch(&mut self, epoch: u32) -> Result<End, RunError> {
        let mut tally = Tally::new(self.course.sums, &self.device);
        let trained = self.train_batches(epoch, &mut tally)?;
        self.course.sums = tally.sums()?;
        if trained == End::Stopped {
            return Ok(End::Stopped);
        }
        let mut values = tally.metrics()?;
        let throughput = self.clock.log();
        if !throughput.is_empty() {
            values.extend(throughput);
            values.insert("learning_rate".into(), self.course.schedule.learning_rate());
        }
        if !self.validates(epoch) {
            self.log(epoch, values);
            self.close_epoch();
            return Ok(End::Done);
        }
        let Some(evaluation) = self.validate(epoch)? else {
            return Ok(End::Stopped);
        };
        values.extend(evaluation.metrics.clone());
        self.log(epoch, values);
        self.context.validated(epoch, self.course.step, evaluation.metrics.clone());
        self.close_epoch();
        self.judge(epoch, &evaluation)?;
        Ok(End::Done)
    }

    /// Trains on the batches of the epoch that were not trained on before.
    fn train_batches(&mut self, epoch: u32, tally: &mut Tally) -> Result<End, RunError> {
        let done = self.course.order.batches_done;
        let batches = self.train.batches_per_epoch();
        if done as usize >= batches {
            return Ok(End::Done);
        }
        let pass = self.pass(Phase::Train, epoch);
        self.clock.reopen();
        for (number, batch) in (0..).zip(self.train.epoch(epoch)) {
            let batch = batch?;
            if number < done {
                continue;
            }
            if self.context.stop_requested() {
                self.settle(epoch, tally)?;
                return Ok(End::Stopped);
            }
            self.train_step(epoch, batch, tally)?;
            self.course.order.batches_done = number + 1;
            self.context.progress(pass.progress(number as usize + 1, batches));
        }
        self.settle(epoch, tally)?;
        Ok(End::Done)
    }

    /// One optimizer step.
    ///
    /// On the CPU the loss is looked at before the step is taken, so a loss that is not finite leaves the
    /// weights as they were. Elsewhere a look would wait for the device: losses are looked at when something
    /// is logged, every 64 steps, and before anything is validated or saved.
    fn train_step(&mut self, epoch: u32, batch: Batch, tally: &mut Tally) -> Result<(), RunError> {
        let samples = batch.n;
        let step = self.course.step + 1;
        let (x, target) = to_device(batch, &self.device);
        let logits = pixel_logits(self.course.model.forward(x));
        let sums = self.loss.sums(logits.clone(), target.clone());
        tally.add_loss(step, &sums);
        if self.setup.looks_are_free || tally.is_full() {
            self.settle(epoch, tally)?;
        }
        let gradients = sums.mean().backward();
        let learning_rate = self.course.schedule.learning_rate();
        let model = self.course.model.clone();
        self.course.model = self.course.optimizer.step(learning_rate, model, gradients);
        self.course.step = step;
        self.clock.count(samples);
        let every = u64::from(self.setup.settings.log_every_n_steps);
        if every == 0 || !step.is_multiple_of(every) {
            return tally.add_counts(logits, target);
        }
        self.settle(epoch, tally)?;
        let mut values = tally.add_logged(logits, target, &sums)?;
        values.extend(self.clock.log());
        values.insert("learning_rate".into(), learning_rate);
        self.log(epoch, values);
        Ok(())
    }

    /// Looks at the losses that wait.
    fn settle(&self, epoch: u32, tally: &mut Tally) -> Result<(), RunError> {
        tally.settle()?.map_err(|NotFinite { step, loss }| RunError::Diverged { epoch, step, loss })
    }

    /// Whether the epoch is followed by a validation.
    fn validates(&self, epoch: u32) -> bool {
        let settings = &self.setup.settings;
        let every = settings.check_val_every_n_epoch;
        epoch + 1 == settings.max_epochs || (every > 0 && (epoch + 1).is_multiple_of(every))
    }

    /// Validates the weights as they are; `None` if asked to stop meanwhile.
    fn validate(&self, epoch: u32) -> Result<Option<Evaluation>, RunError> {
        self.pass(Phase::Validate, epoch).run(&self.course.model.valid(), &self.val, "val")
    }

    fn pass(&self, phase: Phase, epoch: u32) -> Pass<'a> {
        let Setup { device, settings, .. } = self.setup;
        Pass { context: self.context, device, loss: self.loss, phase, epoch, max_epochs: settings.max_epochs }
    }

    /// Moves the course to the next epoch.
    fn close_epoch(&mut self) {
        self.course.schedule.step();
        self.course.order.next_epoch += 1;
        self.course.order.batches_done = 0;
        self.course.sums = Sums::default();
    }

    /// Takes the value of a validation to patience, ranking, checkpoints and figures.
    fn judge(&mut self, epoch: u32, evaluation: &Evaluation) -> Result<(), RunError> {
        let value = evaluation.metrics.get(MONITORED).copied().unwrap_or(f64::NAN);
        let best_before = self.course.early_stopping.best();
        self.course.monitored = Some(value);
        self.course.early_stopping.observe(value);
        if best_before.is_none() || self.course.early_stopping.best() != best_before {
            let place = (epoch, self.course.step);
            write_curves(&self.setup.plan.run_dir, "val", place, &evaluation.curves)?;
        }
        let evicted = self.rank(epoch, value)?;
        self.write_last(epoch)?;
        for name in evicted {
            self.checkpoints.delete(&name)?;
        }
        Ok(())
    }

    /// Writes a ranked checkpoint if it is among the best, and returns the names of those that are no more.
    fn rank(&mut self, epoch: u32, value: f64) -> Result<Vec<String>, RunError> {
        if !self.course.top_k.would_keep(value) {
            return Ok(Vec::new());
        }
        let step = self.course.step;
        let name = self.checkpoints.free_name(&checkpoint_name(epoch, step, value));
        let evicted = self.course.top_k.insert(name.clone(), value);
        self.course.elapsed = self.clock.elapsed();
        let checkpoint = self.course.checkpoint(self.setup, &self.shape, epoch)?;
        let path = self.checkpoints.write(&name, &checkpoint)?;
        self.context.checkpoint_written(path, epoch, step, Some(value));
        Ok(evicted)
    }

    fn write_last(&mut self, epoch: u32) -> Result<(), RunError> {
        self.course.elapsed = self.clock.elapsed();
        let checkpoint = self.course.checkpoint(self.setup, &self.shape, epoch)?;
        let path = self.checkpoints.write_last(&checkpoint)?;
        self.context.checkpoint_written(path, epoch, self.course.step, self.course.monitored);
        Ok(())
    }

    fn log(&mut self, epoch: u32, values: Metrics) {
        self.course.metrics.extend(values.clone());
        self.context.log(MetricPoint { epoch, step: self.course.step, values });
    }
}

/// The loss of a run.
pub(super) fn loss(setup: &Setup) -> FocalLoss {
    FocalLoss { alpha: setup.hyperparameters.focal_loss_alpha, gamma: setup.hyperparameters.focal_loss_gamma }
}

//! The training loop: epochs, steps, validations, checkpoints.

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use engine_actors::outcome::Failure;
use engine_actors::protocol::{Phase, RunSummary};
use engine_tracking::{MetricPoint, Metrics};

use super::artist::Artist;
use super::error::RunError;
use super::evaluate::{Evaluation, Pass};
use super::figures::PassFigures;
use super::prepare::{evaluation_loader, train_loader};
use super::preview::Shown;
use super::resume::Course;
use super::setup::Setup;
use super::start::Beginning;
use super::tally::{Clock, NotFinite, Sums, Tally};
use crate::data::{DataFolder, Loader, Remainder};
use crate::folds::Division;
use crate::metrics::RegionCounts;
use crate::models::SegmentationModel;
use crate::training::checkpoint::{Checkpoints, ModelShape, Writer};
use crate::training::parallel::{Exchange, share_buffers};
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

/// One run's training: the whole of it, or one rank's part.
pub(super) struct Trainer<'a> {
    pub(super) setup: &'a Setup,
    pub(super) context: &'a RunContext,
    pub(super) exchange: &'a dyn Exchange,
    pub(super) shape: ModelShape,
    pub(super) device: Device,
    pub(super) train: Loader,
    val: Loader,
    /// Validation samples to show; `None` where nothing is ever drawn.
    shown: Option<Shown>,
    /// Where the validation samples lie.
    regions: RegionCounts,
    pub(super) artist: Artist,
    pub(super) writer: Writer<RunError>,
    pub(super) course: Course,
    pub(super) clock: Clock,
    /// Gradients of the step under way.
    pub(super) gathered: GradientsAccumulator<SegmentationModel>,
    /// The first loss of this rank that is not finite.
    pub(super) not_finite: Option<NotFinite>,
    /// Whether a rank was asked to stop, and all know.
    pub(super) stop_agreed: bool,
    /// Whether the first rank was asked for a checkpoint, and all know.
    pub(super) checkpoint_agreed: bool,
    /// The step of the `last` that was written or gone on from last.
    pub(super) saved_step: u64,
}

impl<'a> Trainer<'a> {
    /// Makes everything ready and says so.
    pub(super) fn prepare(
        setup: &'a Setup,
        context: &'a RunContext,
        exchange: &'a dyn Exchange,
        folder: &Arc<DataFolder>,
        shape: ModelShape,
        division: &Division,
    ) -> Result<Self, RunError> {
        let val = evaluation_loader(setup, folder, division.val.clone(), setup.shard(Remainder::Leave))?;
        let shown = Shown::choose(setup, folder, &division.val, setup.shard(Remainder::Leave));
        // Refused before a model is built: a batch larger than the set, an augmentation that does not fit.
        let batches = train_loader(setup, folder, division.train.clone(), setup.seed())?.batches_per_epoch();
        let steps = batches.div_ceil(setup.settings.accumulate_grad_batches as usize) as u64;
        let checkpoints = open_checkpoints(setup, exchange)?;
        let course = Course::begin(setup, context, &shape, &checkpoints, steps)?.shared(exchange)?;
        let train = train_loader(setup, folder, division.train.clone(), course.order.seed)?;
        let (train_samples, val_samples) = (division.train.len() as u64, division.val.len() as u64);
        let parameters = course.model.parameter_count() as u64;
        let device_text = setup.device_text.clone();
        match course.from {
            Some(from) => {
                let known = (from, course.metrics.clone());
                context.goes_on(known, train_samples, val_samples, parameters, device_text);
            }
            None => context.prepared(train_samples, val_samples, parameters, device_text),
        }
        let mut artist = Artist::new(context.figure_teller());
        // One that goes on has drawn its beginning: no checkpoint stands before that.
        if shown.is_some() && course.from.is_none() {
            let beginning = Beginning::new(setup, folder, division)?;
            artist.begin(move |teller| beginning.perform(teller));
        }
        // What comes next at its place is one row with it: nothing may hand it on before.
        course.open_row.iter().for_each(|row| context.log(row.clone()));
        Ok(Self {
            setup,
            context,
            exchange,
            shape,
            device: setup.device.clone().autodiff(),
            train,
            val,
            shown,
            regions: RegionCounts::new(folder.table(), &division.val),
            artist,
            writer: Writer::new(checkpoints),
            clock: Clock::start(course.elapsed),
            saved_step: course.step,
            course,
            gathered: GradientsAccumulator::new(),
            not_finite: None,
            stop_agreed: false,
            checkpoint_agreed: false,
        })
    }

    /// Trains until the last epoch, until patience runs out, or until asked to stop. What was to be written is on disk then.
    pub(super) fn run(&mut self) -> Result<End, RunError> {
        let end = match (self.epochs(), self.writer.finish()) {
            (Ok(end), Ok(())) => end,
            (Err(error), Ok(())) | (Ok(_), Err(error)) => return Err(error),
            (Err(error), Err(unwritten)) => {
                self.context.warn(Failure::from(unwritten).message);
                return Err(error);
            }
        };
        self.artist.finish();
        // A rank that left while others still listen would look lost to them.
        self.exchange.barrier()?;
        Ok(end)
    }

    fn epochs(&mut self) -> Result<End, RunError> {
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
        self.course.top_k.best().map(|ranked| self.writer.checkpoints().path(&ranked.name))
    }

    /// The checkpoint written last.
    pub(super) fn last_checkpoint(&self) -> PathBuf {
        self.writer.checkpoints().last()
    }

    /// One epoch. A stop leaves the course between two batches, or before the validation.
    fn epoch(&mut self, epoch: u32) -> Result<End, RunError> {
        let mut tally = Tally::new(self.course.sums, &self.setup.loss, &self.device);
        let trained = self.train_batches(epoch, &mut tally)?;
        self.look(&mut tally)?;
        let (sums, [not_finite]) = tally.sums()?.over_all(self.exchange, [self.not_finite.is_some()])?;
        self.end_if_not_finite(epoch, not_finite)?;
        self.course.sums = sums;
        if trained == End::Stopped {
            return Ok(End::Stopped);
        }
        let mut values = sums.metrics(&self.setup.loss, "");
        values.extend(self.clock.log());
        let has_row = self.course.open_row.as_ref().is_some_and(|row| row.step == self.course.step);
        if !has_row {
            values.insert("learning_rate".into(), self.course.schedule.last_learning_rate());
        }
        if !self.validates(epoch) {
            self.course.history.push(epoch, &values);
            self.log(epoch, values);
            self.close_epoch();
            return Ok(End::Done);
        }
        let Some(evaluation) = self.validate(epoch)? else {
            return Ok(End::Stopped);
        };
        values.extend(evaluation.metrics.clone());
        self.course.history.push(epoch, &values);
        self.log(epoch, values);
        self.context.validated(epoch, self.course.step, evaluation.metrics.clone());
        self.close_epoch();
        self.judge(epoch, evaluation)?;
        Ok(End::Done)
    }

    /// Whether the epoch is followed by a validation.
    fn validates(&self, epoch: u32) -> bool {
        let settings = &self.setup.settings;
        let every = settings.check_val_every_n_epoch;
        epoch + 1 == settings.max_epochs || (every > 0 && (epoch + 1).is_multiple_of(every))
    }

    /// Whether the validation after the epoch is drawn: every so many, and the last. It follows from the epoch alone: a
    /// run that goes on draws as if it had never stopped.
    fn draws(&self, epoch: u32) -> bool {
        let settings = &self.setup.settings;
        let validations = (epoch + 1).div_ceil(settings.check_val_every_n_epoch.max(1));
        let is_due = validations.is_multiple_of(settings.plot_every_n_val_epochs.max(1));
        self.shown.is_some() && (is_due || epoch + 1 == settings.max_epochs)
    }

    /// Validates the weights as they are, with rank 0's running statistics; `None` if asked to stop meanwhile.
    fn validate(&mut self, epoch: u32) -> Result<Option<Evaluation>, RunError> {
        self.course.model.change(|model| share_buffers(self.exchange, model))?;
        let may_be_drawn = self.draws(epoch) || self.course.early_stopping.is_last_chance();
        let shown = self.shown.as_ref().filter(|_| may_be_drawn);
        let pass = Pass { shown, ..self.pass(Phase::Validate, epoch) };
        pass.run(&self.course.model.valid(), &self.val, "val", self.regions.clone())
    }

    pub(super) fn pass(&self, phase: Phase, epoch: u32) -> Pass<'a> {
        let Setup { device, settings, loss, .. } = self.setup;
        let (context, exchange) = (self.context, self.exchange);
        let (precision, max_epochs) = (settings.precision, settings.max_epochs);
        Pass { context, exchange, device, loss, precision, phase, epoch, max_epochs, shown: None }
    }

    /// Moves the course to the next epoch.
    fn close_epoch(&mut self) {
        self.course.schedule.after_epoch();
        self.course.order.next_epoch += 1;
        self.course.order.batches_done = 0;
        self.course.sums = Sums::default();
        self.course.open_row = None;
    }

    /// Takes the value of a validation to patience, ranking, figures and checkpoints. The value is the same on all
    /// ranks, and so is what follows from it; rank 0 writes.
    fn judge(&mut self, epoch: u32, evaluation: Evaluation) -> Result<(), RunError> {
        let value = evaluation.metrics.get(MONITORED).copied().unwrap_or(f64::NAN);
        let best_before = self.course.early_stopping.best();
        self.course.monitored = Some(value);
        self.course.early_stopping.observe(value);
        self.course.schedule.after_validation(value);
        let is_best = best_before.is_none() || self.course.early_stopping.best() != best_before;
        let writes_data = is_best && self.setup.is_first();
        let is_last = self.shown.is_some() && self.course.early_stopping.is_exhausted();
        let is_drawn = self.draws(epoch) || is_last;
        if writes_data || is_drawn {
            let figures = PassFigures {
                run_dir: self.setup.plan.run_dir.clone(),
                prefix: "val",
                epoch,
                step: self.course.step,
                evaluation,
                history: Some(self.course.history.clone()),
                writes_data,
                is_drawn,
            };
            // Begun before the checkpoint, which waits for it: a run that goes on from there does not come by here again.
            self.artist.begin(move |teller| figures.perform(teller));
        }
        self.rank_and_write(epoch, value)?;
        Ok(self.exchange.barrier()?)
    }

    pub(super) fn log(&mut self, epoch: u32, values: Metrics) {
        for (name, value) in &values {
            // Almost always there: nothing is made anew.
            match self.course.metrics.get_mut(name) {
                Some(known) => *known = *value,
                None => drop(self.course.metrics.insert(name.clone(), *value)),
            }
        }
        let point = MetricPoint { epoch, step: self.course.step, values };
        self.course.open_row = Some(point.clone());
        self.context.log(point);
    }
}

/// The run's checkpoints. Rank 0 clears what a killed attempt left half-written before the others look.
fn open_checkpoints(setup: &Setup, exchange: &dyn Exchange) -> Result<Checkpoints, RunError> {
    let dir = setup.plan.run_dir.join("checkpoints");
    if setup.is_first() {
        let checkpoints = Checkpoints::open(dir)?;
        exchange.barrier()?;
        return Ok(checkpoints);
    }
    exchange.barrier()?;
    Ok(Checkpoints::of_another(dir))
}

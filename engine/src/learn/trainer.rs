//! The training loop: epochs, steps, validations, checkpoints.

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use engine_actors::outcome::Failure;
use engine_actors::protocol::{Phase, RunSummary};
use engine_tracking::{MetricPoint, Metrics};

use super::artist::Artist;
use super::clock::Clock;
use super::course::Course;
use super::error::LearnError;
use super::pass::Pass;
use super::site::Site;
use super::tally::{NotFinite, Tally};
use super::task::{Task, Validated, over_all};
use crate::models::trained_count;
use crate::training::checkpoint::{Checkpoints, Writer};
use crate::training::parallel::{Exchange, share_buffers};
use crate::workload::RunContext;

/// How a part of the training came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was done.
    Done,
    /// The run was asked to stop.
    Stopped,
}

/// A run that was trained.
pub(crate) struct Fitted {
    pub(crate) summary: RunSummary,
    /// The best checkpoint, the last where none is ranked.
    pub(crate) checkpoint: PathBuf,
}

/// Trains a run, or goes on with it, until its end or until it is asked to stop.
pub(crate) fn fit<T: Task>(
    task: &T,
    site: &Site,
    context: &RunContext,
    exchange: &dyn Exchange,
) -> Result<Fitted, T::Error> {
    let mut trainer = Trainer::prepare(task, site, context, exchange)?;
    let end = trainer.run()?;
    let checkpoint = trainer.best_checkpoint().unwrap_or_else(|| trainer.writer.checkpoints().last());
    Ok(Fitted { summary: trainer.summary(end), checkpoint })
}

/// One run's training: the whole of it, or one rank's part.
pub(super) struct Trainer<'a, T: Task> {
    pub(super) task: &'a T,
    pub(super) site: &'a Site,
    pub(super) context: &'a RunContext,
    pub(super) exchange: &'a dyn Exchange,
    pub(super) train: Arc<T::Train>,
    pub(super) artist: Artist,
    pub(super) writer: Writer<LearnError>,
    pub(super) course: Course<T>,
    pub(super) clock: Clock,
    /// Gradients of the step under way.
    pub(super) gathered: GradientsAccumulator<T::Model>,
    /// The first loss of this rank that is not finite.
    pub(super) not_finite: Option<NotFinite>,
    /// Whether a rank was asked to stop, and all know.
    pub(super) stop_agreed: bool,
    /// Whether the first rank was asked for a checkpoint, and all know.
    pub(super) checkpoint_agreed: bool,
    /// The step of the `last` that was written or gone on from last.
    pub(super) saved_step: u64,
}

impl<'a, T: Task> Trainer<'a, T> {
    /// Makes everything ready and says so.
    fn prepare(
        task: &'a T,
        site: &'a Site,
        context: &'a RunContext,
        exchange: &'a dyn Exchange,
    ) -> Result<Self, T::Error> {
        // Refused before a model is built: a batch larger than the set, an augmentation that does not fit.
        let train = task.train(site.seed())?;
        let steps = task.batches(&train).div_ceil(site.learning.accumulate_grad_batches as usize) as u64;
        let checkpoints = open_checkpoints(site, exchange)?;
        let course = Course::begin(task, site, context, &checkpoints, steps)?.shared(exchange)?;
        let train = if course.order.seed == site.seed() { train } else { task.train(course.order.seed)? };
        let (train_samples, val_samples) = task.samples();
        let parameters = trained_count(&*course.model) as u64;
        let device_text = site.device_text.clone();
        match course.from {
            Some(from) => {
                let known = (from, course.metrics.clone());
                context.goes_on(known, train_samples, val_samples, parameters, device_text);
            }
            None => context.prepared(train_samples, val_samples, parameters, device_text),
        }
        let mut artist = Artist::new(context.figure_teller());
        // One that goes on has drawn its beginning: no checkpoint stands before that.
        if course.from.is_none()
            && let Some(draw) = task.beginning()?
        {
            artist.begin(draw);
        }
        // What comes next at its place is one row with it: nothing may hand it on before.
        course.open_row.iter().for_each(|row| context.log(row.clone()));
        Ok(Self {
            task,
            site,
            context,
            exchange,
            train: Arc::new(train),
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
    fn run(&mut self) -> Result<End, T::Error> {
        let end = match (self.epochs(), self.writer.finish()) {
            (Ok(end), Ok(())) => end,
            (Err(error), Ok(())) => return Err(error),
            (Ok(_), Err(error)) => return Err(error.into()),
            (Err(error), Err(unwritten)) => {
                self.context.warn(Failure::from(unwritten).message);
                return Err(error);
            }
        };
        self.artist.finish();
        // A rank that left while others still listen would look lost to them.
        self.exchange.barrier().map_err(LearnError::from)?;
        Ok(end)
    }

    fn epochs(&mut self) -> Result<End, T::Error> {
        while self.course.order.next_epoch < self.site.learning.max_epochs
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
    fn summary(&self, end: End) -> RunSummary {
        RunSummary {
            metrics: self.course.metrics.clone(),
            best_checkpoint: self.best_checkpoint(),
            epochs: self.course.order.next_epoch,
            steps: self.course.step,
            stopped: end == End::Stopped,
        }
    }

    /// The checkpoint with the best monitored value; none where none is kept.
    fn best_checkpoint(&self) -> Option<PathBuf> {
        self.course.top_k.best().map(|ranked| self.writer.checkpoints().path(&ranked.name))
    }

    /// One epoch. A stop leaves the course between two batches, or before the validation.
    fn epoch(&mut self, epoch: u32) -> Result<End, T::Error> {
        let mut tally = Tally::new(self.course.sums.clone(), self.task);
        let trained = self.train_batches(epoch, &mut tally)?;
        self.look(&mut tally)?;
        let (sums, [not_finite]) = over_all(tally.sums()?, self.exchange, [self.not_finite.is_some()])?;
        self.end_if_not_finite(epoch, not_finite)?;
        self.course.sums = sums;
        if trained == End::Stopped {
            return Ok(End::Stopped);
        }
        let mut values = self.task.train_metrics(&self.course.sums, "");
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
        let validated = self.task.val_metrics(&evaluation).clone();
        values.extend(validated.clone());
        self.course.history.push(epoch, &values);
        self.log(epoch, values);
        self.context.validated(epoch, self.course.step, validated);
        self.close_epoch();
        self.judge(epoch, evaluation)?;
        Ok(End::Done)
    }

    /// Whether the epoch is followed by a validation.
    fn validates(&self, epoch: u32) -> bool {
        let settings = &self.site.learning;
        let every = settings.check_val_every_n_epoch;
        epoch + 1 == settings.max_epochs || (every > 0 && (epoch + 1).is_multiple_of(every))
    }

    /// Validates the weights as they are, with rank 0's running statistics; `None` if asked to stop meanwhile.
    fn validate(&mut self, epoch: u32) -> Result<Option<T::Evaluation>, T::Error> {
        self.task.settle(&self.course.model);
        self.course.model.change(|model| share_buffers(self.exchange, model)).map_err(LearnError::from)?;
        let is_last_chance = self.course.early_stopping.is_last_chance();
        self.task.validate(&self.course.model.valid(), &self.pass(Phase::Validate, epoch), is_last_chance)
    }

    pub(super) fn pass(&self, phase: Phase, epoch: u32) -> Pass<'a> {
        let Self { context, exchange, .. } = *self;
        Pass { context, exchange, phase, epoch, max_epochs: self.site.learning.max_epochs }
    }

    /// Moves the course to the next epoch.
    fn close_epoch(&mut self) {
        self.course.schedule.after_epoch();
        self.course.order.next_epoch += 1;
        self.course.order.batches_done = 0;
        self.course.sums = T::Sums::default();
        self.course.open_row = None;
    }

    /// Takes the value of a validation to patience, ranking, figures and checkpoints. The value is the same on all
    /// ranks, and so is what follows from it; rank 0 writes.
    fn judge(&mut self, epoch: u32, evaluation: T::Evaluation) -> Result<(), T::Error> {
        let monitor = self.task.monitor();
        let found = self.task.val_metrics(&evaluation);
        let Some(&value) = found.get(monitor.metric()) else {
            let known = found.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(LearnError::NotMeasured { name: monitor.metric().to_owned(), known }.into());
        };
        let merit = monitor.merit(value);
        let best_before = self.course.early_stopping.best();
        self.course.monitored = Some(value);
        self.course.early_stopping.observe(merit);
        self.course.schedule.after_validation(merit);
        let validated = Validated {
            epoch,
            step: self.course.step,
            evaluation,
            is_best: best_before.is_none() || self.course.early_stopping.best() != best_before,
            is_last: self.course.early_stopping.is_exhausted(),
            history: &self.course.history,
        };
        // Begun before the checkpoint, which waits for it: a run that goes on from there does not come by here again.
        if let Some(draw) = self.task.figures(validated) {
            self.artist.begin(draw);
        }
        self.rank_and_write(epoch, value)?;
        Ok(self.exchange.barrier().map_err(LearnError::from)?)
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
fn open_checkpoints(site: &Site, exchange: &dyn Exchange) -> Result<Checkpoints, LearnError> {
    let dir = site.plan.run_dir.join("checkpoints");
    if site.is_first() {
        let checkpoints = Checkpoints::open(dir)?;
        exchange.barrier()?;
        return Ok(checkpoints);
    }
    exchange.barrier()?;
    Ok(Checkpoints::of_another(dir))
}

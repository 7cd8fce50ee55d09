//! The batches of an epoch and the steps they make, on one device or on many.

use std::sync::Arc;

use burn::optim::GradientsParams;
use engine_actors::protocol::Phase;

use super::course::Course;
use super::error::LearnError;
use super::tally::{NotFinite, Tally};
use super::task::{Task, over_all};
use super::trainer::{End, Trainer};
use crate::nn::TrainingPass;
use crate::training::parallel::Sharing;

/// Where in the epoch a batch stands.
#[derive(Clone, Copy)]
struct Turn {
    epoch: u32,
    /// The batch's place in the epoch.
    batch: u32,
    /// The step it is part of, from 1.
    step: u64,
    /// Whether the step is taken after it.
    closes_step: bool,
}

impl<T: Task> Trainer<'_, T> {
    /// Trains on the batches of the epoch that were not trained on before. A stop leaves the course between two steps,
    /// on all ranks between the same two.
    pub(super) fn train_batches(&mut self, epoch: u32, tally: &mut Tally<'_, T>) -> Result<End, T::Error> {
        let done = self.course.order.batches_done;
        let (task, train) = (self.task, Arc::clone(&self.train));
        let batches = task.batches(&train);
        if done as usize >= batches {
            return Ok(End::Done);
        }
        let per_step = self.site.learning.accumulate_grad_batches;
        let pass = self.pass(Phase::Train, epoch);
        self.clock.reopen();
        let mut within_step = false;
        for (number, batch) in (0..).zip(task.epoch(&train, epoch)) {
            let batch = batch?;
            if number < done {
                continue;
            }
            if !within_step {
                if self.stops() {
                    return Ok(End::Stopped);
                }
                self.writer.look()?;
                if self.checkpoint_is_due() {
                    self.write_midway(epoch, tally)?;
                }
            }
            let closes_step = (number + 1) % per_step == 0 || number as usize + 1 == batches;
            let turn = Turn { epoch, batch: number, step: self.course.step + 1, closes_step };
            self.train_batch(batch, turn, tally)?;
            if closes_step {
                self.course.order.batches_done = number + 1;
            }
            within_step = !closes_step;
            self.context.progress(pass.progress(number as usize + 1, batches));
        }
        Ok(if self.stop_agreed { End::Stopped } else { End::Done })
    }

    /// Whether to stop before the next step. One process may look; several have told each other in the step before.
    fn stops(&self) -> bool {
        self.stop_agreed || (self.exchange.world() == 1 && self.context.stop_requested())
    }

    /// Whether to write `last` before the next step: every so many steps, or because it was asked for. Of several processes
    /// the first may be asked, and has told the others in the step before.
    fn checkpoint_is_due(&mut self) -> bool {
        let every = self.site.learning.checkpoint_every_n_steps.unwrap_or(0);
        let is_periodic = every > 0 && self.course.step.is_multiple_of(every.into());
        // Whoever writes knows by this what was asked for.
        self.checkpoint_agreed |= self.exchange.world() == 1 && self.context.checkpoint_requested();
        self.checkpoint_agreed || is_periodic && self.course.step > self.saved_step
    }

    /// Writes `last` between two steps of an epoch. The training goes on as if it had not been written.
    fn write_midway(&mut self, epoch: u32, tally: &mut Tally<'_, T>) -> Result<(), T::Error> {
        self.look(tally)?;
        let (sums, [not_finite]) = over_all(tally.sums()?, self.exchange, [self.not_finite.is_some()])?;
        self.end_if_not_finite(epoch, not_finite)?;
        let begun_with = std::mem::replace(&mut self.course.sums, sums);
        self.write_last(epoch)?;
        self.course.sums = begun_with;
        self.clock.reopen();
        Ok(())
    }

    /// One batch: its part of the gradients, and the step if it is the last of it.
    ///
    /// On the CPU the loss is looked at before the step is taken, so a loss that is not finite leaves the
    /// weights as they were. Elsewhere a look would wait for the device: losses are looked at when something
    /// is logged, every 64 batches, and before anything is validated or saved.
    fn train_batch(&mut self, batch: T::Batch, turn: Turn, tally: &mut Tally<'_, T>) -> Result<(), T::Error> {
        let settings = &self.site.learning;
        let every = u64::from(settings.log_every_n_steps);
        let logs = turn.closes_step && every > 0 && turn.step.is_multiple_of(every);
        let per_step = settings.accumulate_grad_batches;
        let samples = self.task.batch_samples(&batch);
        let pass = TrainingPass {
            seed: self.course.order.seed,
            epoch: turn.epoch,
            batch: turn.batch,
            rank: self.site.rank(),
        };
        self.task.begin_pass(&self.course.model, pass);
        let output = self.task.forward(&self.course.model, batch);
        tally.add_loss(turn.step, &output);
        if self.site.looks_are_free || tally.is_full() {
            self.look(tally)?;
        }
        if self.not_finite.is_none() {
            // As Lightning: the step goes along the mean over its batches, were they all there.
            let loss = self.task.loss(&output);
            let mean = if per_step == 1 { loss } else { loss.div_scalar(per_step) };
            let gradients = GradientsParams::from_grads(mean.backward(), &*self.course.model);
            self.gathered.accumulate(&*self.course.model, gradients);
        }
        self.clock.count(samples);
        if !turn.closes_step {
            return tally.add_counts(output);
        }
        if logs {
            self.look(tally)?;
        }
        let learning_rate = self.course.schedule.learning_rate();
        let gradients = self.gradients_of_all(turn)?;
        let gradients = match settings.gradient_clip {
            Some(clipping) => clipping.clip(&*self.course.model, gradients),
            None => gradients,
        };
        let Course { model, optimizer, .. } = &mut self.course;
        model.change(|model| Ok::<_, LearnError>(optimizer.step_along(learning_rate, model, gradients)))?;
        self.course.step = turn.step;
        self.course.schedule.after_step();
        if !logs {
            return tally.add_counts(output);
        }
        let (sums, []) = over_all(tally.add_logged(output)?, self.exchange, [])?;
        let mut values = self.task.train_metrics(&sums, "_step");
        values.extend(self.clock.log());
        values.insert("learning_rate".into(), learning_rate);
        self.log(turn.epoch, values);
        Ok(())
    }

    /// The gradients of the step, the mean over all ranks: unless the loss is not finite on one of them, and then on
    /// none.
    fn gradients_of_all(&mut self, turn: Turn) -> Result<GradientsParams, LearnError> {
        let gradients = self.gathered.grads();
        if self.exchange.world() == 1 {
            self.refuse_not_finite(turn, usize::from(self.not_finite.is_some()))?;
            return Ok(gradients);
        }
        let mut sharing = Sharing::of(&*self.course.model, gradients);
        // All ranks are asked for a checkpoint, each at a time of its own: the first one's word counts.
        let wanted = self.site.is_first() && self.context.checkpoint_requested();
        let questions = [self.context.stop_requested(), wanted, self.not_finite.is_some()];
        let [stops, wanted, not_finite] = sharing.agree(self.exchange, questions)?;
        self.refuse_not_finite(turn, not_finite)?;
        self.stop_agreed = stops > 0;
        self.checkpoint_agreed |= wanted > 0;
        Ok(sharing.average(self.exchange, &*self.course.model)?)
    }

    /// Looks at the losses that wait; one that is not finite is told in the next exchange.
    pub(super) fn look(&mut self, tally: &mut Tally<'_, T>) -> Result<(), T::Error> {
        if let Err(not_finite) = tally.settle()? {
            self.not_finite.get_or_insert(not_finite);
        }
        Ok(())
    }

    /// Ends the run if the loss is not finite on any of the ranks.
    pub(super) fn end_if_not_finite(&self, epoch: u32, ranks: usize) -> Result<(), LearnError> {
        self.refuse_not_finite(Turn { epoch, batch: 0, step: self.course.step, closes_step: true }, ranks)
    }

    fn refuse_not_finite(&self, turn: Turn, ranks: usize) -> Result<(), LearnError> {
        let epoch = turn.epoch;
        match self.not_finite {
            _ if ranks == 0 => Ok(()),
            Some(NotFinite { step, loss }) => Err(LearnError::Diverged { epoch, step, loss }),
            None => Err(LearnError::DivergedElsewhere { epoch, step: turn.step }),
        }
    }
}

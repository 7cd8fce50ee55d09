//! The checkpoints of a run: which are written, and in which order what follows from that.
//!
//! What is written is copied at once and written beside the training. Everything that makes a checkpoint one happens on
//! the thread that writes, in this order: what was to be drawn is drawn, the run's records are kept, the checkpoint is on disk, it is told, `last` is on
//! disk, it is told, what is no more among the best is deleted.

use super::artist::Drawing;
use super::error::LearnError;
use super::task::Task;
use super::trainer::Trainer;
use crate::training::checkpoint::{Checkpoints, Snapshot, checkpoint_name};
use crate::workload::{CheckpointTeller, Kept, Settler};

/// A checkpoint that is ranked, and those that leave for it.
#[derive(Debug, Default)]
struct Ranking {
    name: Option<String>,
    evicted: Vec<String>,
}

/// All that it takes to write a checkpoint without the run.
struct Writing {
    snapshot: Snapshot,
    ranking: Ranking,
    monitored: Option<f64>,
    /// Figures of the course as it was copied: a run that goes on from here does not draw them again.
    drawing: Option<Drawing>,
    settler: Settler,
    teller: CheckpointTeller,
}

impl<T: Task> Trainer<'_, T> {
    /// Writes `last`, and with it a ranked checkpoint if the value is among the best. Rank 0 writes; all ranks know what is
    /// ranked.
    pub(super) fn rank_and_write(&mut self, epoch: u32, value: f64) -> Result<(), LearnError> {
        let merit = self.task.monitor().merit(value);
        if !self.course.top_k.would_keep(merit) {
            return self.write(epoch, Ranking::default());
        }
        let mut name = checkpoint_name(epoch, self.course.step, &self.task.monitor_label(), value);
        if self.site.is_first() {
            // What is being written may have the name, and what is being deleted may free it.
            self.writer.finish()?;
            name = self.writer.checkpoints().free_name(&name);
        }
        let evicted = self.course.top_k.insert(name.clone(), merit);
        self.write(epoch, Ranking { name: Some(name), evicted })
    }

    /// Writes `last`.
    pub(super) fn write_last(&mut self, epoch: u32) -> Result<(), LearnError> {
        self.write(epoch, Ranking::default())
    }

    /// Has a checkpoint of the course written as it is now, and with it whatever checkpoint was asked for until now: for
    /// one that was asked for the run waits.
    fn write(&mut self, epoch: u32, ranking: Ranking) -> Result<(), LearnError> {
        let is_asked = self.context.checkpoint_requested() || self.checkpoint_agreed;
        self.checkpoint_agreed = false;
        self.saved_step = self.course.step;
        if !self.site.is_first() {
            return Ok(());
        }
        // Before the copy: there is one at a time.
        self.writer.finish()?;
        let (drawing, settler) = (self.artist.under_way(), self.context.settler());
        self.course.elapsed = self.clock.elapsed();
        let snapshot = self.course.snapshot(self.task, self.site, epoch)?;
        let (monitored, teller) = (self.course.monitored, self.context.checkpoint_teller());
        let writing = Writing { snapshot, ranking, monitored, drawing, settler, teller };
        self.writer.begin(move |checkpoints| writing.perform(checkpoints))?;
        if is_asked { self.writer.finish() } else { Ok(()) }
    }
}

impl Writing {
    fn perform(self, checkpoints: &Checkpoints) -> Result<(), LearnError> {
        let Self { snapshot, ranking: Ranking { name, evicted }, monitored, drawing, settler, teller } = self;
        drawing.iter().for_each(Drawing::wait);
        // No checkpoint holds more than the run's records do.
        if settler.ask().wait() == Kept::No {
            return Err(LearnError::EngineGone);
        }
        let (epoch, step) = (snapshot.state.epoch, snapshot.state.step);
        let last = match name {
            Some(name) => {
                let path = checkpoints.write(&name, snapshot)?;
                teller.written(path, epoch, step, monitored);
                checkpoints.write_last_as(&name)?
            }
            None => checkpoints.write_last(snapshot)?,
        };
        teller.written(last, epoch, step, monitored);
        for name in evicted {
            checkpoints.delete(&name)?;
        }
        Ok(())
    }
}

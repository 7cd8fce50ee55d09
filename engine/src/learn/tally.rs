//! Sums over an epoch of training.

use burn::tensor::Tensor;

use super::error::LearnError;
use super::task::Task;

/// Losses that may wait on the device before they are read, so that a long epoch holds few tensors.
const MOST_WAITING: usize = 64;

/// What an epoch of training has summed so far. Nothing waits for the device until something is asked for.
pub(crate) struct Tally<'a, T: Task> {
    task: &'a T,
    epoch: T::Sums,
    counts: T::Counts,
    /// Losses that are still on the device, each with its step.
    waiting: Vec<(u64, T::Waiting)>,
}

/// A loss that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NotFinite {
    pub(super) step: u64,
    pub(super) loss: f64,
}

impl<'a, T: Task> Tally<'a, T> {
    /// Goes on from the sums of the epoch's batches so far.
    pub(super) fn new(epoch: T::Sums, task: &'a T) -> Self {
        Self { task, epoch, counts: task.counts(), waiting: Vec::new() }
    }

    /// Adds the loss of a batch of a step.
    pub(super) fn add_loss(&mut self, step: u64, output: &T::Output) {
        self.waiting.push((step, self.task.waiting(output)));
    }

    /// Whether so many losses wait that they should be settled.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// Reads the losses that wait. The first that is not finite ends the run.
    pub(super) fn settle(&mut self) -> Result<Result<(), NotFinite>, T::Error> {
        if self.waiting.is_empty() {
            return Ok(Ok(()));
        }
        let (steps, waiting): (Vec<u64>, Vec<T::Waiting>) =
            std::mem::take(&mut self.waiting).into_iter().unzip();
        for (step, sums) in steps.into_iter().zip(self.task.read(waiting)?) {
            let loss = self.task.mean_loss(&sums);
            if !loss.is_finite() {
                return Ok(Err(NotFinite { step, loss }));
            }
            self.epoch += sums;
        }
        Ok(Ok(()))
    }

    /// Adds the counts of a batch.
    pub(super) fn add_counts(&mut self, output: T::Output) -> Result<(), T::Error> {
        self.task.count(&mut self.counts, output)
    }

    /// Adds the counts of a batch and returns its sums.
    pub(super) fn add_logged(&mut self, output: T::Output) -> Result<T::Sums, T::Error> {
        self.epoch += self.task.counted(&mut self.counts)?;
        let waiting = self.task.waiting(&output);
        self.task.count(&mut self.counts, output)?;
        let counted = self.task.counted(&mut self.counts)?;
        self.epoch += counted.clone();
        let mut batch = counted;
        for losses in self.task.read(vec![waiting])? {
            batch += losses;
        }
        Ok(batch)
    }

    /// The sums so far; call [`Tally::settle`] before.
    pub(super) fn sums(&mut self) -> Result<T::Sums, T::Error> {
        self.epoch += self.task.counted(&mut self.counts)?;
        Ok(self.epoch.clone())
    }
}

/// Reads a row of numbers from the device.
pub(crate) fn read_values(row: Tensor<1>) -> Result<Vec<f64>, LearnError> {
    match row.into_data().convert::<f32>().try_into_vec::<f32>() {
        Ok(values) => Ok(values.into_iter().map(f64::from).collect()),
        Err(reason) => Err(LearnError::LostValue { reason: format!("{reason:?}") }),
    }
}

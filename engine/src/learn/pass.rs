//! One pass over a set of samples that nothing is learnt from.

use engine_actors::protocol::{Phase, Progress};

use super::error::LearnError;
use crate::training::parallel::Exchange;
use crate::workload::RunContext;

/// A pass over a set: with whom it is shared, and how it is told.
pub(crate) struct Pass<'a> {
    pub(crate) context: &'a RunContext,
    /// With whom the set is shared.
    pub(crate) exchange: &'a dyn Exchange,
    pub(crate) phase: Phase,
    pub(crate) epoch: u32,
    pub(crate) max_epochs: u32,
}

/// What a pass sums up. Everything is summed over the pass, and over the ranks that share the set, and divided once.
pub(crate) trait Evaluator {
    type Batch;
    type Error: From<LearnError>;
    type Evaluation;

    /// Adds a batch.
    fn add(&mut self, batch: Self::Batch) -> Result<(), Self::Error>;

    /// Makes the rows of all ranks hold the same; see [`Sums::agree`](super::task::Sums::agree).
    fn agree(&mut self, _exchange: &dyn Exchange) -> Result<(), LearnError> {
        Ok(())
    }

    /// The sums as one row of numbers.
    fn to_flat(&self) -> Vec<f64>;

    /// What is found by the sums of all ranks.
    fn finish(self, flat: &[f64]) -> Result<Self::Evaluation, Self::Error>;
}

impl Pass<'_> {
    /// Evaluates every batch; `None` if the run was asked to stop before the end.
    ///
    /// All ranks come to the same numbers, and all to `None` if one of them was asked to stop.
    pub(crate) fn run<E: Evaluator>(
        &self,
        mut evaluator: E,
        batches: usize,
        of_set: impl Iterator<Item = Result<E::Batch, E::Error>>,
    ) -> Result<Option<E::Evaluation>, E::Error> {
        let mut stops = false;
        for (number, batch) in of_set.enumerate() {
            stops = self.context.stop_requested();
            if stops {
                break;
            }
            evaluator.add(batch?)?;
            self.context.progress(self.progress(number + 1, batches));
        }
        if self.exchange.world() > 1 {
            evaluator.agree(self.exchange)?;
        }
        let mut sums = vec![f64::from(u8::from(stops))];
        sums.extend(evaluator.to_flat());
        self.exchange.sum(&mut sums).map_err(LearnError::from)?;
        if sums[0] > 0.0 {
            return Ok(None);
        }
        evaluator.finish(&sums[1..]).map(Some)
    }

    /// Where the pass is.
    pub(crate) fn progress(&self, batch: usize, batches: usize) -> Progress {
        Progress {
            epoch: self.epoch,
            max_epochs: self.max_epochs,
            batch: u32::try_from(batch).unwrap_or(u32::MAX),
            batches: u32::try_from(batches).unwrap_or(u32::MAX),
            phase: self.phase,
        }
    }
}

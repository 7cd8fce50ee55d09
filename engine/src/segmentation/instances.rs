//! Counting instances beside a test pass.

use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Sender, bounded};

use super::error::RunError;
use crate::metrics::{InstanceCounter, InstanceEvaluation, MetricsError};

/// Name of the thread that counts.
const THREAD: &str = "engine-instances";
/// Batches that wait to be counted. One is enough for a pass that is slower than the counting, two bridge a batch of noise.
const WAITING: usize = 2;

/// A batch that was predicted.
struct Predicted {
    probabilities: Vec<f32>,
    labels: Vec<u8>,
    /// Height and width of each sample.
    size: (usize, usize),
}

/// Counts the instances of batch after batch on a thread of its own, in their order.
pub(super) struct Counting {
    batches: Sender<Predicted>,
    thread: JoinHandle<Result<InstanceEvaluation, MetricsError>>,
}

impl Counting {
    pub(super) fn begin() -> Result<Self, RunError> {
        let (batches, predicted) = bounded::<Predicted>(WAITING);
        let count = move || {
            let mut counter = InstanceCounter::default();
            for Predicted { probabilities, labels, size } in predicted {
                let pixels = (size.0 * size.1).max(1);
                for (probabilities, labels) in probabilities.chunks(pixels).zip(labels.chunks(pixels)) {
                    counter.add(probabilities, labels, size)?;
                }
            }
            Ok(counter.sums)
        };
        let thread = Builder::new().name(THREAD.into()).spawn(count);
        let thread = thread.map_err(|source| RunError::NoThread { what: "counting instances", source })?;
        Ok(Self { batches, thread })
    }

    /// Hands a batch over; waits where the counting is behind.
    pub(super) fn add(&self, probabilities: Vec<f32>, labels: Vec<u8>, size: (usize, usize)) {
        // A thread that ended before its time has an error to tell at the end.
        let _gone = self.batches.send(Predicted { probabilities, labels, size });
    }

    /// Waits until all is counted.
    ///
    /// # Panics
    /// As the thread did.
    pub(super) fn finish(self) -> Result<InstanceEvaluation, RunError> {
        let Self { batches, thread } = self;
        drop(batches);
        match thread.join() {
            Ok(counted) => Ok(counted?),
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_as_their_samples_one_by_one() {
        let probabilities: Vec<f32> = (0..480).map(|pixel| (pixel * 37 % 101) as f32 / 100.0).collect();
        let labels: Vec<u8> = (0..480).map(|pixel| [0, 1, 1, 0, 2][pixel / 3 % 5]).collect();
        let counting = Counting::begin().unwrap();
        // Ten samples of 6 × 8 pixels in batches of four.
        for (probabilities, labels) in probabilities.chunks(4 * 48).zip(labels.chunks(4 * 48)) {
            counting.add(probabilities.to_vec(), labels.to_vec(), (6, 8));
        }
        let mut counter = InstanceCounter::default();
        for (probabilities, labels) in probabilities.chunks(48).zip(labels.chunks(48)) {
            counter.add(probabilities, labels, (6, 8)).unwrap();
        }
        let counted = counting.finish().unwrap();
        assert_eq!(counted, counter.sums);
        assert!(counted.at_half.true_positives > 0, "{counted:?}");
    }

    #[test]
    fn what_can_not_be_counted_is_told_at_the_end() {
        let counting = Counting::begin().unwrap();
        for _ in 0..2 * WAITING {
            counting.add(vec![0.5; 3], vec![0; 3], (2, 2));
        }
        assert!(matches!(counting.finish(), Err(RunError::Metrics(MetricsError::SizeMismatch { .. }))));
    }
}

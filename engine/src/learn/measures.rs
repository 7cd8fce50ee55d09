//! What a learner measures, as means over samples that add up over batches and processes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::AddAssign;

use burn::tensor::Tensor;
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::error::LearnError;
use super::learner::{Measured, Step};
use super::tally::read_values;
use super::task::Sums;
use crate::training::checkpoint::values;
use crate::training::parallel::{Exchange, gather};

/// Parts names in an exchange; no name of a metric holds it, for tables are written line by line.
const BETWEEN_NAMES: char = '\n';

/// Loss and metrics of some batches, summed over their samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Measures {
    loss: f64,
    samples: f64,
    /// By name, the sum over the samples.
    #[serde(with = "values")]
    sums: Metrics,
    /// By name, how many samples that are.
    #[serde(with = "values")]
    weights: Metrics,
}

impl AddAssign for Measures {
    fn add_assign(&mut self, others: Self) {
        self.loss += others.loss;
        self.samples += others.samples;
        for (own, others) in [(&mut self.sums, others.sums), (&mut self.weights, others.weights)] {
            for (name, value) in others {
                *own.entry(name).or_default() += value;
            }
        }
    }
}

impl Sums for Measures {
    fn to_flat(&self) -> Vec<f64> {
        let pairs = self.sums.values().zip(self.weights.values()).flat_map(|(sum, weight)| [*sum, *weight]);
        [self.loss, self.samples].into_iter().chain(pairs).collect()
    }

    fn set_flat(&mut self, flat: &[f64]) {
        let [loss, samples, pairs @ ..] = flat else { return };
        (self.loss, self.samples) = (*loss, *samples);
        let own = self.sums.values_mut().zip(self.weights.values_mut());
        for ((sum, weight), [new_sum, new_weight]) in own.zip(pairs.as_chunks().0) {
            (*sum, *weight) = (*new_sum, *new_weight);
        }
    }

    /// A rank without a batch has measured nothing and knows no name.
    fn agree(&mut self, exchange: &dyn Exchange) -> Result<(), LearnError> {
        for name in all_names(exchange, self.sums.keys())? {
            self.sums.entry(name.clone()).or_default();
            self.weights.entry(name).or_default();
        }
        Ok(())
    }
}

impl Measures {
    /// The mean loss.
    pub(super) fn mean_loss(&self) -> f64 {
        self.loss / self.samples
    }

    /// The means, named `{prefix}/{metric}{suffix}`.
    pub(super) fn means(&self, prefix: &str, suffix: &str) -> Metrics {
        let pairs = self.sums.iter().zip(self.weights.values());
        let means = pairs.map(|((name, sum), weight)| (name.as_str(), sum / weight));
        let all = means.chain([("loss", self.mean_loss())]);
        all.map(|(name, mean)| (format!("{prefix}/{name}{suffix}"), mean)).collect()
    }
}

/// The names that any rank knows.
fn all_names<'a>(
    exchange: &dyn Exchange,
    own: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<String>, LearnError> {
    let own = own.cloned().collect::<Vec<_>>().join(&BETWEEN_NAMES.to_string());
    let lengths = gather(exchange, [own.len() as f64])?;
    let longest = lengths.iter().fold(0.0_f64, |longest, [length]| longest.max(*length)) as usize;
    let mut row = vec![0.0; longest * exchange.world()];
    let place = row.iter_mut().skip(longest * exchange.rank());
    place.zip(own.bytes()).for_each(|(value, byte)| *value = f64::from(byte));
    exchange.sum(&mut row)?;
    let texts = row.chunks(longest.max(1)).map(|text| {
        let bytes = text.iter().map(|value| *value as u8).take_while(|byte| *byte != 0).collect::<Vec<_>>();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let names = texts.flat_map(|text| text.split(BETWEEN_NAMES).map(str::to_owned).collect::<Vec<_>>());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// What was measured of a batch, where it may still be on the device.
pub(super) struct Waiting {
    step: Step,
    samples: usize,
}

impl Waiting {
    /// Without graphs.
    pub(super) fn of(step: &Step, samples: usize) -> Self {
        let metrics = step.metrics.iter().map(|(name, value)| {
            let value = match value {
                Measured::OnDevice(tensor) => {
                    Measured::from(mean_of(Tensor::clone(tensor).without_autodiff()))
                }
                Measured::Number(number) => Measured::Number(*number),
            };
            (name.clone(), value)
        });
        let metrics = metrics.collect();
        Self { step: Step { loss: step.loss.clone().without_autodiff(), metrics }, samples }
    }
}

fn mean_of(tensor: Tensor<1>) -> Tensor<1> {
    if tensor.dims() == [1] { tensor } else { tensor.mean() }
}

/// Reads what waits: one look at the device.
pub(super) fn read(waiting: Vec<Waiting>) -> Result<Vec<Measures>, LearnError> {
    let mut tensors = Vec::new();
    for Waiting { step, .. } in &waiting {
        tensors.push(step.loss.clone());
        tensors.extend(step.metrics.iter().filter_map(|(_, value)| match value {
            Measured::OnDevice(tensor) => Some(Tensor::clone(tensor)),
            Measured::Number(_) => None,
        }));
    }
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = read_values(Tensor::cat(tensors, 0))?.into_iter();
    let mut next =
        || values.next().ok_or_else(|| LearnError::LostValue { reason: "too few came back".into() });
    waiting
        .into_iter()
        .map(|Waiting { step, samples }| {
            let samples = samples as f64;
            let mut measures = Measures { loss: next()? * samples, samples, ..Measures::default() };
            for (name, value) in step.metrics {
                let mean = match value {
                    Measured::OnDevice(_) => next()?,
                    Measured::Number(number) => number,
                };
                measures.measure(name, mean * samples, samples);
            }
            Ok(measures)
        })
        .collect()
}

impl Measures {
    fn measure(&mut self, name: Cow<'static, str>, sum: f64, samples: f64) {
        let name = name.into_owned();
        *self.sums.entry(name.clone()).or_default() += sum;
        *self.weights.entry(name).or_default() += samples;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;
    use crate::training::parallel::ExchangeError;

    fn measures(loss: f64, samples: f64, metrics: &[(&str, f64)]) -> Measures {
        let mut measures = Measures { loss: loss * samples, samples, ..Measures::default() };
        for (name, mean) in metrics {
            measures.measure(Cow::Owned((*name).to_owned()), mean * samples, samples);
        }
        measures
    }

    #[test]
    fn a_batch_weighs_as_much_as_it_has_samples() {
        let mut all = measures(1.0, 3.0, &[("accuracy", 1.0)]);
        all += measures(5.0, 1.0, &[("accuracy", 0.0), ("recall", 0.5)]);
        let means = all.means("val", "");
        let expected = [("val/accuracy", 0.75), ("val/loss", 2.0), ("val/recall", 0.5)];
        assert_eq!(means, expected.map(|(name, mean)| (name.to_owned(), mean)).into());
    }

    #[test]
    fn what_is_not_finite_survives_a_checkpoint() {
        let sums = measures(1.0, 2.0, &[("odd", f64::INFINITY)]);
        let read: Measures = serde_json::from_value(serde_json::to_value(&sums).unwrap()).unwrap();
        assert_eq!(read, sums);
    }

    /// Two ranks on two threads, each of which tells the other what it has.
    struct Pair {
        rank: usize,
        to: SyncSender<Vec<f64>>,
        from: Mutex<Receiver<Vec<f64>>>,
    }

    impl Exchange for Pair {
        fn rank(&self) -> usize {
            self.rank
        }

        fn world(&self) -> usize {
            2
        }

        fn sum(&self, values: &mut [f64]) -> Result<(), ExchangeError> {
            self.to.send(values.to_vec()).unwrap();
            let others = self.from.lock().unwrap().recv().unwrap();
            assert_eq!(others.len(), values.len(), "ranks exchange as much");
            values.iter_mut().zip(others).for_each(|(value, other)| *value += other);
            Ok(())
        }

        fn mean(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError> {
            Ok(tensors)
        }

        fn spread(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError> {
            Ok(tensors)
        }

        fn barrier(&self) -> Result<(), ExchangeError> {
            Ok(())
        }
    }

    #[test]
    fn ranks_that_measured_different_things_come_to_the_same_numbers() {
        let (to_second, from_first) = sync_channel(1);
        let (to_first, from_second) = sync_channel(1);
        let pairs = [
            Pair { rank: 0, to: to_second, from: Mutex::new(from_second) },
            Pair { rank: 1, to: to_first, from: Mutex::new(from_first) },
        ];
        // One has no batch at all.
        let own = [measures(1.0, 2.0, &[("accuracy", 0.5), ("überlappung", 0.25)]), Measures::default()];
        let both: Vec<_> = std::thread::scope(|scope| {
            let ranks: Vec<_> = pairs
                .into_iter()
                .zip(own)
                .map(|(pair, own)| {
                    scope.spawn(move || super::super::task::over_all(own, &pair, [true]).unwrap())
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        assert_eq!(both[0], both[1]);
        assert_eq!(both[0].1, [2]);
        assert_eq!(both[0].0, measures(1.0, 2.0, &[("accuracy", 0.5), ("überlappung", 0.25)]));
    }
}

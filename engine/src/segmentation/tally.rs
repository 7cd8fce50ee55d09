//! Sums over an epoch of training, and what is logged of them.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor};
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::error::RunError;
use crate::loss::LossSums;
use crate::metrics::{ConfusionCounts, DeviceCounts};
use crate::training::parallel::{Exchange, ExchangeError};

/// Losses that may wait on the device before they are read, so that a long epoch holds few tensors.
const MOST_WAITING: usize = 64;

/// Loss and counts of some batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// Sum of the loss over the pixels that count.
    loss: f64,
    /// How many count.
    pixels: f64,
    counts: ConfusionCounts,
}

impl Sums {
    /// Adds up those of all ranks, and how many ranks say yes to each question; one exchange.
    pub(super) fn over_all<const N: usize>(
        self,
        exchange: &dyn Exchange,
        questions: [bool; N],
    ) -> Result<(Self, [usize; N]), ExchangeError> {
        let mut flat = vec![self.loss, self.pixels];
        flat.extend(self.counts.to_flat());
        flat.extend(questions.map(|yes| f64::from(u8::from(yes))));
        exchange.sum(&mut flat)?;
        let counts = ConfusionCounts::from_flat(std::array::from_fn(|at| flat[2 + at]));
        let answers = std::array::from_fn(|at| flat[6 + at] as usize);
        Ok((Self { loss: flat[0], pixels: flat[1], counts }, answers))
    }

    fn add_loss(&mut self, loss: f64, pixels: f64) {
        self.loss += loss;
        self.pixels += pixels;
    }

    /// Mean loss over the pixels that count; 0 where none does, as in training.
    pub(super) fn mean_loss(loss: f64, pixels: f64) -> f64 {
        if pixels == 0.0 { 0.0 } else { loss / pixels }
    }

    /// The nine train metrics, named `train/{metric}{suffix}`.
    pub(super) fn metrics(&self, suffix: &str) -> Metrics {
        let loss = ("train/loss".to_owned(), Self::mean_loss(self.loss, self.pixels));
        let all = self.counts.metrics("train").into_iter().chain([loss]);
        all.map(|(name, value)| (name + suffix, value)).collect()
    }
}

/// What an epoch of training has summed so far. Nothing waits for the device until something is asked for.
pub(super) struct Tally {
    epoch: Sums,
    counts: DeviceCounts,
    waiting: Vec<Waiting>,
}

/// A batch's loss that is still on the device.
struct Waiting {
    step: u64,
    total: Tensor<1>,
    pixels: Tensor<1>,
}

/// A loss that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NotFinite {
    pub(super) step: u64,
    pub(super) loss: f64,
}

impl Tally {
    /// Goes on from the sums of the epoch's batches so far.
    pub(super) fn new(epoch: Sums, device: &Device) -> Self {
        Self { epoch, counts: DeviceCounts::new(device), waiting: Vec::new() }
    }

    /// Adds the loss of a batch of a step.
    pub(super) fn add_loss(&mut self, step: u64, sums: &LossSums) {
        let (total, pixels) = (sums.total.clone().inner(), sums.pixels.clone().inner());
        self.waiting.push(Waiting { step, total, pixels });
    }

    /// Whether so many losses wait that they should be settled.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// Reads the losses that wait. The first that is not finite ends the run.
    pub(super) fn settle(&mut self) -> Result<Result<(), NotFinite>, RunError> {
        if self.waiting.is_empty() {
            return Ok(Ok(()));
        }
        let waiting = std::mem::take(&mut self.waiting);
        let steps: Vec<u64> = waiting.iter().map(|one| one.step).collect();
        let (totals, pixels): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|one| (one.total, one.pixels)).unzip();
        let (totals, pixels) = (values(Tensor::cat(totals, 0))?, values(Tensor::cat(pixels, 0))?);
        for ((step, total), pixels) in steps.into_iter().zip(totals).zip(pixels) {
            let loss = Sums::mean_loss(total, pixels);
            if !loss.is_finite() {
                return Ok(Err(NotFinite { step, loss }));
            }
            self.epoch.add_loss(total, pixels);
        }
        Ok(Ok(()))
    }

    /// Adds the predictions of a batch.
    pub(super) fn add_counts(&mut self, logits: Tensor<3>, target: Tensor<3, Int>) -> Result<(), RunError> {
        Ok(self.counts.add(logits, target)?)
    }

    /// Adds the predictions of a batch and returns its sums.
    pub(super) fn add_logged(
        &mut self,
        logits: Tensor<3>,
        target: Tensor<3, Int>,
        sums: &LossSums,
    ) -> Result<Sums, RunError> {
        self.epoch.counts += self.counts.take()?;
        self.counts.add(logits, target)?;
        let counts = self.counts.take()?;
        self.epoch.counts += counts;
        let mut step = Sums { counts, ..Sums::default() };
        step.add_loss(value(sums.total.clone().inner())?, value(sums.pixels.clone().inner())?);
        Ok(step)
    }

    /// The sums so far; call [`Tally::settle`] before.
    pub(super) fn sums(&mut self) -> Result<Sums, RunError> {
        self.epoch.counts += self.counts.take()?;
        Ok(self.epoch)
    }
}

/// Reads a tensor of one element.
pub(super) fn value(tensor: Tensor<1>) -> Result<f64, RunError> {
    values(tensor)?.first().copied().ok_or_else(|| RunError::LostValue { reason: "it has no element".into() })
}

fn values(tensor: Tensor<1>) -> Result<Vec<f64>, RunError> {
    let values = tensor.into_data().convert::<f32>().try_into_vec::<f32>();
    match values {
        Ok(values) => Ok(values.into_iter().map(f64::from).collect()),
        Err(reason) => Err(RunError::LostValue { reason: format!("{reason:?}") }),
    }
}

/// Time and throughput, which are logged but decide nothing.
pub(super) struct Clock {
    started: Instant,
    before: Duration,
    window: Instant,
    batches: u64,
    samples: u64,
}

impl Clock {
    /// Goes on after `before`, the time trained in earlier attempts.
    pub(super) fn start(before: Duration) -> Self {
        let now = Instant::now();
        Self { started: now, before, window: now, batches: 0, samples: 0 }
    }

    /// Time trained, earlier attempts included.
    pub(super) fn elapsed(&self) -> Duration {
        self.before + self.started.elapsed()
    }

    /// Begins a new window: what came before (a validation, a checkpoint) is no training.
    pub(super) fn reopen(&mut self) {
        (self.window, self.batches, self.samples) = (Instant::now(), 0, 0);
    }

    /// Counts one batch.
    pub(super) fn count(&mut self, samples: usize) {
        self.batches += 1;
        self.samples += samples as u64;
    }

    /// Time and throughput of the window, which then begins anew; empty if it holds no batch.
    pub(super) fn log(&mut self) -> Metrics {
        if self.batches == 0 {
            return Metrics::new();
        }
        let seconds = self.window.elapsed().as_secs_f64().max(f64::EPSILON);
        let metrics = [
            ("train/device/samples_per_second", self.samples as f64 / seconds),
            ("train/device/batches_per_second", self.batches as f64 / seconds),
            ("train/time", self.elapsed().as_secs_f64()),
        ];
        self.reopen();
        metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

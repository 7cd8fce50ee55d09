//! Sums over an epoch of training, and what is logged of them.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor};
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::error::RunError;
use crate::loss::{FLAT_TOTALS, Loss, LossSums, LossTotals};
use crate::metrics::{ConfusionCounts, DeviceCounts};
use crate::training::parallel::{Exchange, ExchangeError};

/// Losses that may wait on the device before they are read, so that a long epoch holds few tensors.
const MOST_WAITING: usize = 64;

/// Loss and counts of some batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    #[serde(flatten)]
    losses: LossTotals,
    counts: ConfusionCounts,
}

impl Sums {
    /// Adds up those of all ranks, and how many ranks say yes to each question; one exchange.
    pub(super) fn over_all<const N: usize>(
        self,
        exchange: &dyn Exchange,
        questions: [bool; N],
    ) -> Result<(Self, [usize; N]), ExchangeError> {
        let mut flat = questions.map(|yes| f64::from(u8::from(yes))).to_vec();
        flat.extend(self.losses.to_flat());
        flat.extend(self.counts.to_flat());
        exchange.sum(&mut flat)?;
        let answers = std::array::from_fn(|at| flat[at] as usize);
        let losses = LossTotals::from_flat(std::array::from_fn(|at| flat[N + at]));
        let counts = ConfusionCounts::from_flat(std::array::from_fn(|at| flat[N + FLAT_TOTALS + at]));
        Ok((Self { losses, counts }, answers))
    }

    /// The nine train metrics, named `train/{metric}{suffix}`.
    pub(super) fn metrics(&self, loss: &Loss, suffix: &str) -> Metrics {
        let loss = ("train/loss".to_owned(), loss.mean(&self.losses));
        let all = self.counts.metrics("train").into_iter().chain([loss]);
        all.map(|(name, value)| (name + suffix, value)).collect()
    }
}

/// What an epoch of training has summed so far. Nothing waits for the device until something is asked for.
pub(super) struct Tally<'a> {
    loss: &'a Loss,
    epoch: Sums,
    counts: DeviceCounts,
    waiting: Vec<Waiting>,
}

/// A batch's loss that is still on the device.
struct Waiting {
    step: u64,
    total: Tensor<1>,
    pixels: Tensor<1>,
    overlaps: Option<Tensor<1>>,
}

/// A loss that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NotFinite {
    pub(super) step: u64,
    pub(super) loss: f64,
}

impl<'a> Tally<'a> {
    /// Goes on from the sums of the epoch's batches so far.
    pub(super) fn new(epoch: Sums, loss: &'a Loss, device: &Device) -> Self {
        Self { loss, epoch, counts: DeviceCounts::new(device), waiting: Vec::new() }
    }

    /// Adds the loss of a batch of a step.
    pub(super) fn add_loss(&mut self, step: u64, sums: &LossSums) {
        let (total, pixels) = (sums.total.clone().inner(), sums.pixels.clone().inner());
        let overlaps = sums.overlaps.clone().map(Tensor::inner);
        self.waiting.push(Waiting { step, total, pixels, overlaps });
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
        let (mut totals, mut pixels, mut overlaps) = (Vec::new(), Vec::new(), Vec::new());
        for one in waiting {
            totals.push(one.total);
            pixels.push(one.pixels);
            overlaps.extend(one.overlaps);
        }
        let (totals, pixels) = (values(Tensor::cat(totals, 0))?, values(Tensor::cat(pixels, 0))?);
        let overlaps = if overlaps.is_empty() { Vec::new() } else { values(Tensor::cat(overlaps, 0))? };
        let mut overlaps = overlaps.as_chunks().0.iter().copied();
        for ((step, total), pixels) in steps.into_iter().zip(totals).zip(pixels) {
            let batch = LossTotals { total, pixels, overlaps: overlaps.next().unwrap_or_default() };
            let loss = self.loss.mean(&batch);
            if !loss.is_finite() {
                return Ok(Err(NotFinite { step, loss }));
            }
            self.epoch.losses.add(&batch);
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
        Ok(Sums { losses: totals(sums.clone())?, counts })
    }

    /// The sums so far; call [`Tally::settle`] before.
    pub(super) fn sums(&mut self) -> Result<Sums, RunError> {
        self.epoch.counts += self.counts.take()?;
        Ok(self.epoch)
    }
}

/// Reads the sums of a batch; one look at the device.
pub(super) fn totals(sums: LossSums) -> Result<LossTotals, RunError> {
    let parts = [Some(sums.total), Some(sums.pixels), sums.overlaps];
    let read = values(Tensor::cat(parts.into_iter().flatten().map(Tensor::without_autodiff).collect(), 0))?;
    match read[..] {
        [total, pixels] => Ok(LossTotals { total, pixels, overlaps: [0.0; 3] }),
        [total, pixels, overlap, predicted, positive] => {
            Ok(LossTotals { total, pixels, overlaps: [overlap, predicted, positive] })
        }
        _ => Err(RunError::LostValue { reason: format!("{} sums came back", read.len()) }),
    }
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

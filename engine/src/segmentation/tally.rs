//! Sums of losses and counts over batches, and what is logged of them.

use std::ops::AddAssign;

use burn::tensor::Tensor;
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::error::RunError;
use crate::learn::{self, LearnError, read_values};
use crate::loss::{FLAT_TOTALS, Loss, LossSums, LossTotals};
use crate::metrics::ConfusionCounts;

/// Loss and counts of some batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    #[serde(flatten)]
    losses: LossTotals,
    counts: ConfusionCounts,
}

impl From<ConfusionCounts> for Sums {
    fn from(counts: ConfusionCounts) -> Self {
        Self { counts, losses: LossTotals::default() }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, others: Self) {
        self.losses.add(&others.losses);
        self.counts += others.counts;
    }
}

impl learn::Sums for Sums {
    fn to_flat(&self) -> Vec<f64> {
        self.losses.to_flat().into_iter().chain(self.counts.to_flat()).collect()
    }

    fn set_flat(&mut self, flat: &[f64]) {
        self.losses = LossTotals::from_flat(std::array::from_fn(|at| flat[at]));
        self.counts = ConfusionCounts::from_flat(std::array::from_fn(|at| flat[FLAT_TOTALS + at]));
    }
}

impl Sums {
    /// The mean loss.
    pub(super) fn mean_loss(&self, loss: &Loss) -> f64 {
        loss.mean(&self.losses)
    }

    /// The nine train metrics, named `train/{metric}{suffix}`.
    pub(super) fn metrics(&self, loss: &Loss, suffix: &str) -> Metrics {
        let loss = ("train/loss".to_owned(), self.mean_loss(loss));
        let all = self.counts.metrics("train").into_iter().chain([loss]);
        all.map(|(name, value)| (name + suffix, value)).collect()
    }
}

/// A batch's loss that is still on the device.
pub(super) struct Waiting {
    total: Tensor<1>,
    pixels: Tensor<1>,
    overlaps: Option<Tensor<1>>,
}

impl Waiting {
    /// The loss without its graph.
    pub(super) fn of(sums: &LossSums) -> Self {
        let (total, pixels) = (sums.total.clone().inner(), sums.pixels.clone().inner());
        Self { total, pixels, overlaps: sums.overlaps.clone().map(Tensor::inner) }
    }
}

/// Reads losses that wait.
pub(super) fn read(waiting: Vec<Waiting>) -> Result<Vec<Sums>, RunError> {
    let (mut totals, mut pixels, mut overlaps) = (Vec::new(), Vec::new(), Vec::new());
    for one in waiting {
        totals.push(one.total);
        pixels.push(one.pixels);
        overlaps.extend(one.overlaps);
    }
    let (totals, pixels) = (read_values(Tensor::cat(totals, 0))?, read_values(Tensor::cat(pixels, 0))?);
    let overlaps = if overlaps.is_empty() { Vec::new() } else { read_values(Tensor::cat(overlaps, 0))? };
    let mut overlaps = overlaps.as_chunks().0.iter().copied();
    let losses = totals.into_iter().zip(pixels).map(|(total, pixels)| LossTotals {
        total,
        pixels,
        overlaps: overlaps.next().unwrap_or_default(),
    });
    Ok(losses.map(|losses| Sums { losses, counts: ConfusionCounts::default() }).collect())
}

/// Reads the sums of a batch; one look at the device.
pub(super) fn totals(sums: LossSums) -> Result<LossTotals, RunError> {
    let parts = [Some(sums.total), Some(sums.pixels), sums.overlaps];
    let read =
        read_values(Tensor::cat(parts.into_iter().flatten().map(Tensor::without_autodiff).collect(), 0))?;
    match read[..] {
        [total, pixels] => Ok(LossTotals { total, pixels, overlaps: [0.0; 3] }),
        [total, pixels, overlap, predicted, positive] => {
            Ok(LossTotals { total, pixels, overlaps: [overlap, predicted, positive] })
        }
        _ => Err(LearnError::LostValue { reason: format!("{} sums came back", read.len()) }.into()),
    }
}

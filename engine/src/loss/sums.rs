//! Losses as sums that add up.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::region::Regions;

/// A batch's loss as sums, all on the device, so that passes add up exactly.
#[derive(Debug, Clone)]
pub struct LossSums {
    /// Sum over the pixels that count of what each of them costs, `[1]`.
    pub total: Tensor<1>,
    /// How many pixels count, `[1]`.
    pub pixels: Tensor<1>,
    /// What region losses are made of, `[3]`; none where the loss has none.
    pub overlaps: Option<Tensor<1>>,
    pub(super) regions: Regions,
}

impl LossSums {
    pub(super) fn of_pixels(total: Tensor<1>, pixels: Tensor<1>) -> Self {
        Self { total, pixels, overlaps: None, regions: Regions::default() }
    }

    /// The loss of the batch, `[1]`: mean over the pixels that count, and what regions add; 0, with zero gradients, if none
    /// counts.
    ///
    /// This is the training loss: a batch of nothing but ignored pixels teaches nothing and costs no
    /// look at the device to find out.
    pub fn mean(&self) -> Tensor<1> {
        let mean = self.total.clone() / self.pixels.clone().clamp_min(1.0);
        match self.overlaps.as_ref().and_then(|overlaps| self.regions.of(overlaps)) {
            Some(regions) => mean + regions,
            None => mean,
        }
    }
}

/// Numbers of [`LossTotals::to_flat`].
pub const FLAT_TOTALS: usize = 5;

/// [`LossSums`] of any number of batches, on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LossTotals {
    /// Sum over the pixels that count of what each of them costs.
    #[serde(rename = "loss")]
    pub total: f64,
    /// How many pixels count.
    pub pixels: f64,
    /// Sum of the probabilities of the positives, of all probabilities, and how many positives there are; zeros where the
    /// loss has no region losses.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub overlaps: [f64; 3],
}

fn is_empty(overlaps: &[f64; 3]) -> bool {
    *overlaps == [0.0; 3]
}

impl LossTotals {
    /// Adds those of others.
    pub fn add(&mut self, others: &Self) {
        self.total += others.total;
        self.pixels += others.pixels;
        self.overlaps.iter_mut().zip(others.overlaps).for_each(|(sum, other)| *sum += other);
    }

    /// As one row of numbers, for an exchange.
    pub fn to_flat(self) -> [f64; FLAT_TOTALS] {
        let [overlap, predicted, positive] = self.overlaps;
        [self.total, self.pixels, overlap, predicted, positive]
    }

    /// From [`LossTotals::to_flat`].
    pub fn from_flat([total, pixels, overlap, predicted, positive]: [f64; FLAT_TOTALS]) -> Self {
        Self { total, pixels, overlaps: [overlap, predicted, positive] }
    }
}

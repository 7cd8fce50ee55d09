//! The loss of a run: a weighted sum of losses.

use burn::tensor::{Int, Tensor};

use super::bce::Bce;
use super::focal::FocalLoss;
use super::formula::{LossFormula, LossName};
use super::lovasz::lovasz_hinge;
use super::pixels::Pixels;
use super::region::{Regions, Tversky};
use super::sums::{LossSums, LossTotals};

/// What the losses of a formula are set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossParameters {
    /// Of `focal`.
    pub focal: FocalLoss,
    /// Of `bce`.
    pub bce: Bce,
    /// Of `tversky`.
    pub tversky: Tversky,
}

/// A loss whose value is a mean over pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
enum OfPixels {
    Focal(FocalLoss),
    Bce(Bce),
    /// Of a batch; its pixels share it.
    Lovasz,
}

/// The loss of a run.
///
/// Two are equal where they compute the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    of_pixels: Vec<(f64, OfPixels)>,
    regions: Regions,
}

impl From<FocalLoss> for Loss {
    fn from(focal: FocalLoss) -> Self {
        Self { of_pixels: vec![(1.0, OfPixels::Focal(focal))], regions: Regions::default() }
    }
}

impl Loss {
    /// The loss that a formula means.
    pub fn new(formula: &LossFormula, parameters: LossParameters) -> Self {
        let LossParameters { focal, bce, tversky } = parameters;
        let mut loss = Self { of_pixels: Vec::new(), regions: Regions::default() };
        for (weight, name) in formula.terms() {
            match name {
                LossName::Focal => loss.of_pixels.push((*weight, OfPixels::Focal(focal))),
                LossName::Bce => loss.of_pixels.push((*weight, OfPixels::Bce(bce))),
                LossName::Lovasz => loss.of_pixels.push((*weight, OfPixels::Lovasz)),
                LossName::Dice => loss.regions.0.push((*weight, Tversky::DICE)),
                LossName::Jaccard => loss.regions.0.push((*weight, Tversky::JACCARD)),
                LossName::Tversky => loss.regions.0.push((*weight, tversky)),
            }
        }
        loss
    }

    /// The loss of a batch, as sums. Nothing waits for the device.
    ///
    /// # Shapes
    /// - `logits`: `[batch, height, width]`, before the sigmoid
    /// - `target`: `[batch, height, width]`, 0 negative, 1 positive, 2 ignored
    pub fn sums(&self, logits: Tensor<3>, target: Tensor<3, Int>) -> LossSums {
        let batch = Pixels::new(logits, target);
        let pixels = batch.counted();
        let weighted = self.of_pixels.iter().map(|(weight, loss)| {
            let total = match loss {
                OfPixels::Focal(focal) => focal.total(&batch),
                OfPixels::Bce(bce) => bce.total(&batch),
                OfPixels::Lovasz => lovasz_hinge(&batch) * pixels.clone(),
            };
            if *weight == 1.0 { total } else { total.mul_scalar(*weight) }
        });
        let total = weighted.reduce(|sum, total| sum + total).unwrap_or_else(|| pixels.zeros_like());
        let overlaps = (!self.regions.0.is_empty()).then(|| Regions::sums(&batch));
        LossSums { total, pixels, overlaps, regions: self.regions.clone() }
    }

    /// The loss of what was summed; 0 where no pixel counts, as in training.
    pub fn mean(&self, totals: &LossTotals) -> f64 {
        let mean = if totals.pixels == 0.0 { 0.0 } else { totals.total / totals.pixels };
        self.regions.add_to(mean, totals.overlaps)
    }
}

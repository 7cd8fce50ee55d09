//! Losses on logits, by name and as weighted sums.
//!
//! | name | loss | over a batch | over a pass |
//! |---|---|---|---|
//! | `focal` | binary focal loss | mean over pixels | the same, of all pixels |
//! | `bce` | binary cross-entropy, positives weighted | mean over pixels | the same, of all pixels |
//! | `dice` | 1 - Tversky index of 0.5, 0.5 | from the batch's sums | from the pass's sums |
//! | `jaccard` | 1 - Tversky index of 1, 1 | from the batch's sums | from the pass's sums |
//! | `tversky` | 1 - Tversky index of alpha, beta | from the batch's sums | from the pass's sums |
//! | `lovasz` | Lovász hinge of the batch | itself | mean of batches, weighted by their pixels |
//!
//! Pixels of target 2 count for nothing, in values and gradients; a batch of nothing else has loss 0 and zero gradients. A
//! region loss (`dice`, `jaccard`, `tversky`) of a batch, or of a pass, without a positive pixel is 0, as
//! segmentation_models_pytorch has it.
//!
//! [`LossSums`] are on the device and [`LossTotals`] on the host: sums that add up over batches, steps and processes, and of
//! which a loss is made once, at the end. So a region loss of a validation is that of the whole set as one batch. A step goes along the
//! gradient of its batch's loss; where several batches or processes make a step, along the mean of theirs, which for region
//! losses and `lovasz` is not the gradient of the batches taken together (nor is it in PyTorch).

mod bce;
mod combined;
mod error;
mod focal;
mod formula;
mod lovasz;
mod pixels;
mod region;
mod sums;

pub use bce::Bce;
pub use combined::{Loss, LossParameters};
pub use error::{FormulaError, LossError};
pub use focal::{FocalLoss, focal_loss};
pub use formula::{LossFormula, LossName};
pub use region::Tversky;
pub use sums::{FLAT_TOTALS, LossSums, LossTotals};

#[cfg(test)]
mod tests;

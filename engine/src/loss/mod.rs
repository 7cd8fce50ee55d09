//! Losses on logits.

mod focal;

pub use focal::{FocalLoss, LossError, LossSums, focal_loss};

//! A learning rate that falls when nothing gets better.

use serde::{Deserialize, Serialize};

/// Share by which a value has to be above the best to be better.
const THRESHOLD: f64 = 1e-4;
/// A rate is not lowered by less than this.
const LEAST_CHANGE: f64 = 1e-8;

/// Multiplies the learning rate by a factor when more than `patience` validations in a row were not better than the best;
/// higher is better. A value that is not finite is not better.
///
/// # Units
/// `patience` and the count are validations, not epochs.
///
/// # Sources
/// PyTorch, `ReduceLROnPlateau(mode="max", factor, patience, min_lr)` with its defaults `threshold=1e-4`,
/// `threshold_mode="rel"`, `cooldown=0`, `eps=1e-8`, stepped after every validation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlateauLr {
    current: f64,
    factor: f64,
    patience: u32,
    minimum: f64,
    waited: u32,
    best: Option<f64>,
}

impl PlateauLr {
    /// A schedule that begins at `initial` and never falls below `minimum`.
    pub fn new(initial: f64, factor: f64, patience: u32, minimum: f64) -> Self {
        Self { current: initial, factor, patience, minimum, waited: 0, best: None }
    }

    /// Learning rate until the next validation.
    pub fn learning_rate(&self) -> f64 {
        self.current
    }

    /// Takes the value of one validation.
    pub fn observe(&mut self, value: f64) {
        if self.is_better(value) {
            self.best = Some(value);
            self.waited = 0;
        } else {
            self.waited = self.waited.saturating_add(1);
        }
        if self.waited > self.patience {
            self.waited = 0;
            let lowered = (self.current * self.factor).max(self.minimum);
            if self.current - lowered > LEAST_CHANGE {
                self.current = lowered;
            }
        }
    }

    fn is_better(&self, value: f64) -> bool {
        value.is_finite() && self.best.is_none_or(|best| value > best * (1.0 + THRESHOLD))
    }
}

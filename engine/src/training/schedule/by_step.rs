//! Learning rates that change with every step: functions of its number alone.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Share of the learning rate that a warm-up begins with.
const WARMUP_START: f64 = 0.01;

/// Share of the steps on which [`OneCycleLr`] goes up.
const RISING: f64 = 0.3;
/// What it begins with is its highest rate divided by this.
const RISES_BY: f64 = 25.0;
/// What it ends with is what it began with divided by this.
const FALLS_BY: f64 = 1e4;

/// From `from` to `to` along half a cosine, as `share` goes from 0 to 1.
fn half_cosine(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * share).cos()) / 2.0
}

/// A line up from a hundredth of the rate over the warm-up, then half a cosine down to the least rate, which the step after the
/// last would have.
///
/// # Sources
/// Loshchilov and Hutter 2017, SGDR, eq. 5, without restarts; PyTorch's `SequentialLR` of `LinearLR(start_factor=0.01,
/// total_iters=warmup)` and `CosineAnnealingLR(T_max=total - warmup, eta_min)`, stepped after every optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CosineLr {
    initial: f64,
    minimum: f64,
    warmup: u64,
    total: u64,
    steps: u64,
}

impl CosineLr {
    /// A schedule of `total` steps, `warmup` of which are the warm-up.
    pub fn new(initial: f64, minimum: f64, warmup: u64, total: u64) -> Self {
        Self { initial, minimum, warmup, total, steps: 0 }
    }

    /// Learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.at(self.steps)
    }

    /// Learning rate of the step before.
    pub fn last_learning_rate(&self) -> f64 {
        self.at(self.steps.saturating_sub(1))
    }

    /// Ends a step.
    pub fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
    }

    fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            let share = step as f64 / self.warmup as f64;
            return self.initial * (WARMUP_START + (1.0 - WARMUP_START) * share);
        }
        let falling = self.total.saturating_sub(self.warmup).max(1);
        let share = (step - self.warmup).min(falling) as f64 / falling as f64;
        half_cosine(self.initial, self.minimum, share)
    }
}

/// One rise and one fall along half cosines, over all steps of the run.
///
/// The momentum of the optimizer stays as it is, where PyTorch's default moves it the other way.
///
/// # Sources
/// Smith and Topin 2018, Super-Convergence; PyTorch, `OneCycleLR(max_lr, total_steps, cycle_momentum=False)` with its defaults:
/// `pct_start=0.3`, `div_factor=25`, `final_div_factor=1e4`, cosine annealing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OneCycleLr {
    highest: f64,
    total: u64,
    steps: u64,
}

impl OneCycleLr {
    /// A cycle of `total` steps with `highest` as its highest rate.
    pub fn new(highest: f64, total: u64) -> Self {
        Self { highest, total, steps: 0 }
    }

    /// Learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.at(self.steps)
    }

    /// Learning rate of the step before.
    pub fn last_learning_rate(&self) -> f64 {
        self.at(self.steps.saturating_sub(1))
    }

    /// Ends a step.
    pub fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
    }

    fn at(&self, step: u64) -> f64 {
        let first = self.highest / RISES_BY;
        let last_step = self.total.saturating_sub(1) as f64;
        let top = RISING * self.total as f64 - 1.0;
        let step = (step as f64).min(last_step);
        if step <= top {
            // A top at step 0 has nothing to rise over.
            return if top > 0.0 { half_cosine(first, self.highest, step / top) } else { self.highest };
        }
        let share = (step - top) / (last_step - top);
        half_cosine(self.highest, first / FALLS_BY, share)
    }
}

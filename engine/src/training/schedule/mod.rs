//! The learning rate over a run.
//!
//! | name | what | changes |
//! |---|---|---|
//! | `exponential` | times gamma | after each epoch |
//! | `cosine` | up a line over the warm-up, then down half a cosine to the least rate | after each step |
//! | `onecycle` | up from a 25th and down to almost nothing, both along half cosines | after each step |
//! | `plateau` | times a factor when the monitored value no longer gets better | after a validation |
//! | `constant` | stays | never |
//!
//! Schedules by step are made for the number of steps that the run has when it begins, and keep it: where a run goes on for more
//! epochs than it was begun with, further steps keep the last rate.

mod by_step;
mod exponential;
mod plateau;

pub use by_step::{CosineLr, OneCycleLr};
pub use exponential::ExponentialLr;
pub use plateau::PlateauLr;

use serde::{Deserialize, Serialize};

/// The name of a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScheduleName {
    /// A factor an epoch.
    #[default]
    Exponential,
    /// A warm-up, then half a cosine.
    Cosine,
    /// Up and down once.
    Onecycle,
    /// A factor where nothing gets better.
    Plateau,
    /// The same rate throughout.
    Constant,
}

/// What a schedule is made of; each takes what it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleConfig {
    /// Which.
    pub name: ScheduleName,
    /// Learning rate: of the first epoch; of `cosine` after the warm-up, of `onecycle` at its top.
    pub learning_rate: f64,
    /// Factor an epoch of `exponential`.
    pub gamma: f64,
    /// Epochs, or parts of one, that `cosine` warms up over.
    pub warmup_epochs: f64,
    /// Least rate of `cosine` and `plateau`.
    pub min_learning_rate: f64,
    /// Factor of `plateau`.
    pub plateau_factor: f64,
    /// Validations without improvement that `plateau` lets pass.
    pub plateau_patience: u32,
}

impl Default for ScheduleConfig {
    /// 0.001 throughout.
    fn default() -> Self {
        Self::constant(1e-3)
    }
}

impl ScheduleConfig {
    /// The same rate throughout; the schedules by other names take their usual constants from here.
    pub fn constant(learning_rate: f64) -> Self {
        Self {
            name: ScheduleName::Constant,
            learning_rate,
            gamma: 0.9,
            warmup_epochs: 0.0,
            min_learning_rate: 0.0,
            plateau_factor: 0.1,
            plateau_patience: 2,
        }
    }
}

/// The learning rate of a run, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Schedule {
    /// A factor an epoch.
    Exponential(ExponentialLr),
    /// A warm-up, then half a cosine.
    Cosine(CosineLr),
    /// Up and down once.
    Onecycle(OneCycleLr),
    /// A factor where nothing gets better.
    Plateau(PlateauLr),
    /// The same rate throughout.
    Constant {
        /// The rate.
        learning_rate: f64,
    },
}

impl From<ExponentialLr> for Schedule {
    fn from(schedule: ExponentialLr) -> Self {
        Self::Exponential(schedule)
    }
}

impl Schedule {
    /// A schedule of a run of so many epochs, of so many optimizer steps each.
    pub fn new(config: &ScheduleConfig, epochs: u32, steps_per_epoch: u64) -> Self {
        let steps = u64::from(epochs).saturating_mul(steps_per_epoch);
        let rate = config.learning_rate;
        match config.name {
            ScheduleName::Exponential => ExponentialLr::new(rate, config.gamma).into(),
            ScheduleName::Cosine => {
                // As many as a run has at most: the cast cuts off nothing.
                let warmup = (config.warmup_epochs * steps_per_epoch as f64).round() as u64;
                Self::Cosine(CosineLr::new(rate, config.min_learning_rate, warmup, steps))
            }
            ScheduleName::Onecycle => Self::Onecycle(OneCycleLr::new(rate, steps)),
            ScheduleName::Plateau => {
                let ScheduleConfig { plateau_factor, plateau_patience, min_learning_rate, .. } = *config;
                Self::Plateau(PlateauLr::new(rate, plateau_factor, plateau_patience, min_learning_rate))
            }
            ScheduleName::Constant => Self::Constant { learning_rate: rate },
        }
    }

    /// Learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Exponential(schedule) => schedule.learning_rate(),
            Self::Cosine(schedule) => schedule.learning_rate(),
            Self::Onecycle(schedule) => schedule.learning_rate(),
            Self::Plateau(schedule) => schedule.learning_rate(),
            Self::Constant { learning_rate } => *learning_rate,
        }
    }

    /// Learning rate of the step taken last, until the epoch and its validation are over; that of the first before any.
    pub fn last_learning_rate(&self) -> f64 {
        match self {
            Self::Cosine(schedule) => schedule.last_learning_rate(),
            Self::Onecycle(schedule) => schedule.last_learning_rate(),
            Self::Exponential(_) | Self::Plateau(_) | Self::Constant { .. } => self.learning_rate(),
        }
    }

    /// An optimizer step was taken.
    pub fn after_step(&mut self) {
        match self {
            Self::Cosine(schedule) => schedule.step(),
            Self::Onecycle(schedule) => schedule.step(),
            Self::Exponential(_) | Self::Plateau(_) | Self::Constant { .. } => {}
        }
    }

    /// An epoch is over.
    pub fn after_epoch(&mut self) {
        if let Self::Exponential(schedule) = self {
            schedule.step();
        }
    }

    /// A validation found this value; higher is better.
    pub fn after_validation(&mut self, value: f64) {
        if let Self::Plateau(schedule) = self {
            schedule.observe(value);
        }
    }
}

#[cfg(test)]
mod tests;

//! What the loop needs to know of a run besides what is trained.

use std::str::FromStr;

use engine_actors::score::{Direction, ScoreMetric, Scoring, ScoringError, Strategy};
use serde::{Deserialize, Serialize};

use super::error::LearnError;
use crate::training::{Clipping, Kept};

/// Settings of a training run: how long, what is validated and kept, when it ends early.
///
/// Written as JSON they are the `settings` of a request; those that are left out have their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearningSettings {
    /// Epochs at the most; 10 if not given.
    pub max_epochs: u32,
    /// Folds that [`Data::kfold`](super::Data::kfold) divides the data into; 5 if not given.
    pub total_folds: u32,
    /// What early stopping, the best checkpoints and schedule `plateau` follow: `val/loss:lower` if not given.
    pub monitor: Monitor,
    /// Validations without improvement before the run ends; 0, if not given, = never.
    pub early_stopping_patience: u32,
    /// Best checkpoints kept; 0 = none, -1 = all; 1 if not given.
    pub save_top_k: i32,
    /// Log train metrics every so many steps; 0 = never; 50 if not given.
    pub log_every_n_steps: u32,
    /// Batches whose gradients make one optimizer step; 1 if not given.
    pub accumulate_grad_batches: u32,
    /// How far the gradients of a step may reach, over all its batches and ranks; none = as far as they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<Clipping>,
    /// Validate every so many epochs, and at the last; 0 = at the last only; 1 if not given.
    pub check_val_every_n_epoch: u32,
    /// Write `last` within an epoch, every so many optimizer steps; none = at validations alone. Changes no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_n_steps: Option<u32>,
    /// burn backend to compute with: `tch`, `flex`, `cuda`, `wgpu`; none = the best one compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

impl Default for LearningSettings {
    fn default() -> Self {
        Self {
            max_epochs: 10,
            total_folds: 5,
            monitor: Monitor::default(),
            early_stopping_patience: 0,
            save_top_k: 1,
            log_every_n_steps: 50,
            accumulate_grad_batches: 1,
            gradient_clip: None,
            check_val_every_n_epoch: 1,
            checkpoint_every_n_steps: None,
            backend: None,
        }
    }
}

impl LearningSettings {
    /// Refuses numbers that no run can be made of, and says how many checkpoints are kept.
    pub(crate) fn check(&self) -> Result<Kept, LearnError> {
        let impossible = |option, value: &dyn std::fmt::Display, remedy| {
            Err(LearnError::Impossible { option, value: value.to_string(), remedy })
        };
        if self.max_epochs == 0 {
            return impossible("max-epochs", &0, "train for at least one epoch");
        }
        if self.accumulate_grad_batches == 0 {
            return impossible("accumulate-grad-batches", &0, "take at least one batch per step");
        }
        if let Some(at) = self.gradient_clip.map(Clipping::at).filter(|at| !(at.is_finite() && *at > 0.0)) {
            return impossible("gradient-clip-val", &at, "give a number above 0");
        }
        self.kept()
    }

    /// How many checkpoints are kept.
    pub(crate) fn kept(&self) -> Result<Kept, LearnError> {
        Kept::from_save_top_k(self.save_top_k).ok_or_else(|| LearnError::Impossible {
            option: "save-top-k",
            value: self.save_top_k.to_string(),
            remedy: "give -1 (all), 0 (none) or a number",
        })
    }
}

/// A metric of the validation and which end of it is the good one, written as a scoring metric: `val/accuracy`,
/// `val/loss:lower`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Monitor(ScoreMetric);

impl Default for Monitor {
    fn default() -> Self {
        Self(ScoreMetric { name: "val/loss".to_owned(), direction: Direction::LowerIsBetter })
    }
}

impl FromStr for Monitor {
    type Err = ScoringError;

    fn from_str(written: &str) -> Result<Self, ScoringError> {
        written.parse().map(Self)
    }
}

impl TryFrom<String> for Monitor {
    type Error = ScoringError;

    fn try_from(written: String) -> Result<Self, ScoringError> {
        written.parse()
    }
}

impl From<Monitor> for String {
    fn from(monitor: Monitor) -> Self {
        monitor.0.to_string()
    }
}

impl Monitor {
    /// A metric that is better the higher it is.
    #[cfg(any(test, feature = "segmentation"))]
    pub(crate) fn higher(metric: &str) -> Self {
        Self(ScoreMetric { name: metric.to_owned(), direction: Direction::HigherIsBetter })
    }

    /// Name of the metric.
    pub fn metric(&self) -> &str {
        &self.0.name
    }

    /// A value of the metric as a number that is better the higher it is.
    pub(crate) fn merit(&self, value: f64) -> f64 {
        match self.0.direction {
            Direction::LowerIsBetter => -value,
            _ => value,
        }
    }

    /// Its name as a part of a checkpoint's: `val_loss`.
    pub(super) fn label(&self) -> String {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
        self.metric().chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect()
    }

    /// A score of it alone.
    pub(super) fn scoring(&self) -> Scoring {
        Scoring { metrics: vec![self.0.clone()], strategy: Strategy::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_says_which_way_it_gets_better() {
        let of = |written: &str| written.parse::<Monitor>().unwrap();
        assert_eq!(of("val/loss:lower"), Monitor::default());
        assert_eq!(of("val/accuracy:higher"), Monitor::higher("val/accuracy"));
        assert_eq!((of("val/loss:lower").merit(2.0), of("val/loss").merit(2.0)), (-2.0, 2.0));
        assert_eq!(of("val/top 5:lower").label(), "val_top_5");
        for written in ["val/loss:lower", "val/accuracy"] {
            assert_eq!(String::from(of(written)), written);
        }
        assert!("val/loss:lowest".parse::<Monitor>().unwrap_err().to_string().contains("lowest"));
    }

    #[test]
    fn settings_that_are_left_out_have_their_defaults_and_unknown_ones_are_refused() {
        let read = |text| serde_json::from_str::<LearningSettings>(text);
        assert_eq!(read("{}").unwrap(), LearningSettings::default());
        let written = serde_json::to_string(&LearningSettings::default()).unwrap();
        assert_eq!(read(&written).unwrap(), LearningSettings::default());
        assert!(read(r#"{"epochs": 3}"#).unwrap_err().to_string().contains("epochs"));
    }
}

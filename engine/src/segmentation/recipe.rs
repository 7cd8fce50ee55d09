//! What hyperparameters make of a training: its loss, its optimizer, its schedule.

use super::error::RunError;
use super::settings::{SegmentationHyperparameters, SegmentationSettings};
use crate::learn::LearnError;
use crate::loss::{Bce, FocalLoss, Loss, LossName, LossParameters, Tversky};
use crate::training::{AdamConfig, OptimizerConfig, OptimizerName, ScheduleConfig, ScheduleName, SgdConfig};

impl SegmentationHyperparameters {
    /// The loss.
    pub(super) fn loss(&self) -> Loss {
        let parameters = LossParameters {
            focal: FocalLoss { alpha: self.focal_loss_alpha, gamma: self.focal_loss_gamma },
            bce: Bce { positive_weight: self.bce_pos_weight },
            tversky: Tversky { alpha: self.tversky_alpha, beta: self.tversky_beta },
        };
        Loss::new(&self.loss, parameters)
    }

    /// The loss with what decides it, for a reader.
    pub(super) fn loss_text(&self) -> String {
        let mut text = format!("`{}`", self.loss);
        for (_, name) in self.loss.terms() {
            match name {
                LossName::Focal => {
                    let alpha =
                        self.focal_loss_alpha.map_or_else(|| "none".to_owned(), |alpha| alpha.to_string());
                    text +=
                        &format!(", focal_loss_alpha {alpha}, focal_loss_gamma {}", self.focal_loss_gamma);
                }
                LossName::Bce => text += &format!(", bce_pos_weight {}", self.bce_pos_weight),
                LossName::Tversky => {
                    text += &format!(
                        ", tversky_alpha {}, tversky_beta {}",
                        self.tversky_alpha, self.tversky_beta
                    );
                }
                LossName::Dice | LossName::Jaccard | LossName::Lovasz => {}
            }
        }
        text
    }

    /// The optimizer with what decides what it keeps, for a reader.
    pub(super) fn optimizer_text(&self) -> String {
        match self.optimizer {
            OptimizerName::Adamw => "adamw".to_owned(),
            OptimizerName::Adam => "adam".to_owned(),
            OptimizerName::Sgd => format!("sgd of momentum {}", self.momentum),
        }
    }

    /// The optimizer. Without a weight decay of its own it has PyTorch's.
    pub(super) fn optimizer(&self) -> OptimizerConfig {
        let adam =
            |decay| AdamConfig { weight_decay: self.weight_decay.unwrap_or(decay), ..AdamConfig::default() };
        match self.optimizer {
            OptimizerName::Adamw => OptimizerConfig::AdamW(adam(AdamConfig::default().weight_decay)),
            OptimizerName::Adam => OptimizerConfig::Adam(adam(0.0)),
            OptimizerName::Sgd => OptimizerConfig::Sgd(SgdConfig {
                momentum: self.momentum,
                nesterov: self.nesterov,
                weight_decay: self.weight_decay.unwrap_or(0.0),
            }),
        }
    }

    /// The schedule.
    pub(super) fn schedule(&self) -> ScheduleConfig {
        ScheduleConfig {
            name: self.schedule,
            learning_rate: self.learning_rate,
            gamma: self.gamma,
            warmup_epochs: self.warmup_epochs,
            min_learning_rate: self.min_learning_rate,
            plateau_factor: self.plateau_factor,
            plateau_patience: self.plateau_patience,
        }
    }
}

/// Refuses numbers that no training can be made of, alone or together.
pub(super) fn check(
    settings: &SegmentationSettings,
    hyperparameters: &SegmentationHyperparameters,
) -> Result<(), RunError> {
    check_alone(hyperparameters)?;
    check_together(settings, hyperparameters)
}

fn check_alone(hyperparameters: &SegmentationHyperparameters) -> Result<(), RunError> {
    let SegmentationHyperparameters {
        learning_rate,
        gamma,
        bce_pos_weight,
        tversky_alpha,
        tversky_beta,
        weight_decay,
        momentum,
        ..
    } = *hyperparameters;
    let SegmentationHyperparameters { warmup_epochs, min_learning_rate, plateau_factor, .. } =
        *hyperparameters;
    const ABOVE_0: &str = "give a number above 0";
    const AT_LEAST_0: &str = "give a number of at least 0";
    let is_above_0 = |value: f64| value.is_finite() && value > 0.0;
    let is_at_least_0 = |value: f64| value.is_finite() && value >= 0.0;
    let numbers = [
        ("learning_rate", learning_rate, is_above_0(learning_rate), ABOVE_0),
        ("gamma", gamma, is_above_0(gamma), ABOVE_0),
        ("bce_pos_weight", bce_pos_weight, is_above_0(bce_pos_weight), ABOVE_0),
        ("tversky_alpha", tversky_alpha, is_at_least_0(tversky_alpha), AT_LEAST_0),
        ("tversky_beta", tversky_beta, is_at_least_0(tversky_beta), AT_LEAST_0),
        ("weight_decay", weight_decay.unwrap_or(0.0), weight_decay.is_none_or(is_at_least_0), AT_LEAST_0),
        ("momentum", momentum, (0.0..1.0).contains(&momentum), "give a number from 0 to below 1"),
        ("warmup_epochs", warmup_epochs, is_at_least_0(warmup_epochs), AT_LEAST_0),
        ("min_learning_rate", min_learning_rate, is_at_least_0(min_learning_rate), AT_LEAST_0),
        (
            "plateau_factor",
            plateau_factor,
            is_above_0(plateau_factor) && plateau_factor < 1.0,
            "give a number between 0 and 1",
        ),
    ];
    match numbers.into_iter().find(|(_, _, is_allowed, _)| !is_allowed) {
        None => Ok(()),
        Some((option, value, _, remedy)) => {
            Err(LearnError::Impossible { option, value: value.to_string(), remedy }.into())
        }
    }
}

fn check_together(
    settings: &SegmentationSettings,
    hyperparameters: &SegmentationHyperparameters,
) -> Result<(), RunError> {
    let impossible = |option, value: &dyn std::fmt::Display, remedy| {
        Err(LearnError::Impossible { option, value: value.to_string(), remedy }.into())
    };
    let SegmentationHyperparameters { loss, optimizer, schedule, .. } = hyperparameters;
    let has_tversky = loss.terms().iter().any(|(_, name)| *name == LossName::Tversky);
    if has_tversky && hyperparameters.tversky_alpha + hyperparameters.tversky_beta == 0.0 {
        return impossible(
            "tversky_alpha",
            &0,
            "with `tversky_beta` 0 too nothing costs anything; give one of them a weight",
        );
    }
    if *optimizer == OptimizerName::Sgd && hyperparameters.nesterov && hyperparameters.momentum == 0.0 {
        return impossible("momentum", &0, "`nesterov` needs one above 0; 0.9 is usual");
    }
    let warmup = hyperparameters.warmup_epochs;
    if *schedule == ScheduleName::Cosine && warmup >= f64::from(settings.max_epochs) {
        return impossible("warmup_epochs", &warmup, "leave epochs after the warm-up, or raise `max-epochs`");
    }
    let least = hyperparameters.min_learning_rate;
    let has_least = matches!(schedule, ScheduleName::Cosine | ScheduleName::Plateau);
    if has_least && least > hyperparameters.learning_rate {
        return impossible("min_learning_rate", &least, "give at most `learning_rate`");
    }
    Ok(())
}

//! Which optimizers there are, and what they are set to.

use serde::{Deserialize, Serialize};

/// The name of an optimizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerName {
    /// Adam with decoupled weight decay.
    #[default]
    Adamw,
    /// Adam.
    Adam,
    /// Stochastic gradient descent.
    Sgd,
}

/// An optimizer with its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// AdamW: weight decay shrinks the parameters.
    AdamW(AdamConfig),
    /// Adam: weight decay is added to the gradients.
    Adam(AdamConfig),
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::AdamW(AdamConfig::default())
    }
}

/// Names of what AdamW and Adam keep for each parameter; they are PyTorch's.
const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];
/// Name of what SGD keeps for each parameter.
const MOMENTUM: [&str; 1] = ["momentum_buffer"];

impl OptimizerConfig {
    /// Whether what it keeps between steps is what the other keeps: it can go on from the other's state.
    pub fn keeps_what(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.slots() == other.slots()
    }

    /// Names of what is kept for each parameter between steps.
    pub(super) fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) | Self::Adam(_) => &MOMENTS,
            Self::Sgd(SgdConfig { momentum, .. }) if *momentum != 0.0 => &MOMENTUM,
            Self::Sgd(_) => &[],
        }
    }
}

/// Constants of Adam and AdamW; the defaults are those of PyTorch's AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the corrected squares.
    pub epsilon: f64,
    /// Weight decay. Of AdamW: share of the learning rate by which a parameter shrinks in a step; of Adam: share of a
    /// parameter that is added to its gradient.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// Constants of stochastic gradient descent; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SgdConfig {
    /// How much of the step before goes into a step; 0 keeps nothing.
    pub momentum: f64,
    /// Whether the gradient is taken as from where the momentum leads.
    pub nesterov: bool,
    /// Share of a parameter that is added to its gradient.
    pub weight_decay: f64,
}

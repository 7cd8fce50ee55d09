//! Why there is no loss.

use super::formula::LossName;
use crate::config::hint;

/// Why a loss has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// Every pixel is ignored, so there is no mean.
    #[error("every pixel of the batch is ignored (target 2), so there is nothing to average")]
    NothingToAverage,
    /// The device did not hand the pixel count back.
    #[error("the number of pixels cannot be read from the device")]
    Unreadable,
}

/// Why a text says no loss.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormulaError {
    /// There is no name where one should be.
    #[error("a loss like \"focal\" or \"0.5*bce + 0.5*dice\", with a name before and after each `+`")]
    Empty,
    /// A name that no loss has.
    #[error(
        "a weighted sum of {}, like \"0.5*bce + 0.5*dice\"; there is no `{name}`{}",
        LossName::all_names(),
        hint(name, LossName::ALL.map(LossName::as_str))
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// A weight that is no number above 0.
    #[error("a loss like \"0.5*bce + 0.5*dice\", with weights above 0; `{weight}` is none")]
    Weight {
        /// The weight as it was written.
        weight: String,
    },
    /// A loss that stands twice in the sum.
    #[error("a sum in which no loss stands twice, and {name} does; add up its weights")]
    Twice {
        /// Its name.
        name: LossName,
    },
}

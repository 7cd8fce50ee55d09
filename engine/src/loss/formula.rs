//! How a loss is written: `focal`, `0.5*bce + 0.5*dice`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::FormulaError;

/// The name of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossName {
    /// Binary focal loss.
    Focal,
    /// Binary cross-entropy.
    Bce,
    /// Dice loss.
    Dice,
    /// Jaccard loss.
    Jaccard,
    /// Tversky loss.
    Tversky,
    /// Lovász hinge.
    Lovasz,
}

impl LossName {
    /// Every loss there is.
    pub const ALL: [Self; 6] =
        [Self::Focal, Self::Bce, Self::Dice, Self::Jaccard, Self::Tversky, Self::Lovasz];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Focal => "focal",
            Self::Bce => "bce",
            Self::Dice => "dice",
            Self::Jaccard => "jaccard",
            Self::Tversky => "tversky",
            Self::Lovasz => "lovasz",
        }
    }

    pub(super) fn all_names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    fn parse(name: &str) -> Result<Self, FormulaError> {
        let known = Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
        known.ok_or_else(|| FormulaError::Unknown { name: name.to_owned() })
    }
}

impl fmt::Display for LossName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A loss, or a weighted sum of losses: names without regard to case, each once, with a weight before a `*` or without one.
///
/// It keeps its text: two that are written differently and mean the same have the same [terms](Self::terms).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LossFormula {
    text: String,
    terms: Vec<(f64, LossName)>,
}

impl LossFormula {
    /// Weights and losses, in the order they are written. Weights are finite and above 0.
    pub fn terms(&self) -> &[(f64, LossName)] {
        &self.terms
    }
}

impl Default for LossFormula {
    fn default() -> Self {
        Self { text: LossName::Focal.to_string(), terms: vec![(1.0, LossName::Focal)] }
    }
}

impl FromStr for LossFormula {
    type Err = FormulaError;

    fn from_str(text: &str) -> Result<Self, FormulaError> {
        let mut terms: Vec<(f64, LossName)> = Vec::new();
        for term in text.split('+').map(str::trim) {
            let (weight, name) = match term.split_once('*') {
                None => (1.0, term),
                Some((weight, name)) => (weight_of(weight.trim())?, name.trim()),
            };
            if name.is_empty() {
                return Err(FormulaError::Empty);
            }
            let name = LossName::parse(name)?;
            if terms.iter().any(|(_, known)| *known == name) {
                return Err(FormulaError::Twice { name });
            }
            terms.push((weight, name));
        }
        Ok(Self { text: text.trim().to_owned(), terms })
    }
}

fn weight_of(text: &str) -> Result<f64, FormulaError> {
    match text.parse::<f64>() {
        Ok(weight) if weight.is_finite() && weight > 0.0 => Ok(weight),
        _ => Err(FormulaError::Weight { weight: text.to_owned() }),
    }
}

impl TryFrom<String> for LossFormula {
    type Error = FormulaError;

    fn try_from(text: String) -> Result<Self, FormulaError> {
        text.parse()
    }
}

impl From<LossFormula> for String {
    fn from(formula: LossFormula) -> Self {
        formula.text
    }
}

impl fmt::Display for LossFormula {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<(f64, LossName)> {
        text.parse::<LossFormula>().unwrap().terms().to_vec()
    }

    #[test]
    fn a_name_alone_weighs_one_and_blanks_and_case_mean_nothing() {
        assert_eq!(terms("focal"), [(1.0, LossName::Focal)]);
        let both = [(0.5, LossName::Bce), (0.5, LossName::Dice)];
        for text in ["0.5*bce + 0.5*dice", "0.5*bce+.5*Dice", " 5e-1 * BCE + 0.5 *dice "] {
            assert_eq!(terms(text), both, "{text}");
        }
        assert_eq!(terms("lovasz + 2*bce"), [(1.0, LossName::Lovasz), (2.0, LossName::Bce)]);
    }

    #[test]
    fn every_name_is_read_and_a_text_is_kept() {
        for name in LossName::ALL {
            assert_eq!(terms(name.as_str()), [(1.0, name)]);
        }
        let text = serde_json::json!("0.25*jaccard + bce");
        let formula: LossFormula = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&formula).unwrap(), text);
        assert_eq!(LossFormula::default(), "focal".parse().unwrap());
    }

    #[test]
    fn what_is_no_loss_says_what_is() {
        for (text, needle) in [
            ("", "a loss like \"focal\""),
            ("bce +", "before and after each `+`"),
            ("0.5*", "before and after each `+`"),
            ("bec", "focal, bce, dice, jaccard, tversky, lovasz"),
            ("dise", "there is no `dise`; did you mean dice?"),
            ("bce*0.5", "`bce` is none"),
            ("0*bce", "weights above 0; `0` is none"),
            ("-1*bce", "`-1` is none"),
            ("nan*bce", "`nan` is none"),
            ("inf*bce", "`inf` is none"),
            ("*bce", "`` is none"),
            ("bce + 2*BCE", "bce does"),
            ("0.5*0.5*bce", "there is no `0.5*bce`"),
        ] {
            let error = text.parse::<LossFormula>().unwrap_err().to_string();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }
}

//! Ends a run that no longer improves.

use serde::{Deserialize, Serialize};

/// Counts validations without a new best; higher is better.
///
/// A value that is not finite is never an improvement. Equal to the best is none either.
///
/// # Units
/// `patience` and the count are validations, not epochs.
///
/// # Sources
/// Lightning, `EarlyStopping(mode="max", min_delta=0)`: the run ends when the count *reaches* the patience.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    patience: u32,
    waited: u32,
    best: Option<f64>,
}

impl EarlyStopping {
    /// Stops after `patience` validations without improvement; 0 never stops.
    pub fn new(patience: u32) -> Self {
        Self { patience, waited: 0, best: None }
    }

    /// The same history under another patience, as when a run goes on with other settings.
    pub fn with_patience(self, patience: u32) -> Self {
        Self { patience, ..self }
    }

    /// Takes the value of one validation.
    pub fn observe(&mut self, value: f64) {
        if value.is_finite() && self.best.is_none_or(|best| value > best) {
            self.best = Some(value);
            self.waited = 0;
        } else {
            self.waited = self.waited.saturating_add(1);
        }
    }

    /// Whether patience has run out.
    pub fn is_exhausted(&self) -> bool {
        self.patience > 0 && self.waited >= self.patience
    }

    /// Whether patience runs out with the next validation, unless that is a new best.
    pub fn is_last_chance(&self) -> bool {
        self.patience > 0 && self.waited.saturating_add(1) >= self.patience
    }

    /// Validations since the best.
    pub fn waited(&self) -> u32 {
        self.waited
    }

    /// Best value so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(patience: u32, values: &[f64]) -> EarlyStopping {
        let mut stopping = EarlyStopping::new(patience);
        values.iter().for_each(|value| stopping.observe(*value));
        stopping
    }

    #[test]
    fn patience_counts_validations_since_the_best() {
        assert!(!after(2, &[0.1, 0.3, 0.2]).is_exhausted());
        assert!(after(2, &[0.1, 0.3, 0.2]).is_last_chance() && !after(2, &[0.1, 0.3]).is_last_chance());
        assert!(after(2, &[0.1, 0.3, 0.2, 0.25]).is_exhausted());
        assert!(!after(2, &[0.1, 0.3, 0.2, 0.31]).is_exhausted());
    }

    #[test]
    fn an_equal_value_is_no_improvement() {
        assert!(after(1, &[0.3, 0.3]).is_exhausted());
    }

    #[test]
    fn a_value_that_is_not_finite_is_never_the_best() {
        let stopping = after(2, &[f64::NAN, f64::INFINITY]);
        assert_eq!(stopping.best(), None);
        assert!(stopping.is_exhausted());
        assert_eq!(after(2, &[f64::NAN, 0.0]).best(), Some(0.0));
    }

    #[test]
    fn no_patience_never_stops() {
        let stopping = after(0, &[0.5, 0.1, 0.1, 0.1]);
        assert!(!stopping.is_exhausted() && !stopping.is_last_chance());
    }
}

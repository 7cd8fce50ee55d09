//! Scoring as users write it: `val/loss:lower`, `harmonic`.

use std::collections::BTreeSet;
use std::str::FromStr;

use engine_devices::suggest::{did_you_mean, nearest};

use super::scoring::{Direction, ScoreMetric, Scoring, Strategy};

/// Why a scoring can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoringError {
    /// No metric was given.
    #[error("no scoring metric is given; name at least one, like `val/JaccardIndex`")]
    NoMetric,
    /// Nothing stands before the suffix.
    #[error("scoring metric {written:?} has no name; write it like `val/loss:lower`")]
    Nameless {
        /// As written.
        written: String,
    },
    /// What follows the colon is no direction.
    #[error(
        "scoring metric {written:?} ends in {suffix:?}; only `:higher` and `:lower` may follow a name{hint}"
    )]
    UnknownSuffix {
        /// As written.
        written: String,
        /// What follows the colon.
        suffix: String,
        /// `, did you mean …?` or nothing.
        hint: String,
    },
    /// The same metric twice, in whatever direction.
    #[error("scoring metric {name:?} is given twice; name it once")]
    Duplicate {
        /// Name without its suffix.
        name: String,
    },
    /// A strategy that does not exist.
    #[error("score strategy {written:?} is unknown{hint} (one of harmonic, arithmetic, geometric, min)")]
    UnknownStrategy {
        /// As written.
        written: String,
        /// `, did you mean …?` or nothing.
        hint: String,
    },
}

impl Scoring {
    /// Reads metrics like `val/JaccardIndex`, `val/loss:lower` and a strategy like `harmonic`.
    ///
    /// # Errors
    /// [`ScoringError`] for an empty list, a nameless or doubled metric, an unknown suffix or strategy.
    pub fn parse<S: AsRef<str>>(metrics: &[S], strategy: &str) -> Result<Self, ScoringError> {
        let parsed = metrics.iter().map(|metric| metric.as_ref().parse()).collect::<Result<_, _>>()?;
        Self::new(parsed, strategy.parse()?)
    }

    /// Makes a scoring of metrics in the order given.
    ///
    /// # Errors
    /// [`ScoringError::NoMetric`] and [`ScoringError::Duplicate`].
    pub fn new(metrics: Vec<ScoreMetric>, strategy: Strategy) -> Result<Self, ScoringError> {
        if metrics.is_empty() {
            return Err(ScoringError::NoMetric);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = metrics.iter().find(|metric| !seen.insert(&metric.name)) {
            return Err(ScoringError::Duplicate { name: twice.name.clone() });
        }
        Ok(Self { metrics, strategy })
    }
}

impl FromStr for ScoreMetric {
    type Err = ScoringError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let (name, direction) = match written.trim().rsplit_once(':') {
            None => (written.trim(), Direction::HigherIsBetter),
            Some((name, "higher")) => (name, Direction::HigherIsBetter),
            Some((name, "lower")) => (name, Direction::LowerIsBetter),
            Some((_, suffix)) => {
                return Err(ScoringError::UnknownSuffix {
                    written: written.to_owned(),
                    suffix: suffix.to_owned(),
                    hint: nearest(suffix, ["higher", "lower"])
                        .map(|near| format!(", did you mean `:{near}`?"))
                        .unwrap_or_default(),
                });
            }
        };
        if name.is_empty() {
            return Err(ScoringError::Nameless { written: written.to_owned() });
        }
        Ok(Self { name: name.to_owned(), direction })
    }
}

impl FromStr for Strategy {
    type Err = ScoringError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == written.trim()).ok_or_else(|| {
            ScoringError::UnknownStrategy {
                written: written.to_owned(),
                hint: did_you_mean(written, Self::ALL.map(Self::name)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_say_the_direction_and_higher_is_the_default() {
        let scoring =
            Scoring::parse(&["val/JaccardIndex", "val/Recall:higher", "val/loss:lower"], "min").unwrap();
        let read: Vec<_> =
            scoring.metrics.iter().map(|metric| (metric.name.as_str(), metric.direction)).collect();
        assert_eq!(
            read,
            [
                ("val/JaccardIndex", Direction::HigherIsBetter),
                ("val/Recall", Direction::HigherIsBetter),
                ("val/loss", Direction::LowerIsBetter),
            ]
        );
        assert_eq!(scoring.strategy, Strategy::Min);
        assert_eq!(scoring.metrics[2].to_string(), "val/loss:lower");
        assert_eq!(scoring.metrics[1].to_string(), "val/Recall");
    }

    #[test]
    fn unusable_scorings_say_what_is_wrong_and_what_was_meant() {
        let none: [&str; 0] = [];
        assert_eq!(Scoring::parse(&none, "harmonic"), Err(ScoringError::NoMetric));
        assert_eq!(
            Scoring::parse(&[":lower"], "harmonic"),
            Err(ScoringError::Nameless { written: ":lower".to_owned() })
        );
        assert_eq!(
            Scoring::parse(&["val/loss", "val/loss:lower"], "harmonic"),
            Err(ScoringError::Duplicate { name: "val/loss".to_owned() })
        );
        let suffix = Scoring::parse(&["val/loss:lwoer"], "harmonic").unwrap_err();
        assert!(suffix.to_string().contains("did you mean `:lower`?"), "{suffix}");
        let strategy = Scoring::parse(&["val/loss"], "Armonic").unwrap_err();
        assert!(strategy.to_string().contains("did you mean `harmonic`?"), "{strategy}");
        let strategy = Scoring::parse(&["val/loss"], "geometrical").unwrap_err();
        assert!(strategy.to_string().contains("did you mean `geometric`?"), "{strategy}");
    }
}

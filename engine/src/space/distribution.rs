//! What one hyperparameter can be.

use serde_json::{Number, Value, json};

use super::error::DistributionError;

/// What one hyperparameter can be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Distribution {
    /// Always this value.
    Constant(Value),
    /// One of these; one that is listed twice is drawn twice as often.
    Choice(Vec<Value>),
    /// Any float between the bounds.
    Uniform {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// A float whose logarithm is uniform.
    LogUniform {
        /// Lower bound, more than 0.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// `n` − loguniform(`n` − `high`, `n` − `low`): dense towards `n`.
    ReversedLogUniform {
        /// Lower bound.
        low: f64,
        /// Upper bound, less than `n`.
        high: f64,
        /// Where the density has its pole.
        n: f64,
    },
    /// An integer between the bounds, both included.
    IntUniform {
        /// Lower bound.
        low: i64,
        /// Upper bound.
        high: i64,
    },
}

impl Distribution {
    /// The distribution as JSON: its name and its bounds or values.
    pub(super) fn described(&self) -> Value {
        match self {
            Self::Constant(value) => json!({ "constant": value }),
            Self::Choice(values) => json!({ "choice": values }),
            Self::Uniform { low, high } | Self::LogUniform { low, high } => {
                json!({ (self.name()): [low, high] })
            }
            Self::ReversedLogUniform { low, high, n } => json!({ (self.name()): [low, high, n] }),
            Self::IntUniform { low, high } => json!({ (self.name()): [low, high] }),
        }
    }

    /// Its name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Choice(_) => "choice",
            Self::Uniform { .. } => "uniform",
            Self::LogUniform { .. } => "loguniform",
            Self::ReversedLogUniform { .. } => "reversed-loguniform",
            Self::IntUniform { .. } => "intuniform",
        }
    }

    /// Every value that is listed, or both ends of an interval: what a check of all values has to look at.
    pub fn ends(&self) -> Vec<Value> {
        match self {
            Self::Constant(value) => vec![value.clone()],
            Self::Choice(choices) => choices.clone(),
            between => vec![between.quantile(0.0), between.quantile(1.0)],
        }
    }

    /// The value below which the share `u` of the distribution lies: its quantile function.
    ///
    /// A uniform `u` thus gives a value distributed as asked for. `u` is held to 0 … 1.
    pub fn quantile(&self, u: f64) -> Value {
        let u = u.clamp(0.0, 1.0);
        match self {
            Self::Constant(value) => value.clone(),
            Self::Choice(choices) => choices.get(index(u, choices.len())).cloned().unwrap_or(Value::Null),
            Self::Uniform { low, high } => float((low * (1.0 - u) + high * u).clamp(*low, *high)),
            Self::LogUniform { low, high } => float(log_quantile(*low, *high, u)),
            Self::ReversedLogUniform { low, high, n } => {
                float((n - log_quantile(n - high, n - low, 1.0 - u)).clamp(*low, *high))
            }
            Self::IntUniform { low, high } => {
                let count = (i128::from(*high) - i128::from(*low) + 1) as f64;
                let value = i128::from(*low) + (u * count) as i128;
                // At most `high`, so that it fits.
                Value::from(i64::try_from(value).unwrap_or(*high).min(*high))
            }
        }
    }

    /// Different values there are; `None` if they are not countable.
    pub fn cardinality(&self) -> Option<u128> {
        match self {
            Self::Constant(_) => Some(1),
            Self::Choice(_) => Some(self.different().len() as u128),
            Self::IntUniform { low, high } => Some(u128::from(high.abs_diff(*low)) + 1),
            Self::Uniform { .. } | Self::LogUniform { .. } | Self::ReversedLogUniform { .. } => None,
        }
    }

    /// The value with this index among the different ones, in their order; `None` past the last and where there is
    /// no order to count in.
    pub(super) fn nth(&self, index: u128) -> Option<Value> {
        match self {
            Self::Constant(_) | Self::Choice(_) => {
                self.different().get(usize::try_from(index).ok()?).copied().cloned()
            }
            Self::IntUniform { low, high } => {
                let value = i64::try_from(i128::from(*low) + i128::try_from(index).ok()?).ok()?;
                (value <= *high).then(|| Value::from(value))
            }
            Self::Uniform { .. } | Self::LogUniform { .. } | Self::ReversedLogUniform { .. } => None,
        }
    }

    /// Constants and choices without repetitions, in their order.
    fn different(&self) -> Vec<&Value> {
        let values = match self {
            Self::Constant(value) => std::slice::from_ref(value),
            Self::Choice(choices) => choices.as_slice(),
            _ => &[],
        };
        let mut different: Vec<&Value> = Vec::new();
        for value in values {
            if !different.contains(&value) {
                different.push(value);
            }
        }
        different
    }

    /// Whether the parameters describe a distribution at all.
    pub(super) fn check(&self) -> Result<(), DistributionError> {
        match *self {
            Self::Constant(_) => Ok(()),
            Self::Choice(ref choices) if choices.is_empty() => Err(DistributionError::NoChoices),
            Self::Choice(_) => Ok(()),
            Self::Uniform { low, high } => ordered(low, high),
            Self::LogUniform { low, high } => match ordered(low, high) {
                Ok(()) if low <= 0.0 => Err(DistributionError::NotPositive { low }),
                other => other,
            },
            Self::ReversedLogUniform { low, high, n } => match finite("n", n).and(ordered(low, high)) {
                Ok(()) if high >= n => Err(DistributionError::Reversed { high, n }),
                other => other,
            },
            Self::IntUniform { low, high } if low < high => Ok(()),
            Self::IntUniform { low, high } => {
                Err(DistributionError::Order { low: low.to_string(), high: high.to_string() })
            }
        }
    }
}

fn finite(key: &'static str, value: f64) -> Result<(), DistributionError> {
    if value.is_finite() { Ok(()) } else { Err(DistributionError::NotFinite { key, value }) }
}

fn ordered(low: f64, high: f64) -> Result<(), DistributionError> {
    finite("low", low)?;
    finite("high", high)?;
    if low < high {
        return Ok(());
    }
    Err(DistributionError::Order { low: format!("{low:?}"), high: format!("{high:?}") })
}

fn log_quantile(low: f64, high: f64, u: f64) -> f64 {
    (low.ln() * (1.0 - u) + high.ln() * u).exp().clamp(low, high)
}

/// `u` of `count` equal parts, the last one including `u` = 1.
fn index(u: f64, count: usize) -> usize {
    ((u * count as f64) as usize).min(count.saturating_sub(1))
}

/// Bounds are finite, and so is everything between them.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_ends_of_an_integer_range_are_drawn_and_nothing_beyond() {
        let all = Distribution::IntUniform { low: i64::MIN, high: i64::MAX };
        assert_eq!((all.quantile(0.0), all.quantile(1.0)), (json!(i64::MIN), json!(i64::MAX)));
        assert_eq!(all.cardinality(), Some(1 << 64));
        let small = Distribution::IntUniform { low: -3, high: 3 };
        let mut counts = [0; 7];
        for step in 0..7000 {
            let value = small.quantile((f64::from(step) + 0.5) / 7000.0).as_i64().unwrap();
            counts[usize::try_from(value + 3).unwrap()] += 1;
        }
        assert_eq!(counts, [1000; 7]);
        assert_eq!((small.nth(0), small.nth(6), small.nth(7)), (Some(json!(-3)), Some(json!(3)), None));
    }

    #[test]
    fn choices_are_equally_likely_and_counted_once() {
        let choice = Distribution::Choice(vec![json!("a"), json!(null), json!("a"), json!([1])]);
        let drawn: Vec<_> = [0.0, 0.24, 0.25, 0.6, 0.99, 1.0].map(|u| choice.quantile(u)).into();
        assert_eq!(drawn, [json!("a"), json!("a"), json!(null), json!("a"), json!([1]), json!([1])]);
        assert_eq!((choice.cardinality(), choice.nth(2)), (Some(3), Some(json!([1]))));
    }

    fn continuous() -> impl Strategy<Value = Distribution> {
        let bounds = (1e-9..1e6_f64, 1e-9..1e6_f64).prop_filter("low < high", |(a, b)| a < b);
        bounds.prop_flat_map(|(low, high)| {
            prop_oneof![
                Just(Distribution::Uniform { low: -high, high: low }),
                Just(Distribution::LogUniform { low, high }),
                Just(Distribution::ReversedLogUniform { low, high, n: high * 1.5 }),
            ]
        })
    }

    proptest! {
        #[test]
        fn quantiles_rise_from_low_to_high(distribution in continuous(), a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            prop_assert!(distribution.check().is_ok());
            let at = |u: f64| distribution.quantile(u).as_f64().unwrap();
            let (low, high) = match distribution {
                Distribution::Uniform { low, high }
                | Distribution::LogUniform { low, high }
                | Distribution::ReversedLogUniform { low, high, .. } => (low, high),
                _ => unreachable!(),
            };
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
            prop_assert!(near(at(0.0), low) && near(at(1.0), high), "{} {}", at(0.0), at(1.0));
            // The two logarithms may round differently, by less than this.
            let slack = 1e-9 * high.abs().max(low.abs());
            prop_assert!(at(a.min(b)) <= at(a.max(b)) + slack);
            prop_assert!((low..=high).contains(&at(a)));
        }
    }
}

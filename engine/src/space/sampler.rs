//! Drawing configurations from a space.

use std::collections::HashSet;

use engine_actors::plan::Hyperparameters;
use engine_actors::ports::Sampler;
use serde_json::Value;

use super::error::{SpaceError, place};
use super::{Distribution, Parameter, SearchSpace};
use crate::rng::SplitMix64;

/// Seed of a random search unless another is asked for.
pub const DEFAULT_SEED: u64 = 42;

/// Draws in a row that may all be known before the rest of the space is enumerated instead.
const KNOWN_IN_A_ROW: usize = 100;

/// Random search: independent draws, none of them twice while others remain.
///
/// The configuration of a trial depends on space, seed and trial alone, whatever was asked for before.
#[derive(Debug, Clone)]
pub struct RandomSampler {
    space: SearchSpace,
    rng: SplitMix64,
    proposed: Vec<Hyperparameters>,
    known: HashSet<String>,
}

impl RandomSampler {
    /// A search that starts with its first trial.
    pub fn new(space: SearchSpace, seed: u64) -> Self {
        Self { space, rng: SplitMix64::new(seed), proposed: Vec::new(), known: HashSet::new() }
    }

    /// The configuration of a trial, from 0; `None` past the last one the space holds.
    pub fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        let index = usize::try_from(trial).ok()?;
        while self.proposed.len() <= index {
            let next = self.draw().or_else(|| self.enumerate())?;
            self.known.insert(identity(&next));
            self.proposed.push(next);
        }
        self.proposed.get(index).cloned()
    }

    fn draw(&mut self) -> Option<Hyperparameters> {
        (0..KNOWN_IN_A_ROW).find_map(|_| {
            let rng = &mut self.rng;
            let drawn =
                configuration(&self.space, |parameter| Some(parameter.distribution.quantile(rng.unit())))?;
            (!self.known.contains(&identity(&drawn))).then_some(drawn)
        })
    }

    /// The first unknown configuration from a random one on, in the order of the grid. Looks at one more than are
    /// known at the most.
    fn enumerate(&mut self) -> Option<Hyperparameters> {
        let counts: Vec<u128> = self
            .space
            .parameters
            .iter()
            .map(|parameter| parameter.distribution.cardinality())
            .collect::<Option<_>>()?;
        let mut digits: Vec<u128> = counts.iter().map(|count| self.rng.nearly_below(*count)).collect();
        for _ in 0..=self.known.len() {
            let candidate = at(&self.space, &digits)?;
            if !self.known.contains(&identity(&candidate)) {
                return Some(candidate);
            }
            // Counts on, the last parameter fastest, from the last configuration to the first.
            for (digit, count) in digits.iter_mut().zip(&counts).rev() {
                *digit = (*digit + 1) % count;
                if *digit > 0 {
                    break;
                }
            }
        }
        None
    }
}

impl Sampler for RandomSampler {
    fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        Self::propose(self, trial)
    }

    /// Random search does not learn.
    fn tell(&mut self, _trial: u32, _score: Option<f64>) {}
}

/// Grid search: every combination of constants and choices, the last parameter changing fastest.
#[derive(Debug, Clone)]
pub struct GridSampler {
    space: SearchSpace,
}

impl GridSampler {
    /// A grid over a space of constants and choices.
    ///
    /// # Errors
    /// [`SpaceError::NotEnumerable`] for a parameter that is something else.
    pub fn new(space: SearchSpace) -> Result<Self, SpaceError> {
        let listed =
            |distribution: &_| matches!(distribution, Distribution::Constant(_) | Distribution::Choice(_));
        match space.parameters.iter().find(|parameter| !listed(&parameter.distribution)) {
            None => Ok(Self { space }),
            Some(parameter) => Err(SpaceError::NotEnumerable {
                parameter: parameter.name.clone(),
                distribution: parameter.distribution.name(),
                place: place(space.path(), parameter.line),
            }),
        }
    }

    /// Combinations there are; `u32::MAX` stands for as many or more.
    pub fn trials(&self) -> u32 {
        self.space.limit(u32::MAX)
    }

    /// The configuration of a trial, from 0; `None` past the last combination.
    pub fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        let mut rest = u128::from(trial);
        let mut digits = Vec::with_capacity(self.space.parameters.len());
        for parameter in self.space.parameters.iter().rev() {
            let count = parameter.distribution.cardinality()?;
            digits.push(rest % count);
            rest /= count;
        }
        digits.reverse();
        if rest > 0 { None } else { at(&self.space, &digits) }
    }
}

impl Sampler for GridSampler {
    fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        Self::propose(self, trial)
    }

    /// A grid does not learn.
    fn tell(&mut self, _trial: u32, _score: Option<f64>) {}
}

fn configuration(
    space: &SearchSpace,
    mut value: impl FnMut(&Parameter) -> Option<Value>,
) -> Option<Hyperparameters> {
    space.parameters.iter().map(|parameter| Some((parameter.name.clone(), value(parameter)?))).collect()
}

/// The configuration with these indices, one for each parameter.
fn at(space: &SearchSpace, digits: &[u128]) -> Option<Hyperparameters> {
    let mut digits = digits.iter();
    configuration(space, |parameter| parameter.distribution.nth(*digits.next()?))
}

/// Equal texts for equal configurations: names come in the order of the space.
fn identity(configuration: &Hyperparameters) -> String {
    configuration.values().map(|value| format!("{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn space(parameters: &[(&str, Distribution)]) -> SearchSpace {
        SearchSpace::new(parameters.iter().map(|(name, of)| ((*name).to_owned(), of.clone()))).unwrap()
    }

    fn choice(values: &[i64]) -> Distribution {
        Distribution::Choice(values.iter().map(|value| json!(value)).collect())
    }

    #[test]
    fn a_grid_is_the_full_product_with_the_last_parameter_fastest() {
        let constant = Distribution::Constant(json!("c"));
        let mut grid =
            GridSampler::new(space(&[("a", choice(&[1, 2])), ("b", constant), ("c", choice(&[5, 6, 5, 7]))]))
                .unwrap();
        assert_eq!(grid.trials(), 6);
        let all: Vec<_> = (0..).map_while(|trial| grid.propose(trial)).map(Value::Object).collect();
        let row = |a: i64, c: i64| json!({"a": a, "b": "c", "c": c});
        assert_eq!(all, [row(1, 5), row(1, 6), row(1, 7), row(2, 5), row(2, 6), row(2, 7)]);
        assert!(grid.propose(u32::MAX).is_none());
    }

    #[test]
    fn a_grid_names_the_parameter_it_can_not_enumerate() {
        for of in
            [Distribution::Uniform { low: 0.0, high: 1.0 }, Distribution::IntUniform { low: 0, high: 1 }]
        {
            let error = GridSampler::new(space(&[("a", choice(&[1])), ("lr", of)])).unwrap_err().to_string();
            assert!(error.contains("parameter lr is") && error.contains("constants and choices"), "{error}");
        }
    }

    /// What resuming rests on: these values never change.
    #[test]
    fn the_stream_of_the_default_seed_is_fixed() {
        let mut sampler = RandomSampler::new(
            space(&[
                ("lr", Distribution::LogUniform { low: 1e-4, high: 1e-2 }),
                ("n", Distribution::IntUniform { low: 1, high: 100 }),
            ]),
            DEFAULT_SEED,
        );
        let drawn: Vec<i64> =
            (0..4).map(|trial| sampler.propose(trial).unwrap()["n"].as_i64().unwrap()).collect();
        assert_eq!(drawn, [16, 35, 87, 81]);
        let rate = sampler.propose(0).unwrap()["lr"].as_f64().unwrap();
        assert!((rate - 0.003041793710311465).abs() < 1e-12, "{rate}");
    }

    #[test]
    fn a_lopsided_space_is_drawn_to_its_last_configuration() {
        let mut values = vec![1; 5000];
        values.push(2);
        let mut sampler = RandomSampler::new(space(&[("a", choice(&values))]), 1);
        let drawn: HashSet<_> =
            (0..2).map(|trial| sampler.propose(trial).unwrap()["a"].as_i64().unwrap()).collect();
        assert_eq!(drawn, HashSet::from([1, 2]));
        assert!(sampler.propose(2).is_none());
    }

    #[test]
    fn a_continuous_parameter_with_two_values_ends_as_well() {
        let of = Distribution::Uniform { low: 1.0, high: 1.0_f64.next_up() };
        let mut sampler = RandomSampler::new(space(&[("a", of)]), 1);
        assert!((0..3).map_while(|trial| sampler.propose(trial)).count() <= 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// SPACE-1: a finite space is drawn completely and without repetition, whatever the seed.
        #[test]
        fn finite_spaces_are_drawn_completely(
            seed: u64,
            values in prop::collection::vec(prop::collection::vec(0..5_i64, 1..5), 1..4),
            high in 1..6_i64,
        ) {
            let names = ["a", "b", "c"];
            let mut parameters: Vec<_> = names.into_iter().zip(values.iter().map(|values| choice(values))).collect();
            parameters.push(("d", Distribution::IntUniform { low: 0, high }));
            let space = space(&parameters);
            let held = space.cardinality().unwrap();
            let mut sampler = RandomSampler::new(space, seed);
            let drawn: Vec<_> = (0..).map_while(|trial| sampler.propose(trial)).collect();
            let different: HashSet<_> = drawn.iter().map(identity).collect();
            prop_assert_eq!(drawn.len(), different.len());
            prop_assert_eq!(drawn.len() as u128, held);
        }

        /// SPACE-2: a trial's configuration does not depend on what was asked for before.
        #[test]
        fn proposals_depend_on_the_trial_alone(seed: u64, trials in prop::collection::vec(0..40_u32, 1..20)) {
            let of = Distribution::ReversedLogUniform { low: 0.1, high: 0.9, n: 1.0 };
            let space = space(&[("a", choice(&[1, 2, 3])), ("b", of)]);
            let mut straight = RandomSampler::new(space.clone(), seed);
            let expected: Vec<_> = (0..40).map(|trial| straight.propose(trial)).collect();
            let mut jumping = RandomSampler::new(space, seed);
            for trial in trials {
                prop_assert_eq!(&jumping.propose(trial), &expected[trial as usize]);
            }
        }
    }
}

//! Search spaces: what a tune tries.
//!
//! A [`SearchSpace`] is read from the top-level table `hyperparameters` of a TOML or YAML file, in the order of the
//! file, or written in code: [`SearchSpace::builder`]. [`RandomSampler`] and [`GridSampler`] draw configurations from it. Names and values mean
//! nothing here: what a workload makes of them is the workload's.
//!
//! 1. A space is never empty and its distributions are valid: both are checked when it is made.
//! 2. The configuration of a trial depends on the space, the seed and the trial alone, on any machine and with any
//!    version of a dependency: resuming rests on it.

mod builder;
mod distribution;
mod error;
mod parse;
mod sampler;
mod search;

use std::path::{Path, PathBuf};

pub use builder::SpaceBuilder;
pub use distribution::Distribution;
pub use error::{DistributionError, SpaceError};
pub use sampler::{DEFAULT_SEED, GridSampler, RandomSampler};
pub(crate) use search::Search;
pub use search::Trials;

use engine_actors::plan::Hyperparameters;

use crate::config::document::snake;

/// One hyperparameter and what it can be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Parameter {
    /// Name, with underscores for hyphens.
    pub name: String,
    /// What it can be.
    pub distribution: Distribution,
    /// Line in the file the space was read from, from 1, where the parser knows it.
    pub line: Option<usize>,
}

impl Parameter {
    /// One that stands in no file.
    fn new(name: &str, distribution: Distribution) -> Self {
        Self { name: snake(name), distribution, line: None }
    }
}

/// Hyperparameters with their distributions.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpace {
    parameters: Vec<Parameter>,
    path: Option<PathBuf>,
}

impl SearchSpace {
    /// Reads the table `hyperparameters` of a TOML or YAML file.
    ///
    /// # Errors
    /// [`SpaceError`], with file, line and parameter, for a file that can not be read or parsed, a table that is not
    /// there or empty, and every value that is no distribution.
    pub fn load(path: &Path) -> Result<Self, SpaceError> {
        parse::load(path)
    }

    /// A space written in code, hyperparameter by hyperparameter.
    pub fn builder() -> SpaceBuilder {
        SpaceBuilder::default()
    }

    /// A space from names and distributions.
    ///
    /// # Errors
    /// [`SpaceError`] if there are none, a name is there twice, or a distribution is not valid.
    pub fn new(parameters: impl IntoIterator<Item = (String, Distribution)>) -> Result<Self, SpaceError> {
        let parameters =
            parameters.into_iter().map(|(name, distribution)| Parameter::new(&name, distribution));
        Self::checked(parameters.collect(), None)
    }

    /// In the order of the file.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The file the space was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Different configurations in the space; `None` if a parameter is continuous.
    pub fn cardinality(&self) -> Option<u128> {
        self.parameters
            .iter()
            .map(|parameter| parameter.distribution.cardinality())
            .try_fold(1_u128, |product, of_one| Some(product.saturating_mul(of_one?)))
    }

    /// Trials there can be when so many are asked for.
    pub fn limit(&self, asked: u32) -> u32 {
        let held = self.cardinality().and_then(|held| u32::try_from(held).ok());
        held.map_or(asked, |held| held.min(asked))
    }

    /// Configurations that show every listed value and every end of an interval at least once: the first values
    /// together, then each other one with the first values of the rest.
    pub fn corners(&self) -> Vec<Hyperparameters> {
        let ends: Vec<Vec<serde_json::Value>> =
            self.parameters.iter().map(|parameter| parameter.distribution.ends()).collect();
        let first: Hyperparameters = self
            .parameters
            .iter()
            .zip(&ends)
            .filter_map(|(parameter, values)| Some((parameter.name.clone(), values.first()?.clone())))
            .collect();
        let mut corners = vec![first.clone()];
        for (parameter, values) in self.parameters.iter().zip(&ends) {
            for value in values.iter().skip(1) {
                let mut corner = first.clone();
                corner.insert(parameter.name.clone(), value.clone());
                corners.push(corner);
            }
        }
        corners
    }

    /// The space as JSON, parameter by parameter in their order: what a search hangs on.
    #[must_use]
    pub fn described(&self) -> serde_json::Value {
        let described =
            |Parameter { name, distribution, .. }: &Parameter| (name.clone(), distribution.described());
        serde_json::Value::Object(self.parameters.iter().map(described).collect())
    }

    /// The space with values that are the same in every trial, where it does not name them itself.
    #[must_use]
    pub fn with_constants(mut self, values: &Hyperparameters) -> Self {
        for (name, value) in values {
            if !self.parameters.iter().any(|parameter| parameter.name == *name) {
                let distribution = Distribution::Constant(value.clone());
                self.parameters.push(Parameter { name: name.clone(), distribution, line: None });
            }
        }
        self
    }

    /// The space with every constant and every choice replaced.
    #[cfg(feature = "segmentation")]
    #[must_use]
    pub(crate) fn map_values(
        mut self,
        replace: impl Fn(&str, serde_json::Value) -> serde_json::Value,
    ) -> Self {
        for Parameter { name, distribution, .. } in &mut self.parameters {
            match distribution {
                Distribution::Constant(value) => *value = replace(name, value.take()),
                Distribution::Choice(choices) => {
                    for value in choices {
                        *value = replace(name, value.take());
                    }
                }
                _ => {}
            }
        }
        self
    }

    fn checked(parameters: Vec<Parameter>, path: Option<PathBuf>) -> Result<Self, SpaceError> {
        if parameters.is_empty() {
            return Err(SpaceError::Empty { place: path.map(|path| path.display().to_string()) });
        }
        for (index, parameter) in parameters.iter().enumerate() {
            let place = || error::place(path.as_deref(), parameter.line);
            let before = parameters.iter().take(index).find(|before| before.name == parameter.name);
            if let Some(before) = before {
                return Err(SpaceError::Twice {
                    parameter: parameter.name.clone(),
                    first: error::place(path.as_deref(), before.line),
                    second: place(),
                });
            }
            parameter.distribution.check().map_err(|source| SpaceError::Parameter {
                parameter: parameter.name.clone(),
                source: Box::new(source),
                place: place(),
            })?;
        }
        Ok(Self { parameters, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn space() -> SearchSpace {
        SearchSpace::new([
            ("a-b".to_owned(), Distribution::Choice(vec![json!(1), json!(2), json!(1)])),
            ("c".to_owned(), Distribution::IntUniform { low: 1, high: 10 }),
            ("d".to_owned(), Distribution::Constant(json!([1, 2]))),
        ])
        .unwrap()
    }

    #[test]
    fn cardinality_counts_different_configurations() {
        let space = space();
        assert_eq!((space.cardinality(), space.limit(100), space.limit(7)), (Some(20), 20, 7));
        let huge = Distribution::IntUniform { low: i64::MIN, high: i64::MAX };
        let huge = ["a", "b", "c"].map(|name| (name.to_owned(), huge.clone()));
        assert_eq!(SearchSpace::new(huge).unwrap().limit(u32::MAX), u32::MAX);
    }

    #[test]
    fn constants_fill_in_what_the_space_does_not_name() {
        let Some(given) = json!({"a_b": 9, "e": "x"}).as_object().cloned() else { unreachable!() };
        let space = space().with_constants(&given);
        let names: Vec<_> = space.parameters().iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, ["a_b", "c", "d", "e"]);
        assert_eq!(space.cardinality(), Some(20));
    }

    #[test]
    fn names_are_there_once_and_spaces_are_not_empty() {
        let twice = ["a-b", "a_b"].map(|name| (name.to_owned(), Distribution::Constant(json!(1))));
        assert!(matches!(SearchSpace::new(twice), Err(SpaceError::Twice { .. })));
        assert!(matches!(SearchSpace::new([]), Err(SpaceError::Empty { .. })));
    }
}

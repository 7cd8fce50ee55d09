//! A search space written in code.

use serde::Serialize;
use serde_json::Value;

use super::distribution::Distribution;
use super::error::{DistributionError, SpaceError};
use super::{Parameter, SearchSpace, error};

/// A search space in the making: one call for each hyperparameter, in the order of the grid.
///
/// What a file says in its table `hyperparameters` is said here by name, and checked alike.
///
/// ```
/// use engine::space::SearchSpace;
///
/// let space = SearchSpace::builder()
///     .log_uniform("learning_rate", 1e-5, 1e-2)
///     .choice("batch_size", [32, 64])
///     .int_uniform("hidden", 16, 128)
///     .constant("optimizer", "adam")
///     .build()?;
/// assert_eq!(space.cardinality(), None, "a learning rate is continuous");
///
/// let error = SearchSpace::builder().log_uniform("learning_rate", 0.0, 1e-2).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "parameter learning_rate: `low` is 0, but loguniform needs more than 0, in the search space of the app"
/// );
/// # Ok::<(), engine::space::SpaceError>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a space is there once it is built"]
pub struct SpaceBuilder {
    parameters: Vec<(String, Result<Distribution, DistributionError>)>,
}

impl SpaceBuilder {
    /// One of these values, of anything that serialises to JSON, an enum as well; one that is listed twice is drawn
    /// twice as often. JSON writes a float that is not finite as `null`.
    pub fn choice<T: Serialize>(self, name: impl Into<String>, values: impl IntoIterator<Item = T>) -> Self {
        let values: Result<Vec<Value>, _> = values.into_iter().map(json).collect();
        self.add(name, values.map(Distribution::Choice))
    }

    /// Always this value.
    pub fn constant<T: Serialize>(self, name: impl Into<String>, value: T) -> Self {
        self.add(name, json(value).map(Distribution::Constant))
    }

    /// Any float between the bounds.
    pub fn uniform(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.parameter(name, Distribution::Uniform { low, high })
    }

    /// A float whose logarithm is uniform; `low` is more than 0.
    pub fn log_uniform(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.parameter(name, Distribution::LogUniform { low, high })
    }

    /// `n` − loguniform(`n` − `high`, `n` − `low`): dense towards `n`, which is more than `high`; a momentum with `n` = 1.
    pub fn reversed_log_uniform(self, name: impl Into<String>, low: f64, high: f64, n: f64) -> Self {
        self.parameter(name, Distribution::ReversedLogUniform { low, high, n })
    }

    /// An integer between the bounds, both included.
    pub fn int_uniform(self, name: impl Into<String>, low: i64, high: i64) -> Self {
        self.parameter(name, Distribution::IntUniform { low, high })
    }

    /// A distribution that is there already.
    pub fn parameter(self, name: impl Into<String>, distribution: Distribution) -> Self {
        self.add(name, Ok(distribution))
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`SpaceError`] if there is no parameter, a name is there twice, a distribution is not valid, or a value is not
    /// to be had in JSON.
    pub fn build(self) -> Result<SearchSpace, SpaceError> {
        let parameter = |(name, distribution): (String, Result<_, _>)| match distribution {
            Ok(distribution) => Ok(Parameter::new(&name, distribution)),
            Err(source) => Err(SpaceError::Parameter {
                parameter: name,
                source: Box::new(source),
                place: error::place(None, None),
            }),
        };
        SearchSpace::checked(self.parameters.into_iter().map(parameter).collect::<Result<_, _>>()?, None)
    }

    fn add(mut self, name: impl Into<String>, distribution: Result<Distribution, DistributionError>) -> Self {
        self.parameters.push((name.into(), distribution));
        self
    }
}

fn json(value: impl Serialize) -> Result<Value, DistributionError> {
    serde_json::to_value(value)
        .map_err(|error| DistributionError::NotSerialisable { message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Optimizer {
        Adam,
        Sgd,
    }

    #[test]
    fn a_space_from_code_is_the_one_a_file_describes() {
        let built = SearchSpace::builder()
            .constant("model-arch", "Unet")
            .choice("batch_size", [32, 64])
            .int_uniform("depth", 1, 10)
            .uniform("gamma", 0.8, 0.99)
            .log_uniform("learning-rate", 1e-5, 1e-2)
            .reversed_log_uniform("alpha", 0.9, 0.9999, 1.0)
            .choice("optimizer", [Optimizer::Adam, Optimizer::Sgd])
            .choice("clip", [None, Some(1.5)])
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.yaml");
        let yaml = "hyperparameters:\n  model-arch: Unet\n  batch_size: [32, 64]\n  depth: {low: 1, high: 10}\n  \
                    gamma: {low: 0.8, high: 0.99}\n  \
                    learning-rate: {distribution: loguniform, low: 1e-5, high: 0.01}\n  \
                    alpha: {distribution: reversed-loguniform, low: 0.9, high: 0.9999}\n  \
                    optimizer: [adam, sgd]\n  clip: [~, 1.5]\n";
        std::fs::write(&path, yaml).unwrap();
        let read = SearchSpace::load(Path::new(&path)).unwrap();
        assert_eq!(built.described(), read.described());
        assert_eq!(built.corners(), read.corners());
    }

    #[test]
    fn what_a_file_may_not_say_is_refused_with_its_name() {
        let none: [i32; 0] = [];
        for (builder, needle) in [
            (SearchSpace::builder(), "holds no parameter"),
            (SearchSpace::builder().choice("a", none), "parameter a: a choice needs at least one value"),
            (SearchSpace::builder().uniform("a", 1.0, 1.0), "`low` must be less than `high`"),
            (SearchSpace::builder().uniform("a", 0.0, f64::INFINITY), "`high` is inf, but must be finite"),
            (SearchSpace::builder().int_uniform("a", 2, 1), "`low` must be less than `high`"),
            (SearchSpace::builder().reversed_log_uniform("a", 0.1, 1.0, 1.0), "less than `n`"),
            (SearchSpace::builder().constant("a-b", 1).constant("a_b", 2), "parameter a_b is there twice"),
            (
                SearchSpace::builder().constant("a", BTreeMap::from([(vec![1], 2)])),
                "parameter a: a value is not JSON",
            ),
        ] {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}

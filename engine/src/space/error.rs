//! What can be wrong with a search space.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::DocumentError;
use crate::config::document;

/// Why there is no search space, or no sampler for it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// The file can not be read or parsed.
    #[error("search space {0}")]
    Document(#[from] DocumentError),
    /// The file has no table `hyperparameters`.
    #[error("search space has no top-level table `hyperparameters`; add one, or name another file with --hpconfig: {}", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
    },
    /// `hyperparameters` is a value.
    #[error("`hyperparameters` is {kind}, but must be a table of parameters, in {place}")]
    NotATable {
        /// What it is.
        kind: &'static str,
        /// File and line.
        place: String,
    },
    /// Nothing to search.
    #[error("search space holds no parameter; name at least one{}", place.as_ref().map(|place| format!(" under `hyperparameters`, in {place}")).unwrap_or_default())]
    Empty {
        /// File and line.
        place: Option<String>,
    },
    /// Two names are the same once hyphens are underscores.
    #[error("parameter {parameter} is there twice, in {first} and in {second}; keep one of them")]
    Twice {
        /// The name.
        parameter: String,
        /// File and line of the first.
        first: String,
        /// File and line of the second.
        second: String,
    },
    /// A parameter's value is no distribution.
    #[error("parameter {parameter}: {source}, in {place}")]
    Parameter {
        /// The name.
        parameter: String,
        /// What is wrong.
        #[source]
        source: Box<DistributionError>,
        /// File and line.
        place: String,
    },
    /// A grid needs values to enumerate.
    #[error(
        "parameter {parameter} is {distribution}, but a grid takes constants and choices only; \
         list its values or use a number of trials instead of \"grid\", in {place}"
    )]
    NotEnumerable {
        /// The name.
        parameter: String,
        /// Its distribution.
        distribution: &'static str,
        /// File and line.
        place: String,
    },
}

/// Why a value describes no distribution.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// A table that says neither `distribution` nor both bounds.
    #[error("a table needs `distribution`, or both `low` and `high`")]
    Undecided,
    /// `distribution` is not a name.
    #[error("`distribution` is {kind}, but must be one of {known}")]
    NotAName {
        /// What it is.
        kind: &'static str,
        /// Names there are.
        known: String,
    },
    /// No distribution has this name.
    #[error("there is no distribution {name:?}{hint}; there are {known}")]
    UnknownDistribution {
        /// The name.
        name: String,
        /// The nearest known name, as a fragment.
        hint: String,
        /// Names there are.
        known: String,
    },
    /// A key the distribution needs is not there.
    #[error("{distribution} needs `{key}`")]
    Missing {
        /// The distribution.
        distribution: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key the distribution does not have.
    #[error("{distribution} has no `{key}`{hint}; it takes {known}")]
    UnknownKey {
        /// The distribution.
        distribution: &'static str,
        /// The key.
        key: String,
        /// The nearest known key, as a fragment.
        hint: String,
        /// Keys it takes.
        known: String,
    },
    /// A bound is something else than a number.
    #[error("`{key}` is {kind}, but must be {expected}")]
    NotANumber {
        /// The key.
        key: &'static str,
        /// What it is.
        kind: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A bound is infinite or not a number.
    #[error("`{key}` is {value}, but must be finite")]
    NotFinite {
        /// The key.
        key: &'static str,
        /// The value.
        value: f64,
    },
    /// One bound is an integer and the other a float.
    #[error("`low` is {low} and `high` is {high}; write both as integers or both as floats (1.0)")]
    Mixed {
        /// What `low` is.
        low: &'static str,
        /// What `high` is.
        high: &'static str,
    },
    /// The bounds hold nothing.
    #[error("`low` is {low} and `high` is {high}, but `low` must be less than `high`")]
    Order {
        /// Lower bound.
        low: String,
        /// Upper bound.
        high: String,
    },
    /// A logarithm needs positive bounds.
    #[error("`low` is {low}, but loguniform needs more than 0")]
    NotPositive {
        /// Lower bound.
        low: f64,
    },
    /// A reversed logarithm ends below `n`.
    #[error("`high` is {high}, but reversed-loguniform needs less than `n`, which is {n}")]
    Reversed {
        /// Upper bound.
        high: f64,
        /// Where the density has its pole.
        n: f64,
    },
    /// Nothing to choose from.
    #[error("a choice needs at least one value")]
    NoChoices,
    /// `choices` is something else than a list.
    #[error("`choices` is {kind}, but must be a list")]
    NotAList {
        /// What it is.
        kind: &'static str,
    },
    /// A value from code that JSON has no form for.
    #[error("a value is not JSON: {message}")]
    NotSerialisable {
        /// What serde says.
        message: String,
    },
    /// A date, or a float that is not finite.
    #[error("a value is or holds a date or a number that is not finite; use a text or a finite number")]
    NotJson,
}

/// `file:line`, as far as it is known.
pub(super) fn place(path: Option<&Path>, line: Option<usize>) -> String {
    path.map_or_else(|| "the search space of the app".to_owned(), |path| document::place(path, line))
}

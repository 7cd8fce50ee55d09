//! What can be wrong with settings.

use std::path::PathBuf;

use thiserror::Error;

use super::document::DocumentError;
use super::hyperparameters::HyperparameterError;
use super::resolve::Origin;

/// Why settings can not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The config file can not be read or parsed.
    #[error("config file {0}")]
    Document(#[from] DocumentError),
    /// `darts` or `engine` is a value.
    #[error("{table} must be a table; write [{table}] above the settings, in {place}")]
    NotATable {
        /// `darts` or `engine`.
        table: &'static str,
        /// File and line.
        place: String,
    },
    /// A config file that was asked for holds nothing of ours.
    #[error("config file has neither a [darts] nor an [engine] table to read settings from: {}", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
    },
    /// One option has two places.
    #[error("{key} is set twice, under [{}] ({}) and under [{}] ({}); keep one of them", first.0, first.1, second.0, second.1)]
    Twice {
        /// The option.
        key: &'static str,
        /// Table, file and line of the first.
        first: (String, String),
        /// Table, file and line of the second.
        second: (String, String),
    },
    /// A key under `[engine]`, or in a table of hyperparameters, that is no option.
    #[error("{key} under [{table}] is no option{hint}, in {place}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Table it stands in.
        table: String,
        /// The nearest known name, as a fragment.
        hint: String,
        /// File and line.
        place: String,
    },
    /// A name handed to [`Sources::with_option`](super::Sources::with_option) that is no option.
    #[error("{key} is no option{hint}")]
    UnknownOption {
        /// The name.
        key: String,
        /// The nearest known name, as a fragment.
        hint: String,
    },
    /// A value that the option does not take.
    #[error("{option} is {value}, but must be {expected}; set {origin}")]
    Value {
        /// The option.
        option: &'static str,
        /// The value as written.
        value: String,
        /// What is allowed.
        expected: String,
        /// Where the value came from.
        origin: Origin,
    },
    /// Two values that do not go together.
    #[error("{option} is {value} (set {origin}) while {other} is {other_value} (set {other_origin}), but {rule}")]
    Conflict {
        /// One option.
        option: &'static str,
        /// Its value.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// The other option.
        other: &'static str,
        /// Its value.
        other_value: String,
        /// Where it came from.
        other_origin: Origin,
        /// What must hold.
        rule: String,
    },
    /// A value that is needed is not there.
    #[error("{option} is not set{why}; give --{option}, {environment} or {option} in the config file")]
    Missing {
        /// The option.
        option: &'static str,
        /// What needs it, as a fragment.
        why: String,
        /// Its name in the environment.
        environment: String,
    },
    /// Hyperparameters that training can not use.
    #[error(transparent)]
    Hyperparameters(#[from] HyperparameterError),
}

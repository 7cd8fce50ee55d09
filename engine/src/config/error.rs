//! What can be wrong with settings.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::document::DocumentError;
use super::hyperparameters::HyperparameterError;
use super::resolve::Origin;
use crate::command::CommandError;

/// A value as it was set, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option.
    pub option: &'static str,
    /// Its value.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {} (set {})", self.option, self.value, self.origin)
    }
}

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
    #[error("{one} while {other}, but {rule}")]
    Conflict {
        /// The value that is refused.
        one: Box<Setting>,
        /// The value it does not go with.
        other: Box<Setting>,
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
    /// A program that can not do the runs.
    #[error(transparent)]
    Program(#[from] CommandError),
    /// Hyperparameters that training can not use.
    #[error(transparent)]
    Hyperparameters(#[from] HyperparameterError),
}

//! Settings: from the command line, the environment and one file, to typed values whose origin is known.
//!
//! Owns the table of [`options()`], the look-up of their values with its precedence ([`Sources`] → [`Resolved`]), and
//! the checks that make an [`EngineConfig`] of them. What a value means to data or devices is checked where that is
//! known, not here.
//!
//! 1. Every value has an origin, and every error about a value says it.
//! 2. Nothing but [`options()`] lists options.

pub(crate) mod document;
mod engine_config;
mod error;
mod file;
mod hyperparameters;
mod nearest;
mod options;
mod reader;
mod resolve;
mod value;

pub use document::DocumentError;
pub use engine_config::{
    CvConfig, DeviceConfig, EngineConfig, Trials, TuneConfig, WandbConfig, artifact_dir,
};
pub use error::{ConfigError, Setting};
pub use hyperparameters::{HyperparameterError, check_hyperparameters, check_space};
pub(crate) use nearest::hint;
pub use nearest::nearest;
pub use options::{Command, Group, Kind, OptionSpec, option, options};
pub use resolve::{Origin, Resolved, ResolvedOption, Sources};
pub use value::OptionValue;

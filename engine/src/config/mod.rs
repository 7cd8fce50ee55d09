//! Settings: from the command line, the environment and one file, to typed values whose origin is known.
//!
//! Owns the table of [`options()`], the look-up of their values with its precedence ([`Sources`] → [`Resolved`]), and
//! the checks that make an [`EngineConfig`] of them. What a value means to data or devices is checked where that is
//! known, not here.
//!
//! 1. Every value has an origin, and every error about a value says it.
//! 2. Nothing but [`options()`] lists options.

pub(crate) mod document;
#[cfg(feature = "segmentation")]
mod engine_config;
#[cfg(feature = "segmentation")]
mod error;
#[cfg(feature = "segmentation")]
mod file;
#[cfg(feature = "segmentation")]
mod hyperparameters;
mod nearest;
#[cfg(feature = "segmentation")]
mod options;
#[cfg(feature = "segmentation")]
mod program;
#[cfg(feature = "segmentation")]
mod reader;
#[cfg(feature = "segmentation")]
mod resolve;
#[cfg(feature = "segmentation")]
mod value;

pub use document::DocumentError;
#[cfg(feature = "segmentation")]
pub use engine_config::{
    CvConfig, DeviceConfig, EngineConfig, ProgramConfig, TuneConfig, WandbConfig, artifact_dir,
};
#[cfg(feature = "segmentation")]
pub use error::{ConfigError, Setting};
#[cfg(feature = "segmentation")]
pub use hyperparameters::{HyperparameterError, check_hyperparameters, check_space};
pub(crate) use nearest::hint;
pub use nearest::nearest;
#[cfg(feature = "segmentation")]
pub use options::{Command, Group, Kind, OptionSpec, option, options};
#[cfg(feature = "segmentation")]
pub use resolve::{Origin, Resolved, ResolvedOption, Sources};
#[cfg(feature = "segmentation")]
pub use value::OptionValue;

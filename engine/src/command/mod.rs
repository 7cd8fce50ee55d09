//! Any program as a run: a training script in Python, or whatever else can be started.
//!
//! [`CommandWorkload`] starts the program once for each run, hands over hyperparameters, fold, seed, folder and device, and reads what it
//! tells: metrics, checkpoints and progress as JSON lines on its standard output, metrics from a file besides if it writes one. What a
//! program has to do for that stands in `docs/command.md`.
//!
//! - CMD-1: nothing of a program outlives its run, nor the process that started it, however either ends.
//! - CMD-2: a program that is begun again is given the last checkpoint that it told of, and what was logged behind that gives way.
//! - CMD-3: a row of metrics is taken once, and never half.
//! - CMD-4: what a program prints takes no more memory than a bound, however much it is.

mod call;
mod course;
mod csv;
mod error;
mod follow;
mod handover;
#[cfg(feature = "segmentation")]
pub mod jobs;
mod lines;
mod memory;
mod settings;
mod tail;
mod words;
mod workload;

pub use error::CommandError;
pub use handover::Handover;
pub use settings::{CommandBuilder, CommandWorkload};
#[cfg(feature = "segmentation")]
pub use workload::BundledWorkload;

/// Folder of the program within that of its run: the files that the engine keeps there and those of the program do not meet.
pub const PROGRAM_DIR: &str = "program";

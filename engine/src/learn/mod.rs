//! Learning: the loop that trains a model, and the layer by which any burn model is trained with it.
//!
//! Owns: epochs and steps, validation, when a run ends early, the course of a run and its checkpoints, how several
//! processes take one step, what is logged when. Hears a [`RunOrder`], tells what happens through a [`RunContext`], writes
//! `checkpoints/` of the run's folder and nothing else. Knows nothing of what is trained: that is a task's, of which
//! [`segmentation`](crate::segmentation) is one.
//!
//! # Invariants
//! - `RUN-1` the same seed, device kind and thread count give the same losses, bit for bit on the CPU.
//! - `RUN-2` a run that was stopped and goes on from its `last` checkpoint gives what it would have given.
//! - `RUN-3` a checkpoint never holds a step whose loss was known not to be finite.
//!
//! [`RunOrder`]: engine_actors::protocol::RunOrder
//! [`RunContext`]: crate::workload::RunContext

mod artist;
mod clock;
mod closures;
mod course;
mod data;
mod error;
mod held;
mod history;
mod hyperparameters;
mod jobs;
mod keep;
mod learner;
mod learning;
mod measures;
mod pass;
mod settings;
mod site;
mod step;
mod tally;
mod task;
mod trainer;

pub use closures::Closures;
pub use data::{BatchIter, Batches, Data};
pub use error::LearnError;
pub use learner::{BoxError, Learner, Measured, Run, Step, accuracy};
pub use learning::Learning;
pub use settings::{LearningSettings, Monitor};

// What a task of the engine's own is made of.
#[cfg(feature = "segmentation")]
pub(crate) use self::{
    course::with_weights,
    error::told,
    history::History,
    pass::{Evaluator, Pass},
    site::Site,
    tally::read_values,
    task::{Draw, OptimizerGoesOn, Sums, Task, Validated},
    trainer::{Fitted, fit},
};

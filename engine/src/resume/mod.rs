//! Going on with a job that was begun before.
//!
//! A job's journal says what it was: its plan, and facts of code, data and search. Whoever resumes it says what it is now.
//! What may only grow (trials, cells, and what the workload says of its settings) may be more than it was; what changes no result may be
//! anything; all else must be the same, unless it is forced.

mod code;
mod compare;
mod error;
mod inspect;

pub(crate) use code::code;
pub use compare::Difference;
pub(crate) use compare::{Comparison, compare};
pub use engine_actors::journal::HistoryError;
pub use engine_tracking::journal::JournalError;
pub use error::ResumeError;
pub use inspect::{Inspected, Inspection, JobState, Soundness, inspect};

use serde_json::{Map, Value};

/// Whether a job that is there already is gone on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Resume {
    /// A job of the same name is an error.
    #[default]
    No,
    /// It goes on where it was. One that is not there yet begins.
    Yes,
    /// As `Yes`, and runs that failed are tried again.
    Failed,
    /// As `Yes`, whatever changed.
    Force,
}

/// How a job is kept, and what it hangs on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keeping {
    /// Whether to go on with a job that is there already.
    pub resume: Resume,
    /// What the results hang on besides plan and code, by name: a fingerprint of the data, the search. Compared when the job
    /// is resumed.
    pub facts: Map<String, Value>,
    /// Settings of the workload, by the path of their names (`max_epochs`, `optimizer.steps`), that may become more. Runs that came to
    /// their end then go on from their last checkpoint.
    pub may_grow: Vec<String>,
    /// Settings of the workload that change no result.
    pub may_change: Vec<String>,
}

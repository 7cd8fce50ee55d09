//! What a job's journal says, and how its actors write and recall it.
//!
//! - [`Record`]: the facts of a tune, a cv or a run alone, in the order in which they became facts
//! - [`Past`]: a fold over them, from which the states of the actors are recalled by the code that runs live
//! - [`JournalLine`]: the way of the actors to the thread that appends
//!
//! A fact stands in the journal before it is acted on: a configuration before its cv starts, the ids of runs before their
//! folders are made, the end of a run before its rows stand in a table or its parent hears of it. Ends, changes and the ids of
//! runs are on the disk when they are acted on, since tables and folders are; whatever was appended before is then on the disk
//! too. The rest need only outlive the process: a power cut may take it, and it is done again from the checkpoints, to the same
//! result.

mod error;
mod line;
mod past;
mod record;
mod show;

pub use error::HistoryError;
#[cfg(test)]
pub(crate) use line::durability;
pub use line::{JournalLine, Ledger, Unwritten};
pub use past::{Past, PastRetrain, PastRun, Step};
pub(crate) use record::end_of;
pub use record::{JobPlan, JobRecord, Opened, PlannedRun, Record, Reopened, decode, encode, history};
pub use show::as_json;

/// Name of the journal in the folder of its job.
pub const JOURNAL: &str = "engine.journal";

#[cfg(test)]
mod tests;

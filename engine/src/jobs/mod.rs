//! Jobs from outside: which there are in an artifact folder, how each stands, what it is doing, and how to stop it.
//!
//! A job (a tune, a cv alone, a run alone) has a folder, and in it
//!
//! | file | written by | says |
//! |---|---|---|
//! | `engine.journal` | the actors | what the job is and has come to; locked by the process that works on it |
//! | [`EVENTS`] | a [`Diary`] | every event but progress, one JSON object a line: it grows with what is done, not with time |
//! | [`NOW`] | a [`Diary`] | who works on it, by which command, and where its runs are; replaced every [`BEAT`] |
//! | [`LOG`] | a process without a terminal | what it would have printed |
//!
//! The journal alone decides how a job stands. The others are for people: a job without them is found and stopped all the same.

mod diary;
mod error;
mod find;
mod process;
mod reader;
mod status;

pub use diary::{Diary, DiaryError, JobEnd, JobOpening, Now};
pub use error::{CancelError, JobsError};
pub use find::{JobPlace, find, list};
pub use process::JobProcess;
pub use reader::{DiaryEntry, DiaryReader};
pub use status::{JobState, JobStatus};

use std::time::Duration;

/// Name of the file of events in a job's folder.
pub const EVENTS: &str = "engine.events.jsonl";

/// Name of the file in a job's folder that says what is going on.
pub const NOW: &str = "engine.now.json";

/// Name of the file in a job's folder with what a process without a terminal printed.
pub const LOG: &str = "engine.log";

/// Time between two signs of life of a job.
pub const BEAT: Duration = Duration::from_secs(5);

/// A job of another machine whose last sign of life is older than this is not under way: its lock can not be seen from here.
const SILENCE: Duration = Duration::from_secs(60);

/// The name of this machine, as journals have it.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Seconds since 1970.
fn unix_secs(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

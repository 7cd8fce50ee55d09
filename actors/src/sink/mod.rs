//! ParquetSink: the run-info tables of the system.
//!
//! - **Owns** one named thread that writes the tables, one at a time.
//! - **Hears** [`RunInfoReady`] after each finished run and [`CvScored`] once per cv, from CvActors; [`TuneClosed`] once per tune,
//!   from its TuneActor.
//! - **Tells** the sender, after the file has its name, or why it has not.
//!
//! Invariants:
//! - SINK-1: tables are written in the order they were asked for, each whole or not at all.
//! - SINK-3: the table of a tune that is over holds the rows of its cvs, in the order of the configurations.
//! - SINK-2: a table that can not be written is told to whoever asked, and keeps nobody from going on.
//!
//! The queue to the thread is tokio's bounded channel, not crossbeam's: the arbiter's end must wait without blocking.

mod actor;
mod messages;
mod tables;

pub use actor::ParquetSink;
pub(crate) use messages::failure;
pub use messages::{CvScored, RunInfoReady, SinkError, TuneClosed};

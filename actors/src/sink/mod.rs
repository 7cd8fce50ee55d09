//! ParquetSink: the run-info tables of the system.
//!
//! - **Owns** one named thread that writes the tables, one at a time.
//! - **Hears** [`RunInfoReady`] after each finished run and [`CvScored`] once per cv, from CvActors; [`TuneClosed`] once per tune,
//!   from its TuneActor.
//! - **Tells** the sender, after the file has its name or waits for its time, or why it has not.
//!
//! Invariants:
//! - SINK-1: a table is written whole or not at all; of two for one place the later stands there in the end.
//! - SINK-3: the table of a tune that is over holds the rows of its cvs, in the order of the configurations.
//! - SINK-4: the table of a cv stands when its score is answered. A table that a later one replaces takes at most a twentieth of the
//!   time: where it comes too soon it waits, and is written when its time has come or nothing more is asked for.
//! - SINK-2: a table that can not be written is told to whoever asked, and keeps nobody from going on.
//!
//! The queue to the thread is tokio's bounded channel, not crossbeam's: the arbiter's end must wait without blocking.

mod actor;
mod messages;
mod pace;
mod tables;

pub use actor::ParquetSink;
pub(crate) use messages::failure;
pub use messages::{CvScored, RunInfoReady, SinkError, TuneClosed};

//! TrackerActor: one tracked run's bounded way to every back end of tracking.
//!
//! - **Owns** the back ends of one run: those an application adds, each on a named thread of its own, and behind them
//!   the files in the run's folder, on one more; and a thread that measures machine and worker for them.
//! - **Hears** [`Track`] for every record, [`Settle`] before a checkpoint and [`CloseRun`] once, from its RunActor. The run is opened when the actor is
//!   made.
//! - **Tells** the back ends; publishes `Warned` when it turns one off.
//!
//! What stands in a run's files was given to its other back ends before, so that none of them lacks what the files
//! have, whenever the engine is killed.
//!
//! Invariants:
//! - TRACK-1: a back end hears `open` first, then records in their order, then `close`, each once.
//! - TRACK-2: a back end that failed, panicked or did not answer in time is warned of once and never called again; the
//!   others go on.
//! - TRACK-3: [`CloseRun`] is answered after every back end's `close` returned, or was given up.
//! - TRACK-4: every back end that works hears all points, figures and printed lines, in the order they came from the
//!   worker. None is dropped for want of room: a full queue makes the RunActor wait, that makes the worker wait, and
//!   while it does so its silence is not held against it. Only samples of the machine are dropped.
//! - TRACK-5: when [`Settle`] is answered, every back end that works has kept what was handed on before it: no checkpoint
//!   holds more than the run's records do, whenever the engine is killed.
//!
//! The queue to the back ends is tokio's bounded channel, not crossbeam's: the arbiter's end must wait without
//! blocking.

mod actor;
mod back_ends;
mod drive;
mod files;
mod messages;
mod meter;
mod seat;

pub(crate) use actor::Tracked;
pub use actor::TrackerActor;
pub use files::file_trackers;
pub use messages::{CloseRun, Record, Settle, Track};
pub(crate) use meter::Subject;

//! TrackerActor: one tracked run's bounded way to every back end of tracking.
//!
//! - **Owns** the back ends of one run, on one named thread of their own.
//! - **Hears** [`Track`] for every record and [`CloseRun`] once, from its RunActor. The run is opened when the actor is made.
//! - **Tells** the back ends; publishes `Warned` when it turns one off.
//!
//! Invariants:
//! - TRACK-1: a back end hears `open` first, then records in their order, then `close`, each once.
//! - TRACK-2: a back end that failed or panicked is warned of once and never called again; the others go on.
//! - TRACK-3: [`CloseRun`] is answered after every back end's `close` returned.
//!
//! The queue to the thread is tokio's bounded channel, not crossbeam's: the arbiter's end must wait without blocking.

mod actor;
mod back_ends;
mod files;
mod messages;

pub use actor::TrackerActor;
pub use files::file_trackers;
pub use messages::{CloseRun, Record, Track};

//! RunActor: one run, from the first wait for a device to the closed files.
//!
//! - **Owns** one run: its lease, its worker, its attempts, its TrackerActor.
//! - **Hears** [`StartRun`] once, at construction, from its CvActor, TuneActor or the root; then its worker, its timers and its
//!   stop line. Nobody sends to its mailbox.
//! - **Tells** the worker, the DeviceManager, its TrackerActor; its parent once, through the reply of [`StartRun`], which can not be
//!   full and which the parent sees closed if the actor is lost.
//!
//! Invariants (predicates and property tests in `state.rs`):
//! - RUN-1: the outcome is told exactly once, and last.
//! - RUN-2: every lease that was granted is given back exactly once, and never while a worker of the run is alive.
//! - RUN-3: at most one worker at a time.
//! - RUN-4: the outcome is told only after the tracker closed the run's files.
//! - RUN-5: attempts never exceed one plus the retries of the causes that occurred.

mod actor;
mod diagnose;
mod effects;
mod memory;
mod messages;
mod state;
mod worker;

pub use actor::RunActor;
pub use diagnose::{diagnose, out_of_memory, signal_name};
pub(crate) use memory::DeviceMemory;
pub use messages::StartRun;

#[cfg(test)]
pub(crate) use {
    effects::{Effect, Input, Room, Timer},
    state::{LeasedFrom, State},
};

//! CvActor: one configuration over every (fold, seed) cell, to one score.
//!
//! - **Owns** the cells of one cv, the RunActors at work on them, and the lease of the cv under tune-parallel.
//! - **Hears** [`StartCv`] once, at construction, from its TuneActor or the root; then its runs' outcomes, its tables and its stop
//!   line. Nobody sends to its mailbox.
//! - **Tells** RunActors, the DeviceManager, the ParquetSink; its parent once, through the reply of [`StartCv`].
//!
//! Invariants (predicates and property tests in `state/tests.rs`):
//! - CV-1: every cell of the plan ends exactly once, whatever becomes of its run.
//! - CV-2: never more than `cells_at_once` runs at a time.
//! - CV-3: the outcome is told exactly once, after every run ended and the tables were written or found unwritable.
//! - CV-4: a lease of the cv's own is given back exactly once, after its last run.
//! - CV-6: a cell that was recalled as ended is not run again, and the score is the one an undisturbed cv would have.
//! - CV-5: a run that did not complete never changes the score but as `failed_cells` says.
//! - CV-7: once `max_failures` runs failed no further one starts, and a failed one is not tried again.

mod actor;
mod conclude;
mod messages;
mod plans;
mod state;

pub use actor::CvActor;
pub use messages::StartCv;
pub(crate) use plans::{Planned, lost_cv, plan_runs};
pub(crate) use state::{recalled, recalled_outcome, unkept_text};

#[cfg(test)]
pub(crate) use {
    plans::past_of,
    state::{Effect, Input, State},
};

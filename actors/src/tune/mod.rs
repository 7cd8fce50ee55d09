//! TuneActor: many configurations, to the best one, retrained and tested if asked for.
//!
//! - **Owns** the trials of one tune, its sampler, and the CvActors at work.
//! - **Hears** [`StartTune`] once, at construction, from the root; then its cvs' outcomes and its stop line. Nobody sends to its
//!   mailbox.
//! - **Tells** CvActors, a RunActor for the retrained model, the ParquetSink; its caller once, through the reply of [`StartTune`].
//!
//! Invariants (predicates and property tests in `state/tests.rs`):
//! - TUNE-1: never more than `cvs_at_once` cvs at a time, and at most `n_trials` in all.
//! - TUNE-2: every configuration that was proposed appears in the outcome exactly once, and the sampler is told of each exactly once.
//! - TUNE-3: the best is stable and no other stable one is better; without a stable one there is no best and nothing is retrained.
//! - TUNE-5: recalled from a journal, the tune starts no cv that ended, proposes nothing twice, and comes to the outcome of an
//!   undisturbed one.
//! - TUNE-4: the outcome is told exactly once, after everything that was started has ended.
//! - TUNE-6: once `max_failures` runs of cvs that ended failed nothing new starts. A cv at work is told how many are left when it
//!   starts; what cvs beside it lose meanwhile is counted when they end.

mod actor;
mod messages;
mod plans;
mod recall;
mod state;

pub use actor::TuneActor;
pub use messages::StartTune;

#[cfg(test)]
pub(crate) use {
    plans::{PlannedRetrain, cv_plan, plan_retrain},
    recall::{Search, recall},
    state::{Effect, Input, State},
};

//! What a RunActor is started with.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::devices::LeaseGuard;
use crate::journal::{JournalLine, PastRun};
use crate::outcome::RunOutcome;
use crate::plan::RunPlan;
use crate::score::Scoring;
use crate::stop::StopSignal;

/// Starts a run. Given once, when the actor is made: by a CvActor per cell, by a TuneActor for the retrained model, by the
/// root for a run alone.
#[derive(Debug)]
pub struct StartRun {
    /// What to run.
    pub plan: Arc<RunPlan>,
    /// Decides whether a run that ended well is unstable; `None` for a run alone.
    pub scoring: Option<Arc<Scoring>>,
    /// A lease to run on; `None` to acquire one per attempt.
    pub lease: Option<Arc<LeaseGuard>>,
    /// What a journal knows of the run: it goes on from its last checkpoint, if it has one.
    pub past: Option<PastRun>,
    /// Where its failed attempts are kept.
    pub journal: JournalLine,
    /// Answered exactly once; dropped unanswered if the actor is lost.
    pub outcome: oneshot::Sender<RunOutcome>,
    /// When to stop.
    pub stop: StopSignal,
}

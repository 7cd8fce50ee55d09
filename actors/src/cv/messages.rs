//! What a CvActor is started with.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::journal::{JournalLine, PastRun};
use crate::outcome::CvOutcome;
use crate::plan::{CvPlan, RunPlan};
use crate::stop::StopSignal;

/// Starts a cv. Given once, when the actor is made: by a TuneActor per configuration, by the root for a cv alone.
#[derive(Debug)]
pub struct StartCv {
    /// What to run.
    pub plan: Arc<CvPlan>,
    /// The run of each cell, in the order of the plan's cells.
    pub runs: Vec<Arc<RunPlan>>,
    /// What a journal knows of each of them.
    pub past: Vec<Option<PastRun>>,
    /// Where their ends are kept.
    pub journal: JournalLine,
    /// The tune's table, which gets the rows too.
    pub tune_table: Option<PathBuf>,
    /// Answered exactly once; dropped unanswered if the actor is lost.
    pub outcome: oneshot::Sender<CvOutcome>,
    /// When to stop.
    pub stop: StopSignal,
}

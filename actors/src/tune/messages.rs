//! What a TuneActor is started with.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::journal::Ledger;
use crate::outcome::TuneOutcome;
use crate::plan::TunePlan;
use crate::ports::Sampler;
use crate::stop::StopSignal;

/// Starts a tune. Given once, when the actor is made, by the root.
pub struct StartTune {
    /// What to tune.
    pub plan: Arc<TunePlan>,
    /// Proposes the configurations.
    pub sampler: Box<dyn Sampler>,
    /// What keeps the tune, and what it knows of it.
    pub ledger: Ledger,
    /// Answered exactly once; dropped unanswered if the actor is lost.
    pub outcome: oneshot::Sender<TuneOutcome>,
    /// When to stop.
    pub stop: StopSignal,
}

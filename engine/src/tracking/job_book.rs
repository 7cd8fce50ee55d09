//! What the jobs of an engine were asked to do, for those who describe them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine_actors::plan::RunPlan;
use engine_actors::score::Scoring;
use serde_json::Value;

/// What the events of a job do not say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobFacts {
    /// How its scores are made.
    pub(crate) scoring: Scoring,
    /// Settings of its runs.
    pub(crate) settings: Arc<Value>,
}

#[cfg_attr(
    not(all(feature = "wandb", feature = "tensorboard")),
    allow(dead_code, reason = "read by trackers that describe jobs")
)]
impl JobFacts {
    /// Names of the metrics that make the score.
    pub(super) fn score_metrics(&self) -> impl Iterator<Item = &str> {
        self.scoring.metrics.iter().map(|metric| metric.name.as_str())
    }
}

/// Facts by the name of the cv or tune that was called: one for each job of an engine. Clones are the same book.
#[derive(Debug, Clone, Default)]
pub(super) struct JobBook {
    jobs: Arc<Mutex<BTreeMap<String, Arc<JobFacts>>>>,
}

#[cfg_attr(
    not(all(feature = "wandb", feature = "tensorboard")),
    allow(dead_code, reason = "read by trackers that describe jobs")
)]
impl JobBook {
    pub(super) fn note(&self, name: &str, facts: JobFacts) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.insert(name.to_owned(), Arc::new(facts));
    }

    pub(super) fn of(&self, name: &str) -> Option<Arc<JobFacts>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Facts of the job a run belongs to; none for a run alone.
    pub(super) fn of_run(&self, plan: &RunPlan) -> Option<Arc<JobFacts>> {
        plan.tune_name.as_ref().or(plan.cv_name.as_ref()).and_then(|name| self.of(name))
    }
}

//! The runs of a cv, as plans.

use std::sync::Arc;

use crate::outcome::{Cause, CvOutcome, Failure, RunOutcome, Status};
use crate::plan::{Cell, CvPlan, RunPlan, RunTask};
use crate::ports::{SharedIds, draw_ids};

/// One run per cell, each with a fresh id: `{cv_name}-run-f{fold}s{seed}` in `{cv_dir}/{run_name}-{run_id}`.
pub(crate) fn run_plans(plan: &CvPlan, ids: &SharedIds) -> Vec<Arc<RunPlan>> {
    let ids = draw_ids(ids, plan.cells.len());
    plan.cells.iter().zip(ids).map(|(cell, id)| Arc::new(run_plan(plan, *cell, id))).collect()
}

fn run_plan(plan: &CvPlan, cell: Cell, run_id: String) -> RunPlan {
    let run_name = format!("{}-run-f{}s{}", plan.cv_name, cell.fold, cell.seed);
    RunPlan {
        run_dir: plan.cv_dir.join(format!("{run_name}-{run_id}")),
        run_name,
        run_id,
        cv_name: Some(plan.cv_name.clone()),
        tune_name: plan.tune_name.clone(),
        cell,
        task: RunTask::Fit,
        hyperparameters: plan.hyperparameters.clone(),
        settings: Arc::clone(&plan.settings),
    }
}

/// How a run ended that never came back.
pub(super) fn unfinished_run(plan: &RunPlan, status: Status, failure: Option<Failure>) -> RunOutcome {
    RunOutcome {
        run_name: plan.run_name.clone(),
        run_id: plan.run_id.clone(),
        run_dir: plan.run_dir.clone(),
        cell: plan.cell,
        status,
        failure,
        attempts: 0,
        device: None,
        peak_memory_bytes: None,
        peak_device_memory_bytes: None,
        duration_secs: 0.0,
        metrics: engine_tracking::Metrics::new(),
        checkpoint: None,
    }
}

/// How a cv ended whose actor was lost.
pub(crate) fn lost_cv(plan: &CvPlan, runs: &[Arc<RunPlan>]) -> CvOutcome {
    let why = lost("the actor of the cv was lost to a panic: see the log");
    CvOutcome {
        cv_name: plan.cv_name.clone(),
        cv_dir: plan.cv_dir.clone(),
        hp_index: plan.hp_index,
        hyperparameters: plan.hyperparameters.clone(),
        score: None,
        spread: None,
        score_is_unstable: false,
        status: Status::Failed,
        runs: runs.iter().map(|run| unfinished_run(run, Status::Failed, Some(why.clone()))).collect(),
        unwritten: Vec::new(),
    }
}

pub(super) fn lost(message: &str) -> Failure {
    Failure { cause: Cause::Lost, message: message.into(), stderr_tail: Vec::new() }
}

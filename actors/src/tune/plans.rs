//! The cvs and the retrained model's run of a tune, as plans.

use std::sync::Arc;

use crate::outcome::{CvOutcome, Status};
use crate::plan::{Cell, CvPlan, Hyperparameters, RunPlan, RunTask, TunePlan};

/// The cv of a configuration: `{tune_name}-cv{index}`.
pub(super) fn cv_plan(tune: &TunePlan, index: usize, hyperparameters: Hyperparameters) -> CvPlan {
    let cv_name = format!("{}-cv{index}", tune.tune_name);
    CvPlan {
        cv_dir: tune.tune_dir.join(&cv_name),
        cv_name,
        tune_name: Some(tune.tune_name.clone()),
        hp_index: u32::try_from(index).unwrap_or(u32::MAX),
        hyperparameters,
        cells: tune.cells.clone(),
        scoring: tune.scoring.clone(),
        failed_cells: tune.failed_cells,
        max_failures: tune.max_failures,
        settings: Arc::clone(&tune.settings),
    }
}

/// The run that trains the best configuration and tests it.
pub(super) fn retrain_plan(tune: &TunePlan, hyperparameters: Hyperparameters, run_id: String) -> RunPlan {
    let run_name = format!("{}-retrain", tune.tune_name);
    RunPlan {
        run_dir: tune.tune_dir.join(format!("{run_name}-{run_id}")),
        run_name,
        run_id,
        cv_name: None,
        tune_name: Some(tune.tune_name.clone()),
        cell: Cell { fold: 0, seed: tune.retrain_seed },
        task: RunTask::FitAndTest,
        hyperparameters,
        settings: Arc::clone(&tune.settings),
    }
}

/// How a cv ended that was not begun again before the tune was stopped: its runs stay what its folder says.
pub(super) fn not_begun(tune: &TunePlan, index: usize, hyperparameters: Hyperparameters) -> CvOutcome {
    let plan = cv_plan(tune, index, hyperparameters);
    CvOutcome {
        cv_name: plan.cv_name,
        cv_dir: plan.cv_dir,
        hp_index: plan.hp_index,
        hyperparameters: plan.hyperparameters,
        score: None,
        spread: None,
        score_is_unstable: false,
        status: Status::Cancelled,
        runs: Vec::new(),
        unwritten: Vec::new(),
        halted: None,
    }
}

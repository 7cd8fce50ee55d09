//! The cvs and the retrained model's run of a tune, as plans.

use std::sync::Arc;

use crate::journal::{Past, PastRun, Record};
use crate::outcome::{CvOutcome, RunOutcome, Status};
use crate::plan::{Cell, CvPlan, Hyperparameters, RunPlan, RunTask, TunePlan};
use crate::ports::{SharedIds, draw_ids};

/// The cv of a configuration: `{tune_name}-cv{index}`.
pub(crate) fn cv_plan(tune: &TunePlan, index: usize, hyperparameters: Hyperparameters) -> CvPlan {
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

/// The retrained model's run, with what is known of it.
pub(crate) struct PlannedRetrain {
    pub(crate) plan: Arc<RunPlan>,
    /// What a journal knows of it.
    pub(crate) past: Option<PastRun>,
    /// How it ended, if it did.
    pub(crate) ended: Option<Box<RunOutcome>>,
    /// What is to stand in the journal before it starts; nothing if it does already.
    pub(crate) record: Option<Record>,
}

/// The run that trains the configuration of this index. One that had an id keeps it.
pub(crate) fn plan_retrain(
    tune: &TunePlan,
    index: usize,
    hyperparameters: Hyperparameters,
    past: Option<&Past>,
    ids: &SharedIds,
) -> PlannedRetrain {
    let hp_index = u32::try_from(index).unwrap_or(u32::MAX);
    let past = past.and_then(|past| {
        // Of another configuration, it is no help to this one.
        let retrain = past.retrain().filter(|retrain| retrain.hp_index == hp_index)?;
        past.run(&retrain.run_id).cloned()
    });
    let run_id = match &past {
        Some(past) => past.run_id.clone(),
        None => draw_ids(ids, 1).concat(),
    };
    let record = past.is_none().then(|| Record::RetrainPlanned { hp_index, run_id: run_id.clone() });
    let plan = Arc::new(retrain_plan(tune, hyperparameters, run_id));
    let ended = past.as_ref().and_then(|past| past.outcome_of(&plan)).map(Box::new);
    PlannedRetrain { plan, past, ended, record }
}

/// The run that trains the best configuration and tests it.
fn retrain_plan(tune: &TunePlan, hyperparameters: Hyperparameters, run_id: String) -> RunPlan {
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

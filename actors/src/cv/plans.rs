//! The runs of a cv, as plans.

use std::sync::Arc;

use crate::journal::{Past, PastRun, PlannedRun, Record};
use crate::outcome::{Cause, CvOutcome, Failure, RunOutcome, Status};
use crate::plan::{Cell, CvPlan, RunPlan, RunTask};
use crate::ports::{SharedIds, draw_ids};

/// The runs of a cv, with what is known of them.
pub(crate) struct Planned {
    /// One for each cell, in order.
    pub(crate) runs: Vec<Arc<RunPlan>>,
    /// What a journal knows of each.
    pub(crate) past: Vec<Option<PastRun>>,
    /// What is to stand in the journal before any of them starts; nothing if it does already.
    pub(crate) record: Option<Record>,
}

/// One run per cell: `{cv_name}-run-f{fold}s{seed}` in `{cv_dir}/{run_name}-{run_id}`. A cell that had an id keeps it, the others
/// get fresh ones.
pub(crate) fn plan_runs(plan: &CvPlan, past: Option<&Past>, ids: &SharedIds) -> Planned {
    let known = |cell: &Cell| past.and_then(|past| past.run_of(plan.hp_index, *cell)).cloned();
    let known: Vec<Option<PastRun>> = plan.cells.iter().map(known).collect();
    let mut fresh = draw_ids(ids, known.iter().filter(|run| run.is_none()).count()).into_iter();
    let has_new = fresh.len() > 0;
    let id = |run: &Option<PastRun>| match run {
        Some(run) => run.run_id.clone(),
        None => fresh.next().unwrap_or_default(),
    };
    let ids: Vec<String> = known.iter().map(id).collect();
    let mut planned: Vec<PlannedRun> = Vec::new();
    for (cell, run_id) in plan.cells.iter().zip(&ids) {
        planned.push(PlannedRun { cell: *cell, run_id: run_id.clone() });
    }
    // A cell that is asked for no more keeps its id, in case it is asked for again.
    let before = past.map_or(&[][..], |past| past.cv(plan.hp_index));
    planned.extend(before.iter().filter(|run| !plan.cells.contains(&run.cell)).cloned());
    let record = has_new.then_some(Record::CvPlanned { hp_index: plan.hp_index, runs: planned });
    let run = |(cell, id): (&Cell, String)| Arc::new(run_plan(plan, *cell, id));
    Planned { runs: plan.cells.iter().zip(ids).map(run).collect(), past: known, record }
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

/// What is known of a run before its actor starts. One whose first actor was lost was begun, whatever the journal knew before.
pub(crate) fn past_of(
    past: &[Option<PastRun>],
    run: &RunPlan,
    index: usize,
    generation: u32,
) -> Option<PastRun> {
    let known = past.get(index).cloned().flatten();
    known.or_else(|| (generation > 0).then(|| PastRun::of(&run.run_id)))
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
        halted: None,
    }
}

pub(super) fn lost(message: &str) -> Failure {
    Failure { cause: Cause::Lost, message: message.into(), stderr_tail: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_plan;

    #[test]
    fn a_run_whose_actor_was_lost_goes_on_from_what_it_left() {
        let run = run_plan("r");
        assert_eq!(past_of(&[None], &run, 0, 0), None);
        assert_eq!(past_of(&[None], &run, 0, 1), Some(PastRun::of(&run.run_id)));
        let known = PastRun { retried: vec![lost("why")], ..PastRun::of(&run.run_id) };
        assert_eq!(past_of(&[Some(known.clone())], &run, 0, 1), Some(known));
    }
}

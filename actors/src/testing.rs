//! Plans and outcomes for tests.

use std::sync::Arc;

use crate::outcome::{CvOutcome, RunOutcome, Status};
use crate::plan::{AfterTune, Cell, CvPlan, FailedCells, Hyperparameters, RunPlan, RunTask, TunePlan};
use crate::score::Scoring;

pub(crate) fn scoring() -> Scoring {
    Scoring::parse(&["val/iou"], "harmonic").unwrap()
}

pub(crate) fn run_plan(name: &str) -> RunPlan {
    RunPlan {
        run_name: name.into(),
        run_id: "abcd1234".into(),
        run_dir: format!("runs/{name}-abcd1234").into(),
        cv_name: None,
        tune_name: None,
        cell: Cell { fold: 0, seed: 42 },
        task: RunTask::Fit,
        hyperparameters: Hyperparameters::new(),
        settings: Arc::new(serde_json::Value::Null),
    }
}

pub(crate) fn cv_plan(name: &str, cells: u32) -> CvPlan {
    CvPlan {
        cv_name: name.into(),
        cv_dir: format!("cvs/{name}").into(),
        tune_name: None,
        hp_index: 0,
        hyperparameters: Hyperparameters::new(),
        cells: (0..cells).map(|fold| Cell { fold, seed: 42 }).collect(),
        scoring: scoring(),
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        settings: Arc::new(serde_json::Value::Null),
    }
}

pub(crate) fn tune_plan(name: &str, n_trials: u32, cells: u32) -> TunePlan {
    TunePlan {
        tune_name: name.into(),
        tune_dir: format!("tunes/{name}").into(),
        n_trials,
        cells: cv_plan("", cells).cells,
        scoring: scoring(),
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        after: AfterTune::Nothing,
        retrain_seed: 7,
        settings: Arc::new(serde_json::Value::Null),
    }
}

pub(crate) fn run_outcome(status: Status, iou: f64) -> RunOutcome {
    let plan = run_plan("r");
    RunOutcome {
        run_name: plan.run_name,
        run_id: plan.run_id,
        run_dir: plan.run_dir,
        cell: plan.cell,
        status,
        failure: None,
        attempts: 1,
        device: Some("cpu:0".into()),
        peak_memory_bytes: None,
        peak_device_memory_bytes: None,
        duration_secs: 1.5,
        metrics: [("val/iou".to_string(), iou)].into(),
        checkpoint: None,
    }
}

pub(crate) fn cv_outcome(index: u32, status: Status, score: Option<f64>) -> CvOutcome {
    CvOutcome {
        cv_name: format!("t-cv{index}"),
        cv_dir: format!("tunes/t/t-cv{index}").into(),
        hp_index: index,
        hyperparameters: [("learning_rate".to_string(), serde_json::json!(index))].into_iter().collect(),
        score,
        spread: None,
        score_is_unstable: status == Status::Unstable,
        status,
        runs: Vec::new(),
        unwritten: Vec::new(),
        halted: None,
    }
}

//! One of each kind, of a common size.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_actors::events::Event;
use engine_actors::journal::{JobPlan, JobRecord, Opened, PlannedRun, Record, Reopened};
use engine_actors::outcome::{Cause, CvOutcome, Failure, RunOutcome, Status, TuneOutcome};
use engine_actors::plan::{
    AfterTune, Cell, CvPlan, FailedCells, Hyperparameters, RunPlan, RunTask, TunePlan,
};
use engine_actors::protocol::{FromWorker, PROTOCOL_VERSION, Phase, Progress};
use engine_actors::score::Scoring;
use engine_benches::{METRIC, ended};
use engine_tracking::{Figure, FigureContent, ImageFile, MetricPoint, Metrics, RunPlace};
use serde_json::json;

/// Runs of a cv.
pub const CELLS: u32 = 10;

pub fn metrics() -> Metrics {
    let names = ["loss", "Accuracy", "Precision", "Recall", "F1Score", "JaccardIndex"];
    let of = |part: &str| names.map(|name| (format!("{part}/{name}"), 0.5));
    of("train").into_iter().chain(of("val")).collect()
}

pub fn hyperparameters() -> Hyperparameters {
    let values =
        json!({"model_arch": "Unet", "learning_rate": 1e-3, "batch_size": 8, "augment": ["HorizontalFlip"]});
    values.as_object().cloned().unwrap()
}

pub fn point(step: u64) -> MetricPoint {
    MetricPoint { epoch: 0, step, values: metrics() }
}

pub fn scoring() -> Scoring {
    Scoring::parse(&[METRIC], "harmonic").unwrap()
}

pub fn cells() -> Vec<Cell> {
    (0..CELLS).map(|fold| Cell { fold, seed: 42 }).collect()
}

pub fn run_plan(name: &str, folder: PathBuf) -> RunPlan {
    RunPlan {
        run_name: name.to_owned(),
        run_id: "abcd1234".to_owned(),
        run_dir: folder,
        cv_name: None,
        tune_name: None,
        cell: Cell { fold: 0, seed: 42 },
        task: RunTask::Fit,
        hyperparameters: hyperparameters(),
        settings: Arc::default(),
    }
}

pub fn cv_plan(name: &str, folder: PathBuf, cells: Vec<Cell>) -> CvPlan {
    CvPlan {
        cv_name: name.to_owned(),
        cv_dir: folder,
        tune_name: None,
        hp_index: 0,
        hyperparameters: hyperparameters(),
        cells,
        scoring: scoring(),
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        settings: Arc::default(),
    }
}

pub fn tune_plan(name: &str, folder: PathBuf, n_trials: u32, cells: Vec<Cell>) -> TunePlan {
    TunePlan {
        tune_name: name.to_owned(),
        tune_dir: folder,
        n_trials,
        cells,
        scoring: scoring(),
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        after: AfterTune::Nothing,
        retrain_seed: 42,
        settings: Arc::default(),
    }
}

pub fn run_outcome(folder: &Path) -> RunOutcome {
    let outcome = json!({
        "run_name": "calm-kelvin-1-cv12-run-f3s42", "run_id": "abcd1234", "run_dir": folder,
        "cell": Cell { fold: 3, seed: 42 }, "status": Status::Complete, "failure": null, "attempts": 1,
        "device": "cpu:0", "peak_memory_bytes": 1 << 30, "duration_secs": 1.0, "metrics": metrics(),
        "checkpoint": "checkpoints/epoch=3",
    });
    serde_json::from_value(outcome).unwrap()
}

pub fn cv_outcome(index: u32, folder: &Path) -> CvOutcome {
    let runs: Vec<RunOutcome> = (0..CELLS).map(|_| run_outcome(&folder.join("run"))).collect();
    let outcome = json!({
        "cv_name": format!("calm-kelvin-1-cv{index}"), "cv_dir": folder, "hp_index": index,
        "hyperparameters": hyperparameters(), "score": 0.5, "spread": 0.01, "score_is_unstable": false,
        "status": Status::Complete, "runs": runs,
    });
    serde_json::from_value(outcome).unwrap()
}

pub fn tune_outcome(folder: &Path, cvs: &[CvOutcome]) -> TuneOutcome {
    let outcome = json!({
        "tune_name": "calm-kelvin-1", "tune_dir": folder, "cvs": cvs, "best": null, "retrain": null,
        "cancelled": false,
    });
    serde_json::from_value(outcome).unwrap()
}

pub fn progress(batch: u32) -> Progress {
    Progress { epoch: 0, max_epochs: 10, batch, batches: 100_000, phase: Phase::Train }
}

fn failure() -> Failure {
    Failure { cause: Cause::Data, message: "a sample is not there".to_owned(), stderr_tail: Vec::new() }
}

/// What a worker says many times a run.
pub fn word(id: &str, number: u64) -> FromWorker {
    match id {
        "word/beat" => FromWorker::Beat,
        "word/prepared" => FromWorker::Prepared {
            train_samples: 128,
            val_samples: 32,
            parameters: 14_000_000,
            device: "libtorch cpu, 1 thread".to_owned(),
            from: Some(RunPlace { epoch: 0, step: number }),
            metrics: metrics(),
        },
        "word/settle" => FromWorker::Settle,
        "word/progress" => FromWorker::Progress(progress(u32::try_from(number).unwrap())),
        "word/logged" => FromWorker::Logged(vec![point(number)]),
        "word/drawn" => {
            let (path, caption) = (PathBuf::from("figures/0.png"), "sample 0".to_owned());
            let file = ImageFile { path, width: 256, height: 256, caption };
            let content = FigureContent::Images(vec![file]);
            FromWorker::Drawn(vec![Figure {
                name: "val/samples".to_owned(),
                epoch: 0,
                step: number,
                content,
            }])
        }
        "word/validated" => FromWorker::Validated { epoch: 0, step: number, metrics: metrics() },
        "word/checkpoint-written" => FromWorker::CheckpointWritten {
            path: PathBuf::from("checkpoints/last"),
            epoch: 0,
            step: number,
            monitored: Some(0.5),
        },
        "word/warned" => FromWorker::Warned { message: "a class has no sample".to_owned() },
        _ => panic!("{id} is said once a run"),
    }
}

pub fn hello() -> FromWorker {
    FromWorker::Hello { protocol: PROTOCOL_VERSION, pid: std::process::id() }
}

/// The last word of a run that went well, or did not.
pub fn last_word(id: &str) -> FromWorker {
    if id == "word/failed" { FromWorker::Failed(failure()) } else { FromWorker::Finished(ended()) }
}

/// An event, as whoever publishes it makes it.
pub fn event(id: &str) -> Event {
    let (run_id, run_name) = ("abcd1234".to_owned(), "calm-kelvin-1-cv12-run-f3s42".to_owned());
    let (cv_name, tune_name) = ("calm-kelvin-1-cv12".to_owned(), "calm-kelvin-1".to_owned());
    let (folder, device, cell) =
        (PathBuf::from("artifacts/calm-kelvin-1"), "cpu:0".to_owned(), Cell { fold: 3, seed: 42 });
    let (score, spread, status) = (Some(0.5), Some(0.01), Status::Complete);
    match id {
        "event/tune-started" => Event::TuneStarted {
            tune_name,
            tune_dir: folder,
            n_trials: 100,
            cells_per_cv: CELLS,
            resumed: false,
        },
        "event/tune-finished" => {
            Event::TuneFinished { tune_name, best_cv: Some(cv_name), best_score: score, cancelled: false }
        }
        "event/cv-started" => Event::CvStarted {
            cv_name,
            cv_dir: folder,
            tune_name: Some(tune_name),
            hp_index: 12,
            hyperparameters: hyperparameters(),
            cells: CELLS,
            resumed: false,
        },
        "event/cv-recalled" => Event::CvRecalled {
            cv_name,
            hp_index: 12,
            hyperparameters: hyperparameters(),
            score,
            spread,
            score_is_unstable: false,
            status,
            runs: vec![status; CELLS as usize],
        },
        "event/run-recalled" => {
            Event::RunRecalled { run_id, run_name, cv_name: Some(cv_name), cell, status, metrics: metrics() }
        }
        "event/cv-finished" => Event::CvFinished { cv_name, score, spread, score_is_unstable: false, status },
        "event/run-queued" => Event::RunQueued { run_id, run_name, cv_name: Some(cv_name), cell },
        "event/run-started" => Event::RunStarted {
            run_id,
            run_name,
            cv_name: Some(cv_name),
            cell,
            device,
            attempt: 1,
            run_dir: folder,
        },
        "event/run-prepared" => Event::RunPrepared {
            run_id,
            train_samples: 128,
            val_samples: 32,
            parameters: 14_000_000,
            device,
            from: None,
        },
        "event/run-tracked" => Event::RunTracked {
            run_id,
            tracker: "wandb".to_owned(),
            url: "https://wandb.ai/a/b/runs/c".to_owned(),
        },
        "event/worker-ready" => Event::WorkerReady { run_id, pid: 1 },
        "event/run-progressed" => Event::RunProgressed { run_id, progress: progress(1), skipped: 0 },
        "event/run-validated" => Event::RunValidated { run_id, epoch: 0, step: 1, metrics: metrics() },
        "event/checkpoint-written" => {
            Event::CheckpointWritten { run_id, path: folder, epoch: 0, monitored: Some(0.5) }
        }
        "event/run-retried" => Event::RunRetried { run_id, attempt: 1, failure: failure() },
        "event/run-finished" => Event::RunFinished {
            run_id,
            run_name,
            cv_name: Some(cv_name),
            cell,
            status,
            failure: None,
            attempts: 1,
            duration_secs: 1.0,
            metrics: metrics(),
            checkpoint: Some(folder),
        },
        "event/lease-granted" => Event::LeaseGranted { lease: 1, device, holder: run_name },
        "event/lease-returned" => Event::LeaseReturned { lease: 1, device },
        "event/warned" => Event::Warned { message: "a class has no sample".to_owned() },
        _ => panic!("{id} has no bench"),
    }
}

/// A fact, as whoever keeps it makes it.
pub fn record(id: &str) -> Record {
    let folder = PathBuf::from("artifacts/calm-kelvin-1");
    let job = || {
        let plan = JobPlan::Tune(tune_plan("calm-kelvin-1", folder.clone(), 100, cells()));
        Box::new(JobRecord { plan, identity: hyperparameters() })
    };
    let runs =
        || cells().into_iter().map(|cell| PlannedRun { cell, run_id: "abcd1234".to_owned() }).collect();
    match id {
        "record/job" => Record::Job(job()),
        "record/opened" => {
            Record::Opened(Opened { pid: 1, host: "node-1".to_owned(), at_unix_secs: 1_800_000_000 })
        }
        "record/changed" => Record::Changed { job: job(), reopened: Reopened::default() },
        "record/proposed" => Record::Proposed { trial: 12, hyperparameters: hyperparameters() },
        "record/cv-planned" => Record::CvPlanned { hp_index: 12, runs: runs() },
        "record/retrain-planned" => Record::RetrainPlanned { hp_index: 12, run_id: "abcd1234".to_owned() },
        "record/run-retried" => Record::RunRetried { run_id: "abcd1234".to_owned(), failure: failure() },
        "record/run-ended" => Record::RunEnded(Box::new(run_outcome(&folder))),
        "record/cv-ended" => Record::CvEnded { hp_index: 12, status: Status::Complete, score: Some(0.5) },
        "record/ended" => Record::Ended { cancelled: false },
        _ => panic!("{id} has no bench"),
    }
}

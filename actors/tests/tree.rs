//! The whole tree with real thread workers: jobs in, outcomes, events and files out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

#[path = "tree/support.rs"]
mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use engine_actors::events::Event;
use engine_actors::journal::{
    JOURNAL, JobPlan, JobRecord, JournalLine, Ledger, Record, Step, encode, history,
};
use engine_actors::limits::Timers;
use engine_actors::outcome::{Cause, Status};
use engine_actors::plan::{AfterTune, FailedCells, Hyperparameters, RunTask};
use engine_actors::ports::Sampler;
use engine_actors::protocol::{FromWorker, RunSummary, ToWorker};
use engine_actors::{ActorSystem, JobError, StopMode};
use engine_devices::Strategy;
use engine_tracking::journal::{JournalWriter, read};
use engine_tracking::run_info::read_run_infos;
use support::{Act, Custom, Grid, Stage, Workers, complete};

#[test]
fn three_cvs_of_four_cells_under_cv_parallel_use_both_devices_and_never_share_one() {
    let pair = Barrier::new(2);
    let stage = Stage::new(Strategy::CvParallel, 2, move |order, _| {
        // Two runs at a time or none: a run alone would wait here for ever.
        pair.wait();
        complete(f64::from(order.plan.cell.fold + 1) / 10.0)
    });
    let outcome = stage.system.tune(stage.tune_plan(3, 4), Grid::of(3)).unwrap().wait().unwrap();
    assert_eq!(outcome.cvs.len(), 3);
    for cv in &outcome.cvs {
        assert_eq!((cv.status, cv.score), (Status::Complete, Some(0.25)), "{:?}", cv.unwritten);
        assert_eq!(cv.runs.len(), 4);
        assert!(cv.unwritten.is_empty(), "{:?}", cv.unwritten);
    }
    assert_eq!(outcome.best, Some(0));
    assert_eq!(stage.most_at_once(), [("cpu:0".to_string(), 1), ("cpu:1".to_string(), 1)]);
    let rows = read_run_infos(&outcome.tune_dir.join("t.parquet")).unwrap();
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().all(|row| row.score.unwrap().score == Some(0.25)));
    stage.end_with_every_lease_returned(12);
}

#[test]
fn under_tune_parallel_each_cv_keeps_its_own_device_for_all_its_cells() {
    let pair = Barrier::new(2);
    let stage = Stage::new(Strategy::TuneParallel, 2, move |_, _| {
        pair.wait();
        complete(0.5)
    });
    let outcome = stage.system.tune(stage.tune_plan(2, 3), Grid::of(2)).unwrap().wait().unwrap();
    let devices: Vec<Vec<_>> = outcome
        .cvs
        .iter()
        .map(|cv| cv.runs.iter().map(|run| run.device.clone().unwrap()).collect())
        .collect();
    assert!(devices.iter().all(|of_cv| of_cv.iter().all(|device| *device == of_cv[0])), "{devices:?}");
    assert_ne!(devices[0][0], devices[1][0]);
    stage.end_with_every_lease_returned(2);
}

#[test]
fn a_run_leaves_its_files_closed_before_its_outcome_is_told() {
    let stage = Stage::new(Strategy::Auto, 1, |_, port| {
        port.log(0, 1, 0.25);
        port.log(1, 2, 0.75);
        complete(0.75)
    });
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 1));
    let read = |name| std::fs::read_to_string(outcome.run_dir.join(name)).unwrap();
    assert_eq!(read("metrics.csv"), "epoch,step,val/iou\n0,1,0.25\n1,2,0.75\n");
    assert!(read("hparams.yaml").contains("learning_rate"));
    let events = read("events.jsonl");
    assert!(events.lines().last().unwrap().contains("run-finished"), "{events}");
    stage.end_with_every_lease_returned(1);
}

#[test]
fn a_panicking_workload_fails_its_cell_alone_and_the_next_job_runs() {
    let stage = Stage::new(Strategy::Auto, 1, |order, _| {
        assert_ne!(order.plan.cell.fold, 1, "fold one is cursed");
        complete(0.5)
    });
    let outcome = stage.system.cv(stage.cv_plan("c", 3, FailedCells::FailCv)).unwrap().wait().unwrap();
    let failed = &outcome.runs[1];
    assert_eq!(failed.failure.as_ref().unwrap().cause, Cause::Panic);
    assert!(failed.failure.as_ref().unwrap().message.contains("fold one is cursed"));
    assert_eq!((failed.attempts, outcome.status, outcome.score), (1, Status::Failed, None));
    let rows = read_run_infos(&outcome.cv_dir.join("run_infos.parquet")).unwrap();
    let statuses: Vec<_> = rows.iter().map(|row| row.run.status.as_str()).collect();
    assert_eq!(statuses, ["complete", "failed", "complete"]);
    let next = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!(next.status, Status::Complete);
    stage.end_with_every_lease_returned(4);
}

#[test]
fn a_hanging_worker_is_ended_by_the_progress_timeout_and_its_device_is_used_again() {
    let quick = Timers { progress: Duration::from_millis(200), ..Timers::default() };
    let stage = Stage::with(Strategy::Auto, 1, quick, |order, port| {
        if order.plan.cell.fold == 0 {
            assert_eq!(port.hear(), None, "only the kill ends this");
            return Act::Leave;
        }
        complete(0.5)
    });
    let outcome = stage.system.cv(stage.cv_plan("c", 2, FailedCells::Ignore)).unwrap().wait().unwrap();
    assert_eq!(outcome.runs[0].failure.as_ref().unwrap().cause, Cause::Hang);
    assert_eq!((outcome.runs[0].attempts, outcome.score), (1, Some(0.5)));
    stage.end_with_every_lease_returned(2);
}

#[test]
fn a_lost_worker_is_replaced_twice_and_the_third_attempt_may_succeed() {
    let quick = Timers { backoff: Duration::from_millis(1), ..Timers::default() };
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let stage = Stage::with(Strategy::Auto, 1, quick, move |order, _| {
        count.fetch_add(1, Ordering::SeqCst);
        if order.plan.run_name == "lost" || order.attempt < 3 { Act::Leave } else { complete(0.5) }
    });
    let mut events = stage.system.subscribe();
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 3));
    let mut retried = 0;
    while let Some(event) = events.try_next() {
        retried += u32::from(matches!(event, Event::RunRetried { .. }));
    }
    assert_eq!(retried, 2);
    let outcome = stage.system.run(stage.run_plan("lost")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Failed, 3));
    assert_eq!(outcome.failure.unwrap().cause, Cause::Lost);
    assert_eq!(seen.load(Ordering::SeqCst), 6);
    stage.end_with_every_lease_returned(6);
}

#[test]
fn cancelling_a_cv_stops_the_runs_at_work_and_never_starts_the_others() {
    let stage = Stage::new(Strategy::CvParallel, 2, |_, port| {
        assert_eq!(port.hear(), Some(ToWorker::Stop));
        Act::Say(FromWorker::Finished(RunSummary { stopped: true, ..RunSummary::default() }))
    });
    let mut events = stage.system.subscribe();
    let job = stage.system.cv(stage.cv_plan("c", 4, FailedCells::FailCv)).unwrap();
    let mut prepared = 0;
    while prepared < 2 {
        prepared += u32::from(matches!(support::next(&mut events), Event::RunPrepared { .. }));
    }
    job.stop(StopMode::Cancel);
    let outcome = job.wait().unwrap();
    let ended: Vec<_> = outcome.runs.iter().map(|run| (run.status, run.attempts)).collect();
    let cancelled = Status::Cancelled;
    assert_eq!(ended, [(cancelled, 1), (cancelled, 1), (cancelled, 0), (cancelled, 0)]);
    assert_eq!((outcome.status, outcome.score), (cancelled, None));
    stage.end_with_every_lease_returned(2);
}

/// Notes what it is told and asked, in order.
struct Noting {
    steps: Arc<Mutex<Vec<Step>>>,
    inner: Box<dyn Sampler>,
}

impl Sampler for Noting {
    fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        let proposed = self.inner.propose(trial);
        self.steps.lock().unwrap().extend(proposed.clone().map(Step::Proposed));
        proposed
    }

    fn tell(&mut self, trial: u32, _score: Option<f64>) {
        self.steps.lock().unwrap().push(Step::CvEnded(trial));
    }
}

#[test]
fn the_journal_has_the_order_in_which_the_search_was_told_and_asked() {
    // Cvs of one run, eight at a time, all of which end at once: several ends wait for the journal together.
    let stage = Stage::new(Strategy::TuneParallel, 8, |_, _| complete(0.5));
    let plan = stage.tune_plan(64, 1);
    let path = stage.folder.path().join(JOURNAL);
    let job = JobRecord { plan: JobPlan::Tune(plan.clone()), identity: serde_json::Map::new() };
    let first = encode(&Record::Job(Box::new(job))).unwrap();
    let line = JournalLine::start(JournalWriter::create(&path, &first).unwrap()).unwrap();
    let steps = Arc::default();
    let sampler = Box::new(Noting { steps: Arc::clone(&steps), inner: Grid::of(64) });
    let (ledger, bus) = (Ledger { line, past: None }, stage.system.bus().part());
    let outcome = stage.system.tune_kept(plan, sampler, ledger, bus).unwrap().wait().unwrap();
    assert_eq!(outcome.cvs.len(), 64);
    let past = history(&path, &read(&path).unwrap()).unwrap();
    assert_eq!(past.steps(), *steps.lock().unwrap());
    stage.end_with_every_lease_returned(64);
}

#[test]
fn the_best_configuration_is_retrained_and_tested() {
    let stage = Stage::new(Strategy::Auto, 1, |order, _| {
        let rate = order.plan.hyperparameters["learning_rate"].as_f64().unwrap();
        if order.plan.task == RunTask::FitAndTest {
            assert_eq!((order.plan.cell.seed, rate), (7, 2.0));
        }
        complete(rate / 10.0)
    });
    let mut plan = stage.tune_plan(4, 1);
    plan.after = AfterTune::RetrainAndTest;
    let mut events = stage.system.subscribe();
    // The space holds three: rates 0, 1 and 2, of which the first has the unstable score 0.
    let outcome = stage.system.tune(plan, Grid::of(3)).unwrap().wait().unwrap();
    assert_eq!((outcome.best, outcome.cvs[0].status), (Some(2), Status::Unstable));
    let retrain = outcome.retrain.unwrap();
    assert_eq!((retrain.status, retrain.run_name.as_str()), (Status::Complete, "t-retrain"));
    let mut warnings = vec![];
    while let Some(event) = events.try_next() {
        if let Event::Warned { message } = event {
            warnings.push(message);
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("instead of 4"), "{warnings:?}");
    stage.end_with_every_lease_returned(4);
}

#[test]
fn an_actors_panic_ends_its_job_with_an_error_and_leaves_the_system_alive() {
    let stage = Stage::new(Strategy::Auto, 1, |_, _| complete(0.5));
    let lost = stage.system.tune(stage.tune_plan(2, 1), Grid::broken()).unwrap().wait();
    assert_eq!(lost.unwrap_err(), JobError::Lost);
    let next = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!(next.status, Status::Complete);
    stage.end_with_every_lease_returned(1);
}

#[test]
fn a_run_actor_lost_to_a_panic_is_started_once_more_then_fails_its_cell_and_its_lease_comes_back() {
    let broken = Custom { workers: Workers::Break, ..Custom::default() };
    let stage = Stage::custom(Strategy::Auto, 1, broken, |_, _| complete(0.5));
    let outcome = stage.system.cv(stage.cv_plan("c", 2, FailedCells::FailCv)).unwrap().wait().unwrap();
    for run in &outcome.runs {
        assert_eq!(run.failure.as_ref().unwrap().cause, Cause::Lost);
    }
    assert_eq!(outcome.status, Status::Failed);
    stage.end_with_every_lease_returned(4);
}

#[test]
fn a_table_that_can_not_be_written_is_told_with_the_outcome_and_stops_nothing() {
    let stage = Stage::new(Strategy::Auto, 1, |_, _| complete(0.5));
    let plan = stage.cv_plan("c", 2, FailedCells::FailCv);
    std::fs::create_dir_all(plan.cv_dir.join("run_infos.parquet")).unwrap();
    let outcome = stage.system.cv(plan).unwrap().wait().unwrap();
    assert_eq!(outcome.score, Some(0.5));
    assert!(outcome.unwritten.iter().any(|why| why.contains("run_infos.parquet")), "{:?}", outcome.unwritten);
    stage.end_with_every_lease_returned(2);
}

#[test]
fn shutting_down_kills_what_runs_and_leaves_nothing() {
    let killed = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&killed);
    let Stage { system, folder, .. } = Stage::new(Strategy::CvParallel, 2, move |_, port| {
        assert_eq!(port.hear(), None);
        count.fetch_add(1, Ordering::SeqCst);
        Act::Leave
    });
    let mut events = system.subscribe();
    let job = system.cv(support::cv_plan(folder.path(), "c", 2, FailedCells::FailCv)).unwrap();
    let mut prepared = 0;
    while prepared < 2 {
        prepared += u32::from(matches!(support::next(&mut events), Event::RunPrepared { .. }));
    }
    ActorSystem::shutdown(system).unwrap();
    assert_eq!(killed.load(Ordering::SeqCst), 2);
    let outcome = job.wait().unwrap();
    assert!(outcome.runs.iter().all(|run| run.status == Status::Cancelled));
}

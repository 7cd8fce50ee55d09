use engine_actors::journal::{JOURNAL, JobRecord, PlannedRun, encode};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::plan::{Cell, FailedCells, Hyperparameters, TunePlan};
use engine_tracking::journal::{Durability, JournalWriter};

use super::*;
use crate::artifacts::Level;

/// A tune of so many configurations over so many folds.
pub(in crate::jobs) fn tune_job(n_trials: u32, folds: u32) -> Record {
    let plan = TunePlan {
        tune_name: "t".into(),
        tune_dir: "t".into(),
        n_trials,
        cells: (0..folds).map(cell).collect(),
        scoring: Scoring::parse(&["val/loss:lower"], "harmonic").unwrap(),
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        after: AfterTune::RetrainAndTest,
        retrain_seed: 42,
        settings: std::sync::Arc::new(serde_json::Value::Null),
    };
    let plan = JobPlan::Tune(plan);
    Record::Job(Box::new(JobRecord { plan, identity: serde_json::Map::new() }))
}

fn cell(fold: u32) -> Cell {
    Cell { fold, seed: 42 }
}

fn opened(host: &str) -> Record {
    Record::Opened(Opened { pid: 7, host: host.into(), at_unix_secs: 5 })
}

fn planned(hp_index: u32) -> Record {
    let run = |fold| PlannedRun { cell: cell(fold), run_id: format!("run{hp_index}{fold}") };
    Record::CvPlanned { hp_index, runs: vec![run(0), run(1)] }
}

fn failure() -> Failure {
    Failure { cause: Cause::Killed, message: "it".into(), stderr_tail: Vec::new() }
}

fn ended(run_id: &str, status: Status) -> Record {
    let outcome = serde_json::json!({
        "run_name": run_id, "run_id": run_id, "run_dir": run_id, "cell": cell(0), "status": status,
        "failure": (status == Status::Failed).then(failure), "attempts": 1, "device": null, "duration_secs": 1.0,
        "metrics": {}, "checkpoint": null,
    });
    Record::RunEnded(serde_json::from_value(outcome).unwrap())
}

fn cv_ended(hp_index: u32, status: Status, score: f64) -> Record {
    Record::CvEnded { hp_index, status, score: Some(score) }
}

/// How a tune of 3 configurations and 2 folds stands of which this has happened.
struct Job {
    place: JobPlace,
    writer: Option<JournalWriter>,
    _folder: tempfile::TempDir,
}

impl Job {
    fn new(records: &[Record]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let first = encode(&tune_job(3, 2)).unwrap();
        let writer = JournalWriter::create(&dir.join(JOURNAL), &first).unwrap();
        let mut job = Self {
            place: JobPlace { level: Level::Tune, name: "t".into(), dir },
            writer: Some(writer),
            _folder: folder,
        };
        job.add(records);
        job
    }

    fn add(&mut self, records: &[Record]) {
        let encoded: Vec<_> = records.iter().map(|record| encode(record).unwrap()).collect();
        let writer = self.writer.as_mut().unwrap();
        writer.append(encoded.iter().map(Vec::as_slice), Durability::Process).unwrap();
    }

    fn status(&self) -> JobStatus {
        JobStatus::of(&self.place).unwrap()
    }

    fn let_go(&mut self) -> JobState {
        self.writer = None;
        self.status().state
    }
}

#[test]
fn what_the_journal_says_is_counted() {
    let retried = Record::RunRetried { run_id: "run00".into(), failure: failure() };
    let proposed = |trial| Record::Proposed { trial, hyperparameters: Hyperparameters::new() };
    let job = Job::new(&[
        opened("long-ago"),
        opened(&host_name()),
        proposed(0),
        planned(0),
        retried,
        ended("run00", Status::Complete),
        ended("run01", Status::Complete),
        cv_ended(0, Status::Complete, 0.5),
        proposed(1),
        planned(1),
        ended("run10", Status::Unstable),
        ended("run11", Status::Failed),
        cv_ended(1, Status::Unstable, 0.1),
        proposed(2),
        planned(2),
    ]);
    let status = job.status();
    assert_eq!((status.state, status.pid), (JobState::Running, Some(7)));
    assert_eq!((status.runs_done, status.runs_planned), (4, 7), "the retrained one is to come");
    assert_eq!((status.configurations_done, status.configurations_planned), (Some(2), Some(3)));
    assert_eq!((status.failures, status.retries), (1, 1));
    assert_eq!(status.best_score, Some(0.5), "a lower one is better, but an unstable one is none");
    assert_eq!((status.begun_unix_secs, status.opened_unix_secs), (Some(5), Some(5)));
    assert!(status.last_sign_unix_secs.unwrap() > 1_600_000_000);
}

#[test]
fn a_job_that_nobody_holds_is_what_its_last_process_said_or_interrupted() {
    let here = || opened(&host_name());
    let with_score = [here(), planned(0), cv_ended(0, Status::Complete, 0.5)];
    let end = |cancelled| Record::Ended { cancelled };
    let after = |records: &[Record], end: Option<Record>| {
        let mut job = Job::new(records);
        job.add(&end.into_iter().collect::<Vec<_>>());
        assert_eq!(job.status().state, JobState::Running, "it is held still");
        job.let_go()
    };
    assert_eq!(after(&with_score, Some(end(false))), JobState::Finished);
    assert_eq!(after(&with_score, Some(end(true))), JobState::Cancelled);
    assert_eq!(after(&with_score, None), JobState::Interrupted);
    assert_eq!(after(&[here()], Some(end(false))), JobState::Failed, "no configuration was stable");
    let again = [here(), end(true), here()];
    assert_eq!(after(&again, None), JobState::Interrupted, "the first end was not the last");
}

#[test]
fn a_job_of_another_machine_is_under_way_while_it_gives_signs_of_life() {
    let mut job = Job::new(&[opened("elsewhere")]);
    assert_eq!(job.status().state, JobState::RunningElsewhere);
    assert_eq!(job.let_go(), JobState::RunningElsewhere, "its lock is not seen everywhere");
    let old = SystemTime::now() - 2 * SILENCE;
    std::fs::File::open(job.place.journal()).unwrap().set_modified(old).unwrap();
    assert_eq!(job.status().state, JobState::Interrupted);
}

#[test]
fn the_command_that_goes_on_is_the_one_it_was_called_by() {
    let place = JobPlace { level: Level::Tune, name: "sly fox".into(), dir: "out/t".into() };
    let called = |words: &[&str]| JobOpening {
        directory: "/data/my runs".into(),
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        ..JobOpening::default()
    };
    let by = called(&["tune", "--n-trials", "3", "--data-split-by", "North Slope"]);
    assert_eq!(
        resume(&place, &by),
        "cd '/data/my runs' && engine tune --n-trials 3 --data-split-by 'North Slope' --name 'sly fox' --resume"
    );
    let by = called(&["cv", "--name=c", "--resume=failed"]);
    assert_eq!(resume(&place, &by), "cd '/data/my runs' && engine cv --name=c --resume=failed");
}

#[test]
fn a_damaged_journal_is_told_with_its_place() {
    let mut job = Job::new(&[opened("here")]);
    job.writer = None;
    std::fs::write(job.place.journal(), "not a journal at all").unwrap();
    let error = JobStatus::of(&job.place).unwrap_err().to_string();
    assert!(error.contains("this is no journal") && error.contains(JOURNAL), "{error}");
}

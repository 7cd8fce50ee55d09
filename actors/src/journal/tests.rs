use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_tracking::journal::{Durability, JournalWriter, read};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::outcome::{Cause, Failure, RunOutcome, Status};
use crate::plan::{Cell, RunPlan};
use crate::testing::{cv_plan, run_outcome, run_plan, tune_plan};

/// Every kind of record, as this version writes them, in an order in which they may follow each other.
fn every_kind() -> Vec<Record> {
    let cell = |fold| Cell { fold, seed: u64::MAX };
    let hyperparameters = |rate: f64| [("learning_rate".to_owned(), json!(rate))].into_iter().collect();
    let failure = Failure { cause: Cause::Killed, message: "why".into(), stderr_tail: vec!["last".into()] };
    let planned = |fold: u32| PlannedRun { cell: cell(fold), run_id: format!("run0000{fold}") };
    let ended = |fold: u32, status, iou| RunOutcome {
        run_id: format!("run0000{fold}"),
        cell: cell(fold),
        peak_memory_bytes: Some(1 << 40),
        checkpoint: Some("runs/r-abcd1234/checkpoints/best".into()),
        ..run_outcome(status, iou)
    };
    let identity = |code: &str| [("code".to_owned(), json!(code))].into_iter().collect();
    let job = |n_trials| {
        let plan = JobPlan::Tune(tune_plan("t", n_trials, 2));
        Box::new(JobRecord { plan, identity: identity("1.0") })
    };
    let failed = RunOutcome { failure: Some(failure.clone()), ..ended(1, Status::Failed, f64::NEG_INFINITY) };
    vec![
        Record::Job(job(2)),
        Record::Opened(Opened { pid: 7, host: "here".into(), at_unix_secs: 1_750_000_000 }),
        Record::Proposed { trial: 0, hyperparameters: hyperparameters(1e-3) },
        Record::CvPlanned { hp_index: 0, runs: vec![planned(0), planned(1)] },
        Record::RunRetried { run_id: "run00000".into(), failure },
        Record::RunEnded(Box::new(ended(0, Status::Unstable, f64::NAN))),
        Record::RunEnded(Box::new(failed)),
        Record::CvEnded { hp_index: 0, status: Status::Failed, score: None },
        Record::Ended { cancelled: true },
        Record::Changed { job: job(3), reopened: Reopened { ended: false, failed: true } },
        Record::Proposed { trial: 1, hyperparameters: hyperparameters(0.1) },
        Record::RetrainPlanned { hp_index: 1, run_id: "run00009".into() },
        Record::Ended { cancelled: false },
    ]
}

/// What is no number equals nothing; its text does.
fn text(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn fold(records: &[Record]) -> Result<Past, &'static str> {
    let mut records = records.iter().cloned();
    let Some(Record::Job(job)) = records.next() else { return Err("no job") };
    let mut past = Past::new(*job);
    records.try_for_each(|record| past.hear(record))?;
    Ok(past)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/journal/records-v1.journal")
}

fn write(path: &Path, records: &[Record]) {
    let bytes: Vec<Vec<u8>> = records.iter().map(|record| encode(record).unwrap()).collect();
    let mut writer = JournalWriter::create(path, &bytes[0]).unwrap();
    writer.append(bytes[1..].iter().map(Vec::as_slice), Durability::Power).unwrap();
}

#[test]
fn records_of_the_first_version_are_understood() {
    // `MAKE_GOLDEN=1` wrote it once; a change of shape needs a further file, and this one still has to be understood.
    if std::env::var_os("MAKE_GOLDEN").is_some() {
        write(&golden(), &every_kind());
    }
    let contents = read(&golden()).unwrap();
    let records: Vec<Record> = contents.entries.iter().map(|entry| decode(&entry.content).unwrap()).collect();
    assert_eq!(text(&records), text(&every_kind()));
    let past = history(&golden(), &contents).unwrap();
    assert_eq!(text(&past), text(&fold(&every_kind()).unwrap()));
}

#[test]
fn every_kind_of_record_stands_in_the_golden_file() {
    let kind = |record: &Record| match record {
        Record::Job(_) => 0,
        Record::Opened(_) => 1,
        Record::Changed { .. } => 2,
        Record::Proposed { .. } => 3,
        Record::CvPlanned { .. } => 4,
        Record::RetrainPlanned { .. } => 5,
        Record::RunRetried { .. } => 6,
        Record::RunEnded(_) => 7,
        Record::CvEnded { .. } => 8,
        Record::Ended { .. } => 9,
    };
    let kinds: std::collections::BTreeSet<i32> = every_kind().iter().map(kind).collect();
    assert_eq!(kinds, (0..10).collect());
}

#[test]
fn values_that_are_no_numbers_survive() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 2.0] {
        let record = Record::RunEnded(Box::new(run_outcome(Status::Unstable, value)));
        let Record::RunEnded(read) = decode(&encode(&record).unwrap()).unwrap() else {
            panic!("another record")
        };
        assert_eq!(read.metrics["val/iou"].to_bits(), value.to_bits());
    }
}

#[test]
fn what_was_failed_is_reopened_and_what_ended_well_is_not() {
    let past = fold(&every_kind()).unwrap();
    let of = |id: &str| past.run(id).unwrap();
    assert!(of("run00000").outcome.is_some() && of("run00000").retried.len() == 1);
    assert!(of("run00001").outcome.is_none(), "a failed run is taken up again");
    assert_eq!(past.ended(), Some(false));
    let JobPlan::Tune(plan) = &past.job().plan else { panic!("another job") };
    assert_eq!(plan.n_trials, 3);
}

#[test]
fn what_can_not_follow_is_refused_with_its_place() {
    let refused = |mut records: Vec<Record>, wrong: Record| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        records.push(wrong);
        write(&path, &records);
        let contents = read(&path).unwrap();
        let last = contents.entries.last().unwrap().at;
        let Err(HistoryError::Order { at, .. }) = history(&path, &contents) else { panic!("taken") };
        assert_eq!(at, last);
    };
    let whole = every_kind();
    let begun = whole[..4].to_vec();
    refused(begun.clone(), whole[0].clone());
    refused(begun.clone(), Record::Proposed { trial: 2, hyperparameters: serde_json::Map::new() });
    refused(begun.clone(), Record::CvEnded { hp_index: 1, status: Status::Failed, score: None });
    refused(begun, Record::RunEnded(Box::new(run_outcome(Status::Complete, 0.5))));
}

#[test]
fn a_run_that_ended_is_told_with_the_folder_that_its_job_has_now() {
    let plan = RunPlan { run_dir: "moved/r-abcd1234".into(), ..run_plan("r") };
    let outcome = |checkpoint: &str| RunOutcome {
        checkpoint: Some(checkpoint.into()),
        ..run_outcome(Status::Complete, 0.5)
    };
    let told = |checkpoint| {
        let past = PastRun { outcome: Some(outcome(checkpoint)), ..PastRun::of("abcd1234") };
        past.outcome_of(&plan).unwrap()
    };
    assert_eq!(
        told("runs/r-abcd1234/checkpoints/best").checkpoint,
        Some("moved/r-abcd1234/checkpoints/best".into())
    );
    assert_eq!(told("elsewhere/best").checkpoint, Some("elsewhere/best".into()));
    assert_eq!(told("elsewhere/best").run_dir, plan.run_dir);
}

fn any_metric() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
}

/// Records of a cv of four cells, whatever a process may write of it, in an order in which it does.
fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let of_a_run = (0..4_u32, 0..4_u8, any_metric(), ".{0,12}");
    proptest::collection::vec(of_a_run, 0..20).prop_map(|facts| {
        let plan = cv_plan("c", 4);
        let planned =
            plan.cells.iter().map(|cell| PlannedRun { cell: *cell, run_id: format!("r{}", cell.fold) });
        let runs = planned.collect();
        let job = JobRecord { plan: JobPlan::Cv(plan), identity: serde_json::Map::new() };
        let mut records = vec![Record::Job(Box::new(job.clone())), Record::CvPlanned { hp_index: 0, runs }];
        for (fold, kind, value, message) in facts {
            let run_id = format!("r{fold}");
            let failure = Failure { cause: Cause::Lost, message, stderr_tail: Vec::new() };
            records.push(match kind {
                0 => Record::RunRetried { run_id, failure },
                1 => {
                    Record::RunEnded(Box::new(RunOutcome { run_id, ..run_outcome(Status::Complete, value) }))
                }
                2 => Record::CvEnded { hp_index: 0, status: Status::Complete, score: Some(value) },
                _ => Record::Changed {
                    job: Box::new(job.clone()),
                    reopened: Reopened { ended: fold % 2 == 0, failed: true },
                },
            });
        }
        records
    })
}

proptest! {
    #[test]
    fn the_fold_is_the_same_through_the_bytes(records in any_records()) {
        let read: Vec<Record> = records.iter().map(|record| decode(&encode(record).unwrap()).unwrap()).collect();
        prop_assert_eq!(text(&read), text(&records));
        prop_assert_eq!(text(&fold(&read).unwrap()), text(&fold(&records).unwrap()));
    }

    #[test]
    fn a_longer_prefix_knows_no_less_unless_runs_are_taken_up_again(records in any_records()) {
        let mut past = fold(&records[..1]).unwrap();
        for record in &records[1..] {
            let before = past.clone();
            past.hear(record.clone()).unwrap();
            prop_assert!(past.steps().len() >= before.steps().len());
            for run in before.runs() {
                let now = past.run(&run.run_id);
                prop_assert!(now.is_some(), "a run keeps its id");
                let is_reopened = matches!(record, Record::Changed { .. });
                let keeps = |now: &PastRun| {
                    (now.outcome.is_some() || run.outcome.is_none()) && now.retried.len() >= run.retried.len()
                };
                prop_assert!(is_reopened || now.is_some_and(keeps));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_of_records_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(record) = decode(&bytes) {
            prop_assert!(encode(&record).is_ok());
        }
    }

    #[test]
    fn a_damaged_record_is_refused_or_is_a_record(at in any::<prop::sample::Index>(), kind in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let records = every_kind();
        let mut bytes = encode(kind.get(&records)).unwrap();
        *at.get_mut(&mut bytes) ^= 1 << bit;
        if let Ok(record) = decode(&bytes) {
            prop_assert!(encode(&record).is_ok());
        }
    }
}

#[test]
fn a_shared_value_is_written_as_itself() {
    let plan = RunPlan { settings: Arc::new(json!({"a": [1, null]})), ..run_plan("r") };
    let job = JobRecord { plan: JobPlan::Run(plan), identity: serde_json::Map::new() };
    let record = Record::Job(Box::new(job));
    assert_eq!(decode(&encode(&record).unwrap()).unwrap(), record);
}

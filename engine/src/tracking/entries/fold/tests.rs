//! The fold, event by event.

use engine_actors::outcome::Cause;
use engine_actors::score::Scoring;

use super::*;

fn facts(metrics: &[&str]) -> impl Fn(&str) -> Option<Arc<JobFacts>> + use<> {
    let facts = JobFacts {
        scoring: Scoring::parse(metrics, "harmonic").unwrap(),
        settings: Arc::new(json!({"max_epochs": 3})),
    };
    let facts = Arc::new(facts);
    move |_| Some(Arc::clone(&facts))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn tune_started() -> Event {
    Event::TuneStarted {
        tune_name: "t".into(),
        tune_dir: "a/t".into(),
        n_trials: 3,
        cells_per_cv: 2,
        resumed: false,
    }
}

fn cv_started(hp_index: u32, lr: f64) -> Event {
    Event::CvStarted {
        cv_name: format!("t-cv{hp_index}"),
        cv_dir: format!("a/t/t-cv{hp_index}").into(),
        tune_name: Some("t".into()),
        hp_index,
        hyperparameters: object(json!({"lr": lr, "model": "Unet", "flip": true})),
        cells: 2,
        resumed: false,
    }
}

fn run_finished(cv: Option<&str>, name: &str, status: Status, metrics: &[(&str, f64)]) -> Event {
    let failure = (status == Status::Failed).then(|| Failure {
        cause: Cause::Killed,
        message: "gone".into(),
        stderr_tail: Vec::new(),
    });
    Event::RunFinished {
        run_id: "abcd1234".into(),
        run_name: name.into(),
        cv_name: cv.map(str::to_owned),
        cell: Cell { fold: 1, seed: 42 },
        status,
        failure,
        attempts: 2,
        duration_secs: 1.5,
        metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        checkpoint: None,
    }
}

fn cv_finished(hp_index: u32, score: Option<f64>, status: Status) -> Event {
    Event::CvFinished {
        cv_name: format!("t-cv{hp_index}"),
        score,
        spread: score.map(|_| 0.1),
        score_is_unstable: status == Status::Unstable,
        status,
    }
}

fn tune_finished(best: Option<(u32, f64)>, cancelled: bool) -> Event {
    Event::TuneFinished {
        tune_name: "t".into(),
        best_cv: best.map(|(index, _)| format!("t-cv{index}")),
        best_score: best.map(|(_, score)| score),
        cancelled,
    }
}

/// All summaries of an entry, later ones over earlier ones.
fn summary(records: &[EntryRecord], of: &Entry) -> Value {
    let mut all = Map::new();
    for record in records {
        if let EntryRecord::Summary { entry, values } = record
            && entry == of
        {
            all.extend(values.clone());
        }
    }
    Value::Object(all)
}

fn rows<'a>(records: &'a [EntryRecord], of: &Entry) -> Vec<(u64, &'a Metrics)> {
    let of_entry = |record: &'a EntryRecord| match record {
        EntryRecord::Row { entry, number, values } if entry == of => Some((*number, values)),
        _ => None,
    };
    records.iter().filter_map(of_entry).collect()
}

fn cv(name: &str) -> Entry {
    Entry::Cv(name.into())
}

fn tune() -> Entry {
    Entry::Tune("t".into())
}

#[test]
fn a_cv_has_a_row_for_each_cell_and_its_score_in_the_end() {
    let facts = facts(&["val/iou"]);
    let mut entries = Entries::default();
    let alone = Event::CvStarted {
        cv_name: "c".into(),
        cv_dir: "a/c".into(),
        tune_name: None,
        hp_index: 0,
        hyperparameters: object(json!({"lr": 0.1})),
        cells: 3,
        resumed: false,
    };
    let opened = entries.apply(&alone, &facts);
    let [EntryRecord::Open { entry, dir, tune_name: None, config, begun: Begun::Now }] = opened.as_slice()
    else {
        panic!("{opened:?}")
    };
    assert_eq!((entry, dir.as_path()), (&cv("c"), Path::new("a/c")));
    let expected = json!({
        "lr": 0.1, "hp_index": 0, "cells": 3, "scoring_metrics": ["val/iou"], "multi_score_strategy": "harmonic"
    });
    assert_eq!(Value::Object(config.clone()), expected);

    let metrics = [("val/iou", 0.5), ("train/loss", 0.1)];
    let mut records = entries.apply(&run_finished(Some("c"), "c-run", Status::Complete, &metrics), &facts);
    records.extend(entries.apply(&run_finished(Some("c"), "c-run", Status::Failed, &[]), &facts));
    let all = rows(&records, &cv("c"));
    let first: Metrics = [
        ("cell/fold", 1.0),
        ("cell/seed", 42.0),
        ("cell/complete", 1.0),
        ("cell/attempts", 2.0),
        ("cell/duration_secs", 1.5),
        ("val/iou", 0.5),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(all[0], (1, &first), "the score's metrics alone");
    assert_eq!((all[1].0, all[1].1["cell/complete"]), (2, 0.0));

    let ended = Event::CvFinished {
        cv_name: "c".into(),
        score: None,
        spread: None,
        score_is_unstable: false,
        status: Status::Failed,
    };
    let last = entries.apply(&ended, &facts);
    assert_eq!(last.last(), Some(&EntryRecord::Close { entry: cv("c"), exit_code: 1 }));
    records.extend(last);
    let expected = json!({
        "cells_ended": 2, "not_complete": "f1s42 failed (killed)", "status": "failed", "score_is_unstable": false,
        "failed_cells": 1, "complete_cells": 1, "missing_cells": 1
    });
    assert_eq!(summary(&records, &cv("c")), expected);
    assert!(entries.abandon().is_empty(), "nothing is under way");
}

#[test]
fn a_tune_has_a_row_for_each_cv_and_the_best_in_the_end() {
    let facts = facts(&["val/iou"]);
    let mut entries = Entries::default();
    let mut records = Vec::new();
    for event in [
        tune_started(),
        cv_started(0, 0.1),
        cv_started(1, 0.2),
        cv_started(2, 0.3),
        run_finished(Some("t-cv1"), "r", Status::Complete, &[]),
        // Ended out of their order, two of them with the same score.
        cv_finished(1, Some(0.7), Status::Complete),
        cv_finished(0, Some(0.7), Status::Complete),
        cv_finished(2, Some(0.9), Status::Unstable),
        run_finished(None, "t-retrain", Status::Complete, &[("test/iou", 0.6), ("val/iou", 0.5)]),
        run_finished(None, "another", Status::Complete, &[("test/iou", 0.1)]),
        tune_finished(Some((0, 0.7)), false),
    ] {
        records.extend(entries.apply(&event, &facts));
    }
    let all = rows(&records, &tune());
    let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let column = |name: &str| -> Vec<f64> { all.iter().map(|(_, values)| values[name]).collect() };
    assert_eq!(column("hp_index"), [1.0, 0.0, 2.0]);
    assert_eq!(column("score"), [0.7, 0.7, 0.9]);
    assert_eq!(column("best_score"), [0.7, 0.7, 0.7], "an unstable cv is not the best");
    assert_eq!(column("hyperparameters/lr"), [0.2, 0.1, 0.3]);
    assert_eq!(column("hyperparameters/flip"), [1.0, 1.0, 1.0]);
    assert!(!all[0].1.contains_key("hyperparameters/model"), "a text is no number");
    let expected = json!({
        "cvs": 3, "runs": 1, "failed_runs": 0, "complete_cvs": 2, "unstable_cvs": 1,
        "retrain_status": "complete", "test/iou": 0.6, "status": "complete", "best_cv": "t-cv0",
        "best_hyperparameters": {"lr": 0.1, "model": "Unet", "flip": true}, "best_score": 0.7, "score": 0.7
    });
    assert_eq!(summary(&records, &tune()), expected);
    assert_eq!(records.last(), Some(&EntryRecord::Close { entry: tune(), exit_code: 0 }));
}

#[test]
fn the_best_is_the_lowest_where_less_is_better() {
    let facts = facts(&["val/loss:lower"]);
    let mut entries = Entries::default();
    let mut records = Vec::new();
    let ends = [cv_finished(0, Some(0.7), Status::Complete), cv_finished(1, Some(0.2), Status::Complete)];
    for event in [tune_started(), cv_started(0, 0.1), cv_started(1, 0.2)].into_iter().chain(ends) {
        records.extend(entries.apply(&event, &facts));
    }
    let best: Vec<f64> = rows(&records, &tune()).iter().map(|(_, values)| values["best_score"]).collect();
    assert_eq!(best, [0.7, 0.2]);
}

#[test]
fn what_is_stopped_or_left_open_did_not_end_well() {
    let facts = facts(&["val/iou"]);
    let mut entries = Entries::default();
    let mut records = entries.apply(&tune_started(), &facts);
    records.extend(entries.apply(&tune_finished(None, true), &facts));
    assert_eq!(records.last(), Some(&EntryRecord::Close { entry: tune(), exit_code: 1 }));
    assert_eq!(summary(&records, &tune())["status"], "cancelled");

    let begun = [entries.apply(&tune_started(), &facts), entries.apply(&cv_started(0, 0.1), &facts)];
    assert_eq!(begun.concat().len(), 3, "the tune begins, stirs, the cv begins");
    let left = entries.abandon();
    let closed: Vec<_> = left
        .iter()
        .filter_map(|record| match record {
            EntryRecord::Close { entry, exit_code } => Some((entry.clone(), *exit_code)),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [(cv("t-cv0"), 1), (tune(), 1)]);
    assert!(entries.abandon().is_empty());
}

#[test]
fn what_ends_without_a_beginning_has_no_entry() {
    let facts = facts(&["val/iou"]);
    let mut entries = Entries::default();
    let runs = entries.apply(&run_finished(Some("t-cv0"), "r", Status::Complete, &[]), &facts);
    let ended = entries.apply(&cv_finished(0, Some(0.5), Status::Complete), &facts);
    assert!(runs.is_empty() && ended.is_empty());
}

fn cv_recalled(hp_index: u32, score: Option<f64>, runs: &[Status]) -> Event {
    Event::CvRecalled {
        cv_name: format!("t-cv{hp_index}"),
        hp_index,
        hyperparameters: object(json!({"lr": 0.1, "model": "Unet", "flip": true})),
        score,
        spread: score.map(|_| 0.1),
        score_is_unstable: false,
        status: if score.is_some() { Status::Complete } else { Status::Failed },
        runs: runs.to_vec(),
    }
}

#[test]
fn a_resumed_tune_counts_what_is_recalled_and_opens_no_entry_of_it() {
    let facts = facts(&["val/iou"]);
    let mut entries = Entries::default();
    let resumed = |event: Event| match event {
        Event::TuneStarted { tune_name, tune_dir, n_trials, cells_per_cv, .. } => {
            Event::TuneStarted { tune_name, tune_dir, n_trials, cells_per_cv, resumed: true }
        }
        Event::CvStarted { cv_name, cv_dir, tune_name, hp_index, hyperparameters, cells, .. } => {
            let resumed = true;
            Event::CvStarted { cv_name, cv_dir, tune_name, hp_index, hyperparameters, cells, resumed }
        }
        other => other,
    };
    let recalled = Event::RunRecalled {
        run_id: "abcd1234".into(),
        run_name: "r".into(),
        cv_name: Some("t-cv2".into()),
        cell: Cell { fold: 0, seed: 42 },
        status: Status::Complete,
        metrics: [("val/iou".to_owned(), 0.5), ("train/loss".to_owned(), 1.0)].into(),
    };
    let mut records = Vec::new();
    for event in [
        resumed(tune_started()),
        cv_recalled(0, Some(0.7), &[Status::Complete, Status::Complete]),
        cv_recalled(1, None, &[Status::Complete, Status::Failed]),
        resumed(cv_started(2, 0.3)),
        recalled,
        run_finished(Some("t-cv2"), "r2", Status::Complete, &[("val/iou", 0.6)]),
        cv_finished(2, Some(0.6), Status::Complete),
        tune_finished(Some((0, 0.7)), false),
    ] {
        records.extend(entries.apply(&event, &facts));
    }
    let opened: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            EntryRecord::Open { entry, begun, .. } => Some((entry.clone(), *begun)),
            _ => None,
        })
        .collect();
    assert_eq!(opened, [(tune(), Begun::Before), (cv("t-cv2"), Begun::Before)]);
    let stirs = EntryRecord::Stirs { entry: tune() };
    let place = |wanted: &dyn Fn(&EntryRecord) -> bool| records.iter().position(wanted).unwrap();
    let is_recalled = |record: &EntryRecord| matches!(record, EntryRecord::Recalled { entry, number: 2, .. } if *entry == tune());
    assert!(place(&is_recalled) < place(&|record| *record == stirs), "what is recalled is nothing new");
    let again: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            EntryRecord::Recalled { entry, number, values } => {
                let own = identity(entry).iter().map(|name| values[*name]).collect::<Vec<_>>();
                Some((entry.clone(), *number, own))
            }
            _ => None,
        })
        .collect();
    let expected = [(tune(), 1, vec![0.0]), (tune(), 2, vec![1.0]), (cv("t-cv2"), 1, vec![0.0, 42.0])];
    assert_eq!(again, expected);
    let all = rows(&records, &tune());
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0, all[0].1["score"], all[0].1["best_score"]), (3, 0.6, 0.7));
    assert_eq!(rows(&records, &cv("t-cv2"))[0].0, 2, "rows are numbered on");
    let expected = json!({
        "cvs": 3, "runs": 6, "failed_runs": 1, "complete_cvs": 2, "failed_cvs": 1, "status": "complete",
        "best_cv": "t-cv0", "best_hyperparameters": {"lr": 0.1, "model": "Unet", "flip": true},
        "best_score": 0.7, "score": 0.7
    });
    assert_eq!(summary(&records, &tune()), expected);
    assert_eq!(summary(&records, &cv("t-cv2"))["missing_cells"], 0);
}

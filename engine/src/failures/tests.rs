use engine_actors::outcome::{CvOutcome, Failure};
use engine_actors::plan::Cell;
use engine_tracking::Metrics;
use serde_json::json;

use super::*;

fn run(number: usize, failure: Option<(Cause, &str)>) -> RunOutcome {
    let outcome = serde_json::json!({
        "run_name": format!("t-cv{number}-run-f0s42"), "run_id": format!("abcdefg{number}"),
        "run_dir": format!("out/t-cv{number}-run-f0s42-abcdefg{number}"), "cell": Cell { fold: 0, seed: 42 },
        "status": if failure.is_some() { Status::Failed } else { Status::Complete },
        "failure": failure.map(|(cause, message)| Failure::new(cause, message)),
        "attempts": 1, "device": null, "duration_secs": 1.0, "metrics": Metrics::new(), "checkpoint": null,
    });
    serde_json::from_value(outcome).unwrap()
}

fn tune(cvs: impl IntoIterator<Item = (Value, Vec<RunOutcome>)>) -> TuneOutcome {
    let cv = |(index, (hyperparameters, runs)): (usize, (Value, Vec<RunOutcome>))| {
        json!({
            "cv_name": format!("t-cv{index}"), "cv_dir": "out", "hp_index": index, "hyperparameters": hyperparameters,
            "score": null, "spread": null, "score_is_unstable": false, "status": "failed", "runs": runs,
        })
    };
    let cvs = cvs.into_iter().enumerate().map(cv).map(|cv| serde_json::from_value::<CvOutcome>(cv).unwrap());
    let cvs: Vec<CvOutcome> = cvs.collect();
    let outcome = json!({
        "tune_name": "t", "tune_dir": "out", "cvs": cvs, "best": null, "retrain": null, "cancelled": false,
    });
    serde_json::from_value(outcome).unwrap()
}

fn rows(report: &FailureReport, name: &str) -> Vec<(Value, u32, u32)> {
    let rows = report.values.iter().filter(|row| row.hyperparameter == name);
    rows.map(|row| (serde_json::to_value(&row.value).unwrap(), row.runs, row.failed)).collect()
}

#[test]
fn where_nothing_failed_there_is_no_report() {
    assert_eq!(failures(&tune([])), None);
    let mut cancelled = run(1, None);
    cancelled.status = Status::Cancelled;
    assert_eq!(failures(&tune([(json!({"a": 1}), vec![run(0, None), cancelled])])), None);
}

#[test]
fn the_value_that_failed_most_beyond_its_share_comes_first_with_its_causes() {
    let oom = || Some((Cause::DeviceOutOfMemory, "CUDA out of memory"));
    let outcome = tune([
        (json!({"batch": 8, "encoder": "a", "same": 1}), vec![run(0, None), run(1, None)]),
        (
            json!({"batch": 64, "encoder": "a", "same": 1}),
            vec![run(2, oom()), run(3, Some((Cause::Panic, "boom")))],
        ),
        (json!({"batch": 8, "encoder": "b", "same": 1}), vec![run(4, None), run(5, oom())]),
        (json!({"batch": 64, "encoder": "b", "same": 1}), vec![run(6, oom()), run(7, oom())]),
    ]);
    let report = failures(&outcome).unwrap();
    assert_eq!((report.runs, report.failed), (8, 5));
    assert_eq!(rows(&report, "batch"), [(json!(64), 4, 4), (json!(8), 4, 1)]);
    assert_eq!(rows(&report, "encoder"), [(json!("b"), 4, 3), (json!("a"), 4, 2)]);
    assert_eq!(rows(&report, "same"), [], "what does not vary explains nothing");
    let first = &report.values[0];
    assert_eq!(
        (first.hyperparameter.as_str(), &first.causes[..]),
        ("batch", &[(Cause::DeviceOutOfMemory, 3), (Cause::Panic, 1)][..])
    );
    // (4 - 4·5/8) / sqrt(4·5/8·3/8·1/2)
    assert!((first.stands_out - 1.5 / (4.0 * 0.625 * 0.375 * 0.5_f64).sqrt()).abs() < 1e-12);
    assert!(report.values.iter().map(|row| row.stands_out).sum::<f64>().abs() < 1e-9);
}

#[test]
fn many_numbers_are_put_into_quartiles_and_equal_ones_stay_together() {
    let rate = |number: usize| [0.0, 1.0, 1.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0][number];
    let cvs = (0..12).map(|number| {
        let failure = (number > 8).then_some((Cause::Diverged, "the loss is not finite"));
        (json!({"rate": rate(number)}), vec![run(number, failure)])
    });
    let report = failures(&tune(cvs)).unwrap();
    assert_eq!(
        rows(&report, "rate"),
        [
            (json!({"low": 9.0, "high": 11.0}), 3, 3),
            (json!({"low": 4.0, "high": 5.0}), 2, 0),
            (json!({"low": 6.0, "high": 8.0}), 3, 0),
            (json!({"low": 0.0, "high": 1.0}), 4, 0),
        ]
    );
    assert_eq!(report.values.iter().map(|row| row.runs).sum::<u32>(), 12);
}

#[test]
fn a_hyperparameter_that_some_configurations_lack_is_null_there() {
    let outcome =
        tune([(json!({"a": 1}), vec![run(0, Some((Cause::Io, "disk")))]), (json!({}), vec![run(1, None)])]);
    assert_eq!(rows(&failures(&outcome).unwrap(), "a"), [(json!(1), 1, 1), (json!(null), 1, 0)]);
}

#[test]
fn where_all_failed_no_value_stands_out() {
    let outcome = tune(
        (0..3).map(|number| (json!({"a": number}), vec![run(number, Some((Cause::Data, "no sample")))])),
    );
    let report = failures(&outcome).unwrap();
    assert!(report.values.iter().all(|row| row.stands_out == 0.0));
    assert_eq!(report.groups.len(), 1);
}

#[test]
fn failures_alike_are_one_group_whatever_their_numbers_and_run() {
    let at = |number: usize| {
        format!("can not write out/t-cv{number}-run-f0s42-abcdefg{number}/metrics.csv, {number}7 bytes left")
    };
    let (first, second) = (at(0), at(1));
    let mut outcome = tune([
        (json!({}), vec![run(0, Some((Cause::Io, &first))), run(1, Some((Cause::Io, &second)))]),
        (json!({}), vec![run(2, Some((Cause::Panic, "boom"))), run(3, Some((Cause::Lost, "boom")))]),
    ]);
    outcome.retrain = Some(run(4, Some((Cause::Panic, "boom"))));
    outcome.cvs[1].runs.push(run(5, Some((Cause::Panic, "boom"))));
    let report = failures(&outcome).unwrap();
    let groups: Vec<_> =
        report.groups.iter().map(|group| (group.cause, group.runs, group.message.as_str())).collect();
    assert_eq!(groups, [(Cause::Panic, 3, "boom"), (Cause::Io, 2, first.as_str()), (Cause::Lost, 1, "boom")]);
    assert_eq!(report.groups[1].run_dir, std::path::Path::new("out/t-cv0-run-f0s42-abcdefg0"));
    assert_eq!((report.runs, report.failed), (5, 5), "the retrained model's run is no trial");
}

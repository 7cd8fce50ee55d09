//! Failed runs as data at the command line: what failed for which values, and how many failures a job bears.

use engine_tests::cli::Workplace;
use engine_tracking::run_info::read_run_infos;
use serde_json::{Value, json};

/// Runs one after another, on small samples.
const SMALL: &str = "--train-data-dir data --artifact-dir out --fold-method region-stratified --total-folds 2 --n-randoms 1 \
                     --max-epochs 1 --check-val-every-n-epoch 1 --accelerator cpu --devices 0 --name j";

/// With a learning rate of 1e30 the loss is not finite at the second step.
const SPACE: &str =
    "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = 2\nlearning_rate = [1e30, 1e-3]\n";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn tune(own: &str) -> Vec<&str> {
    [words("tune --hpconfig space.toml --n-trials grid"), words(own), words(SMALL)].concat()
}

fn place() -> Workplace {
    let place = Workplace::with_data();
    place.write("space.toml", SPACE);
    place
}

#[test]
fn a_tune_tells_what_failed_and_which_values_stand_out() {
    let place = place();
    let ended = place.run(&tune("--json"));
    assert_eq!(ended.code, Some(0), "the other configuration is stable: {}", ended.stderr);
    let events = ended.json();
    let result = events.iter().find(|event| event["event"] == "result").unwrap();
    let failures = &result["failures"];
    assert_eq!((&failures["runs"], &failures["failed"]), (&json!(4), &json!(2)));
    let first = &failures["values"][0];
    assert_eq!(first["hyperparameter"], "learning_rate");
    assert_eq!((&first["value"], &first["runs"], &first["failed"]), (&json!(1e30), &json!(2), &json!(2)));
    assert_eq!(first["causes"], json!([["diverged", 2]]));
    assert_eq!(
        (&failures["groups"][0]["cause"], &failures["groups"][0]["runs"]),
        (&json!("diverged"), &json!(2))
    );

    // The same stands in the table, run by run.
    let rows = read_run_infos(&place.path("out/j/j.parquet")).unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.cv_name.as_deref().unwrap(), row.run.status.as_str(), row.run.attempts))
        .collect();
    let [bad, good] = [("j-cv0", "failed", 1), ("j-cv1", "complete", 1)];
    assert_eq!(told, [bad, bad, good, good]);
    let reasons: Vec<bool> = rows
        .iter()
        .map(|row| row.run.failure.as_ref().is_some_and(|failure| failure.starts_with("diverged: ")))
        .collect();
    assert_eq!(reasons, [true, true, false, false], "{rows:?}");
}

#[test]
fn a_tune_starts_nothing_new_after_as_many_failures_as_it_bears() {
    let place = place();
    let ended = place.run(&tune("--max-failures 2"));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("`j` starts nothing new, for 2 runs have failed"), "{}", ended.stderr);
    assert!(!place.path("out/j/j-cv1").exists(), "the second configuration is not begun");
    for expected in ["2 of 2 runs failed", "diverged", "j-cv0/j-cv0-run-f0s42-", "tables of tune j are in"] {
        assert!(ended.stdout.contains(expected), "{expected} is missing: {}", ended.stdout);
    }
}

#[test]
fn a_cv_starts_nothing_new_after_as_many_failures_as_it_bears() {
    let place = place();
    let own =
        words("cv --json --max-failures 1 --learning-rate 1e30 --model-encoder resnet18 --batch-size 4");
    let ended = place.run(&[own, words(SMALL)].concat());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let outcome = ended.outcome();
    let runs: Vec<(&Value, &Value)> =
        outcome["runs"].as_array().unwrap().iter().map(|run| (&run["status"], &run["attempts"])).collect();
    assert_eq!(runs, [(&json!("failed"), &json!(1)), (&json!("cancelled"), &json!(0))]);
    assert_eq!(outcome["status"], "cancelled");
}

//! The main job at the command line: tune, cv and run, what they write, how they are stopped, what a lost worker does.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::time::Instant;

#[cfg(target_os = "linux")]
use engine_actors::limits::STOP_DEADLINE;
use engine_tests::cli::Workplace;
#[cfg(target_os = "linux")]
use engine_tests::cli::{Running, kill};
use engine_tests::fixture;
use engine_tests::table::{Table, assert_columns};
#[cfg(target_os = "linux")]
use rustix::process::Signal;
use serde_json::Value;

/// Small networks on small samples, on two slices of the cores.
const SMALL: [&str; 16] = [
    "--train-data-dir",
    "data",
    "--artifact-dir",
    "out",
    "--fold-method",
    "region-stratified",
    "--total-folds",
    "2",
    "--check-val-every-n-epoch",
    "1",
    "--log-every-n-steps",
    "1",
    "--accelerator",
    "cpu",
    "--early-stopping-patience",
    "0",
];
const MODEL: [&str; 4] = ["--model-encoder", "resnet18", "--batch-size", "4"];
const PARALLEL: [&str; 5] = ["--strategy", "cv-parallel", "--devices", "0", "1"];
const HELD_OUT: [&str; 4] = ["--data-split-method", "random", "--data-split-by", "0.2"];
const SPACE: &str = "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = 4\n\
                     learning_rate = {distribution = \"loguniform\", low = 1e-4, high = 1e-3}\n";

fn joined<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

/// The only entry of a folder whose name begins so.
fn only(folder: &Path, start: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start)).collect();
    assert_eq!(found.len(), 1, "{start}… in {}: {found:?}", folder.display());
    found.remove(0)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Names of the tensors of a safetensors file: a length of eight bytes, then JSON.
fn tensor_names(path: &Path) -> BTreeSet<String> {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object().unwrap().keys().filter(|name| *name != "__metadata__").cloned().collect()
}

fn names_of_smp() -> BTreeSet<String> {
    let text = fs::read_to_string(fixture("models/Unet-resnet18-3.json")).unwrap();
    let model: Value = serde_json::from_str(&text).unwrap();
    let tensors = model["tensors"].as_array().unwrap();
    // burn keeps no count of batches, and smp's evaluation does not use it.
    let names = tensors.iter().map(|tensor| tensor[0].as_str().unwrap().to_owned());
    names.filter(|name| !name.ends_with("num_batches_tracked")).collect()
}

/// That a checkpoint is whole: three files, weights by smp's names, JSON to its end.
fn assert_whole(checkpoint: &Path) {
    let expected = ["optimizer.safetensors", "state.json", "weights.safetensors"].map(str::to_owned);
    assert_eq!(names(checkpoint), BTreeSet::from(expected), "{}", checkpoint.display());
    let found = tensor_names(&checkpoint.join("weights.safetensors"));
    let counted = |name: &&String| !name.ends_with("num_batches_tracked");
    assert_eq!(found.iter().filter(counted).cloned().collect::<BTreeSet<_>>(), names_of_smp());
    let state = fs::read(checkpoint.join("state.json")).unwrap();
    serde_json::from_slice::<Value>(&state).unwrap();
}

/// That a run's folder holds what every run leaves, and that each line of it is whole.
fn assert_run_folder(folder: &Path) {
    let files = names(folder);
    for file in ["checkpoints", "events.jsonl", "hparams.yaml", "metrics.csv"] {
        assert!(files.contains(file), "{file} is missing in {}: {files:?}", folder.display());
    }
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    assert!(events.ends_with('\n'));
    let kinds: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((kinds[0].as_str(), kinds[kinds.len() - 1].as_str()), ("run-started", "run-finished"));
    let metrics = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let mut lines = metrics.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(header[..2], ["epoch", "step"]);
    assert!(header.contains(&"val/JaccardIndex") && header.contains(&"train/loss"), "{header:?}");
    assert!(lines.clone().count() > 0 && lines.all(|line| line.split(',').count() == header.len()));
    assert!(fs::read_to_string(folder.join("hparams.yaml")).unwrap().contains("model_encoder: resnet18"));
    assert_whole(&folder.join("checkpoints/last"));
}

// ---- to the end ----

#[test]
fn a_tune_writes_both_tables_retrains_the_best_and_tests_it() {
    let place = Workplace::with_data();
    place.write("space.toml", SPACE);
    let own = [
        "--hpconfig",
        "space.toml",
        "--n-trials",
        "2",
        "--n-randoms",
        "1",
        "--max-epochs",
        "1",
        "--name",
        "t",
    ];
    let ended =
        place.run(&joined(&[&["tune", "--json", "--retrain-and-test"], &own, &SMALL, &PARALLEL, &HELD_OUT]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let outcome = ended.outcome();
    let tune = place.path("out/t");

    // Two runs of a cv at once, one on each device; never two on one.
    let events = ended.json();
    let mut held = BTreeSet::new();
    let mut most = 0;
    for event in &events {
        let device = event["device"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap() {
            "lease-granted" => assert!(held.insert(device.clone()), "{device} was given to two"),
            "lease-returned" => assert!(held.remove(&device), "{device} came back twice"),
            _ => {}
        }
        most = most.max(held.len());
    }
    assert!(held.is_empty() && most == 2, "{held:?} are still held, {most} were at once");

    // The table of each cv.
    for (index, cv) in outcome["cvs"].as_array().unwrap().iter().enumerate() {
        let name = format!("t-cv{index}");
        let table = Table::read(&tune.join(&name).join("run_infos.parquet"));
        assert_columns(&table, None, &["train/", "val/"]);
        assert_eq!(table.texts("run_name"), [format!("{name}-run-f0s42"), format!("{name}-run-f1s42")]);
        assert_eq!(table.integers("fold"), [0, 1]);
        assert_eq!(table.integers("seed"), [42, 42]);
        assert_eq!(table.integers("attempts"), [1, 1]);
        assert_eq!(table.texts("status"), ["complete", "complete"]);
        assert_eq!(
            BTreeSet::from_iter(table.texts("device")),
            BTreeSet::from(["cpu:0".into(), "cpu:1".into()])
        );
        assert_eq!(table.floats("score"), [cv["score"].as_f64().unwrap(); 2]);
        for (row, run) in cv["runs"].as_array().unwrap().iter().enumerate() {
            assert_eq!(table.texts("run_id")[row], run["run_id"].as_str().unwrap());
            let logged = run["metrics"]["val/JaccardIndex"].as_f64().unwrap();
            assert_eq!(table.floats("val/JaccardIndex")[row], logged);
            let folder = tune.join(&name).join(format!(
                "{}-{}",
                table.texts("run_name")[row],
                table.texts("run_id")[row]
            ));
            assert_run_folder(&folder);
            let best = place.path(&table.texts("checkpoint")[row]);
            assert_eq!(best, only(&folder.join("checkpoints"), "epoch="));
            assert_whole(&best);
        }
    }

    // The table of the tune: the rows of both cvs.
    let table = Table::read(&tune.join("t.parquet"));
    let hyperparameters = ["model_encoder", "batch_size", "learning_rate"];
    assert_columns(&table, Some(&hyperparameters), &["train/", "val/"]);
    assert_eq!(table.texts("cv_name"), ["t-cv0", "t-cv0", "t-cv1", "t-cv1"]);
    assert_eq!(table.integers("batch_size"), [4; 4]);
    assert_eq!(table.texts("model_encoder"), ["resnet18"; 4]);
    let rates = table.floats("learning_rate");
    assert!(
        rates[0] == rates[1] && rates[1] != rates[2] && rates.iter().all(|rate| (1e-4..=1e-3).contains(rate))
    );

    // The best, retrained and tested.
    let scores: Vec<f64> =
        outcome["cvs"].as_array().unwrap().iter().map(|cv| cv["score"].as_f64().unwrap()).collect();
    let best = outcome["best"].as_u64().unwrap() as usize;
    assert!(scores.iter().all(|score| *score <= scores[best]), "{scores:?}, best {best}");
    let retrain = &outcome["retrain"];
    assert_eq!((&retrain["run_name"], &retrain["status"]), (&"t-retrain".into(), &"complete".into()));
    assert!(retrain["metrics"]["test/JaccardIndex"].is_f64(), "{retrain}");
    assert_run_folder(&only(&tune, "t-retrain-"));
    #[cfg(target_os = "linux")]
    place.assert_left_by_all();
}

#[test]
fn a_run_can_be_tested_and_gone_on_from() {
    let place = Workplace::with_data();
    let quiet = place.run(&joined(&[
        &["train", "--quiet", "--max-epochs", "1", "--name", "first"],
        &SMALL,
        &MODEL,
        &HELD_OUT,
    ]));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "a quiet run says nothing but its result");
    let run = only(&place.path("out/_runs"), "first-");
    assert_run_folder(&run);
    let best = only(&run.join("checkpoints"), "epoch=");
    assert!(quiet.stdout.contains("best checkpoint: out/_runs/first-"), "{}", quiet.stdout);

    let best = best.strip_prefix(place.path("")).unwrap().to_str().unwrap().to_owned();
    let test = ["test", "--json", "--checkpoint", &best, "--name", "check"];
    let place_of_data = ["--train-data-dir", "data", "--artifact-dir", "out", "--accelerator", "cpu"];
    let tested = place.run(&joined(&[&test, &place_of_data, &HELD_OUT]));
    assert_eq!(tested.code, Some(0), "{}", tested.stderr);
    let metrics = tested.outcome()["metrics"].as_object().unwrap().clone();
    assert_eq!(metrics.keys().filter(|name| name.starts_with("test/")).count(), 17, "{metrics:?}");

    let last = run.join("checkpoints/last");
    let go_on =
        ["train", "--json", "--max-epochs", "2", "--continue-from-checkpoint", last.to_str().unwrap()];
    let further = place.run(&joined(&[&go_on, &SMALL, &MODEL, &HELD_OUT]));
    assert_eq!(further.code, Some(0), "{}", further.stderr);
    let validated: Vec<Value> =
        further.json().into_iter().filter(|event| event["event"] == "run-validated").collect();
    assert_eq!(validated.len(), 1, "the first epoch is not trained again");
    assert_eq!(validated[0]["epoch"], 1);
}

#[test]
fn a_cv_alone_has_its_table_and_a_line_for_every_event() {
    let place = Workplace::with_data();
    let own =
        ["cv", "--name", "c", "--n-randoms", "1", "--max-epochs", "1", "--scoring-metric", "val/loss:lower"];
    let ended = place.run(&joined(&[&own, &SMALL, &MODEL, &PARALLEL]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let folder = place.path("out/_cross_validations/c");
    let table = Table::read(&folder.join("run_infos.parquet"));
    assert_columns(&table, None, &["train/", "val/"]);
    let losses = table.floats("val/loss");
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert!((table.floats("score")[0] - mean).abs() < 1e-12, "a single metric's score is its mean as it is");
    for line in
        ["run c-run-f0s42: started on cpu:", "run c-run-f1s42: started on cpu:", "cv c: complete, score 0."]
    {
        assert!(ended.stderr.contains(line), "{line} is missing in:\n{}", ended.stderr);
    }
    assert!(
        ended.stdout.contains("score: 0.") && ended.stdout.contains("_cross_validations/c"),
        "{}",
        ended.stdout
    );
}

// ---- configuration ----

#[test]
fn the_origin_of_every_value_is_shown() {
    let place = Workplace::new();
    place.write("config.toml", "[darts.training]\nmax-epochs = 6\nnum_workers = 2\nsave-top-k = 3\n");
    let mut command = place.command(&["config", "show", "--json", "--max-epochs", "8"]);
    let output = command.env("ENGINE_MAX_EPOCHS", "7").env("ENGINE_NUM_WORKERS", "5").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (option, value, origin) in [
        ("max-epochs", "8", "on the command line"),
        ("num-workers", "5", "by the environment variable ENGINE_NUM_WORKERS"),
        ("save-top-k", "3", "in config.toml:4"),
        ("total-folds", "5", "by default"),
        ("data-split-method", "none", "by default"),
    ] {
        let line = lines.iter().find(|line| line["option"] == option).unwrap();
        assert_eq!((&line["value"], &line["origin"]), (&value.into(), &origin.into()));
    }
}

#[test]
fn a_file_of_the_reference_works_unchanged() {
    let place = Workplace::with_data();
    place.write(
        "darts.toml",
        r#"
[darts]
auxiliary-dir = "somewhere"

[darts.inference]
overlap = 16
tile-size = 1024

[darts.data]
train-data-dir = "data"
data-split-method = "region"
data-split-by = ["banks"]
fold-method = "stratified"
total-folds = 2

[darts.training]
artifact-dir = "out"
max-epochs = 1
check-val-every-n-epoch = 1
n-folds = 1
n-randoms = 1
n-trials = "grid"
accelerator = "cpu"
strategy = "tune-parallel"
devices = [0, 1]
name = "reference"

[darts.training.hyperparameters]
model_encoder = "resnet18"
focal_loss_alpha = 0.8

[hyperparameters]
batch-size = [2, 4]
"#,
    );
    let ended = place.run(&["tune", "--json", "--config-file", "darts.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let table = Table::read(&place.path("out/reference/reference.parquet"));
    let mut sizes = table.integers("batch_size");
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 4]);
    assert_eq!(table.texts("model_encoder"), ["resnet18"; 2]);
    assert_eq!(table.floats("focal_loss_alpha"), [0.8; 2]);
    assert_eq!(BTreeSet::from_iter(table.texts("device")).len(), 2, "the cvs of a tune are shared out");
}

// ---- stopped, and crashed ----

#[cfg(target_os = "linux")]
const ENDLESS: [&str; 8] = ["cv", "--json", "--name", "c", "--n-randoms", "1", "--max-epochs", "100000"];

/// The ids of the worker processes of a running program.
#[cfg(target_os = "linux")]
fn workers(place: &Workplace, running: &Running) -> Vec<i32> {
    place.processes().into_iter().filter(|(_, parent)| *parent == running.id()).map(|(id, _)| id).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_once_keeps_what_is_done_and_closes_the_tables() {
    let place = Workplace::with_data();
    let mut running = place.start(&joined(&[&ENDLESS, &SMALL, &MODEL, &PARALLEL]));
    let run = running.until_event("run-validated")["run_id"].clone();
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("keep a `last` checkpoint"), "{}", ended.stderr);
    place.assert_left_by_all();
    let outcome = ended.outcome();
    assert_eq!(outcome["status"], "cancelled");

    let folder = place.path("out/_cross_validations/c");
    let table = Table::read(&folder.join("run_infos.parquet"));
    assert_columns(&table, None, &["train/", "val/"]);
    assert_eq!(table.texts("status"), ["cancelled", "cancelled"]);
    let row = table.texts("run_id").iter().position(|id| run == id.as_str()).unwrap();
    let run = folder.join(format!("{}-{}", table.texts("run_name")[row], table.texts("run_id")[row]));
    assert_run_folder(&run);
    let left = names(&run.join("checkpoints"));
    assert!(left.iter().all(|name| !name.starts_with('.')), "half-written checkpoints: {left:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_twice_stops_at_once() {
    let place = Workplace::with_data();
    let mut running = place.start(&joined(&[&ENDLESS, &SMALL, &MODEL, &PARALLEL]));
    running.until_event("run-validated");
    // Workers that can not hear keep the first from being enough.
    for worker in workers(&place, &running) {
        kill(worker, Signal::STOP);
    }
    running.signal(Signal::INT);
    running.until_stderr("once more stops at once");
    running.signal(Signal::INT);
    let asked = Instant::now();
    let ended = running.end();
    // Half of what a worker is given to finish its step.
    assert!(asked.elapsed() < STOP_DEADLINE / 2, "it took {:?}", asked.elapsed());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopping at once"), "{}", ended.stderr);
    place.assert_left_by_all();
    let table = Table::read(&place.path("out/_cross_validations/c/run_infos.parquet"));
    assert_eq!(table.texts("status"), ["cancelled", "cancelled"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_worker_is_tried_again_and_the_tune_ends_well() {
    let place = Workplace::with_data();
    place.write("space.toml", SPACE);
    let own =
        ["tune", "--json", "--hpconfig", "space.toml", "--n-trials", "1", "--n-randoms", "1", "--name", "t"];
    let mut running = place.start(&joined(&[&own, &["--max-epochs", "3"], &SMALL, &PARALLEL]));
    running.until_event("run-prepared");
    let victim = *workers(&place, &running).first().unwrap();
    kill(victim, Signal::KILL);
    let retried = running.until_event("run-retried");
    assert_eq!(
        (&retried["attempt"], &retried["failure"]["cause"]),
        (&1.into(), &"killed".into()),
        "{retried}"
    );
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    place.assert_left_by_all();
    let table = Table::read(&place.path("out/t/t.parquet"));
    assert_eq!(table.texts("status"), ["complete", "complete"]);
    let id = retried["run_id"].as_str().unwrap();
    for (run, attempts) in table.texts("run_id").iter().zip(table.integers("attempts")) {
        assert_eq!(attempts, if run == id { 2 } else { 1 }, "{run}");
    }
}

//! Worker processes that do one run of a job after another.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be had fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine_tests::cli::Workplace;
use engine_tests::probe::{Job, Level, Mark, Moment, Processes, marks};
use serde_json::json;

const PROBE: &str = env!("CARGO_BIN_EXE_probe");

#[test]
fn the_runs_of_a_tune_share_a_worker() {
    let place = Workplace::new();
    let marker = place.path("marks");
    let script = json!({"script": format!("marker:{}; step:2", marker.display())});
    let job = Job::new(&place.path(""), Level::Tune, &[script.clone(), script], 3);
    let ended = place.probe(PROBE, &job).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place.assert_left_by_all();
    let begun: Vec<Mark> = marks(&marker).into_iter().filter(|mark| mark.moment == Moment::Begin).collect();
    let pids: BTreeSet<u32> = begun.iter().map(|mark| mark.pid).collect();
    assert_eq!((begun.len(), pids.len()), (6, 1), "{begun:?}");
}

#[test]
fn where_it_is_asked_for_every_run_has_a_process_of_its_own() {
    let place = Workplace::new();
    let marker = place.path("marks");
    let script = json!({"script": format!("marker:{}; step:2", marker.display())});
    let job = Job { processes: Processes::Fresh, ..Job::new(&place.path(""), Level::Cv, &[script], 3) };
    let ended = place.probe(PROBE, &job).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let pids: BTreeSet<u32> = marks(&marker).into_iter().map(|mark| mark.pid).collect();
    assert_eq!(pids.len(), 3);
}

/// The only folder of a run, below its name.
fn run_folder(place: &Workplace, parent: &str, name: &str) -> PathBuf {
    let entries = std::fs::read_dir(place.path(parent)).unwrap().map(|entry| entry.unwrap());
    let mut of_run = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(name));
    of_run.next().unwrap_or_else(|| panic!("no run {name} in {parent}")).path()
}

/// What a run logged but for what the clock says, and the bytes of its last checkpoint.
fn result(folder: &Path) -> (Vec<String>, Vec<Vec<u8>>) {
    let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let of_the_clock = |name: &str| name == "train/time" || name.starts_with("train/device/");
    let timeless = |line: &str| {
        let fields = header.iter().zip(line.split(',')).filter(|(name, _)| !of_the_clock(name));
        fields.map(|(_, field)| field).collect::<Vec<_>>().join(",")
    };
    let logged: Vec<String> = text.lines().map(timeless).collect();
    assert!(logged.len() > 1, "{text}");
    let last = folder.join("checkpoints/last");
    let bytes = ["weights.safetensors", "optimizer.safetensors"];
    (logged, bytes.map(|file| std::fs::read(last.join(file)).unwrap()).to_vec())
}

/// The second run of a worker gives the bits that a worker of its own gives.
#[test]
fn a_run_in_a_warm_worker_is_bit_for_bit_that_of_a_cold_one() {
    let place = Workplace::with_data();
    let common = [
        ["--train-data-dir", "data"],
        ["--artifact-dir", "out"],
        ["--fold-method", "region-stratified"],
        ["--total-folds", "2"],
        ["--max-epochs", "1"],
        ["--check-val-every-n-epoch", "1"],
        ["--log-every-n-steps", "1"],
        ["--save-top-k", "0"],
        ["--model-encoder", "resnet18"],
        ["--batch-size", "4"],
        ["--augment", "D4"],
        ["--accelerator", "cpu"],
        ["--devices", "0"],
    ]
    .concat();
    let with = |own: &[&'static str]| [own, &common].concat();
    let mut cv = place.start(&with(&["cv", "--json", "--name", "warm", "--n-randoms", "1"]));
    let mut workers = BTreeSet::new();
    for _ in 0..2 {
        cv.until_event("run-prepared");
        let processes = place.processes();
        workers.extend(processes.iter().filter(|(_, parent)| *parent == cv.id()).map(|(id, _)| *id));
    }
    let ended = cv.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(workers.len(), 1, "both runs had one worker");
    let ended =
        place.run(&with(&["train", "--json", "--name", "cold", "--fold", "1", "--random-seed", "42"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let warm = result(&run_folder(&place, "out/_cross_validations/warm", "warm-run-f1s42"));
    let cold = result(&run_folder(&place, "out/_runs", "cold"));
    assert_eq!(warm.0, cold.0);
    assert!(warm.1 == cold.1, "weights or optimizer differ");
}

//! The same seeds give the same results, whatever does the work: one device or several, cells or cvs side by side, workers that
//! are used again or not, processes or threads.
//!
//! What must be equal for that is the number of threads of a run: sums of floats in another order are other sums.
//! The devices here are slices of one core each, so that every run has one thread.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::path::{Path, PathBuf};

use engine::config::{Command as Level, EngineConfig, Sources};
use engine::segmentation::{SegmentationWorkload, jobs};
use engine::{Accelerator, Engine, Status};
use engine_tests::cli::{Ended, Workplace};
use engine_tests::same::{assert_same, outcome_differences};
use engine_tests::skipped;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const COMMON: [&str; 24] = [
    "--json",
    "--name",
    "t",
    "--artifact-dir",
    "out",
    "--train-data-dir",
    "data",
    "--fold-method",
    "region-stratified",
    "--total-folds",
    "2",
    "--n-randoms",
    "1",
    "--max-epochs",
    "1",
    "--check-val-every-n-epoch",
    "1",
    "--log-every-n-steps",
    "2",
    "--plot-every-n-val-epochs",
    "1",
    "--accelerator",
    "cpu",
    "--retrain-and-test",
];
const SPACE: &str = "[hyperparameters]\nmodel_encoder = \"resnet18\"\naugment = [[\"D4\", \"RandomBrightnessContrast\"]]\n\
                     batch_size = [4, 6]\nlearning_rate = {distribution = \"loguniform\", low = 1e-4, high = 1e-3}\n";

/// The first cores this process may use.
fn cores(count: usize) -> Option<CpuSet> {
    let all = sched_getaffinity(None).unwrap();
    let mut first = CpuSet::new();
    let mut wanted = count;
    for core in (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)) {
        if wanted == 0 {
            break;
        }
        first.set(core);
        wanted -= 1;
    }
    if wanted > 0 {
        skipped(&format!("{count} cores are needed for runs of one thread side by side"));
    }
    (wanted == 0).then_some(first)
}

/// Does something on a thread that has these cores alone; so have the processes and threads it starts.
fn run_on<T: Send>(cores: &CpuSet, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            sched_setaffinity(None, cores).unwrap();
            work()
        });
        done.join().unwrap()
    })
}

/// What the program is run with, and on how many cores.
struct Way {
    name: &'static str,
    cores: usize,
    arguments: &'static [&'static str],
}

const SERIAL: Way = Way { name: "one device", cores: 1, arguments: &["--devices", "0"] };
const CV_PARALLEL: Way = Way {
    name: "cells side by side",
    cores: 2,
    arguments: &["--devices", "0", "1", "--strategy", "cv-parallel"],
};
const TUNE_PARALLEL: Way = Way {
    name: "cvs side by side",
    cores: 2,
    arguments: &["--devices", "0", "1", "--strategy", "tune-parallel"],
};

/// A tune done in a way of its own, in a folder of its own.
struct Done {
    place: Workplace,
    ended: Ended,
}

impl Done {
    fn tune(way: &Way, backend: &str, cores: &CpuSet, data: &Path) -> Self {
        let place = Workplace::new();
        std::os::unix::fs::symlink(data, place.path("data")).unwrap();
        place.write("space.toml", SPACE);
        let own = ["--hpconfig", "space.toml", "--n-trials", "2", "--backend", backend];
        let held_out = ["--data-split-method", "random", "--data-split-by", "0.2"];
        let arguments = [&["tune"], &COMMON[..], &own, &held_out, way.arguments].concat();
        let ended = run_on(cores, || place.run(&arguments));
        assert_eq!(ended.code, Some(0), "{}: {}", way.name, ended.stderr);
        Self { place, ended }
    }

    fn folder(&self) -> PathBuf {
        self.place.path("out/t")
    }
}

fn all_ways_give_the_same_on(backend: &str) {
    let ways = [CV_PARALLEL, TUNE_PARALLEL];
    let (Some(one), Some(two)) = (cores(1), cores(2)) else { return };
    let data = Workplace::with_data();
    let data = data.path("data");
    let serial = Done::tune(&SERIAL, backend, &one, &data);
    let devices: Vec<_> = serial
        .ended
        .json()
        .iter()
        .filter(|event| event["event"] == "run-prepared")
        .map(|event| event["device"].clone())
        .collect();
    assert!(devices.iter().all(|device| device.as_str().unwrap().ends_with("1 thread")), "{devices:?}");
    assert_eq!(devices.len(), 5, "two configurations over two cells, and the best once more");
    for way in ways {
        let done = Done::tune(&way, backend, if way.cores == 1 { &one } else { &two }, &data);
        assert_same(&serial.folder(), &done.folder());
        let differences = outcome_differences(&serial.ended.outcome(), &done.ended.outcome());
        assert!(differences.is_empty(), "{}: {}", way.name, differences.join("\n"));
    }
}

/// A cv whose workers are threads of this process, as an application has them that links the library.
fn cv_on_threads(backend: &str, data: &Path, artifact_dir: &Path, cores: &CpuSet) {
    let pairs =
        [("train-data-dir", data.to_str().unwrap()), ("artifact-dir", artifact_dir.to_str().unwrap())];
    let mut sources = Sources::new().in_directory(artifact_dir.parent().unwrap());
    for (key, value) in CV.into_iter().chain(pairs).chain([("backend", backend)]) {
        sources = sources.with_option(key, vec![value.to_owned()]).unwrap();
    }
    let config = EngineConfig::new(&sources.resolve().unwrap(), Level::Cv).unwrap();
    run_on(cores, || {
        let builder = Engine::builder(SegmentationWorkload).accelerator(Accelerator::Cpu);
        let engine = builder.devices(["0"]).artifact_dir(artifact_dir).build().unwrap();
        let outcome = engine.cv(jobs::cv(&config).unwrap()).unwrap().wait().unwrap();
        assert_eq!(outcome.status, Status::Complete, "{outcome:?}");
    });
}

const CV: [(&str, &str); 14] = [
    ("name", "c"),
    ("fold-method", "region-stratified"),
    ("total-folds", "2"),
    ("n-randoms", "1"),
    ("max-epochs", "1"),
    ("check-val-every-n-epoch", "1"),
    ("log-every-n-steps", "2"),
    ("plot-every-n-val-epochs", "1"),
    ("accelerator", "cpu"),
    ("devices", "0"),
    ("model-encoder", "resnet18"),
    ("batch-size", "4"),
    ("augment", "D4"),
    ("save-top-k", "2"),
];

fn threads_give_what_processes_give_on(backend: &str) {
    let Some(one) = cores(1) else { return };
    let place = Workplace::with_data();
    let data = place.path("data");
    cv_on_threads(backend, &data, &place.path("threads"), &one);
    let folders =
        [("train-data-dir", data.to_str().unwrap()), ("artifact-dir", "processes"), ("backend", backend)];
    let given: Vec<String> = CV
        .into_iter()
        .chain(folders)
        .flat_map(|(key, value)| [format!("--{key}"), value.to_owned()])
        .collect();
    let given: Vec<&str> = ["cv", "--json"].into_iter().chain(given.iter().map(String::as_str)).collect();
    let ended = run_on(&one, || place.run(&given));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let [threads, processes] =
        ["threads", "processes"].map(|folder| place.path(folder).join("_cross_validations/c"));
    assert_same(&processes, &threads);
}

#[test]
fn threads_give_what_processes_give_on_flex() {
    threads_give_what_processes_give_on("flex");
}

#[cfg(feature = "tch")]
#[test]
fn threads_give_what_processes_give_on_libtorch() {
    threads_give_what_processes_give_on("tch");
}

#[test]
fn all_ways_to_use_devices_give_the_same_on_flex() {
    all_ways_give_the_same_on("flex");
}

#[cfg(feature = "tch")]
#[test]
fn all_ways_to_use_devices_give_the_same_on_libtorch() {
    all_ways_give_the_same_on("tch");
}

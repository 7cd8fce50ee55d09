//! Programs as runs, with the real binary and real scripts in Python: what they are handed, what is read of them, how they end.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use engine::command::CommandWorkload;
use engine::{Accelerator, Cause, Cell, Engine, Event, JobHandle, RunOutcome, RunRequest, Status, StopMode};
use engine_tests::cli::{Ended, Running, Workplace, kill};
use engine_tests::skipped;
use engine_tracking::run_info::read_run_infos;
use rustix::process::Signal;
use serde_json::{Value, json};

/// The script of the example.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/examples/python/train.py");
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// The interpreter itself; `None`, and said so, where there is none. What lies on PATH may be a script that looks for it first.
fn python() -> Option<String> {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let found = asked.ok().filter(|output| output.status.success());
    if found.is_none() {
        skipped("programs as runs: python3 is not here");
    }
    Some(String::from_utf8(found?.stdout).unwrap().trim().to_owned())
}

const ON_CPU: [&str; 4] = ["--accelerator", "cpu", "--artifact-dir", "out"];

/// A job of a script: arguments of the engine, then the program.
fn start(place: &Workplace, own: &[&str], program: &[&str]) -> Running {
    place.start(&[own, &ON_CPU, &["--program"], program].concat())
}

fn run(place: &Workplace, own: &[&str], program: &[&str]) -> Ended {
    start(place, own, program).end()
}

/// The folder of the only run of this name.
fn run_dir(place: &Workplace, name: &str) -> PathBuf {
    let prefix = format!("{name}-");
    let runs = fs::read_dir(place.path("out/_runs")).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix);
    let found: Vec<_> = runs.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Rows of a run's `metrics.csv` as texts, without the header.
fn rows(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("metrics.csv")).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Epochs of these rows.
fn epochs(rows: &[String]) -> Vec<u32> {
    rows.iter().map(|row| row.split(',').next().unwrap().parse().unwrap()).collect()
}

/// A script in the workplace that ends in a given way, after it has said that it is there.
fn script(place: &Workplace, body: &str) -> String {
    let text = format!("import json, os, signal, subprocess, sys, time\nprint('here', flush=True)\n{body}\n");
    place.write("script.py", &text);
    place.path("script.py").to_str().unwrap().to_owned()
}

fn failure(ended: &Ended) -> (String, String) {
    let outcome = ended.outcome();
    let failure = &outcome["failure"];
    (failure["cause"].as_str().unwrap().to_owned(), failure["message"].as_str().unwrap().to_owned())
}

// ---- what it is for ----

#[test]
fn a_tune_of_two_by_two_finds_the_better_configuration_two_runs_at_a_time() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    place.write("space.toml", "[hyperparameters]\nlearning-rate = [0.0001, 0.5]\n");
    let own = [
        "tune",
        "--json",
        "--name",
        "t",
        "--hpconfig",
        "space.toml",
        "--n-trials",
        "grid",
        "--n-folds",
        "2",
        "--n-randoms",
        "1",
        "--scoring-metric",
        "val/loss:lower",
        "--strategy",
        "cv-parallel",
        "--devices",
        "0",
        "1",
        "--param",
        "epochs=4",
    ];
    let ended = run(&place, &own, &[&python, &example(), "--folds", "2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let outcome = ended.outcome();
    let best = outcome["best"].as_u64().unwrap();
    assert_eq!(
        outcome["cvs"][best as usize]["hyperparameters"],
        json!({ "learning_rate": 0.5, "epochs": 4 })
    );
    let table = read_run_infos(&place.path("out/t/t.parquet")).unwrap();
    assert_eq!(table.len(), 4);
    for row in &table {
        assert_eq!((row.run.status.as_str(), row.run.attempts), ("complete", 1));
        assert!(row.run.metrics.contains_key("val/accuracy"), "{row:?}");
    }
    // What a run was handed stands in its folder; the two slices have computed at the same time.
    let mut devices: BTreeMap<String, u32> = BTreeMap::new();
    for entry in fs::read_dir(place.path("out/t/t-cv0")).unwrap().flatten().filter(|e| e.path().is_dir()) {
        let file = entry.path().join("program/parameters.json");
        let handed: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(handed["hyperparameters"]["learning_rate"], json!(0.0001));
        assert_eq!(handed["task"], "fit");
        *devices.entry(handed["device"].as_str().unwrap().to_owned()).or_default() += 1;
        assert_eq!(epochs(&rows(&entry.path())), [0, 1, 2, 3]);
    }
    assert_eq!(devices, BTreeMap::from([("cpu:0".to_owned(), 1), ("cpu:1".to_owned(), 1)]));
    place.assert_left_by_all();
}

#[test]
fn two_runs_side_by_side_are_held_to_their_slices() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    // Each waits until the other is there, so that they come to their end only side by side.
    let body = "
me, other = os.environ['ENGINE_RUN_FOLD'], str(1 - int(os.environ['ENGINE_RUN_FOLD']))
open('here-' + me, 'w').close()
while not os.path.exists('here-' + other):
    time.sleep(0.01)
with open('told-' + me, 'w') as file:
    json.dump({'cores': sorted(os.sched_getaffinity(0)), 'environment': dict(os.environ)}, file)
print(json.dumps({'metrics': {'val/a': 1.0}}))";
    let script = script(&place, body);
    let own = [
        "cv",
        "--json",
        "--n-folds",
        "2",
        "--n-randoms",
        "1",
        "--scoring-metric",
        "val/a",
        "--strategy",
        "cv-parallel",
        "--devices",
        "0",
        "1",
    ];
    let ended = run(&place, &own, &[&python, &script]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = ["0", "1"].map(|fold| -> Value {
        serde_json::from_slice(&fs::read(place.path(&format!("told-{fold}"))).unwrap()).unwrap()
    });
    for told in &told {
        let environment = &told["environment"];
        assert_eq!(environment["OMP_NUM_THREADS"], environment["ENGINE_RUN_THREADS"]);
        assert_eq!(environment["CUDA_VISIBLE_DEVICES"], "");
        assert_eq!(environment.get("ENGINE_WORKER"), None, "it is no worker");
    }
    let cores = |told: &Value| told["cores"].as_array().unwrap().clone();
    let many = std::thread::available_parallelism().unwrap().get() > 1;
    assert!(!many || cores(&told[0]).iter().all(|core| !cores(&told[1]).contains(core)), "{told:?}");
    place.assert_left_by_all();
}

#[test]
fn parameters_come_as_variables_and_metrics_from_lightnings_csv() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    // As Lightning's logger: all rows anew at each save, a column more when a metric comes for the first time.
    let body = "
import csv
rows = []
def save():
    names = list({name: 0 for row in rows for name in row})
    with open(os.path.join(os.environ['ENGINE_RUN_DIR'], 'metrics.csv'), 'w', newline='') as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)
for epoch in range(3):
    rows.append({'train_loss': 1.0 / (epoch + 1), 'epoch': epoch, 'step': 2 * epoch + 1})
    save()
    time.sleep(0.15)
    rows.append({'val_loss': float(os.environ['HP_LEARNING_RATE']), 'epoch': epoch, 'step': 2 * epoch + 2})
    save()";
    let script = script(&place, body);
    let own = [
        "train",
        "--json",
        "--name",
        "r",
        "--program-parameters",
        "environment",
        "--program-prefix",
        "HP_",
        "--program-metrics-file",
        "metrics.csv",
        "--param",
        "learning_rate=0.25",
    ];
    let ended = run(&place, &own, &[&python, &script]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let outcome = ended.outcome();
    assert_eq!(outcome["metrics"], json!({ "train_loss": 1.0 / 3.0, "val_loss": 0.25 }));
    let rows = rows(&run_dir(&place, "r"));
    let steps: Vec<&str> = rows.iter().map(|row| row.split(',').nth(1).unwrap()).collect();
    assert_eq!(steps, ["1", "2", "3", "4", "5", "6"], "every row once: {rows:?}");
    place.assert_left_by_all();
}

#[test]
fn what_is_not_finite_is_unstable_and_what_is_no_number_is_told() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let body =
        "print(json.dumps({'metrics': {'val/a': float('nan'), 'model': 'resnet'}, 'epoch': 0, 'step': 1}))";
    let script = script(&place, body);
    let own = ["cv", "--json", "--name", "c", "--n-randoms", "1", "--scoring-metric", "val/a"];
    let ended = run(&place, &own, &[&python, &script]);
    assert_eq!(ended.code, Some(6), "no stable score: {}", ended.stderr);
    assert_eq!(ended.outcome()["runs"][0]["status"], "unstable");
    let told = ended.json().into_iter().any(|event| {
        event["message"].as_str().is_some_and(|message| message.contains("metric \"model\" is a text"))
    });
    assert!(told, "{}", ended.stdout);
}

#[test]
fn the_best_configuration_is_retrained_and_tested_by_the_program() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    place.write("space.toml", "[hyperparameters]\na = [1, 2]\n");
    let body = "
part = {'fit': 'val', 'fit-and-test': 'test'}[sys.argv[1]]
print(json.dumps({'metrics': {part + '/a': int(sys.argv[3])}}))";
    let script = script(&place, body);
    let own = [
        "tune",
        "--json",
        "--name",
        "t",
        "--hpconfig",
        "space.toml",
        "--n-trials",
        "grid",
        "--n-randoms",
        "1",
        "--scoring-metric",
        "val/a",
        "--retrain-and-test",
    ];
    let ended = run(&place, &own, &[&python, &script, "{task}"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let outcome = ended.outcome();
    assert_eq!(outcome["retrain"]["metrics"], json!({ "test/a": 2.0 }));
    assert_eq!(outcome["retrain"]["status"], "complete");
}

// ---- what goes wrong ----

#[test]
fn a_metric_of_the_score_that_is_never_told_is_named_with_what_was() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let script = script(&place, "print(json.dumps({'metrics': {'val/loss': 0.5}}))");
    let own = ["cv", "--json", "--n-randoms", "1", "--scoring-metric", "val/los:lower"];
    let ended = run(&place, &own, &[&python, &script]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let failure = ended.outcome()["runs"][0]["failure"].clone();
    assert_eq!(failure["cause"], "configuration");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("did not tell of val/los") && message.contains("mean val/loss?"), "{message}");
}

#[test]
fn a_program_that_prints_without_end_takes_bounded_memory_and_all_of_it_is_written_down() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let body = "
line = 'x' * 999 + '\\n'
for _ in range(1 << 15):
    sys.stdout.write(line)
    sys.stderr.write(line)
sys.stdout.write('y' * (1 << 24) + '\\n')
print(json.dumps({'metrics': {'a': 1}}))";
    let script = script(&place, body);
    let ended = run(&place, &["train", "--json", "--name", "r"], &[&python, &script]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let outcome = ended.outcome();
    assert_eq!(outcome["metrics"], json!({ "a": 1.0 }));
    let dir = run_dir(&place, "r");
    assert!(fs::metadata(dir.join("stdout.log")).unwrap().len() > (1 << 24) + 1000 * (1 << 15));
    assert!(fs::metadata(dir.join("stderr.log")).unwrap().len() == 1000 * (1 << 15));
    let peak = outcome["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 200 << 20, "the worker took {peak} bytes");
}

#[test]
fn an_exit_code_is_a_failure_with_the_last_lines() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let script = script(&place, "print('reading'); raise ValueError('no such fold')");
    let ended = run(&place, &["train", "--json", "--name", "r"], &[&python, &script]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (cause, message) = failure(&ended);
    assert_eq!(
        (cause.as_str(), message.as_str()),
        ("panic", "the program ended with exit code 1: ValueError: no such fold")
    );
    let outcome = ended.outcome();
    assert_eq!((&outcome["attempts"], &outcome["status"]), (&json!(1), &json!("failed")));
    let dir = run_dir(&place, "r");
    assert_eq!(fs::read_to_string(dir.join("stdout.log")).unwrap(), "here\nreading\n");
    assert!(fs::read_to_string(dir.join("stderr.log")).unwrap().starts_with("Traceback"));
    let tail = outcome["failure"]["stderr_tail"].as_array().unwrap().clone();
    assert_eq!(tail.last().unwrap(), "ValueError: no such fold");
    place.assert_left_by_all();
}

#[test]
fn a_signal_is_a_loss_that_is_tried_again_and_what_the_program_left_is_gone() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let body = "
subprocess.Popen(['sleep', '1000'])
if os.environ['ENGINE_RUN_ATTEMPT'] == '1':
    os.kill(os.getpid(), signal.SIGSEGV)
print(json.dumps({'metrics': {'val/a': 1}}))";
    let script = script(&place, body);
    let ended = run(&place, &["train", "--json", "--name", "r"], &[&python, &script]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let retried = ended.json().into_iter().find(|event| event["event"] == "run-retried").unwrap();
    assert_eq!(retried["failure"]["cause"], "killed");
    assert_eq!(retried["failure"]["message"], "the program was killed by SIGSEGV (11): here");
    assert_eq!(
        (ended.outcome()["attempts"].as_u64(), ended.outcome()["status"].as_str()),
        (Some(2), Some("complete"))
    );
    place.assert_left_by_all();
}

#[test]
fn out_of_memory_is_told_by_what_the_program_says() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let script = script(&place, "bytearray(1 << 60)");
    let ended = run(&place, &["train", "--json"], &[&python, &script]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (cause, message) = failure(&ended);
    assert_eq!(cause, "out-of-memory-host");
    assert!(message.contains("MemoryError"), "{message}");
    assert_eq!(ended.outcome()["attempts"], 2, "once more, alone");
}

#[test]
fn a_program_without_progress_is_ended_with_its_children() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let body = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(['sleep', '1000'])
while True:
    print('busy with nothing', flush=True)
    time.sleep(0.1)";
    let script = script(&place, body);
    let ended = run(&place, &["train", "--json", "--progress-timeout", "2"], &[&python, &script]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (cause, message) = failure(&ended);
    assert_eq!((cause.as_str(), message.contains("no progress")), ("hang", true), "{message}");
    let tail = ended.outcome()["failure"]["stderr_tail"].to_string();
    assert!(tail.contains("busy with nothing"), "{tail}");
    place.assert_left_by_all();
}

#[test]
fn what_can_not_start_is_refused_before_anything_does() {
    let place = Workplace::new();
    place.write("plain.py", "print(1)\n");
    place.write("space.toml", "[hyperparameters]\nlr = [1, 2]\n");
    let own = ["tune", "--hpconfig", "space.toml", "--scoring-metric", "a"];
    for (own, program, needle) in [
        (&own[..], &["no-such-program"][..], "no-such-program is not there"),
        (&own, &["./plain.py"], "can not be executed"),
        (&own, &["sh", "--lr", "3"], "--lr is handed over twice"),
        (&own, &["sh", "{run_dri}"], "mean run_dir?"),
        (&["tune", "--hpconfig", "space.toml"], &["sh"], "scoring-metric is not set"),
        (&["train", "--max-epochs", "3"], &["sh"], "--param NAME=VALUE"),
        (&["train", "--param", "a=1", "--param", "a=2"], &["sh"], "a is given twice"),
        (&["train", "--strategy", "ddp"], &["sh"], "one device"),
    ] {
        let ended = run(&place, own, program);
        assert_eq!(ended.code, Some(2), "{own:?} {program:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(needle), "{needle}: {}", ended.stderr);
        assert!(!place.path("out").exists(), "nothing was begun");
    }
}

// ---- in an application, on threads ----

/// An engine whose runs are the program's, on threads of this process, and what is left of its programs.
struct App {
    place: Workplace,
    engine: Engine,
    script: CommandWorkload,
}

fn app(python: &str, body: &str) -> App {
    let place = Workplace::new();
    let script = script(&place, body);
    let mark = place.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let script = CommandWorkload::builder(python)
        .arg(script)
        // By this the workplace knows its processes.
        .env("TEST_WORKPLACE", mark)
        .working_dir(place.path(""))
        .stop_within(Duration::from_secs(1))
        .build()
        .unwrap();
    let engine = Engine::builder(script.clone())
        .artifact_dir(place.path("out"))
        .accelerator(Accelerator::Cpu)
        .progress_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    App { place, engine, script }
}

impl App {
    fn train(&self) -> JobHandle<RunOutcome> {
        let cell = Cell { fold: 0, seed: 42 };
        let request = RunRequest::new(cell).with_name("r").with_settings(self.script.settings());
        self.engine.train(request).unwrap()
    }

    fn until_it_runs(&self) {
        // The program and its child.
        self.place.wait_until("a program that runs", || self.place.processes().len() == 2);
    }
}

#[test]
fn a_program_that_hangs_is_ended_where_its_worker_is_a_thread() {
    let Some(python) = python() else { return };
    let app = app(&python, DEAF);
    let outcome = app.train().wait().unwrap();
    assert_eq!(outcome.failure.unwrap().cause, Cause::Hang);
    assert_eq!(outcome.attempts, 1);
    app.place.assert_left_by_all();
}

#[test]
fn a_program_ends_with_its_engine_where_its_worker_is_a_thread() {
    let Some(python) = python() else { return };
    let app = app(&python, DEAF);
    let handle = app.train();
    app.until_it_runs();
    drop(handle);
    drop(app.engine);
    app.place.assert_left_by_all();
}

#[test]
fn a_program_is_stopped_where_its_worker_is_a_thread() {
    let Some(python) = python() else { return };
    let body = "
def stop(*_):
    open('last', 'w').close()
    print(json.dumps({'checkpoint': 'last', 'epoch': 4, 'step': 7}))
    sys.exit(9)
signal.signal(signal.SIGTERM, stop)
print(json.dumps({'metrics': {'a': 1}, 'epoch': 4, 'step': 7}), flush=True)
subprocess.Popen(['sleep', '1000'])
while True:
    time.sleep(0.01)";
    let app = app(&python, body);
    let handle = app.train();
    let mut events = app.engine.events();
    app.until_it_runs();
    handle.stopper().stop(StopMode::Cancel);
    let outcome = handle.wait().unwrap();
    assert_eq!((outcome.status, outcome.failure), (Status::Cancelled, None));
    assert_eq!(outcome.metrics, [("a".to_owned(), 1.0)].into());
    let checkpoint = outcome.checkpoint.unwrap();
    assert!(checkpoint.ends_with("last") && checkpoint.is_file());
    let told = std::iter::from_fn(|| events.next_blocking())
        .find(|event| matches!(event, Event::CheckpointWritten { epoch: 4, .. } | Event::RunFinished { .. }));
    assert!(matches!(told, Some(Event::CheckpointWritten { .. })), "{told:?}");
    drop(app.engine);
    app.place.assert_left_by_all();
}

// ---- stopping and going on ----

/// Deaf to SIGTERM, with a child that is too.
const DEAF: &str = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(['sleep', '1000'])
print(json.dumps({'progress': {'epoch': 0}}), flush=True)
while True:
    time.sleep(1)";

#[test]
fn a_program_that_ignores_sigterm_is_killed_when_its_time_is_over() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let script = script(&place, DEAF);
    let own = ["train", "--json", "--name", "r", "--stop-secs", "4"];
    let mut running = start(&place, &own, &[&python, &script]);
    running.until_event("run-progressed");
    running.signal(Signal::INT);
    let asked = Instant::now();
    let ended = running.end();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(30)).contains(&asked.elapsed()),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stdout.contains("did not end within 2 s of SIGTERM and is killed"), "{}", ended.stdout);
    assert_eq!(ended.outcome()["status"], "cancelled");
    place.assert_left_by_all();
}

#[test]
fn nothing_is_left_when_the_engine_or_its_worker_is_killed() {
    let Some(python) = python() else { return };
    for victim in ["engine", "worker", "both"] {
        let place = Workplace::new();
        let script = script(&place, DEAF);
        let mut running = start(&place, &["train", "--json", "--name", "r"], &[&python, &script]);
        running.until_event("run-progressed");
        // Engine, worker, guard, program and its child, which shows only once it has become `sleep`.
        let processes = place.wait_for_processes(5);
        let (worker, _) = *processes.iter().find(|(_, parent)| *parent == running.id()).unwrap();
        if victim != "engine" {
            kill(worker, Signal::KILL);
        }
        if victim == "worker" {
            // It is tried again; that ends with the engine.
            running.until_event("run-retried");
        }
        running.signal(Signal::KILL);
        running.end();
        place.assert_left_by_all();
    }
}

/// Rows without their values of the clock: the script has none.
fn outcome_of(ended: &Ended) -> (Value, Value) {
    let outcome = ended.outcome();
    (outcome["metrics"].clone(), outcome["status"].clone())
}

#[test]
fn a_run_that_is_stopped_goes_on_from_the_checkpoint_it_told_of() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let job = |name: &'static str, resume: &[&'static str]| {
        let own = [&["train", "--json", "--name", name, "--param", "epochs=400"][..], resume].concat();
        let own = [&own[..], &["--program-resume-args", "--resume {checkpoint}"]].concat();
        start(&place, &own, &[&python, &example()])
    };
    let undisturbed = job("a", &[]).end();
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);

    let mut running = job("b", &[]);
    running.until_event("checkpoint-written");
    running.signal(Signal::TERM);
    let stopped = running.end();
    assert_eq!(stopped.code, Some(143), "{}", stopped.stderr);
    assert_eq!(stopped.outcome()["status"], "cancelled");
    let so_far = epochs(&rows(&run_dir(&place, "b")));
    assert!(!so_far.is_empty() && so_far.len() < 400, "{}", so_far.len());
    place.assert_left_by_all();

    let resumed = job("b", &["--resume"]).end();
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let dir = run_dir(&place, "b");
    let handed: Value =
        serde_json::from_slice(&fs::read(dir.join("program/parameters.json")).unwrap()).unwrap();
    let last = format!("checkpoint-{}.json", so_far.last().unwrap());
    assert!(handed["checkpoint"].as_str().unwrap().ends_with(&last), "{handed}");
    assert_eq!(outcome_of(&undisturbed), outcome_of(&resumed));
    assert_eq!(rows(&dir), rows(&run_dir(&place, "a")), "as if it had never been stopped");
}

#[test]
fn a_tune_whose_engine_is_killed_comes_to_the_same_when_it_goes_on() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    place.write("space.toml", "[hyperparameters]\nlearning_rate = [0.01, 0.5]\nepochs = 150\n");
    let job = |name: &'static str, resume: &[&'static str]| {
        let own = [
            "tune",
            "--json",
            "--name",
            name,
            "--hpconfig",
            "space.toml",
            "--n-trials",
            "grid",
            "--n-folds",
            "2",
            "--n-randoms",
            "1",
            "--scoring-metric",
            "val/accuracy",
        ];
        start(&place, &[&own[..], resume].concat(), &[&python, &example()])
    };
    let undisturbed = job("a", &[]).end();
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);
    let mut running = job("b", &[]);
    for _ in 0..2 {
        running.until_event("run-finished");
    }
    running.until_event("checkpoint-written");
    running.signal(Signal::KILL);
    running.end();
    place.assert_left_by_all();
    let resumed = job("b", &["--resume"]).end();
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let scores = |ended: &Ended| -> Vec<(Value, Value)> {
        let outcome = ended.outcome();
        let cvs = outcome["cvs"].as_array().unwrap();
        cvs.iter().map(|cv| (cv["hyperparameters"].clone(), cv["score"].clone())).collect()
    };
    assert_eq!(scores(&undisturbed), scores(&resumed));
    let finished = resumed.json().into_iter().filter(|event| event["event"] == "run-started").count();
    assert_eq!(finished, 2, "those that had ended are not run again");
    place.assert_left_by_all();
}

#[test]
fn a_script_that_was_edited_is_not_gone_on_with_unless_it_is_forced() {
    let Some(python) = python() else { return };
    let place = Workplace::new();
    let job = |resume: &[&'static str]| {
        let own = [&["train", "--json", "--name", "r"][..], resume].concat();
        start(&place, &own, &[&python, "script.py"])
    };
    script(&place, "print(json.dumps({'progress': {}}), flush=True); time.sleep(1000)");
    let mut running = job(&[]);
    running.until_event("run-progressed");
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(143));
    script(&place, "print(json.dumps({'metrics': {'a': 1}}))");
    let refused = job(&["--resume"]).end();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("program.script.py"), "{}", refused.stderr);
    let forced = job(&["--resume=force"]).end();
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert_eq!(forced.outcome()["metrics"], json!({ "a": 1.0 }));
    place.assert_left_by_all();
}

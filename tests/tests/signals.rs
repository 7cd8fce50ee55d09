//! Signals and terminals that go away, with the real program: what is kept, how it ends, and that the training goes on.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::training::checkpoint::{Checkpoint, State};
use engine_tests::cli::{Ended, Running, Workplace, engine_binary, kill};
use engine_tests::skipped;
use rustix::process::Signal;
use serde_json::Value;

/// A small network on 12 samples: six steps an epoch, validated after the last epoch alone.
const SMALL: [&str; 16] = [
    "--train-data-dir",
    "data",
    "--artifact-dir",
    "out",
    "--total-folds",
    "2",
    "--check-val-every-n-epoch",
    "0",
    "--accelerator",
    "cpu",
    "--early-stopping-patience",
    "0",
    "--model-encoder",
    "resnet18",
    "--batch-size",
    "2",
];
const ONE_DEVICE: [&str; 2] = ["--devices", "0"];
const ENDLESS: [&str; 6] = ["train", "--json", "--name", "r", "--max-epochs", "100000"];

fn start(place: &Workplace, own: &[&str]) -> Running {
    place.start(&[own, &SMALL, &ONE_DEVICE].concat())
}

/// The folder of the only run of this name.
fn run_dir(place: &Workplace, name: &str) -> PathBuf {
    let runs = fs::read_dir(place.path("out/_runs")).unwrap().map(|entry| entry.unwrap().path());
    let prefix = format!("{name}-");
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix);
    let found: Vec<_> = runs.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn last(place: &Workplace, name: &str) -> PathBuf {
    run_dir(place, name).join("checkpoints/last")
}

/// Ids of the workers of a program.
fn workers(place: &Workplace, running: &Running) -> Vec<i32> {
    place.processes().into_iter().filter(|(_, parent)| *parent == running.id()).map(|(id, _)| id).collect()
}

fn assert_stopped(place: &Workplace, ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    let outcome = ended.outcome();
    assert_eq!((&outcome["status"], &outcome["failure"]), (&"cancelled".into(), &Value::Null), "{outcome}");
    assert_eq!(outcome["attempts"].as_u64().unwrap().max(1), 1);
    place.assert_left_by_all();
}

fn timeless(outcome: &Value) -> Vec<(String, u64)> {
    let metrics = outcome["metrics"].as_object().unwrap();
    let is_timeless = |name: &str| name != "train/time" && !name.starts_with("train/device/");
    let kept = metrics.iter().filter(|(name, _)| is_timeless(name));
    kept.map(|(name, value)| (name.clone(), value.as_f64().unwrap().to_bits())).collect()
}

// ---- SIGINT and SIGTERM ----

#[test]
fn a_signal_to_every_process_of_a_job_keeps_its_checkpoint() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Workplace::with_data();
        let mut running = start(&place, &ENDLESS);
        running.until_event("run-progressed");
        assert!(!last(&place, "r").exists(), "nothing was validated, nothing asked for");
        // As SLURM does: workers first here, so that they would be gone before the engine could ask them.
        for worker in workers(&place, &running) {
            kill(worker, signal);
        }
        running.signal(signal);
        let ended = running.end();
        assert_stopped(&place, &ended, code);
        assert!(ended.stderr.contains("keep a `last` checkpoint within 60 s"), "{}", ended.stderr);
        let checkpoint = Checkpoint::read(&last(&place, "r")).unwrap();
        assert!(checkpoint.state.step > 0);
    }
}

#[test]
fn a_stop_ends_a_job_in_every_phase_of_its_run() {
    let place = Workplace::with_data();
    for (nth, phase) in ["run-queued", "run-started", "worker-ready", "run-prepared"].iter().enumerate() {
        let name = format!("r{nth}");
        let own = ["train", "--json", "--name", &name, "--max-epochs", "100000"];
        let mut running = start(&place, &own);
        running.until_event(phase);
        running.signal(Signal::TERM);
        assert_stopped(&place, &running.end(), 143);
    }
}

#[test]
fn a_worker_that_does_not_stop_is_killed_when_its_time_is_over() {
    let place = Workplace::with_data();
    let mut running = start(&place, &[&ENDLESS[..], &["--stop-secs", "2"]].concat());
    running.until_event("run-progressed");
    for worker in workers(&place, &running) {
        kill(worker, Signal::STOP);
    }
    running.signal(Signal::INT);
    let asked = Instant::now();
    let ended = running.end();
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
    // Half of what it would have without the option.
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    assert!(ended.stderr.contains("within 2 s"), "{}", ended.stderr);
    assert_stopped(&place, &ended, 130);
}

// ---- SIGUSR1 ----

#[test]
fn sigusr1_writes_last_within_an_epoch_and_the_run_goes_on() {
    let place = Workplace::with_data();
    let mut running = start(&place, &ENDLESS);
    // There is nothing to write yet, and nobody to write it.
    running.until_event("run-queued");
    running.signal(Signal::USR1);
    running.until_event("run-progressed");
    let mut steps = Vec::new();
    for _ in 0..100 {
        // Workers leave it to their engine.
        for worker in workers(&place, &running) {
            kill(worker, Signal::USR1);
        }
        running.signal(Signal::USR1);
        running.until_event("checkpoint-written");
        let state = State::read(&last(&place, "r")).unwrap();
        steps.push(state.step);
        if state.data_order.batches_done > 0 && steps.len() > 1 {
            break;
        }
    }
    let state = State::read(&last(&place, "r")).unwrap();
    assert!(state.data_order.batches_done > 0, "{steps:?}");
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "each is newer: {steps:?}");
    running.until_event("run-progressed");
    running.signal(Signal::TERM);
    assert_stopped(&place, &running.end(), 143);
    let checkpoint = Checkpoint::read(&last(&place, "r")).unwrap();
    assert!(checkpoint.state.step > *steps.last().unwrap());
}

#[test]
fn checkpoints_within_an_epoch_change_no_result() {
    let place = Workplace::with_data();
    let finite = |name: &'static str| ["train", "--json", "--name", name, "--max-epochs", "3"];
    let undisturbed = start(&place, &finite("a")).end();
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);

    let periodic = [&finite("b")[..], &["--checkpoint-every-n-steps", "4"]].concat();
    let mut running = start(&place, &periodic);
    for _ in 0..3 {
        running.until_event("checkpoint-written");
        running.signal(Signal::USR1);
    }
    let disturbed = running.end();
    assert_eq!(disturbed.code, Some(0), "{}", disturbed.stderr);
    let events = disturbed.json();
    let written = events.iter().filter(|event| event["event"] == "checkpoint-written").count();
    // Before steps 5, 9, 13 and 17, and two at the end: the best and `last`.
    assert!(written >= 6, "{written}");
    assert_eq!(timeless(&undisturbed.outcome()), timeless(&disturbed.outcome()));
    assert!(!timeless(&disturbed.outcome()).is_empty());
    let weights = |name| fs::read(last(&place, name).join("weights.safetensors")).unwrap();
    assert!(weights("a") == weights("b"), "the weights are the same to the bit");
}

// ---- the terminal goes away ----

#[test]
fn sighup_stops_nothing() {
    let place = Workplace::with_data();
    let mut running = start(&place, &ENDLESS);
    running.until_event("run-progressed");
    for (process, _) in place.processes() {
        kill(process, Signal::HUP);
    }
    running.signal(Signal::USR1);
    running.until_event("checkpoint-written");
    running.signal(Signal::TERM);
    assert_stopped(&place, &running.end(), 143);
}

#[test]
fn a_reader_that_leaves_does_not_end_the_training() {
    let place = Workplace::with_data();
    let quick = ["train", "--json", "--verbose", "--name", "r", "--max-epochs", "2"];
    let mut command = place.command(&[&quick[..], &SMALL, &ONE_DEVICE].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with('{'), "{first}");
    // Both ends are closed now: there is a line for each event, and a log.
    drop(child.stderr.take());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let checkpoint = Checkpoint::read(&last(&place, "r")).unwrap();
    assert_eq!(checkpoint.state.step, 12);
    place.assert_left_by_all();
}

#[test]
fn short_commands_survive_their_reader_too() {
    let place = Workplace::new();
    let mut child = place.command(&["config", "show", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_terminal_that_is_closed_does_not_end_the_training() {
    if Command::new("script").arg("--version").output().is_err() {
        return skipped("a closed terminal: the program `script` of util-linux is not here");
    }
    let place = Workplace::with_data();
    let quoted = |word: &str| format!("'{word}'");
    let mut words = vec![quoted(engine_binary().to_str().unwrap())];
    let own = ["train", "--name", "r", "--max-epochs", "2"];
    words.extend(own.iter().chain(&SMALL).chain(&ONE_DEVICE).map(|word| quoted(word)));
    let mut command = place.program(Path::new("script"));
    command.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    // Somebody who types nothing: at the end of its input `script` would leave by itself.
    let mut terminal = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let events = || {
        let runs = fs::read_dir(place.path("out/_runs")).ok()?;
        let run = runs.map(|entry| entry.unwrap().path()).next()?;
        fs::read_to_string(run.join("engine.events.jsonl")).ok()
    };
    place.wait_until("a run that trains", || events().is_some_and(|text| text.contains("run-prepared")));
    kill(i32::try_from(terminal.id()).unwrap(), Signal::KILL);
    terminal.wait().unwrap();
    let ended = || -> Option<Value> {
        let text = events()?;
        let line = text.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        line.filter(|line| line["event"] == "job-ended")
    };
    place.wait_until("the end of the training", || ended().is_some());
    assert_eq!(ended().unwrap()["exit_code"], 0);
    assert_eq!(State::read(&last(&place, "r")).unwrap().step, 12);
    place.assert_left_by_all();
}

// ---- several processes, one model ----

#[test]
#[cfg(feature = "tch")]
fn ranks_write_last_together_and_come_to_the_same_result() {
    let place = Workplace::with_data();
    let ranks = ["--backend", "tch", "--strategy", "ddp_fork", "--devices", "0", "1"];
    let start = |name: &str, epochs: &str, more: &[&str]| {
        let own = ["train", "--json", "--name", name, "--max-epochs", epochs];
        place.start(&[&own[..], &SMALL, &ranks, more].concat())
    };
    let undisturbed = start("a", "3", &[]).end();
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);
    let mut running = start("b", "3", &["--checkpoint-every-n-steps", "2"]);
    running.until_event("checkpoint-written");
    running.signal(Signal::USR1);
    let disturbed = running.end();
    assert_eq!(disturbed.code, Some(0), "{}", disturbed.stderr);
    assert_eq!(timeless(&undisturbed.outcome()), timeless(&disturbed.outcome()));
    let weights = |name| fs::read(last(&place, name).join("weights.safetensors")).unwrap();
    assert!(weights("a") == weights("b"), "the weights are the same to the bit");

    let mut running = start("c", "100000", &[]);
    running.until_event("run-progressed");
    running.signal(Signal::USR1);
    running.until_event("checkpoint-written");
    let step = State::read(&last(&place, "c")).unwrap().step;
    // To the engine and both ranks.
    for (process, _) in place.processes() {
        kill(process, Signal::TERM);
    }
    assert_stopped(&place, &running.end(), 143);
    assert!(Checkpoint::read(&last(&place, "c")).unwrap().state.step > step);
}

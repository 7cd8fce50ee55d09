//! What may go wrong between a run and a server, each told once for every kind of fake server.
//!
//! In each of them training ends as if nobody tracked it, and in the end the server has every row of `metrics.csv`.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::faults::{FakeServer, Faults, STREAM, free_port};
use super::local::{LocalRun, assert_complete, assert_ended, assert_rows_and_more, assert_whole};
use super::seen::{Seen, number};
use super::tracked::{KEY, MODEL, PARALLEL, TUNE, Tracked};
use crate::cli::Ended;
use crate::table::Table;

/// A small run of its own: two epochs, and what they draw.
const TRAIN: &str = "train --json --name r --max-epochs 2";

fn train(more: &str) -> String {
    format!("{TRAIN} {MODEL} {more}")
}

fn assert_trained(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.outcome()["status"], "complete");
}

/// That the program said which run is not sent, and what sends it.
fn assert_left(ended: &Ended) {
    let told: Vec<Value> = ended.json().into_iter().filter(|event| event["event"] == "not-sent").collect();
    assert_eq!(told.len(), 1, "{}", ended.stdout);
    assert_eq!(told[0]["command"], "engine sync out");
    assert_eq!(told[0]["runs"].as_array().unwrap().len(), 1, "{told:?}");
}

/// Warnings that hold a text.
fn warnings(ended: &Ended, text: &str) -> Vec<String> {
    let warned = ended.json().into_iter().filter(|event| event["event"] == "warned");
    warned.map(|event| event.to_string()).filter(|event| event.contains(text)).collect()
}

/// Trains a run against a server at fault, which must have been so often, and expects that all arrives.
fn trains_against<S: FakeServer>(faults: &Faults, met: std::ops::RangeInclusive<usize>) -> Seen {
    let server = S::start(None, faults);
    let tracked = Tracked::new(&server.url());
    let ended = tracked.run(&train(""));
    assert_trained(&ended);
    let seen = server.seen();
    let left = ended.json().into_iter().find(|event| event["event"] == "not-sent");
    assert_eq!(left, None, "not all is sent");
    assert_complete(&tracked.only_run(), &seen, 0);
    assert!(met.contains(&seen.faults_met), "{} faults, of {faults:?}", seen.faults_met);
    tracked.place.assert_left_by_all();
    seen
}

/// Every run of a tune arrives, filed as it belongs, with an entry for each cv and for the tune.
pub fn a_plain_tune<S: FakeServer>() {
    let server = S::start(None, &Faults::default());
    let tracked = Tracked::new(&server.url());
    let ended = tracked.run(TUNE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (seen, outcome) = (server.seen(), ended.outcome());
    let runs = tracked.runs();
    assert_eq!(runs.len(), 4);
    for run in &runs {
        assert_complete(run, &seen, 0);
        assert_filed(run, &seen);
    }
    let entries: BTreeSet<&str> = seen.names().into_iter().filter(|name| !name.contains("-run-")).collect();
    assert_eq!(entries, BTreeSet::from(["t", "t-cv0", "t-cv1"]), "{:?}", seen.names());
    assert_eq!(seen.runs.len(), 7);

    for (index, cv) in outcome["cvs"].as_array().unwrap().iter().enumerate() {
        let entry = seen.named(&format!("t-cv{index}"));
        assert_whole(entry);
        assert_eq!(entry.fields["groupName"], "t");
        assert_eq!(number(&entry.summary["score"]), cv["score"].as_f64(), "{:?}", entry.summary);
        assert_eq!((entry.exit_code, entry.history.len()), (Some(0), 2), "a row for each cell");
        assert_eq!(entry.config_value("batch_size"), 4);
    }
    let entry = seen.named("t");
    assert_whole(entry);
    assert_eq!((entry.exit_code, entry.history.len()), (Some(0), 2), "a row for each cv");
    let best = &outcome["cvs"][outcome["best"].as_u64().unwrap() as usize];
    assert_eq!(number(&entry.summary["best_score"]), best["score"].as_f64(), "{:?}", entry.summary);
    tracked.place.assert_left_by_all();
}

fn assert_filed(run: &LocalRun, seen: &Seen) {
    let there = seen.run(&run.id);
    let cv = run.name.split("-run-").next().unwrap();
    assert_eq!(there.fields["groupName"], "t");
    assert_eq!(there.fields["jobType"], cv);
    let tags: Vec<&str> = there.fields["tags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(tags.contains(&"data") && tags.contains(&cv) && tags.contains(&"t"), "{tags:?}");
    assert_eq!(there.config_value("model_encoder"), "resnet18");
    assert_eq!(there.config_value("batch_size"), 4);
    assert!(there.config_value("learning_rate").is_f64(), "{}", there.config);
    assert_eq!(there.config_value("seed"), 42);
    assert_eq!(there.config_value("fold"), u64::from(run.name.contains("-f1s")), "{}", there.config);
    // Without it nobody can resume the run.
    assert!(there.config_value("_wandb")["t"].is_object(), "{}", there.config);
}

/// The server comes up when the run is half over.
pub fn down_at_the_start_then_up<S: FakeServer>() {
    let port = free_port();
    let tracked = Tracked::new(&format!("http://127.0.0.1:{port}"));
    let mut running = tracked.start(&train(""));
    running.until_event("run-validated");
    let server = S::start(Some(port), &Faults::default());
    assert_trained(&running.end());
    assert_complete(&tracked.only_run(), &server.seen(), 0);
}

/// The server never comes up; the run is sent when it is.
pub fn down_all_the_time_then_synced<S: FakeServer>() {
    let port = free_port();
    let tracked = Tracked::new(&format!("http://127.0.0.1:{port}"));
    // As a user reads it.
    let ended = tracked.run(&train("--wandb-finish-secs 1").replace("--json", ""));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("engine sync out"), "what is left is told: {}", ended.stderr);
    let server = S::start(Some(port), &Faults::default());
    assert_synced(&tracked, &server);
}

fn assert_synced<S: FakeServer>(tracked: &Tracked, server: &S) {
    let synced = tracked.sync();
    assert_eq!(synced.code, Some(0), "{}\n{}", synced.stdout, synced.stderr);
    assert_complete(&tracked.only_run(), &server.seen(), 0);
    let again = tracked.sync();
    assert_eq!(again.code, Some(0), "{}\n{}", again.stdout, again.stderr);
    assert_complete(&tracked.only_run(), &server.seen(), 0);
}

/// Three answers of 503, whatever is asked.
pub fn the_first_three_fail<S: FakeServer>() {
    trains_against::<S>(&Faults { fail: 3, fail_status: 503, ..Faults::default() }, 3..=3);
}

/// Two answers of 429 that name a wait, which is kept.
pub fn rate_limited_twice<S: FakeServer>() {
    let faults = Faults { only: STREAM, rate_limit: 2, retry_after: Some(1), ..Faults::default() };
    let seen = trains_against::<S>(&faults, 2..=2);
    let waits = seen.waits_after_fault;
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(950)), "asked again after {waits:?}");
}

/// Two requests a second and no more. Files are put elsewhere, as signed addresses do.
pub fn a_quota<S: FakeServer>() {
    trains_against::<S>(&Faults { only: "POST", quota: Some((2, 1.0)), ..Faults::default() }, 0..=60);
}

/// Three requests that the server has processed are not answered.
pub fn answers_lost<S: FakeServer>() {
    let faults = Faults { only: STREAM, drop: 3, drop_after: true, ..Faults::default() };
    trains_against::<S>(&faults, 3..=3);
}

fn refused_in_mid_stream<S: FakeServer>(status: u16) {
    let faults = Faults { only: STREAM, behind: 2, fail: 1, fail_status: status, ..Faults::default() };
    trains_against::<S>(&faults, 1..=1);
}

/// The server forgets the run in the middle of it.
pub fn forgotten_in_mid_stream<S: FakeServer>() {
    refused_in_mid_stream::<S>(404);
}

/// The server is of two minds in the middle of a run.
pub fn conflict_in_mid_stream<S: FakeServer>() {
    refused_in_mid_stream::<S>(409);
}

/// Every answer takes half a minute: training does not wait for it, nor does its end.
pub fn slow_answers<S: FakeServer>() {
    let latency = Duration::from_secs(30);
    let mut server = S::start(None, &Faults { latency, ..Faults::default() });
    let tracked = Tracked::new(&server.url());
    let mut running = tracked.start(&train("--wandb-finish-secs 1"));
    running.until_event("run-finished");
    let over = Instant::now();
    let ended = running.end();
    assert!(over.elapsed() < latency / 2, "the engine waited for an answer: {:?}", over.elapsed());
    assert_trained(&ended);
    assert_left(&ended);
    server.heal();
    assert_synced(&tracked, &server);
}

/// The engine is killed in the middle; what it logged is sent afterwards, as a crash.
pub fn killed_then_synced<S: FakeServer>() {
    let server = S::start(None, &Faults::default());
    let tracked = Tracked::new(&server.url());
    let mut running = tracked.start(&format!("train --json --name r --max-epochs 100000 {MODEL}"));
    running.until_event("run-validated");
    // An event is told before its row is in the file.
    let begun = Instant::now();
    while tracked.only_run().rows.len() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", tracked.only_run());
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal(rustix::process::Signal::KILL);
    running.end();
    tracked.place.assert_left_by_all();
    let run = tracked.only_run();
    assert!(server.seen().runs.iter().all(|run| run.exit_code.is_none()), "nobody said that it ended");

    let synced = tracked.sync();
    assert_eq!(synced.code, Some(0), "{}\n{}", synced.stdout, synced.stderr);
    let seen = server.seen();
    assert_rows_and_more(&run, seen.run(&run.id));
    assert_ended(&run, &seen, 1);
}

/// Somebody presses Stop for one of two runs: it ends with a checkpoint, the other is not touched.
pub fn stop_pressed<S: FakeServer>() {
    let server = S::start(None, &Faults::default());
    let tracked = Tracked::new(&server.url());
    // One after the other, so that the second begins after the first was stopped.
    let words = format!("cv --json --name c --n-randoms 1 --max-epochs 5 --devices 0 {MODEL}");
    let mut running = tracked.start(&words);
    let first = running.until_event("run-validated")["run_id"].as_str().unwrap().to_owned();
    server.press_stop(&first);
    let ended = running.end();
    tracked.place.assert_left_by_all();

    let seen = server.seen();
    let runs = tracked.runs();
    let table = Table::read(&tracked.out().join("_cross_validations/c/run_infos.parquet"));
    let (ids, states) = (table.texts("run_id"), table.texts("status"));
    for (id, state) in ids.iter().zip(&states) {
        let run = runs.iter().find(|run| run.id == *id).unwrap();
        let stopped = *id == first;
        assert_eq!(state, if stopped { "cancelled" } else { "complete" }, "{}", ended.stderr);
        assert_complete(run, &seen, i64::from(stopped));
        assert!(run.folder.join("checkpoints/last/state.json").is_file(), "{}", run.folder.display());
        let epochs = run.rows.last().unwrap().epoch + 1;
        assert!(if stopped { epochs < 5 } else { epochs == 5 }, "{} has {epochs} epochs", run.name);
    }
    assert_eq!(ids.len(), 2);
}

/// Two runs at the same time do not mix.
pub fn two_runs_at_once<S: FakeServer>() {
    let server = S::start(None, &Faults::default());
    let tracked = Tracked::new(&server.url());
    let words = format!("cv --json --name c --n-randoms 1 --max-epochs 2 {MODEL} {PARALLEL}");
    let ended = tracked.run(&words);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (seen, runs) = (server.seen(), tracked.runs());
    assert_eq!(runs.len(), 2);
    runs.iter().for_each(|run| assert_complete(run, &seen, 0));
    let time = |row: Option<&super::seen::Row>| row.and_then(|row| row["_timestamp"].as_f64()).unwrap();
    let span = |run: &LocalRun| {
        let rows = &seen.run(&run.id).history;
        (time(rows.first()), time(rows.last()))
    };
    let (one, other) = (span(&runs[0]), span(&runs[1]));
    assert!(one.0 < other.1 && other.0 < one.1, "they were not at once: {one:?}, {other:?}");
}

/// The key is refused: training does not care, it is said once, and a better key sends everything.
pub fn key_refused<S: FakeServer>() {
    const RIGHT: &str = "fedcba9876543210fedcba9876543210fedcba98";
    let server = S::start(None, &Faults { require_key: Some(RIGHT), ..Faults::default() });
    let tracked = Tracked::new(&server.url());
    let ended = tracked.run(&train("--wandb-finish-secs 1"));
    assert_trained(&ended);
    assert_left(&ended);
    let told = warnings(&ended, "refused");
    assert_eq!(told.len(), 1, "a refusal is told once");
    assert!(told[0].contains("WANDB_API_KEY"), "which key was refused is told: {told:?}");
    assert!(!ended.stderr.contains(KEY) && !ended.stdout.contains(KEY));
    assert!(server.seen().runs.is_empty());

    let refused = tracked.sync();
    assert_eq!(refused.code, Some(1), "{}\n{}", refused.stdout, refused.stderr);
    let mut command = tracked.at_server(&["sync", "out"]);
    command.env("WANDB_API_KEY", RIGHT);
    let synced = tracked.place.start_command(command).end();
    assert_eq!(synced.code, Some(0), "{}\n{}", synced.stdout, synced.stderr);
    assert_complete(&tracked.only_run(), &server.seen(), 0);
}

/// The disk under the folder of tracking is full: one warning, and training goes on to its end.
///
/// # Panics
/// If not.
pub fn full_disk<S: FakeServer>() {
    let server = S::start(None, &Faults::default());
    let tracked = Tracked::new(&server.url());
    let small = tracked.place.path("small-disk");
    fs::create_dir(&small).unwrap();
    // A name space of its own, where this user may mount a disk of four pages.
    let mount = "mount -t tmpfs -o size=16k none \"$WANDB_DIR\" && exec \"$@\"";
    let able = tracked
        .place
        .program("unshare".as_ref())
        .args(["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    if !able.is_ok_and(|tried| tried.status.success()) {
        crate::skipped("a full disk: this user may mount none, not even in a name space of its own");
        return;
    }
    let plain = tracked.command(&train("--wandb-finish-secs 1"));
    let mut command = tracked.place.program("unshare".as_ref());
    command.args(["--map-root-user", "--mount", "sh", "-c", mount, "sh"]).arg(plain.get_program());
    command.args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("WANDB_DIR", &small);
    let ended = tracked.place.start_command(command).end();
    assert_trained(&ended);
    let told = warnings(&ended, "check the free space of the disk");
    assert!(told.len() == 1 && told[0].contains("is turned off"), "{told:?}");
    assert!(tracked.only_run().rows.len() >= 4, "metrics.csv is on another disk, and whole");
    tracked.place.assert_left_by_all();
}

/// A test of every scenario against a kind of server; `$is_here` says whether it can be started, and why not.
#[macro_export]
macro_rules! wandb_scenarios {
    ($server:ty, $is_here:expr) => {
        $crate::wandb_scenarios! { @each $server, $is_here,
            a_plain_tune, down_at_the_start_then_up, down_all_the_time_then_synced, the_first_three_fail,
            rate_limited_twice, a_quota, answers_lost, slow_answers, killed_then_synced, stop_pressed,
            two_runs_at_once, key_refused, full_disk, forgotten_in_mid_stream, conflict_in_mid_stream
        }
    };
    (@each $server:ty, $is_here:expr, $($name:ident),+) => {
        $(#[test]
        fn $name() {
            if $is_here {
                $crate::wandb::scenarios::$name::<$server>();
            }
        })+
    };
}

//! Folders of runs between us and the official clients: each sends what the other wrote, and the server is told the same.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use engine_tests::peers::{must, peer, script};
use engine_tests::wandb::faults::{FakeServer, Faults};
use engine_tests::wandb::local::{LocalRun, assert_complete, assert_rows};
use engine_tests::wandb::python_server::{PythonServer, program};
use engine_tests::wandb::seen::{Row, Seen, SeenArtifact, SeenRun, parse};
use engine_tests::wandb::tracked::{ENTITY, KEY, MODEL, PROJECT, Tracked};
use engine_tracking::wandb::folder::RunFolder;
use serde_json::{Map, Value, json};

/// Nobody listens there: nothing is sent before it is asked for.
const NOWHERE: &str = "http://127.0.0.1:9";

/// `sync` of older clients passes over values below a key of the summary, of their own folders too.
const NOT_TOLD_BY_0_22_3: [&str; 1] = ["runtime"];
/// That of 0.19.11 besides over what is set in the configuration after the start, of its own folders too: charts are
/// described there, and what a run says of itself once it is prepared.
const NOT_TOLD_BY_0_19_11: [&str; 3] = ["charts", "later config", "runtime"];
/// Keys a run of ours sets once it is prepared.
const LATER: [&str; 4] = ["train_samples", "val_samples", "parameters", "device"];

/// A run of ours, written without a server, with pictures, charts, and its best checkpoint for artifact.
struct Offline {
    tracked: Tracked,
    run: LocalRun,
    folder: RunFolder,
}

static OFFLINE: LazyLock<Offline> = LazyLock::new(|| {
    let tracked = Tracked::new(NOWHERE);
    let words = "train --json --name r --max-epochs 2 --wandb-mode offline --wandb-log-model best";
    let ended = tracked.run(&format!("{words} {MODEL}"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (run, mut folders) = (tracked.only_run(), RunFolder::below(&tracked.out()));
    assert_eq!(folders.len(), 1, "{folders:?}");
    Offline { tracked, run, folder: folders.remove(0) }
});

/// A copy of a run's folder below `to`, so that marks of one client are not those of another.
fn copied(folder: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    must(Command::new("cp").arg("-a").arg(folder).arg(to));
    to.join(folder.file_name().unwrap())
}

/// What the server has after `wandb sync` of a copy of a folder by a client.
fn sent_by(wandb: &Path, folder: &Path) -> Seen {
    let home = tempfile::tempdir().unwrap();
    let copy = copied(folder, &home.path().join("wandb"));
    let server = PythonServer::start(None, &Faults::default());
    let mut command = Command::new("timeout");
    command.args(["120"]).arg(wandb).arg("sync").arg(&copy).current_dir(home.path());
    official(&mut command, home.path()).env("WANDB_BASE_URL", server.url());
    let output = must(&mut command);
    let id = RunFolder::at(&copy).unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(id.synced().is_file(), "it gave up: {}", String::from_utf8_lossy(&said));
    server.seen()
}

/// What the server has after `engine sync` of a copy of a folder.
fn sent_by_us(folder: &Path) -> Seen {
    let server = PythonServer::start(None, &Faults::default());
    let tracked = Tracked::new(&server.url());
    let copy = copied(folder, &tracked.place.path("copy"));
    let synced = tracked.place.start_command(tracked.at_server(&["sync", copy.to_str().unwrap()])).end();
    assert_eq!(synced.code, Some(0), "{}\n{}", synced.stdout, synced.stderr);
    server.seen()
}

/// Makes a command one of an official client, with nothing of this machine's.
fn official<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WANDB")) {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .env("WANDB_API_KEY", KEY)
        .env("WANDB_ENTITY", ENTITY)
        .env("WANDB_PROJECT", PROJECT);
    command.env("NO_PROXY", "127.0.0.1").env("WANDB_ERROR_REPORTING", "false")
}

/// Numbers as one kind: clients write 1 and 1.0 as they like.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(items) => items.iter().map(|(name, item)| (name.clone(), plain(item))).collect(),
        other => other.clone(),
    }
}

/// When a sample of system metrics was taken.
const TIMES: [&str; 2] = ["_timestamp", "_runtime"];

/// A sample of system metrics without its time.
fn sample(row: &Row) -> Value {
    let values = row.iter().filter(|(name, _)| !TIMES.contains(&name.as_str()));
    plain(&Value::Object(values.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

/// That samples were taken at the same times: each client puts them together from seconds and nanoseconds in its own
/// order, older ones from microseconds.
fn assert_times(ours: &[Row], theirs: &[Row]) {
    for (one, other) in ours.iter().zip(theirs) {
        for name in TIMES {
            let (here, there) = (one[name].as_f64().unwrap(), other[name].as_f64().unwrap());
            assert!((here - there).abs() < 1e-5, "{name}: {here} and {there}");
        }
    }
}

/// What two clients must agree on. Left out is what tells of the client and its machine: telemetry, files it adds on
/// its own, the time at which it saw a line.
fn common(run: &SeenRun) -> BTreeMap<&'static str, Value> {
    let mut config = run.config.clone();
    let mut summary = run.summary.clone();
    let runtime = summary.as_object_mut().unwrap().remove("_wandb").unwrap_or_default();
    let charts = config["_wandb"]["value"]["visualize"].take();
    config.as_object_mut().unwrap().remove("_wandb");
    for entry in config.as_object_mut().unwrap().values_mut() {
        // Older clients describe each value, with nothing.
        entry.as_object_mut().unwrap().retain(|name, _| name != "desc");
    }
    let later =
        LATER.iter().filter_map(|name| Some(((*name).to_owned(), config.as_object_mut()?.remove(*name)?)));
    let later: Map<String, Value> = later.collect();
    let line = |line: &String| match line.starts_with('{') {
        true => parse(line)["content"].clone(),
        false => json!(line),
    };
    let filed = |name: &str| run.fields[name].clone();
    BTreeMap::from([
        ("name", filed("displayName")),
        ("group", filed("groupName")),
        ("job type", filed("jobType")),
        ("tags", filed("tags")),
        ("config", plain(&config)),
        ("later config", plain(&Value::Object(later))),
        ("charts", plain(&charts)),
        ("rows", run.history.iter().map(|row| plain(&Value::Object(row.clone()))).collect()),
        ("summary", plain(&summary)),
        ("runtime", plain(&runtime)),
        ("system metrics", run.events.iter().map(sample).collect()),
        ("output", run.output.iter().map(line).collect()),
        ("exit code", json!(run.exit_code)),
        ("alerts", json!(run.alerts)),
        ("gaps", json!(run.gaps)),
    ])
}

/// Pictures, tables and artifacts, and what is in them.
fn files(seen: &Seen) -> (BTreeMap<&String, &String>, Vec<SeenArtifact>) {
    let media = seen.blobs.iter().filter(|(path, _)| path.contains("/media/"));
    let mut artifacts = seen.artifacts.clone();
    artifacts.iter_mut().for_each(|artifact| artifact.aliases.sort());
    artifacts.sort_by(|one, other| one.name.cmp(&other.name));
    (media.map(|(path, blob)| (path, &blob.md5)).collect(), artifacts)
}

/// Where two values differ: the entries of objects, and whole values of other kinds.
fn differences(one: &Value, other: &Value) -> Vec<String> {
    let (Some(entries), Some(others)) = (one.as_object(), other.as_object()) else {
        return if one == other { Vec::new() } else { vec![format!("{one}\n{other}")] };
    };
    let names: BTreeSet<&String> = entries.keys().chain(others.keys()).collect();
    let differ = names.into_iter().filter(|name| entries.get(*name) != others.get(*name));
    differ.map(|name| format!("{name}: {:?} and {:?}", entries.get(name), others.get(name))).collect()
}

/// That both servers were told the same, but for what the client is known not to tell.
fn assert_alike(ours: &Seen, theirs: &Seen, id: &str, not_told: &[&str]) {
    let (mut one, other) = (common(ours.run(id)), common(theirs.run(id)));
    for what in not_told {
        assert!(one.remove(what).is_some_and(|here| here != other[what]), "{what} is told after all");
    }
    for (what, here) in &one {
        let differ = differences(here, &other[what]);
        assert!(differ.is_empty(), "{what}: ours, and the official client's:\n{}", differ.join("\n"));
    }
    assert_times(&ours.run(id).events, &theirs.run(id).events);
    assert_eq!(files(ours), files(theirs), "files and artifacts: ours, and the official client's");
}

fn client_sends_our_folder(version: &str, not_told: &[&str]) {
    let (Some(wandb), Some(_)) = (peer(&format!("wandb-{version}"), "wandb"), program()) else { return };
    let theirs = sent_by(&wandb, &OFFLINE.folder.path);
    assert_complete(&OFFLINE.run, &theirs, 0);
    assert!(theirs.artifacts.iter().any(|artifact| artifact.kind == "model" && artifact.committed));
    let ours = sent_by_us(&OFFLINE.folder.path);
    assert_rows(&OFFLINE.run, ours.run(&OFFLINE.run.id));
    assert_alike(&ours, &theirs, &OFFLINE.run.id, not_told);
    OFFLINE.tracked.place.assert_left_by_all();
}

#[test]
fn our_folder_through_client_0_31_0() {
    client_sends_our_folder("0.31.0", &[]);
}

#[test]
fn our_folder_through_client_0_22_3() {
    client_sends_our_folder("0.22.3", &NOT_TOLD_BY_0_22_3);
}

#[test]
fn our_folder_through_client_0_19_11() {
    client_sends_our_folder("0.19.11", &NOT_TOLD_BY_0_19_11);
}

#[test]
fn a_folder_of_client_0_31_0_through_engine_sync() {
    let (Some(python), Some(wandb)) = (peer("wandb-0.31.0", "python"), peer("wandb-0.31.0", "wandb")) else {
        return;
    };
    if program().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg(script("offline_run.py")).arg(home.path().join("made")).current_dir(home.path());
    must(official(&mut command, home.path()));
    let folders = RunFolder::below(home.path());
    assert_eq!(folders.len(), 1, "{folders:?}");
    let folder = &folders[0].path;
    let theirs = sent_by(&wandb, folder);
    let there = theirs.run("official1");
    assert_eq!((there.exit_code, there.history.len()), (Some(3), 28), "the client sends what it logged");
    assert_eq!(there.alerts, ["something"]);
    assert_alike(&sent_by_us(folder), &theirs, "official1", &[]);
}

//! Folders of runs between us and the official clients: each sends what the other wrote, and the server is told the same.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use engine_tests::peers::{must, peer, script};
use engine_tests::wandb::faults::{FakeServer, Faults};
use engine_tests::wandb::local::{LocalRun, assert_complete, assert_rows};
use engine_tests::wandb::python_server::{PythonServer, program};
use engine_tests::wandb::seen::{Seen, SeenArtifact, SeenRun, parse};
use engine_tests::wandb::tracked::{ENTITY, KEY, MODEL, PROJECT, Tracked};
use engine_tracking::wandb::folder::RunFolder;
use serde_json::{Value, json};

/// Nobody listens there: nothing is sent before it is asked for.
const NOWHERE: &str = "http://127.0.0.1:9";

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

/// What two clients must agree on. Left out is what tells of the client and its machine: telemetry, files it adds on
/// its own, the time at which it saw a line.
fn common(run: &SeenRun) -> BTreeMap<&'static str, Value> {
    let mut config = run.config.clone();
    let charts = config["_wandb"]["value"]["visualize"].take();
    config.as_object_mut().unwrap().remove("_wandb");
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
        ("charts", plain(&charts)),
        ("rows", run.history.iter().map(|row| plain(&Value::Object(row.clone()))).collect()),
        ("summary", plain(&run.summary)),
        ("system metrics", run.events.iter().map(|row| plain(&Value::Object(row.clone()))).collect()),
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

fn assert_alike(ours: &Seen, theirs: &Seen, id: &str) {
    let (one, other) = (common(ours.run(id)), common(theirs.run(id)));
    for (what, here) in &one {
        let there = &other[what];
        assert_eq!(here, there, "{what}: ours, and the official client's");
    }
    assert_eq!(files(ours), files(theirs), "files and artifacts: ours, and the official client's");
}

fn client_sends_our_folder(version: &str) {
    let (Some(wandb), Some(_)) = (peer(&format!("wandb-{version}"), "wandb"), program()) else { return };
    let theirs = sent_by(&wandb, &OFFLINE.folder.path);
    assert_complete(&OFFLINE.run, &theirs, 0);
    assert!(theirs.artifacts.iter().any(|artifact| artifact.kind == "model" && artifact.committed));
    let ours = sent_by_us(&OFFLINE.folder.path);
    assert_rows(&OFFLINE.run, ours.run(&OFFLINE.run.id));
    assert_alike(&ours, &theirs, &OFFLINE.run.id);
    OFFLINE.tracked.place.assert_left_by_all();
}

#[test]
fn our_folder_through_client_0_31_0() {
    client_sends_our_folder("0.31.0");
}

#[test]
fn our_folder_through_client_0_22_3() {
    client_sends_our_folder("0.22.3");
}

#[test]
fn our_folder_through_client_0_19_11() {
    client_sends_our_folder("0.19.11");
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
    assert_alike(&sent_by_us(folder), &theirs, "official1");
}

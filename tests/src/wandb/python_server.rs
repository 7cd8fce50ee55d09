//! The larger fake server of the shared folder: a program in Python, written apart from the engine.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::client::{get, post};
use super::faults::{FakeServer, Faults};
use super::seen::{Blob, Row, Seen, SeenArtifact, SeenRun, parse};
use crate::shared_tool;

/// The server, as a process of its own. Dropped, it is killed.
#[derive(Debug)]
pub struct PythonServer {
    child: Child,
    url: String,
}

/// The server's program; `None`, and said so, where the shared folder is not at hand.
///
/// # Panics
/// If `ENGINE_REQUIRE_SHARED` is 1 and it is not there.
pub fn program() -> Option<PathBuf> {
    shared_tool("wandb/wandb_fake_server.py")
}

impl FakeServer for PythonServer {
    fn start(port: Option<u16>, faults: &Faults) -> Self {
        let program = program().unwrap();
        // It has no fault for requests in the middle; ours around it has.
        let around = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/fake_server.py");
        let mut command = Command::new("python3");
        command
            .arg(around)
            .arg(program)
            .args(arguments(port, faults))
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("LISTENING ").unwrap().to_owned();
        Self { child, url }
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn seen(&self) -> Seen {
        let state = parse(&get(&self.url, "/__state").unwrap());
        let requests = parse(&get(&self.url, "/__requests").unwrap());
        read(&state, requests.as_array().unwrap())
    }

    fn press_stop(&self, run_id: &str) {
        assert_eq!(post(&self.url, &format!("/__stop?run={run_id}"), &Value::Null).unwrap().0, 200);
    }

    /// It has no switch: another one takes its place, and knows nothing.
    fn heal(&mut self) {
        let port = self.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        self.end();
        *self = Self::start(port, &Faults::default());
    }
}

impl PythonServer {
    fn end(&mut self) {
        // Both fail for a process that has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn arguments(port: Option<u16>, faults: &Faults) -> Vec<String> {
    let mut given = Vec::new();
    let mut give = |name: &str, value: String| given.extend([name.to_owned(), value]);
    give("--port", port.unwrap_or(0).to_string());
    if !faults.only.is_empty() {
        give("--match", faults.only.to_owned());
    }
    if faults.behind > 0 {
        give("--behind", faults.behind.to_string());
    }
    if faults.drop > 0 {
        give("--drop", faults.drop.to_string());
        give("--drop-mode", if faults.drop_after { "after" } else { "before" }.to_owned());
    }
    if faults.fail > 0 {
        give("--fail-first", faults.fail.to_string());
        give("--fail-status", faults.fail_status.to_string());
    }
    if faults.rate_limit > 0 {
        give("--rate-limit", faults.rate_limit.to_string());
    }
    if let Some(seconds) = faults.retry_after {
        give("--retry-after", seconds.to_string());
    }
    if let Some((requests, seconds)) = faults.quota {
        give("--quota", format!("{requests}/{seconds}"));
    }
    if !faults.latency.is_zero() {
        give("--latency", faults.latency.as_secs_f64().to_string());
    }
    if let Some(key) = faults.require_key {
        give("--require-key", key.to_owned());
    }
    given
}

fn read(state: &Value, requests: &[Value]) -> Seen {
    let runs = state["runs"].as_object().unwrap().values();
    let blobs = state["blobs"].as_object().unwrap().iter();
    Seen {
        runs: runs.map(|run| read_run(run, requests)).collect(),
        artifacts: state["artifacts"].as_array().unwrap().iter().map(read_artifact).collect(),
        blobs: blobs
            .map(|(path, blob)| {
                let bytes = blob["size"].as_u64().unwrap();
                let md5 = blob["md5"].as_str().unwrap().to_owned();
                (path.trim_start_matches('/').to_owned(), Blob { bytes, md5 })
            })
            .collect(),
        faults_met: requests.iter().filter(|one| !one["fault"].is_null()).count(),
        waits_after_fault: waits(requests),
    }
}

/// From each request that met a fault to the next one of its kind.
fn waits(requests: &[Value]) -> Vec<Duration> {
    let time = |request: &Value| request["t"].as_f64().unwrap();
    let next = |(at, one): (usize, &Value)| {
        let same = |other: &&Value| (&other["path"], &other["op"]) == (&one["path"], &one["op"]);
        let again = requests[at + 1..].iter().find(same)?;
        Some(Duration::from_secs_f64((time(again) - time(one)).max(0.0)))
    };
    requests.iter().enumerate().filter(|(_, one)| !one["fault"].is_null()).filter_map(next).collect()
}

fn texts(of: &Value) -> Vec<String> {
    of.as_array().unwrap().iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
}

fn rows(of: &Value) -> Vec<Row> {
    of.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
}

fn read_run(run: &Value, requests: &[Value]) -> SeenRun {
    let part = |name: &str| run[name].as_str().unwrap().to_owned();
    let (entity, project, id) = (part("entity"), part("project"), part("name"));
    let stream = format!("/files/{entity}/{project}/{id}/file_stream");
    let titles = run["alerts"].as_array().unwrap().iter();
    SeenRun {
        fields: run["fields"].clone(),
        config: run["config"].clone(),
        history: rows(&run["history"]),
        events: rows(&run["events"]),
        summary: run["summary"].clone(),
        output: texts(&run["output"]),
        uploaded: texts(&run["uploaded"]),
        exit_code: (run["complete"] == true).then(|| run["exitcode"].as_i64()).flatten(),
        gaps: run["gaps"].as_array().unwrap().iter().map(Value::to_string).collect(),
        overwrites: overwrites(requests.iter().filter(|request| request["path"] == stream.as_str())),
        alerts: titles.map(|alert| alert["title"].as_str().unwrap_or_default().to_owned()).collect(),
        entity,
        project,
        id,
    }
}

/// The server counts every line that comes again; what harms is one that comes again and is another.
fn overwrites<'a>(requests: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut known = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for request in requests.filter(|one| one["fault"].is_null() || one["fault"] == "drop-after") {
        let chunk = &request["json"]["files"]["wandb-history.jsonl"];
        let lines = chunk["content"].as_array().into_iter().flatten();
        for (at, line) in (chunk["offset"].as_u64().unwrap_or_default()..).zip(lines) {
            if known.insert(at, line).is_some_and(|before| before != line) {
                found.push(format!("line {at}: {line}"));
            }
        }
    }
    found
}

fn read_artifact(artifact: &Value) -> SeenArtifact {
    let input = &artifact["input"];
    let part = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
    let aliases = input["aliases"].as_array().into_iter().flatten();
    let files = artifact["files"].as_object().unwrap().iter();
    SeenArtifact {
        name: part("artifactCollectionName"),
        kind: part("artifactTypeName"),
        aliases: aliases.filter_map(|one| Some(one["alias"].as_str()?.to_owned())).collect(),
        files: files.map(|(path, file)| (path.clone(), file["md5"].as_str().unwrap().to_owned())).collect(),
        committed: artifact["state"] == "COMMITTED",
    }
}

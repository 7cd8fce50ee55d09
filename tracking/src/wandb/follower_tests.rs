//! Runs sent to the fake server of the shared tools, under faults; skipped, and said so, where it is not there.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use super::folder::RunFolder;
use super::key::Key;
use super::log::LogWriter;
use super::record::{History, Item, Kind, Record, Step};
use super::run::{ArtifactFiles, RunHeader, RunJournal, Severity, Stream};
use super::settings::{Mode, Pace, Resume, Settings};
use super::sync::{SyncError, Synced, forget, sync};
use super::testing::PythonServer;
use super::uploader::{Hearer, UploadEvent, Uploader};
use crate::metric::MetricPoint;
use crate::upload::Unfinished;

const KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
/// Far beyond what a busy machine takes.
const LONG: Duration = Duration::from_secs(60);
const HISTORY: &str = "wandb-history.jsonl";

fn settings(url: &str) -> Settings {
    Settings {
        base_url: url.to_owned(),
        entity: Some("ent".to_owned()),
        project: "proj".to_owned(),
        mode: Mode::Online,
        resume: Resume::Allow,
        pace: Pace {
            stream: Duration::from_millis(30),
            heartbeat: Duration::from_millis(300),
            gather: Duration::from_millis(20),
            first_wait: Duration::from_millis(30),
            longest_wait: Duration::from_millis(200),
        },
    }
}

fn key() -> Key {
    Key::new(KEY.to_owned())
}

fn uploader(server: &PythonServer) -> Uploader {
    Uploader::start(&settings(&server.url), key()).unwrap()
}

fn header(id: &str) -> RunHeader {
    RunHeader {
        id: id.to_owned(),
        name: format!("name of {id}"),
        entity: Some("ent".to_owned()),
        project: "proj".to_owned(),
        group: Some("g".to_owned()),
        job_type: None,
        tags: vec!["t".to_owned()],
        notes: None,
        config: [("lr".to_owned(), json!(0.1))].into_iter().collect(),
        started: SystemTime::now(),
    }
}

fn journal(folder: &Path, id: &str) -> RunJournal {
    RunJournal::open(folder, &header(id), Mode::Online).unwrap()
}

/// Row `at` of a run.
fn row(journal: &mut RunJournal, at: u32) {
    let values = [("loss".to_owned(), f64::from(at) / 8.0)].into_iter().collect();
    journal.rows(&[MetricPoint { epoch: 0, step: u64::from(at), values }], SystemTime::now()).unwrap();
}

fn rows(journal: &mut RunJournal, range: std::ops::Range<u32>) {
    range.for_each(|at| row(journal, at));
}

fn heard() -> (Hearer, Receiver<UploadEvent>) {
    let (sender, receiver) = sync_channel(1000);
    (Box::new(move |event| sender.send(event).unwrap_or_default()), receiver)
}

fn nobody() -> Hearer {
    Box::new(|_| {})
}

fn get(url: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The server's JSON with the bare words made texts.
fn state(server: &PythonServer) -> Value {
    let text = get(&server.url, "GET", "/__state");
    let text = text
        .replace(": NaN", ": \"NaN\"")
        .replace(": Infinity", ": \"Infinity\"")
        .replace(": -Infinity", ": \"-Infinity\"");
    serde_json::from_str(&text).unwrap()
}

fn run(server: &PythonServer, id: &str) -> Value {
    state(server)["runs"][format!("ent/proj/{id}")].take()
}

fn requests(server: &PythonServer) -> Vec<Value> {
    serde_json::from_str(&get(&server.url, "GET", "/__requests")).unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the server has so many rows of a run.
fn until_rows(server: &PythonServer, id: &str, want: usize) {
    until("rows", || run(server, id)["history"].as_array().map_or(0, Vec::len) >= want);
}

fn finish(uploader: Uploader) -> Vec<Unfinished> {
    uploader.finish(LONG, &mut |_| ControlFlow::Continue(()))
}

fn assert_values(run: &Value, want: u32) {
    let steps: Vec<i64> =
        run["history"].as_array().unwrap().iter().map(|row| row["_step"].as_i64().unwrap()).collect();
    assert_eq!(steps, (0..i64::from(want)).collect::<Vec<_>>());
    let losses: Vec<f64> =
        run["history"].as_array().unwrap().iter().map(|row| row["loss"].as_f64().unwrap()).collect();
    assert_eq!(losses, (0..want).map(|at| f64::from(at) / 8.0).collect::<Vec<_>>());
}

fn assert_rows(run: &Value, want: u32) {
    assert_values(run, want);
    assert_eq!(run["gaps"], json!([]));
}

fn synced(folder: &RunFolder, server: &PythonServer) -> Synced {
    sync(folder, &settings(&server.url), &key()).unwrap()
}

#[test]
fn everything_a_run_logs_arrives() {
    let Some(server) = PythonServer::start(&["--require-key", KEY]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "all1");
    let folder = journal.folder().clone();
    let uploader = uploader(&server);
    let (hearer, events) = heard();
    uploader.follow(folder.clone(), journal.growth(), hearer);
    assert_eq!(uploader.progress().len(), 1);
    rows(&mut journal, 0..5);
    let now = SystemTime::now();
    let strange = [("nan", f64::NAN), ("up", f64::INFINITY), ("loss", 5.0 / 8.0)];
    let values = strange.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    journal.rows(&[MetricPoint { epoch: 1, step: 5, values }], now).unwrap();
    journal.system(&[("cpu".to_owned(), 12.5)].into_iter().collect(), now).unwrap();
    journal.printed(Stream::Err, &["one".to_owned(), "two \"2\"".to_owned()], now).unwrap();
    journal.alert("title", "text", Severity::Warn).unwrap();
    journal.summary(&[("best".to_owned(), json!(0.5))].into_iter().collect()).unwrap();
    journal.config(&[("later".to_owned(), json!({"a": 1}))].into_iter().collect()).unwrap();
    let weights = place.path().join("weights.bin");
    fs::write(&weights, vec![7; 5000]).unwrap();
    let artifact = ArtifactFiles {
        name: "my-model".to_owned(),
        kind: "model".to_owned(),
        aliases: vec!["latest".to_owned(), "best".to_owned()],
        files: vec![("weights.bin".to_owned(), weights)],
        metadata: Map::new(),
    };
    journal.artifact(&artifact).unwrap();
    journal.finish(3, now).unwrap();
    assert_eq!(finish(uploader), []);

    let state = state(&server);
    let run = &state["runs"]["ent/proj/all1"];
    assert_rows(run, 6);
    assert_eq!((&run["history"][5]["nan"], &run["history"][5]["up"]), (&json!("NaN"), &json!("Infinity")));
    assert_eq!(
        (&run["complete"], &run["exitcode"], &run["overwrites"]),
        (&json!(true), &json!(3), &json!(0))
    );
    assert_eq!(run["events"][0]["system.cpu"], 12.5);
    let lines: Vec<Value> = run["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(
        (lines.len(), &lines[1]["content"], &lines[1]["level"]),
        (2, &json!("two \"2\""), &json!("error"))
    );
    assert_eq!((&run["summary"]["best"], &run["summary"]["_step"]), (&json!(0.5), &json!(5)));
    assert!(run["summary"]["_wandb"]["runtime"].is_u64());
    assert_eq!(
        (&run["config"]["lr"]["value"], &run["config"]["later"]["value"]["a"]),
        (&json!(0.1), &json!(1))
    );
    let about = &run["config"]["_wandb"]["value"];
    assert!(about["e"].as_object().is_some_and(|e| !e.is_empty()), "{about}");
    assert!(about["t"]["5"].is_string() && !about["m"].as_array().unwrap().is_empty(), "{about}");
    assert_eq!(run["alerts"][0]["severity"], "WARN");
    assert_eq!(
        (&run["fields"]["displayName"], &run["fields"]["tags"]),
        (&json!("name of all1"), &json!(["t"]))
    );
    let artifact = &state["artifacts"][0];
    assert_eq!(
        (&artifact["state"], &artifact["input"]["artifactCollectionName"]),
        (&json!("COMMITTED"), &json!("my-model"))
    );
    let uploaded = run["uploaded"].as_array().unwrap();
    for name in ["config.yaml", "wandb-summary.json", "output.log"] {
        assert!(uploaded.contains(&json!(name)), "{name} in {uploaded:?}");
        assert!(state["blobs"][format!("/runs/ent/proj/all1/{name}")]["size"].as_u64().unwrap() > 0);
    }
    assert_eq!(fs::read_to_string(folder.files().join("output.log")).unwrap(), "one\ntwo \"2\"\n");
    assert!(folder.synced().exists());
    let started = UploadEvent::Started { url: format!("{}/ent/proj/runs/all1", server.url) };
    assert_eq!(events.iter().collect::<Vec<_>>(), [started]);

    // Another time, there is nothing to be done.
    let asked = requests(&server).len();
    let again = synced(&folder, &server);
    assert!(again.was_synced);
    assert_eq!((again.rows, again.artifacts, again.losses), (6, 1, vec![]));
    assert_eq!(requests(&server).len(), asked);
}

#[test]
fn rows_arrive_once_and_in_order_under_every_fault() {
    let stream = "file_stream";
    let cases = [
        (&["--fail-first", "3"][..], false),
        (&["--drop", "3"], false),
        (&["--drop", "3", "--drop-mode", "after"], true),
        (&["--quota", "2/1", "--match", stream], false),
        (&["--rate-limit", "2", "--retry-after", "0.2"], false),
        (&["--fail-first", "1", "--fail-status", "404", "--match", stream], false),
        (&["--fail-first", "2", "--fail-status", "409", "--match", stream], false),
        (&["--fail-first", "1", "--fail-status", "410", "--match", stream], false),
        (&["--fail-first", "2", "--fail-status", "400", "--match", stream], false),
        (&["--fail-first", "1", "--fail-status", "413", "--match", stream], false),
        (&["--drop", "2", "--drop-mode", "after", "--match", "UpsertBucket"], false),
        (&["--fail-first", "2", "--fail-status", "500", "--match", "CreateRunFiles"], false),
        (&["--latency", "0.05"], false),
    ];
    if PythonServer::start(&[]).is_none() {
        return;
    }
    // They wait most of the time.
    std::thread::scope(|scope| {
        for (options, is_replayed) in cases {
            scope.spawn(move || two_runs(options, is_replayed));
        }
    });
}

fn two_runs(options: &[&str], is_replayed: bool) {
    let server = PythonServer::start(options).unwrap();
    let place = tempfile::tempdir().unwrap();
    let uploader = uploader(&server);
    let mut journals: Vec<RunJournal> = ["one", "two"].map(|id| journal(place.path(), id)).into();
    for journal in &journals {
        uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    }
    for at in 0..40 {
        journals.iter_mut().for_each(|journal| row(journal, at));
        std::thread::sleep(Duration::from_millis(2)); // rows that come while requests are under way
    }
    for journal in journals {
        journal.finish(0, SystemTime::now()).unwrap();
    }
    assert_eq!(finish(uploader), [], "{options:?}");
    for id in ["one", "two"] {
        let run = run(&server, id);
        assert_rows(&run, 40);
        assert_eq!(run["complete"], true, "{options:?}");
        assert!(is_replayed || run["overwrites"] == 0, "{options:?}: {}", run["overwrites"]);
    }
}

#[test]
fn what_is_logged_while_the_server_is_down_comes_when_it_is_up() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = tempfile::tempdir().unwrap();
    let uploader = Uploader::start(&settings(&format!("http://127.0.0.1:{port}")), key()).unwrap();
    let mut journal = journal(place.path(), "down");
    uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    rows(&mut journal, 0..100);
    until("a trouble", || uploader.progress()[0].trouble.is_some());
    assert!(uploader.progress()[0].bytes_behind > 0);
    let Some(server) = PythonServer::start(&["--port", &port.to_string()]) else { return };
    until_rows(&server, "down", 100);
    rows(&mut journal, 100..120);
    journal.finish(0, SystemTime::now()).unwrap();
    assert_eq!(finish(uploader), []);
    assert_rows(&run(&server, "down"), 120);
}

#[test]
fn an_upload_that_is_cut_anywhere_goes_on_from_its_cursor() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "cut");
    for part in 0..8 {
        let uploader = uploader(&server);
        uploader.follow(journal.folder().clone(), journal.growth(), nobody());
        rows(&mut journal, part * 10..part * 10 + 10);
        until_rows(&server, "cut", part as usize * 10 + 10);
        until("the cursor", || uploader.progress()[0].bytes_behind == 0);
        drop(uploader);
    }
    let folder = journal.folder().clone();
    journal.finish(0, SystemTime::now()).unwrap();
    assert_eq!(synced(&folder, &server).rows, 80);
    let run = run(&server, "cut");
    assert_rows(&run, 80);
    assert_eq!((&run["overwrites"], &run["complete"]), (&json!(0), &json!(true)));
    assert_eq!(run["fields"]["displayName"], "name of cut");
}

#[test]
fn a_lost_or_damaged_cursor_changes_nothing_at_the_server() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "lost");
    rows(&mut journal, 0..50);
    let folder = journal.folder().clone();
    journal.finish(0, SystemTime::now()).unwrap();
    synced(&folder, &server);
    let before = run(&server, "lost");
    forget(&folder).unwrap();
    assert!(!synced(&folder, &server).was_synced);
    fs::write(folder.cursor(), "{\"version\":1").unwrap();
    fs::remove_file(folder.synced()).unwrap();
    assert_eq!(synced(&folder, &server).losses, Vec::<String>::new());
    let after = run(&server, "lost");
    assert_rows(&after, 50);
    assert_eq!((&before["history"], &before["summary"]), (&after["history"], &after["summary"]));
    assert_eq!(after["overwrites"], 100);
}

#[test]
fn rows_the_server_lost_are_sent_again() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "gone");
    let first = uploader(&server);
    first.follow(journal.folder().clone(), journal.growth(), nobody());
    rows(&mut journal, 0..20);
    until_rows(&server, "gone", 20);
    get(&server.url, "POST", "/__reset");
    rows(&mut journal, 20..30);
    // The stream is answered with 404 now, and the run is made known anew.
    journal.finish(0, SystemTime::now()).unwrap();
    assert_eq!(finish(first), []);
    let run = run(&server, "gone");
    // Where a change of the configuration makes it known before that, rows stand behind a gap for a moment.
    assert_values(&run, 30);
    assert_eq!((&run["fields"]["displayName"], &run["complete"]), (&json!("name of gone"), &json!(true)));
}

#[test]
fn the_stop_button_is_told_once() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "stop");
    let uploader = uploader(&server);
    let (hearer, events) = heard();
    uploader.follow(journal.folder().clone(), journal.growth(), hearer);
    rows(&mut journal, 0..2);
    until_rows(&server, "stop", 2);
    get(&server.url, "POST", "/__stop?run=stop");
    row(&mut journal, 2);
    let is_stop = |event: &UploadEvent| *event == UploadEvent::StopAsked;
    assert!(events.iter().any(|event| is_stop(&event)));
    row(&mut journal, 3);
    until_rows(&server, "stop", 4);
    journal.finish(1, SystemTime::now()).unwrap();
    assert_eq!(finish(uploader), []);
    assert!(!events.iter().any(|event| is_stop(&event)));
    assert_eq!(run(&server, "stop")["exitcode"], 1);
}

#[test]
fn a_run_that_is_quiet_beats() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "quiet");
    let uploader = uploader(&server);
    uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    row(&mut journal, 0);
    until("beats", || run(&server, "quiet")["heartbeats"].as_u64() >= Some(2));
    let beat =
        requests(&server).into_iter().rfind(|asked| asked["path"].as_str().unwrap().ends_with("file_stream"));
    assert_eq!(beat.unwrap()["bytes"], 2);
    journal.finish(0, SystemTime::now()).unwrap();
    assert_eq!(finish(uploader), []);
}

#[test]
fn the_deadline_holds_and_what_is_left_is_sent_later() {
    let Some(slow) = PythonServer::start(&["--latency", "5"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "late");
    let uploader = uploader(&slow);
    uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    rows(&mut journal, 0..25);
    journal.finish(0, SystemTime::now()).unwrap();
    let began = Instant::now();
    let mut told = 0;
    let left = uploader.finish(Duration::from_millis(500), &mut |progress| {
        told += 1;
        assert_eq!(progress[0].run_id, "late");
        ControlFlow::Continue(())
    });
    assert!(began.elapsed() < Duration::from_secs(4) && told >= 2, "{:?}, told {told}", began.elapsed());
    assert_eq!((left.len(), left[0].rows_left), (1, 25));
    let name = left[0].folder.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("offline-run-") && name.ends_with("-late"), "{name}");
    let Some(server) = PythonServer::start(&[]) else { return };
    let folder = RunFolder::at(&left[0].folder).unwrap();
    assert_eq!(synced(&folder, &server).rows, 25);
    assert_rows(&run(&server, "late"), 25);
}

#[test]
fn the_wait_can_be_broken_off() {
    let place = tempfile::tempdir().unwrap();
    let uploader = Uploader::start(&settings("http://127.0.0.1:9"), key()).unwrap();
    let mut journal = journal(place.path(), "ctrl-c");
    uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    rows(&mut journal, 0..3);
    journal.finish(0, SystemTime::now()).unwrap();
    let began = Instant::now();
    let left = uploader.finish(LONG, &mut |_| ControlFlow::Break(()));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(left[0].rows_left, 3);
}

#[test]
fn a_run_without_an_end_is_left_open_and_synced_as_a_crash() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "crash");
    let uploader = uploader(&server);
    uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    rows(&mut journal, 0..7);
    drop(journal);
    let left = finish(uploader);
    assert_eq!((left.len(), left[0].rows_left), (1, 0));
    assert!(left[0].reason.contains("without saying so"), "{}", left[0].reason);
    assert_eq!(run(&server, "crash")["complete"], Value::Null);
    synced(&RunFolder::at(&left[0].folder).unwrap(), &server);
    let run = run(&server, "crash");
    assert_rows(&run, 7);
    assert_eq!((&run["exitcode"], &run["overwrites"]), (&json!(1), &json!(0)));
}

#[test]
fn a_run_that_goes_on_in_another_folder_goes_behind_the_servers_rows() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = journal(one.path(), "again");
    rows(&mut first, 0..10);
    first.config(&[("kept".to_owned(), json!(1))].into_iter().collect()).unwrap();
    first.summary(&[("old".to_owned(), json!(2))].into_iter().collect()).unwrap();
    let folder = first.folder().clone();
    first.finish(1, SystemTime::now()).unwrap();
    synced(&folder, &server);

    let mut second = journal(two.path(), "again");
    let uploader = uploader(&server);
    uploader.follow(second.folder().clone(), second.growth(), nobody());
    rows(&mut second, 10..14);
    until_rows(&server, "again", 14);
    drop(uploader);
    rows(&mut second, 14..20);
    let folder = second.folder().clone();
    second.finish(0, SystemTime::now()).unwrap();
    assert_eq!(synced(&folder, &server).rows, 20);
    let there = run(&server, "again");
    assert_rows(&there, 20);
    assert_eq!((&there["config"]["kept"]["value"], &there["summary"]["old"]), (&json!(1), &json!(2)));
    assert_eq!((&there["summary"]["_step"], &there["exitcode"]), (&json!(19), &json!(0)));

    // Its own rows are recognised without a cursor.
    forget(&folder).unwrap();
    synced(&folder, &server);
    assert_rows(&run(&server, "again"), 20);

    for resume in [Resume::Never, Resume::Must] {
        let id = if resume == Resume::Never { "again" } else { "nobody" };
        let place = tempfile::tempdir().unwrap();
        let mut journal = journal(place.path(), id);
        row(&mut journal, 0);
        let folder = journal.folder().clone();
        journal.finish(0, SystemTime::now()).unwrap();
        let error = sync(&folder, &Settings { resume, ..settings(&server.url) }, &key()).unwrap_err();
        assert!(matches!(&error, SyncError::Kept(why) if why.contains("WANDB_RESUME")), "{error}");
    }
    assert_rows(&run(&server, "again"), 20);
}

#[test]
fn damage_costs_the_rows_it_hits_and_no_others() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "hurt");
    rows(&mut journal, 0..1000);
    let folder = journal.folder().clone();
    journal.finish(0, SystemTime::now()).unwrap();
    let mut bytes = fs::read(folder.journal()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    fs::write(folder.journal(), bytes).unwrap();
    let done = synced(&folder, &server);
    assert_eq!(done.losses.len(), 1);
    assert!(done.losses[0].contains("damaged"), "{:?}", done.losses);
    let run = run(&server, "hurt");
    let steps: Vec<u64> =
        run["history"].as_array().unwrap().iter().map(|row| row["_step"].as_u64().unwrap()).collect();
    assert!(steps.len() < 1000 && steps.len() as u64 == done.rows);
    assert!(steps.is_sorted() && steps.contains(&0) && steps.contains(&999));
    assert_eq!((&run["gaps"], &run["exitcode"]), (&json!([]), &json!(0)));
}

#[test]
fn a_burst_is_split_and_a_row_too_long_keeps_its_place() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let place = tempfile::tempdir().unwrap();
    let folder = journal(place.path(), "large").folder().clone();
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let item = |key: &str, value_json: String| Item { key: key.to_owned(), value_json, ..Item::default() };
    let mut log = LogWriter::open(&folder.journal()).unwrap();
    log.go_on_at(fs::metadata(folder.journal()).unwrap().len()).unwrap();
    for (at, mebibytes) in [0, 4, 4, 4, 12, 4, 0].into_iter().enumerate() {
        let item = vec![
            item("_step", at.to_string()),
            item("_timestamp", format!("{}.5", 1000 + at)),
            item("loss", (at as f64 / 8.0).to_string()),
            item("long", text(mebibytes << 20)),
        ];
        let step = Some(Step { num: at as i64 });
        let kind = Some(Kind::History(History { item, step }));
        log.append(&Record { num: 0, control: None, kind }).unwrap();
    }
    let done = synced(&folder, &server);
    assert!(
        done.losses.iter().any(|loss| loss.starts_with("row 4 is too long")),
        "{} losses",
        done.losses.len()
    );
    assert_rows(&run(&server, "large"), 7);
    let largest = requests(&server)
        .iter()
        .filter(|asked| asked["path"].as_str().unwrap().ends_with("file_stream"))
        .map(|asked| {
            let files = asked["json"]["files"].as_object().cloned().unwrap_or_default();
            let lines = files.values().flat_map(|file| file["content"].as_array().cloned().unwrap());
            lines.map(|line| line.as_str().unwrap().len()).sum::<usize>()
        })
        .max();
    assert!(largest.unwrap() <= super::batch::LARGEST_REQUEST, "{largest:?}");
    assert!(
        requests(&server).iter().filter(|asked| asked["json"]["files"][HISTORY].is_object()).count() >= 2
    );
}

#[test]
fn a_refused_key_is_told_once_and_ends_only_a_sync() {
    let Some(server) = PythonServer::start(&["--require-key", "another"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "key");
    let uploader = uploader(&server);
    let (hearer, events) = heard();
    uploader.follow(journal.folder().clone(), journal.growth(), hearer);
    row(&mut journal, 0);
    let warned = events.recv_timeout(LONG).unwrap();
    assert!(
        matches!(&warned, UploadEvent::Warned(text) if text.contains("401") && !text.contains(KEY)),
        "{warned:?}"
    );
    journal.finish(0, SystemTime::now()).unwrap();
    let left = uploader.finish(Duration::from_millis(300), &mut |_| ControlFlow::Continue(()));
    assert!(left[0].reason.contains("401"), "{}", left[0].reason);
    assert_eq!(events.iter().count(), 0);
    let error = sync(&RunFolder::at(&left[0].folder).unwrap(), &settings(&server.url), &key()).unwrap_err();
    assert!(matches!(error, SyncError::KeyRefused(_)), "{error}");
}

#[test]
fn a_folder_of_the_official_client_is_sent_as_it_stands() {
    let Some(server) = PythonServer::start(&[]) else { return };
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/official-0.31.0.wandb");
    let place = tempfile::tempdir().unwrap();
    let folder = RunFolder {
        path: place.path().join("offline-run-20261122_204613-offi0001"),
        run_id: "offi0001".to_owned(),
    };
    fs::create_dir_all(folder.files()).unwrap();
    fs::copy(written, folder.journal()).unwrap();
    let done = synced(&folder, &server);
    let state = state(&server);
    let run = state["runs"].as_object().unwrap().values().next().unwrap();
    assert_eq!(run["history"].as_array().unwrap().len() as u64, done.rows);
    assert!(done.rows > 0 && run["history"][0]["_step"] == 0, "{run}");
    assert_eq!((&run["gaps"], &run["complete"]), (&json!([]), &json!(true)));
    assert_eq!(run["config"]["_wandb"]["value"]["t"]["5"], "0.31.0");
}

#[test]
fn rows_wait_for_no_artifact() {
    let options = ["--fail-first", "1000", "--match", "CreateArtifact"];
    let Some(server) = PythonServer::start(&options) else { return };
    let place = tempfile::tempdir().unwrap();
    let mut journal = journal(place.path(), "model");
    let uploader = uploader(&server);
    uploader.follow(journal.folder().clone(), journal.growth(), nobody());
    row(&mut journal, 0);
    let weights = place.path().join("weights.bin");
    fs::write(&weights, vec![7; 5000]).unwrap();
    let artifact = ArtifactFiles {
        name: "my-model".to_owned(),
        kind: "model".to_owned(),
        aliases: vec![],
        files: vec![("weights.bin".to_owned(), weights)],
        metadata: Map::new(),
    };
    journal.artifact(&artifact).unwrap();
    until("the artifact's trouble", || {
        uploader.progress()[0].trouble.as_ref().is_some_and(|trouble| trouble.contains("503"))
    });
    rows(&mut journal, 1..20);
    until_rows(&server, "model", 20);
    journal.finish(0, SystemTime::now()).unwrap();
    let left = uploader.finish(Duration::from_millis(300), &mut |_| ControlFlow::Continue(()));
    assert!(left[0].rows_left == 0 && left[0].reason.contains("CreateArtifact"), "{left:?}");
    // Later, in a folder of another name.
    let Some(server) = PythonServer::start(&[]) else { return };
    let done = synced(&RunFolder::at(&left[0].folder).unwrap(), &server);
    assert_eq!((done.rows, done.artifacts, done.losses), (20, 1, vec![]));
    assert_rows(&run(&server, "model"), 20);
}

//! Journals as others see them: read by a reader that is none of ours, written where the disk ends, left by a killed process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be had fails the test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use engine_tracking::figure::{Figure, FigureContent, ImageFile, Series};
use engine_tracking::metric::{MetricPoint, Metrics};
use engine_tracking::wandb::log::{Found, LogReader};
use engine_tracking::wandb::record::{Kind, Record};
use engine_tracking::wandb::run::{ArtifactFiles, RunHeader, RunJournal, Severity, Stream};
use engine_tracking::wandb::settings::Mode;
use serde_json::{Map, Value, json};

/// Set for the process that is to write until it can not.
const FILLED: &str = "ENGINE_TEST_JOURNAL_FILLED";

/// Where a test leaves its run for a look with other tools; a folder of its own if not set.
const KEPT: &str = "ENGINE_TEST_JOURNAL_KEPT";

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}

fn header(id: &str) -> RunHeader {
    RunHeader {
        id: id.into(),
        name: format!("run {id}"),
        entity: Some("my-team".into()),
        project: "my-proj".into(),
        group: Some("tune".into()),
        job_type: Some("cv".into()),
        tags: vec!["data".into()],
        notes: Some("notes".into()),
        config: object(json!({"lr": 0.1, "net": {"depth": 3}, "seeds": [1, 2]})),
        started: SystemTime::now(),
    }
}

fn point(step: u64, values: &[(&str, f64)]) -> MetricPoint {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    MetricPoint { epoch: (step / 10) as u32, step, values }
}

/// A reader written from the format's description alone, in the folder of shared tools; `None`, and said so, without it.
fn other_reader() -> Option<PathBuf> {
    let shared = std::env::var_os("ENGINE_SHARED")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let tool = shared.join("tools/wandb/wandb_offline_dump.py");
    if !tool.is_file() {
        std::io::stderr()
            .write_all(b"skipped: no other reader of journals; ENGINE_SHARED names its folder\n")
            .unwrap();
        return None;
    }
    Some(tool)
}

fn read(journal: &Path) -> Vec<Record> {
    let mut reader = LogReader::open(journal, 0).unwrap();
    let mut records = vec![];
    loop {
        match reader.next().unwrap() {
            Found::Record(record, _) => records.push(*record),
            Found::Damage { from, to } => panic!("damage from {from} to {to}"),
            Found::End => return records,
        }
    }
}

fn image(folder: &Path) -> ImageFile {
    let path = folder.join("sample.png");
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 4, 3);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[7; 36]).unwrap();
    ImageFile { path, width: 4, height: 3, caption: "sample".into() }
}

/// Writes a run with everything in it, ended, left and taken up again, and gives its folder.
fn whole_run(parent: &Path, id: &str) -> PathBuf {
    let began = SystemTime::now();
    let at = |secs| began + Duration::from_secs(secs);
    let mut journal = RunJournal::open(parent, &header(id), Mode::Offline).unwrap();
    for step in 0..200 {
        let loss = if step == 7 { f64::NAN } else { 1.0 / (step + 1) as f64 };
        journal.rows(&[point(step, &[("train/loss", loss), ("lr", 0.1)])], at(step)).unwrap();
        journal.printed(Stream::Err, &[format!("step {step}")], at(step)).unwrap();
    }
    journal.system(&Metrics::from([("cpu".into(), 12.5), ("gpu.0.temp".into(), 51.0)]), at(200)).unwrap();
    journal.finish(1, at(200)).unwrap();

    let mut journal = RunJournal::open(parent, &header(id), Mode::Offline).unwrap();
    let series = Series { name: "roof".into(), x: vec![0.0, 0.5, 1.0], y: vec![0.0, 0.8, 1.0] };
    let figures = [
        Figure {
            name: "val/sample".into(),
            epoch: 20,
            step: 200,
            content: FigureContent::Images(vec![image(parent)]),
        },
        Figure { name: "val/roc".into(), epoch: 20, step: 200, content: FigureContent::Roc(vec![series]) },
    ];
    journal.figures(&figures, at(201)).unwrap();
    let weights = parent.join("weights.bin");
    fs::write(&weights, vec![5; 100_000]).unwrap();
    let artifact = ArtifactFiles {
        name: format!("model-{id}"),
        kind: "model".into(),
        aliases: vec!["latest".into(), "best".into()],
        files: vec![("weights.bin".into(), weights.clone())],
        metadata: object(json!({"epoch": 20})),
    };
    journal.artifact(&artifact).unwrap();
    fs::remove_file(weights).unwrap();
    journal.alert("done", "training finished", Severity::Info).unwrap();
    journal.config(&object(json!({"added": true}))).unwrap();
    journal.summary(&object(json!({"best": {"score": 0.9}}))).unwrap();
    journal.rows(&[point(201, &[("train/loss", f64::NEG_INFINITY)])], at(202)).unwrap();
    let folder = journal.folder().path.clone();
    journal.finish(0, at(203)).unwrap();
    folder
}

#[test]
fn a_reader_that_is_none_of_ours_finds_every_record_of_a_run() {
    let scratch = tempfile::tempdir().unwrap();
    let parent = std::env::var_os(KEPT).map_or_else(|| scratch.path().join("wandb"), PathBuf::from);
    fs::create_dir_all(&parent).unwrap();
    let folder = whole_run(&parent, "whole");
    let ours = read(&folder.join("run-whole.wandb"));
    let Some(tool) = other_reader() else { return };
    let output = Command::new("python3").arg(tool).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert_eq!(theirs.lines().count(), ours.len());
    let rows = theirs.lines().filter(|line| line.contains("\"history\": {")).count();
    assert_eq!(rows, 203);
    assert_eq!(theirs.lines().filter(|line| line.contains("\"exit\": {")).count(), 1);
    assert!(theirs.contains("\"train/loss\": NaN") && theirs.contains("\"train/loss\": -Infinity"));
}

/// Written by the official client 0.31.0, offline: six rows, a definition, an alert.
#[test]
fn a_file_of_the_official_client_is_read_to_its_end() {
    let records = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/official-0.31.0.wandb"));
    let kinds = |wanted: fn(&Kind) -> bool| {
        records.iter().filter_map(|record| record.kind.as_ref()).filter(move |kind| wanted(kind))
    };
    assert!(records.iter().map(|record| record.num).eq(1..=records.len() as i64));
    assert!(matches!(records[0].kind, Some(Kind::Header(_))));
    assert!(matches!(records.last().unwrap().kind, Some(Kind::Exit(_))));
    let rows: Vec<_> = kinds(|kind| matches!(kind, Kind::History(_))).collect();
    assert_eq!(rows.len(), 6);
    let Kind::History(row) = rows[2] else { panic!("{:?}", rows[2]) };
    assert_eq!(row.step.as_ref().unwrap().num, 2);
    let value = |name: &[&str]| {
        let item = row.item.iter().find(|item| item.nested_key == name || name == [&*item.key]);
        item.unwrap().value_json.clone()
    };
    assert_eq!([value(&["bad"]), value(&["up"]), value(&["epoch"])], ["NaN", "Infinity", "2"]);
    assert_eq!(value(&["deep", "a", "b"]), "2");
    let Some(Kind::Run(run)) = kinds(|kind| matches!(kind, Kind::Run(_))).next() else { panic!("no run") };
    assert_eq!((&*run.run_id, &*run.project), ("official", "p"));
}

/// A write that the system cuts short in the middle, as a full disk does: whole records stay, the journal is closed, and the
/// next process goes on.
#[test]
fn where_the_disk_ends_whole_records_stay() {
    if let Some(parent) = std::env::var_os(FILLED) {
        return fill_until_refused(Path::new(&parent));
    }
    let scratch = tempfile::tempdir().unwrap();
    // 100 KiB (bash counts 1024 bytes, other shells 512); the limit's signal is ignored, so that the write fails instead.
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" --exact where_the_disk_ends_whole_records_stay";
    let mut child = Command::new("sh");
    child.args(["-c", script]).arg(std::env::current_exe().unwrap()).env(FILLED, scratch.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let journal = RunJournal::open(scratch.path(), &header("full"), Mode::Online).unwrap();
    let path = journal.folder().journal();
    let records = read(&path);
    assert!(records.len() > 10, "{} records", records.len());
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(*journal.growth().borrow(), length, "nothing torn was left to cut");
    // What was written by the child, less what the opening here left out: nothing.
    let told: u64 = fs::read_to_string(scratch.path().join("whole-bytes")).unwrap().parse().unwrap();
    assert_eq!(told, length);
}

fn fill_until_refused(parent: &Path) {
    let mut journal = RunJournal::open(parent, &header("full"), Mode::Online).unwrap();
    let growth = journal.growth();
    let path = journal.folder().journal();
    // Longer than what is left at some time, and no divisor of it.
    let line = "x".repeat(1777);
    let refused = (0..1000)
        .find_map(|_| journal.printed(Stream::Out, std::slice::from_ref(&line), SystemTime::now()).err());
    let refused = refused.unwrap().to_string();
    assert!(refused.contains(path.to_str().unwrap()) && refused.contains("free space"), "{refused}");
    assert!(journal.is_closed());
    let whole = *growth.borrow();
    assert_eq!(fs::metadata(&path).unwrap().len(), whole, "the torn record was cut off");
    fs::write(parent.join("whole-bytes"), whole.to_string()).unwrap();
}

/// Set for the process that is to be killed.
const KILLED: &str = "ENGINE_TEST_JOURNAL_KILLED";

/// JOURNAL-1: a row that was logged when the process was killed is there, and the run goes on behind it.
#[test]
fn a_killed_process_loses_no_row() {
    if let Some(parent) = std::env::var_os(KILLED) {
        return log_until_killed(Path::new(&parent));
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut rows = 0;
    for generation in 1..=3 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_killed_process_loses_no_row", "--nocapture"]).env(KILLED, scratch.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_row = |line: &str| line.strip_prefix("row ").map(|row| row.parse::<i64>().unwrap());
        let last = told.by_ref().map_while(Result::ok).filter_map(|line| is_row(&line)).nth(200);
        child.kill().unwrap();
        let last = told.map_while(Result::ok).filter_map(|line| is_row(&line)).last().or(last).unwrap();
        child.wait().unwrap();

        let journal = RunJournal::open(scratch.path(), &header("killed"), Mode::Online).unwrap();
        let steps: Vec<_> = read(&journal.folder().journal())
            .into_iter()
            .filter_map(|record| match record.kind {
                Some(Kind::History(row)) => Some(row.step.unwrap().num),
                _ => None,
            })
            .collect();
        assert!(steps.iter().copied().eq(0..steps.len() as i64), "rows are numbered on without gaps");
        assert!(
            steps.len() as i64 > last,
            "generation {generation} told of row {last}, {} are there",
            steps.len()
        );
        assert!(steps.len() > rows + 200);
        rows = steps.len();
    }
}

fn log_until_killed(parent: &Path) {
    let mut journal = RunJournal::open(parent, &header("killed"), Mode::Online).unwrap();
    let first = read(&journal.folder().journal())
        .iter()
        .filter(|record| matches!(record.kind, Some(Kind::History(_))))
        .count();
    // Bounded, should nobody be left to kill it.
    for row in (first as u64)..(first as u64 + 1_000_000) {
        journal.rows(&[point(row, &[("loss", 1.0 / (row + 1) as f64)])], SystemTime::now()).unwrap();
        if writeln!(std::io::stdout(), "row {row}").is_err() {
            return;
        }
    }
}

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::*;
use crate::figure::{Figure, FigureContent, Series};
use crate::metric::{MetricPoint, Metrics};
use crate::wandb::folder::RunFolder;
use crate::wandb::log::{Found, LogError, LogReader};
use crate::wandb::record::{Kind, Record};
use crate::wandb::settings::Mode;

/// 2026-11-22, 20:46:13 UTC.
const BEGAN: Duration = Duration::from_secs(1_795_380_373);

fn after(secs: f64) -> SystemTime {
    UNIX_EPOCH + BEGAN + Duration::from_secs_f64(secs)
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}

fn header() -> RunHeader {
    RunHeader {
        id: "k3v9x2ab".into(),
        name: "first".into(),
        entity: Some("team".into()),
        project: "project".into(),
        group: Some("tune".into()),
        job_type: Some("cv".into()),
        tags: vec!["data".into(), "cv".into()],
        notes: None,
        config: object(json!({"lr": 0.1, "net": {"depth": 3}})),
        started: after(0.0),
    }
}

fn point(epoch: u32, step: u64, values: &[(&str, f64)]) -> MetricPoint {
    MetricPoint { epoch, step, values: values.iter().map(|(name, value)| ((*name).into(), *value)).collect() }
}

fn open(parent: &TempDir) -> RunJournal {
    RunJournal::open(parent.path(), &header(), Mode::Online).unwrap()
}

fn read(folder: &RunFolder) -> Vec<Record> {
    let mut reader = LogReader::open(&folder.journal(), 0).unwrap();
    let mut records = vec![];
    loop {
        match reader.next().unwrap() {
            Found::Record(record, _) => records.push(*record),
            Found::Damage { from, to } => panic!("damage from {from} to {to}"),
            Found::End => return records,
        }
    }
}

/// A record in a few words.
fn word(record: &Record) -> String {
    match record.kind.as_ref() {
        None => "nothing".into(),
        Some(Kind::Header(_)) => "header".into(),
        Some(Kind::Run(_)) => "run".into(),
        Some(Kind::Environment(_)) => "environment".into(),
        Some(Kind::Telemetry(_)) => "telemetry".into(),
        Some(Kind::Metric(metric)) => format!("metric {} over {:?}", metric.name, metric.step_metric),
        Some(Kind::History(row)) => format!("row {}", row.step.as_ref().unwrap().num),
        Some(Kind::Summary(_)) => "summary".into(),
        Some(Kind::Config(_)) => "config".into(),
        Some(Kind::Stats(_)) => "stats".into(),
        Some(Kind::OutputRaw(output)) => format!("{} {:?}", output.output_type, output.line),
        Some(Kind::Alert(alert)) => format!("alert {}", alert.level),
        Some(Kind::Artifact(artifact)) => format!("artifact {}", artifact.name),
        Some(Kind::Files(files)) => format!("{} files", files.files.len()),
        Some(Kind::Exit(exit)) => format!("exit {} after {}", exit.exit_code, exit.runtime),
        Some(Kind::Preempting(_)) => "preempting".into(),
    }
}

fn words(folder: &RunFolder) -> Vec<String> {
    read(folder).iter().map(word).collect()
}

/// The items of a row, as `name=json`.
fn row(records: &[Record], wanted: i64) -> Vec<String> {
    let history = records.iter().find_map(|record| match &record.kind {
        Some(Kind::History(row)) if row.step.as_ref().unwrap().num == wanted => Some(row),
        _ => None,
    });
    history.unwrap().item.iter().map(|item| format!("{}={}", item.key, item.value_json)).collect()
}

/// What the records of the run leave in its summary, by outermost or nested name.
fn summary(records: &[Record]) -> std::collections::BTreeMap<String, String> {
    let updates = records.iter().filter_map(|record| match &record.kind {
        Some(Kind::Summary(items)) => Some(&items.update),
        _ => None,
    });
    let name = |item: &crate::wandb::record::Item| {
        if item.nested_key.is_empty() { item.key.clone() } else { item.nested_key.join(".") }
    };
    updates.flatten().map(|item| (name(item), item.value_json.clone())).collect()
}

#[test]
fn a_run_is_told_in_the_order_that_readers_need() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    let points = [
        point(0, 10, &[("loss", 0.5)]),
        point(0, 10, &[("loss", 0.25), ("val/acc", f64::NAN)]),
        point(0, 20, &[]),
        point(1, 20, &[("loss", f64::INFINITY)]),
    ];
    journal.rows(&points, after(1.5)).unwrap();
    journal.system(&Metrics::from([("cpu".into(), 12.5)]), after(2.0)).unwrap();
    journal.system(&Metrics::new(), after(2.0)).unwrap();
    journal.printed(Stream::Err, &["epoch 0".into(), "epoch 1\n".into()], after(2.0)).unwrap();
    journal.summary(&object(json!({"best": 0.9}))).unwrap();
    journal.config(&object(json!({"workers": 4}))).unwrap();
    journal.alert("stuck", "no progress", Severity::Warn).unwrap();
    journal.finish(0, after(3.25)).unwrap();

    let records = read(&folder);
    assert_eq!(
        records.iter().map(word).collect::<Vec<_>>(),
        [
            "header",
            "run",
            "environment",
            "telemetry",
            "metric trainer/global_step over \"\"",
            "metric epoch over \"trainer/global_step\"",
            "metric loss over \"trainer/global_step\"",
            "metric val/acc over \"trainer/global_step\"",
            "row 0",
            "row 1",
            "summary",
            "stats",
            "0 \"epoch 0\\n\"",
            "0 \"epoch 1\\n\"",
            "summary",
            "config",
            "alert WARN",
            "summary",
            "exit 0 after 3",
        ]
    );
    assert!(records.iter().map(|record| record.num).eq(1..=records.len() as i64));
    let place = ["epoch=0", "trainer/global_step=10", "_step=0", "_timestamp=1795380374.5", "_runtime=1.5"];
    assert_eq!(row(&records, 0), [&["loss=0.25", "val/acc=NaN"][..], &place].concat());
    let place = ["epoch=1", "trainer/global_step=20", "_step=1", "_timestamp=1795380374.5", "_runtime=1.5"];
    assert_eq!(row(&records, 1), [&["loss=Infinity"][..], &place].concat());
    let summary = summary(&records);
    let wanted =
        [("loss", "Infinity"), ("val/acc", "NaN"), ("_step", "1"), ("best", "0.9"), ("_wandb.runtime", "3")];
    assert!(wanted.iter().all(|(name, value)| summary[*name] == *value), "{summary:?}");
}

#[test]
fn the_run_record_holds_what_the_run_is_filed_under() {
    let parent = tempfile::tempdir().unwrap();
    let folder = open(&parent).folder().clone();
    let records = read(&folder);
    let Some(Kind::Run(run)) = &records[1].kind else { panic!("{:?}", records[1]) };
    assert_eq!(records[1].control.as_ref().unwrap().mailbox_slot, "run");
    let config = run.config.as_ref().unwrap().update.iter();
    let config: Vec<_> = config.map(|item| (item.key.as_str(), item.value_json.as_str())).collect();
    assert_eq!(config, [("lr", "0.1"), ("net", r#"{"depth":3}"#)]);
    let filed = [&run.run_id, &run.display_name, &run.entity, &run.project, &run.run_group, &run.job_type];
    assert_eq!(filed, ["k3v9x2ab", "first", "team", "project", "tune", "cv"]);
    assert_eq!(run.tags, ["data", "cv"]);
    assert_eq!(run.start_time.unwrap().seconds as u64, BEGAN.as_secs());
    assert!(!run.resumed && !run.host.is_empty());
    assert!(!run.telemetry.as_ref().unwrap().cli_version.is_empty());
}

/// The official client up to 0.19 ends at a record of a kind it does not know.
#[test]
fn the_environment_is_telemetry_to_readers_that_do_not_know_it() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Older {
        #[prost(int64, tag = "1")]
        num: i64,
        #[prost(message, optional, tag = "11")]
        telemetry: Option<crate::wandb::record::Telemetry>,
    }
    let environment = crate::wandb::record::Environment { host: "host".into(), ..Default::default() };
    let bytes = super::records::environment(3, environment.clone());
    let newer = <Record as prost::Message>::decode(&*bytes).unwrap();
    assert_eq!(newer, Record { num: 3, control: None, kind: Some(Kind::Environment(environment)) });
    let older = <Older as prost::Message>::decode(&*bytes).unwrap();
    assert_eq!((older.num, older.telemetry), (3, Some(super::records::telemetry())));
}

#[test]
fn the_folder_is_named_after_the_mode_and_the_beginning_of_the_run() {
    let parent = tempfile::tempdir().unwrap();
    let stamp = chrono::DateTime::<chrono::Local>::from(after(0.0)).format("%Y%m%d_%H%M%S");
    for (mode, prefix) in [(Mode::Online, "run"), (Mode::Offline, "offline-run")] {
        let journal = RunJournal::open(parent.path(), &header(), mode).unwrap();
        let folder = journal.folder().clone();
        drop(journal);
        let name = format!("{prefix}-{stamp}-k3v9x2ab");
        assert_eq!(folder.path, parent.path().join(&name));
        assert!(folder.files().is_dir());
        assert_eq!(fs::read_link(parent.path().join("latest-run")).unwrap(), Path::new(&name));
    }
    let names: Vec<_> =
        fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the folder was renamed, not made again: {names:?}");
}

#[test]
fn names_and_modes_that_can_not_be_kept_are_errors_and_leave_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let error = RunJournal::open(parent.path(), &header(), Mode::Disabled).unwrap_err();
    assert!(matches!(error, JournalError::Disabled));
    for id in ["", "a/b", "..", "a b", &"a".repeat(129)] {
        let header = RunHeader { id: id.into(), ..header() };
        let error = RunJournal::open(parent.path(), &header, Mode::Online).unwrap_err();
        assert!(matches!(error, JournalError::UnusableId { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_journal_that_broke_off_goes_on_with_its_next_row() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    journal.rows(&[point(0, 1, &[("loss", 1.0)]), point(0, 2, &[("loss", 0.5)])], after(10.0)).unwrap();
    drop(journal);
    // SIGKILL in the middle of a write.
    let whole = fs::read(folder.journal()).unwrap();
    fs::write(folder.journal(), [&whole[..], &[1, 2, 3, 4, 200, 0, 1, 9, 9]].concat()).unwrap();

    let config = object(json!({"lr": 0.2, "net": {"depth": 3}, "seed": 7}));
    let again = RunHeader { started: after(1000.0), config, ..header() };
    let mut journal = RunJournal::open(parent.path(), &again, Mode::Online).unwrap();
    assert_eq!(journal.folder(), &folder);
    journal.rows(&[point(0, 2, &[("loss", 0.5), ("lr-step", 1.0)])], after(1004.0)).unwrap();
    drop(journal);

    let records = read(&folder);
    assert!(fs::read(folder.journal()).unwrap().starts_with(&whole));
    let words: Vec<_> = records.iter().map(word).collect();
    assert_eq!(words[10..], ["config", "metric lr-step over \"trainer/global_step\"", "row 2", "summary"]);
    let Some(Kind::Config(config)) = &records[10].kind else { panic!("{:?}", records[10]) };
    let changed: Vec<_> = config.update.iter().map(|item| (&*item.key, &*item.value_json)).collect();
    assert_eq!(changed, [("lr", "0.2"), ("seed", "7")]);
    // Ten seconds before the break, four after the pause.
    assert!(row(&records, 2).contains(&"_runtime=14.0".to_owned()), "{:?}", row(&records, 2));
    assert!(records.iter().map(|record| record.num).eq(1..=records.len() as i64));
}

#[test]
fn a_finished_journal_that_goes_on_has_one_end_at_its_end() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    journal.rows(&[point(0, 1, &[("loss", 1.0)])], after(1.0)).unwrap();
    journal.finish(1, after(2.0)).unwrap();
    fs::write(folder.synced(), "").unwrap();
    let sent = fs::metadata(folder.journal()).unwrap().len();

    let mut journal = open(&parent);
    assert!(!folder.synced().exists());
    assert_eq!(*journal.growth().borrow(), sent);
    journal.rows(&[point(0, 2, &[("loss", 0.5)])], after(9.0)).unwrap();
    journal.finish(0, after(12.0)).unwrap();
    let words = words(&folder);
    let ends: Vec<_> = words.iter().filter(|word| word.starts_with("exit")).collect();
    assert_eq!(ends, ["exit 0 after 12"]);
    assert_eq!(words[words.len() - 5..words.len() - 3], ["nothing", "row 1"]);
    // Whoever had sent the first part goes on behind it.
    let mut reader = LogReader::open(&folder.journal(), sent).unwrap();
    let Found::Record(next, _) = reader.next().unwrap() else { panic!("nothing behind the first part") };
    assert_eq!(word(&next), "row 1");
}

#[test]
fn an_end_that_lies_over_two_blocks_is_taken_back_too() {
    for filler in (0..40).map(|spare| 32_768 - 60 - spare) {
        let parent = tempfile::tempdir().unwrap();
        let mut journal = open(&parent);
        let folder = journal.folder().clone();
        let there = *journal.growth().borrow() as usize;
        journal.printed(Stream::Out, &["x".repeat(filler - there - 40)], after(1.0)).unwrap();
        journal.finish(0, after(2.0)).unwrap();
        let before = fs::metadata(folder.journal()).unwrap().len();
        drop(open(&parent));
        assert_eq!(fs::metadata(folder.journal()).unwrap().len(), before);
        assert_eq!(words(&folder).last().unwrap(), "nothing");
    }
}

#[test]
fn damage_costs_what_lies_in_its_block_and_the_run_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    let growth = journal.growth();
    journal.rows(&[point(0, 1, &[("loss", 1.0)])], after(1.0)).unwrap();
    let at = *growth.borrow() as usize;
    journal.rows(&[point(0, 2, &[("loss", 0.5)])], after(2.0)).unwrap();
    drop(journal);
    let mut bytes = fs::read(folder.journal()).unwrap();
    bytes[at + 20] ^= 1;
    fs::write(folder.journal(), &bytes).unwrap();

    let mut journal = open(&parent);
    journal.rows(&[point(0, 3, &[("loss", 0.25)])], after(3.0)).unwrap();
    journal.finish(0, after(4.0)).unwrap();
    let mut reader = LogReader::open(&folder.journal(), 0).unwrap();
    let mut found = vec![];
    loop {
        match reader.next().unwrap() {
            Found::Record(record, _) => found.push(word(&record)),
            Found::Damage { .. } => found.push("damage".into()),
            Found::End => break,
        }
    }
    assert_eq!(found[8..], ["summary", "damage", "row 1", "summary", "summary", "exit 0 after 4"]);
    assert_eq!(fs::read(folder.journal()).unwrap()[..bytes.len()], bytes, "nothing is removed");
}

#[test]
fn a_journal_of_another_run_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let journal = open(&parent);
    let folder = journal.folder().clone();
    drop(journal);
    let other = RunHeader { id: "other".into(), ..header() };
    let stolen = RunJournal::open(parent.path(), &other, Mode::Online).unwrap().folder().clone();
    fs::copy(folder.journal(), stolen.journal()).unwrap();
    let error = RunJournal::open(parent.path(), &other, Mode::Online).unwrap_err();
    assert!(matches!(error, JournalError::OtherRun { .. }), "{error}");
    assert_eq!(fs::read(folder.journal()).unwrap(), fs::read(stolen.journal()).unwrap());
}

#[test]
fn a_second_journal_of_a_run_is_refused_while_the_first_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let first = open(&parent);
    let error = RunJournal::open(parent.path(), &header(), Mode::Online).unwrap_err();
    assert!(matches!(error, JournalError::Log(LogError::InUse { .. })), "{error}");
    drop(first);
    open(&parent);
}

#[test]
fn growth_is_the_length_of_the_file_and_ends_with_the_journal() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    let mut growth = journal.growth();
    let length = || fs::metadata(folder.journal()).unwrap().len();
    assert_eq!(*growth.borrow_and_update(), length());
    journal.alert("a", "b", Severity::Info).unwrap();
    assert!(growth.has_changed().unwrap());
    assert_eq!(*growth.borrow_and_update(), length());
    journal.finish(0, after(1.0)).unwrap();
    assert_eq!(*growth.borrow(), length());
    assert!(growth.has_changed().is_err(), "closed");
}

#[test]
fn a_full_disk_ends_the_journal_and_keeps_what_was_whole() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    journal.rows(&[point(0, 1, &[("loss", 1.0)])], after(1.0)).unwrap();
    let whole = fs::read(folder.journal()).unwrap();
    journal.break_for_test();
    let error = journal.rows(&[point(0, 2, &[("loss", 0.5)])], after(2.0)).unwrap_err();
    assert!(error.to_string().contains(&folder.journal().display().to_string()), "{error}");
    assert!(journal.is_closed());
    assert!(journal.alert("a", "b", Severity::Info).is_err());
    assert!(journal.artifact(&artifact(vec![])).is_err());
    assert!(journal.finish(0, after(3.0)).is_err());
    assert_eq!(fs::read(folder.journal()).unwrap(), whole);
    // With room again, the next part of the run goes on.
    let mut journal = open(&parent);
    journal.rows(&[point(0, 2, &[("loss", 0.5)])], after(4.0)).unwrap();
    assert!(words(&folder).contains(&"row 1".to_owned()));
}

#[test]
fn values_under_names_of_the_row_itself_are_left_out() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    journal.rows(&[point(3, 9, &[("_step", 77.0), ("epoch", 0.5), ("loss", 1.0)])], after(1.0)).unwrap();
    let row = row(&read(&folder), 0);
    assert_eq!(row[..4], ["loss=1.0", "epoch=3", "trainer/global_step=9", "_step=0"]);
    assert_eq!(row.len(), 6);
}

#[test]
fn runtime_never_goes_back_when_the_clock_does() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    for secs in [5.0, 2.0] {
        journal.rows(&[point(0, 1, &[("loss", 1.0)])], after(secs)).unwrap();
    }
    let records = read(&folder);
    assert!(row(&records, 0).contains(&"_runtime=5.0".to_owned()));
    assert!(row(&records, 1).contains(&"_runtime=5.0".to_owned()));
}

fn roc() -> Figure {
    let series = Series { name: "class 1".into(), x: vec![0.0, 0.5, 1.0], y: vec![0.0, 0.75, 1.0] };
    Figure { name: "val/roc".into(), epoch: 0, step: 30, content: FigureContent::Roc(vec![series]) }
}

#[test]
fn a_chart_is_a_row_of_its_own_and_its_panel_is_told_once() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    journal.rows(&[point(0, 30, &[("loss", 1.0)])], after(1.0)).unwrap();
    journal.figures(&[roc()], after(1.0)).unwrap();
    drop(journal);
    let mut journal = open(&parent);
    journal.figures(&[roc()], after(2.0)).unwrap();
    let records = read(&folder);
    let words: Vec<_> = records.iter().map(word).collect();
    let count = |wanted: &str| words.iter().filter(|word| word.starts_with(wanted)).count();
    assert_eq!((count("row"), count("config"), count("1 files")), (3, 1, 2), "{words:?}");
    let artifacts = records.iter().filter_map(|record| match &record.kind {
        Some(Kind::Artifact(artifact)) => Some((&*artifact.run_id, &*artifact.entity, &*artifact.project)),
        _ => None,
    });
    assert_eq!(artifacts.collect::<Vec<_>>(), [("k3v9x2ab", "team", "project"); 2]);
    let panel = records.iter().find_map(|record| match &record.kind {
        Some(Kind::Config(config)) => Some(&config.update[0].nested_key),
        _ => None,
    });
    assert_eq!(panel.unwrap()[..2], ["_wandb", "visualize"]);
    assert!(row(&records, 2).contains(&"trainer/global_step=30".to_owned()));
}

#[test]
fn a_figure_that_can_not_be_kept_keeps_no_other_from_it() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    let content = FigureContent::ConfusionMatrix { classes: vec!["a".into()], counts: vec![] };
    let error = journal.figures(&[Figure { content, ..roc() }, roc()], after(1.0)).unwrap_err();
    assert!(matches!(error, JournalError::Figure(_)), "{error}");
    assert!(!journal.is_closed());
    assert!(words(&folder).contains(&"row 0".to_owned()));
}

#[test]
fn a_folder_that_takes_no_figure_closes_the_journal_with_one_error() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    // A file in the place of the folder, which not even the superuser can write to.
    std::fs::write(folder.files().join("media"), b"").unwrap();
    let error = journal.figures(&[roc(), roc()], after(1.0)).unwrap_err();
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(journal.is_closed());
    assert!(journal.rows(&[], after(2.0)).is_ok() && journal.figures(&[roc()], after(2.0)).is_err());
}

fn artifact(files: Vec<(String, PathBuf)>) -> ArtifactFiles {
    ArtifactFiles {
        name: "model-k3v9x2ab".into(),
        kind: "model".into(),
        aliases: vec!["latest".into(), "best".into()],
        files,
        metadata: object(json!({"epoch": 3})),
    }
}

fn artifacts(folder: &RunFolder) -> Vec<crate::wandb::record::Artifact> {
    let artifact = |record: Record| match record.kind {
        Some(Kind::Artifact(artifact)) => Some(artifact),
        _ => None,
    };
    read(folder).into_iter().filter_map(artifact).collect()
}

#[test]
fn an_artifact_outlives_its_files_and_a_new_name_of_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let weights = parent.path().join("weights.bin");
    let notes = parent.path().join("notes.txt");
    fs::write(&weights, "hello\n").unwrap();
    fs::write(&notes, "").unwrap();
    let files = vec![("weights.bin".to_owned(), weights.clone()), ("more/notes.txt".to_owned(), notes)];
    journal.artifact(&artifact(files.clone())).unwrap();
    drop(journal);
    // A later version, put in place as every file of ours is.
    fs::write(parent.path().join("aside"), "other weights").unwrap();
    fs::rename(parent.path().join("aside"), &weights).unwrap();
    let mut journal = RunJournal::open(parent.path(), &header(), Mode::Offline).unwrap();
    journal.artifact(&artifact(files)).unwrap();
    fs::remove_file(&weights).unwrap();

    let kept = artifacts(journal.folder());
    let manifest = kept[0].manifest.as_ref().unwrap();
    let entries: Vec<_> =
        manifest.contents.iter().map(|entry| (&*entry.path, &*entry.digest, entry.size)).collect();
    let (empty, hello) = ("1B2M2Y8AsgTpgAmY7PhCfg==", "sZRqySSS0jR8YjW00mERhA==");
    assert_eq!(entries, [("more/notes.txt", empty, 0), ("weights.bin", hello, 6)]);
    let listed = format!("wandb-artifact-manifest-v1\nmore/notes.txt:{empty}\nweights.bin:{hello}\n");
    let digest = <md5::Md5 as md5::Digest>::digest(listed.as_bytes());
    assert_eq!(kept[0].digest, digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    for (version, content) in [(&kept[0], "hello\n"), (&kept[1], "other weights")] {
        let entry = &version.manifest.as_ref().unwrap().contents[1];
        assert_eq!(fs::read_to_string(&entry.local_path).unwrap(), content);
        assert!(!Path::new(&entry.local_path).starts_with(journal.folder().files()));
        assert!(entry.skip_cache && version.finalize && version.user_created);
    }
    assert_eq!(kept[0].sequence_client_id, kept[1].sequence_client_id, "versions of one artifact");
    assert_ne!(kept[0].client_id, kept[1].client_id);
    assert!(
        kept.iter().all(|version| version.client_id.len() == 128 && version.sequence_client_id.len() == 128)
    );
    assert_eq!(kept[0].metadata, r#"{"epoch":3}"#);
}

#[test]
fn an_artifact_that_can_not_be_kept_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let there = parent.path().join("there");
    fs::write(&there, "x").unwrap();
    let with = |files: &[(&str, &Path)]| {
        artifact(files.iter().map(|(entry, file)| ((*entry).to_owned(), (*file).to_owned())).collect())
    };
    let gone = parent.path().join("gone");
    let error = journal.artifact(&with(&[("a", &there), ("b", &gone)])).unwrap_err();
    assert!(matches!(&error, JournalError::ArtifactFile { path, .. } if *path == gone), "{error}");
    for entry in ["../out", "/abs", "", "a/../b"] {
        let error = journal.artifact(&with(&[(entry, &there)])).unwrap_err();
        assert!(matches!(error, JournalError::ArtifactEntry { .. }), "{entry}: {error}");
    }
    let error = journal.artifact(&with(&[("a", &there), ("a", &there)])).unwrap_err();
    assert!(matches!(error, JournalError::ArtifactEntry { .. }), "{error}");
    let error = journal.artifact(&ArtifactFiles { name: "a/b".into(), ..with(&[]) }).unwrap_err();
    assert!(matches!(error, JournalError::ArtifactName { .. }), "{error}");
    assert_eq!(artifacts(journal.folder()), []);
    assert_eq!(fs::read_dir(journal.folder().artifacts()).unwrap().count(), 0);
}

#[test]
fn a_row_longer_than_the_protocol_takes_is_journalled_whole() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    journal.summary(&object(json!({"long": "x".repeat(11 * 1024 * 1024)}))).unwrap();
    drop(journal);
    assert_eq!(summary(&read(&folder))["long"].len(), 11 * 1024 * 1024 + 2);
}

/// What a test does with a journal.
#[derive(Debug, Clone)]
enum Deed {
    Rows(Vec<(u32, u64, u8)>),
    Print,
    Sample,
    Chart,
    Reopen,
    Finish,
    Cut(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let rows = prop::collection::vec((0_u32..3, 0_u64..5, 0_u8..12), 0..6);
    let deed = prop_oneof![
        6 => rows.prop_map(Deed::Rows),
        2 => Just(Deed::Print),
        1 => Just(Deed::Sample),
        1 => Just(Deed::Chart),
        1 => Just(Deed::Reopen),
        1 => Just(Deed::Finish),
        1 => (1_u64..60).prop_map(Deed::Cut),
    ];
    prop::collection::vec(deed, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// JOURNAL-2 and JOURNAL-3, also where the process was killed in the middle of a record.
    #[test]
    fn what_is_read_back_is_what_was_known(deeds in deeds()) {
        let parent = tempfile::tempdir().unwrap();
        let mut journal = open(&parent);
        let folder = journal.folder().clone();
        for (deed, secs) in deeds.iter().zip(1..) {
            let at = after(f64::from(secs));
            match deed {
                Deed::Rows(rows) => {
                    let points: Vec<_> = rows
                        .iter()
                        .map(|(epoch, step, name)| point(*epoch, *step, &[(&format!("m{name}"), f64::from(*name))]))
                        .collect();
                    journal.rows(&points, at).unwrap();
                }
                Deed::Print => journal.printed(Stream::Out, &["line".into()], at).unwrap(),
                Deed::Sample => journal.system(&Metrics::from([("cpu".into(), 1.0)]), at).unwrap(),
                Deed::Chart => journal.figures(&[roc()], at).unwrap(),
                Deed::Reopen => { drop(journal); journal = open(&parent); }
                Deed::Finish => { journal.finish(0, at).unwrap(); journal = open(&parent); }
                Deed::Cut(bytes) => {
                    drop(journal);
                    let file = OpenOptions::new().write(true).open(folder.journal()).unwrap();
                    let length = file.metadata().unwrap().len();
                    file.set_len(length - bytes).unwrap();
                    journal = open(&parent);
                }
            }
            prop_assert_eq!(&journal.state_for_test(), &super::restore::restore(&folder.journal()).unwrap().state);
        }
        drop(journal);
        let records = read(&folder);
        let rows = records.iter().filter_map(|record| match &record.kind {
            Some(Kind::History(row)) => Some(row.step.as_ref().unwrap().num),
            _ => None,
        });
        prop_assert!(rows.enumerate().all(|(index, step)| index as i64 == step));
        prop_assert!(records.iter().map(|record| record.num).eq(1..=records.len() as i64));
    }
}

/// A journal of this run in which the official client wrote its end, with fields that are not ours.
#[test]
fn an_end_that_is_not_ours_is_left_byte_for_byte() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    let folder = journal.folder().clone();
    // Record { num: 5, exit: Exit { exit_code: 1, not_complete: true } }
    journal.append_for_test(&[0x08, 5, 0x92, 0x01, 4, 0x08, 1, 0x18, 1]);
    drop(journal);
    let before = fs::read(folder.journal()).unwrap();
    assert_eq!(words(&folder).last().unwrap(), "exit 1 after 0");
    let mut journal = open(&parent);
    journal.alert("a", "b", Severity::Info).unwrap();
    assert!(fs::read(folder.journal()).unwrap().starts_with(&before));
    assert_eq!(words(&folder)[4..], ["exit 1 after 0", "alert INFO"]);
}

fn lines(name: &str, epoch: u32, step: u64) -> Figure {
    let series = vec![Series { name: "one".into(), x: vec![0.0, 1.0], y: vec![0.0, 1.0] }];
    Figure { name: name.into(), epoch, step, content: FigureContent::Lines { x_name: "x".into(), series } }
}

/// Steps of an epoch, its end, a chart of it; then a test of the weights of the end.
fn course(journal: &mut RunJournal, from: usize, to: usize) {
    let acts: [&dyn Fn(&mut RunJournal); 7] = [
        &|journal| journal.rows(&[point(0, 1, &[("loss", 0.5)])], after(1.0)).unwrap(),
        &|journal| journal.rows(&[point(0, 2, &[("loss", 0.25), ("val/acc", 0.5)])], after(2.0)).unwrap(),
        &|journal| journal.figures(&[lines("val/roc", 0, 2)], after(2.0)).unwrap(),
        &|journal| journal.rows(&[point(1, 3, &[("loss", 0.125)])], after(3.0)).unwrap(),
        &|journal| {
            let points = [point(1, 4, &[("loss", 0.1)]), point(1, 4, &[("val/acc", f64::NAN)])];
            journal.rows(&points, after(4.0)).unwrap();
        },
        &|journal| journal.figures(&[lines("val/roc", 1, 4)], after(4.0)).unwrap(),
        &|journal| journal.rows(&[point(0, 2, &[("test/acc", 0.4)])], after(5.0)).unwrap(),
    ];
    acts[from..to].iter().for_each(|act| act(journal));
}

/// Values by place and name, each as often as it stands there.
fn values_of(folder: &RunFolder) -> Vec<String> {
    let mut found = Vec::new();
    for record in read(folder) {
        let Some(Kind::History(row)) = &record.kind else { continue };
        let text = |name: &str| row.item.iter().find(|item| item.key == name).unwrap().value_json.clone();
        let place = format!("{} {}", text("epoch"), text("trainer/global_step"));
        let own = row.item.iter().filter(|item| !super::records::TAKEN_NAMES.contains(&item.key.as_str()));
        found.extend(own.map(|item| {
            let value = if item.key.ends_with("_table") { "a table" } else { &item.value_json };
            format!("{place} {}={value}", item.key)
        }));
    }
    found.sort();
    found
}

#[test]
fn journal_5_a_run_that_goes_on_writes_nothing_twice_and_leaves_nothing_out() {
    let undisturbed = tempfile::tempdir().unwrap();
    let mut journal = open(&undisturbed);
    course(&mut journal, 0, 7);
    let expected = values_of(journal.folder());
    assert_eq!(expected.len(), 9, "{expected:?}");
    let place = |epoch, step| Some(crate::metric::RunPlace { epoch, step });
    // A checkpoint before anything, after the first step, after the first epoch with and without its figure told, at the end.
    for (from, again) in [(None, 0), (place(0, 2), 1), (place(1, 3), 2), (place(2, 5), 5), (place(2, 5), 6)] {
        for done in again..=7 {
            for reopens in [true, false] {
                let parent = tempfile::tempdir().unwrap();
                let mut journal = open(&parent);
                course(&mut journal, 0, done);
                if reopens {
                    drop(journal);
                    journal = open(&parent);
                }
                journal.go_on_from(from).unwrap();
                course(&mut journal, again, 7);
                let found = values_of(journal.folder());
                assert_eq!(found, expected, "{done} done, {from:?}, reopened: {reopens}");
                let records = read(journal.folder());
                assert_eq!(summary(&records)["test/acc"], "0.4");
                assert_eq!(summary(&records)["loss"], "0.1");
            }
        }
    }
}

#[test]
fn of_a_place_whose_values_came_in_part_the_rest_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let mut journal = open(&parent);
    journal.rows(&[point(0, 2, &[("loss", 0.25)])], after(1.0)).unwrap();
    drop(journal);
    let mut journal = open(&parent);
    journal.go_on_from(Some(crate::metric::RunPlace { epoch: 0, step: 2 })).unwrap();
    journal.rows(&[point(0, 2, &[("loss", 0.25), ("val/acc", 0.5)])], after(2.0)).unwrap();
    assert_eq!(values_of(journal.folder()), ["0 2 loss=0.25", "0 2 val/acc=0.5"]);
}

#[test]
fn a_past_is_read_without_touching_it() {
    let parent = tempfile::tempdir().unwrap();
    assert_eq!(Past::read(parent.path(), "k3v9x2ab", &["loss"]).unwrap(), None);
    let mut journal = open(&parent);
    course(&mut journal, 0, 5);
    let path = journal.folder().journal();
    let wanted = Past { has_ended: false, rows: vec![vec![0.5], vec![0.25], vec![0.125], vec![0.1]] };
    assert_eq!(Past::read(parent.path(), "k3v9x2ab", &["loss"]).unwrap(), Some(wanted));
    journal.finish(0, after(6.0)).unwrap();
    let before = fs::read(&path).unwrap();
    let past = Past::read(parent.path(), "k3v9x2ab", &["val/acc", "loss"]).unwrap().unwrap();
    assert!(past.has_ended);
    assert_eq!(past.rows.first(), Some(&vec![0.5, 0.25]));
    assert_eq!(fs::read(&path).unwrap(), before);
}

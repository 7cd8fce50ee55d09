//! Every writer alone, on a disk that is full and on one that nobody may write to: what it says, and that nothing written
//! before is damaged.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be had fails the test")]

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use engine::artifacts::{ArtifactError, ArtifactLayout};
use engine::data::{SynthConfig, synthesise};
use engine::models::NamedTensor;
use engine::training::checkpoint::{Checkpoint, CheckpointError, Checkpoints, DataOrder, LAST, State};
use engine::training::encode_tensors;
use engine_tests::cli::Workplace;
use engine_tests::disk::{SmallDisk, names};
use engine_tests::ground::state;
use engine_tests::wandb::{journal, points};
use engine_tracking::atomic::{self, Durability};
use engine_tracking::csv::MetricsCsv;
use engine_tracking::events::EventLog;
use engine_tracking::run_info::{CvScore, RunInfo, TuneTable, read_run_infos, write_cv};
use engine_tracking::tensorboard::EventFile;
use engine_tracking::wandb::run::RunJournal;
use engine_tracking::wandb::settings::Mode;
use engine_tracking::{MetricPoint, hparams};
use serde_json::{Map, Value, json};

/// Room for a few pages.
const SMALL: &str = "256k";
/// More writes than a small disk takes.
const MANY: u64 = 100_000;

fn disk(place: &Workplace, size: &str) -> Option<SmallDisk> {
    SmallDisk::mount(&place.path("disk"), size)
}

/// That an error says where and what to do, and that the system's word is not lost.
fn assert_tells(error: &(dyn Error + 'static), path: &Path, remedy: &str, kind: ErrorKind) {
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains(remedy), "{text}");
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    let mut kinds = Vec::new();
    while let Some(error) = source {
        kinds.extend(error.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
        source = error.source();
    }
    assert!(kinds.contains(&kind), "{kind:?} is not among {kinds:?} of {error:?}");
}

fn point(step: u64) -> MetricPoint {
    // Long rows, so that few fit a page.
    let values = (0..16).map(|column| (format!("metric/{column:02}"), 1.0 / (step + column + 3) as f64));
    MetricPoint { epoch: 0, step, values: values.collect() }
}

/// Writes until the disk refuses; how many writes were taken, and the refusal.
fn until_refused<E>(mut write: impl FnMut(u64) -> Result<(), E>) -> (u64, E) {
    for number in 0..MANY {
        if let Err(error) = write(number) {
            return (number, error);
        }
    }
    panic!("the disk is not full after {MANY} writes")
}

#[test]
fn metrics_csv_keeps_whole_rows_and_takes_further_ones_once_there_is_space() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let path = disk.path().join("metrics.csv");
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[point(0)]).unwrap();
    disk.fill_but(2);
    let (taken, error) = until_refused(|number| csv.append(&[point(number + 1)]));
    assert!(taken > 0);
    assert_tells(&error, &path, "check the free space of the disk", ErrorKind::StorageFull);
    let whole = fs::read_to_string(&path).unwrap();
    let rows: Vec<&str> = whole.lines().skip(1).collect();
    assert!(whole.ends_with('\n') && rows.len() as u64 == taken + 1);
    assert!(rows.iter().all(|row| row.split(',').count() == 18), "{rows:?}");
    // A column more needs the file a second time.
    let wider = MetricPoint { epoch: 1, step: MANY, values: [("further".to_owned(), 1.0)].into() };
    let error = csv.append(std::slice::from_ref(&wider)).unwrap_err();
    assert!(error.to_string().contains("free space"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    assert_eq!(names(&disk.path()), ["metrics.csv"], "nothing is left aside");
    disk.give_space_back();
    csv.append(&[wider]).unwrap();
    csv.append(&[point(MANY + 1)]).unwrap();
    csv.close().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|row| row.split(',').count() == 19));
    assert_eq!(text.lines().count() as u64, 1 + taken + 1 + 2);
}

#[test]
fn events_jsonl_keeps_whole_lines_and_takes_further_ones_once_there_is_space() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let path = disk.path().join("events.jsonl");
    let mut log = EventLog::open(&path).unwrap();
    disk.fill_but(2);
    let (taken, error) = until_refused(|number| {
        log.append(&json!({"event": "run-warned", "number": number, "text": "x".repeat(300)}))
    });
    assert_tells(&error, &path, "check the free space of the disk", ErrorKind::StorageFull);
    disk.give_space_back();
    log.append(&json!({"event": "run-finished", "number": taken})).unwrap();
    log.close().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for (number, line) in text.lines().enumerate() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["number"], number as u64);
    }
    assert_eq!(text.lines().count() as u64, taken + 1);
}

fn runs(count: u32) -> Vec<RunInfo> {
    let run = |fold| RunInfo {
        run_name: format!("c-run-f{fold}s42"),
        run_id: format!("{fold:08}"),
        fold,
        seed: 42,
        duration_secs: 1.5,
        metrics: point(u64::from(fold)).values,
        checkpoint: Some(format!("out/c/c-run-f{fold}s42-{fold:08}/checkpoints/last")),
        is_unstable: Some(false),
        status: "complete".to_owned(),
        failure: None,
        attempts: 1,
        device: Some("cpu:0".to_owned()),
        peak_memory_bytes: Some(1 << 30),
        peak_device_memory_bytes: None,
    };
    (0..count).map(run).collect()
}

#[test]
fn tables_stay_as_they_were_and_grow_once_there_is_space() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let (cv, tune) = (disk.path().join("run_infos.parquet"), disk.path().join("t.parquet"));
    let score = CvScore { score: Some(0.5), score_is_unstable: false };
    let mut table = TuneTable::new(tune.clone());
    write_cv(&cv, &runs(2), None).unwrap();
    table.append_cv("t-cv0", &Map::new(), &runs(2), score).unwrap();
    let before = (fs::read(&cv).unwrap(), fs::read(&tune).unwrap());
    disk.fill_but(1);
    let error = write_cv(&cv, &runs(500), None).unwrap_err();
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(error.to_string().contains("run_infos.parquet"), "{error}");
    let error = table.append_cv("t-cv1", &Map::new(), &runs(500), score).unwrap_err();
    assert!(error.to_string().contains("free space") && error.to_string().contains("t.parquet"), "{error}");
    assert!((fs::read(&cv).unwrap(), fs::read(&tune).unwrap()) == before, "a table was touched");
    assert_eq!((read_run_infos(&cv).unwrap().len(), read_run_infos(&tune).unwrap().len()), (2, 2));
    assert_eq!(names(&disk.path()), ["run_infos.parquet", "t.parquet"], "nothing is left aside");
    disk.give_space_back();
    write_cv(&cv, &runs(500), None).unwrap();
    table.append_cv("t-cv1", &Map::new(), &runs(500), score).unwrap();
    assert_eq!((read_run_infos(&cv).unwrap().len(), read_run_infos(&tune).unwrap().len()), (500, 502));
}

#[test]
fn settings_and_figures_that_find_no_space_leave_those_before() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let (settings, figure) = (disk.path().join("hparams.yaml"), disk.path().join("val_curves.json"));
    let write = |path: &Path, length: usize| {
        let values = json!({"text": "x".repeat(length)});
        hparams::write(path, values.as_object().unwrap(), &json!({}))
    };
    let draw = |path: &Path, length: usize| {
        let fill = |file: &mut fs::File| std::io::Write::write_all(file, &vec![b'y'; length]);
        atomic::put(path, Durability::Unsynced, fill)
    };
    write(&settings, 10).unwrap();
    draw(&figure, 10).unwrap();
    let before = (fs::read(&settings).unwrap(), fs::read(&figure).unwrap());
    disk.fill_but(1);
    assert_tells(&write(&settings, 9000).unwrap_err(), &settings, "free space", ErrorKind::StorageFull);
    assert_tells(&draw(&figure, 9000).unwrap_err(), &figure, "free space", ErrorKind::StorageFull);
    assert_eq!((fs::read(&settings).unwrap(), fs::read(&figure).unwrap()), before);
    assert_eq!(names(&disk.path()), ["hparams.yaml", "val_curves.json"]);
}

/// Ends of the records of an event file: eight bytes of length and four of its checksum, the content, four of checksum.
fn records(bytes: &[u8]) -> Vec<usize> {
    let (mut ends, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        at += 8 + 4 + usize::try_from(length).unwrap() + 4;
        assert!(at <= bytes.len(), "the last record is torn");
        ends.push(at);
    }
    ends
}

#[test]
fn event_files_of_tensorboard_keep_whole_records() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let mut file = EventFile::create(&disk.path().join("tensorboard"), SystemTime::now()).unwrap();
    let path = file.path().to_owned();
    disk.fill_but(2);
    let (taken, error) = until_refused(|number| file.points(&[point(number)], SystemTime::now()));
    assert_tells(&error, &path, "check the free space of the disk", ErrorKind::StorageFull);
    assert_eq!(records(&fs::read(&path).unwrap()).len() as u64, 1 + taken);
    disk.give_space_back();
    file.points(&[point(MANY)], SystemTime::now()).unwrap();
    file.close("complete", SystemTime::now()).unwrap();
    assert!(records(&fs::read(&path).unwrap()).len() as u64 > 1 + taken);
}

#[test]
fn the_journal_of_w_and_b_keeps_whole_records_and_goes_on_when_opened_again() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let open = || RunJournal::open(&disk.path().join("wandb"), &points::header("full"), Mode::Offline);
    let mut log = open().unwrap();
    let path = log.folder().journal();
    disk.fill_but(4);
    let (taken, error) = until_refused(|number| log.rows(&[point(number)], SystemTime::now()));
    assert_tells(&error, &path, "check the free space of the disk", ErrorKind::StorageFull);
    log.rows(&[point(MANY)], SystemTime::now()).unwrap_err();
    drop(log);
    let left = journal::read(&path);
    assert_eq!(left.damage, []);
    assert!(left.rows.len() as u64 >= taken, "{} rows of {taken}", left.rows.len());
    disk.give_space_back();
    let mut log = open().unwrap();
    log.rows(&[point(MANY)], SystemTime::now()).unwrap();
    log.finish(0, SystemTime::now()).unwrap();
    let whole = journal::read(&path);
    assert_eq!((whole.damage.len(), whole.rows.len()), (0, left.rows.len() + 1));
}

fn checkpoint(epoch: u32) -> Checkpoint {
    let tensor = |name: &str| NamedTensor { name: name.into(), shape: vec![4096], values: vec![0.5; 4096] };
    let state = State {
        epoch,
        step: u64::from(epoch),
        data_order: DataOrder { seed: 42, next_epoch: epoch + 1, batches_done: 0 },
        optimizer_steps: [("weight".to_owned(), 1)].into(),
        monitored: None,
        metrics: [("val/loss".to_owned(), f64::INFINITY)].into(),
        ..state()
    };
    let weights = encode_tensors(&[tensor("weight")]).unwrap();
    Checkpoint { weights, optimizer_tensors: vec![tensor("weight.exp_avg")], state }
}

#[test]
fn checkpoints_that_find_no_space_leave_those_before() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let dir = disk.path().join("checkpoints");
    let checkpoints = Checkpoints::open(dir.clone()).unwrap();
    checkpoints.write("epoch=0-step=0-val_iou=0.10", &checkpoint(0)).unwrap();
    checkpoints.write_last(&checkpoint(1)).unwrap();
    // Room for nothing, for a part of the weights, and for the weights but not for the optimizer.
    for pages in [0, 3, 6] {
        disk.fill_but(pages);
        for error in [
            checkpoints.write("epoch=2-step=2-val_iou=0.20", &checkpoint(2)).unwrap_err(),
            checkpoints.write_last(&checkpoint(2)).unwrap_err(),
        ] {
            let CheckpointError::Io { path, .. } = &error else { panic!("{error}") };
            assert_tells(&error, path, "free space", ErrorKind::StorageFull);
        }
        assert_eq!(names(&dir), ["epoch=0-step=0-val_iou=0.10", LAST]);
        assert_eq!(Checkpoint::read(&checkpoints.last()).unwrap(), checkpoint(1));
        disk.give_space_back();
    }
    checkpoints.write_last(&checkpoint(2)).unwrap();
    assert_eq!(Checkpoint::read(&checkpoints.last()).unwrap(), checkpoint(2));
}

#[test]
fn a_synthetic_folder_that_finds_no_space_is_not_there_and_is_once_there_is_some() {
    let place = Workplace::new();
    let Some(mut disk) = disk(&place, SMALL) else { return };
    let dir = disk.path().join("data");
    let mut config = SynthConfig::new(dir.clone());
    (config.samples, config.patch_size, config.regions) = (24, 64, 3);
    // As an engine that was killed left it.
    let left = disk.path().join(".data.4194305.partial");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("x"), "half").unwrap();
    let error = synthesise(&config).unwrap_err();
    assert!(error.to_string().contains("data"), "{error}");
    assert_eq!(names(&disk.path()), Vec::<String>::new(), "no half of a folder, and none of another's");
    disk.resize("64m");
    synthesise(&config).unwrap();
    assert_eq!(names(&disk.path()), ["data"]);
    engine::data::DataFolder::open(&dir, None).unwrap();
}

#[test]
fn an_artifact_folder_on_a_full_disk_is_refused_before_anything_begins() {
    let place = Workplace::new();
    let Some(disk) = disk(&place, SMALL) else { return };
    let layout = ArtifactLayout::new(disk.path().join("out"));
    disk.fill_but(0);
    let error = layout.ensure_writable().unwrap_err();
    assert!(matches!(error, ArtifactError::Full { .. }), "{error}");
    assert_tells(&error, layout.dir(), "free some of it", ErrorKind::StorageFull);
    assert_eq!(names(layout.dir()), Vec::<String>::new(), "the try leaves nothing behind");
    disk.give_space_back();
    layout.ensure_writable().unwrap();
}

/// Where nobody may write, the superuser included: what each writer says, and that all that was there stays.
#[test]
fn every_writer_says_where_it_may_not_write_and_touches_nothing() {
    let place = Workplace::new();
    let Some(mut disk) = disk(&place, "4m") else { return };
    let root = disk.path();
    let score = CvScore { score: Some(0.5), score_is_unstable: false };
    let path = |name: &str| if name.is_empty() { root.clone() } else { root.join(name) };
    MetricsCsv::create(&path("metrics.csv")).unwrap().append(&[point(1)]).unwrap();
    EventLog::open(&path("events.jsonl")).unwrap().append(&1).unwrap();
    write_cv(&path("run_infos.parquet"), &runs(2), None).unwrap();
    TuneTable::new(path("t.parquet")).append_cv("t-cv0", &Map::new(), &runs(2), score).unwrap();
    hparams::write(&path("hparams.yaml"), &Map::new(), &json!({})).unwrap();
    EventFile::create(&path("tensorboard"), SystemTime::now())
        .unwrap()
        .close("complete", SystemTime::now())
        .unwrap();
    let log = RunJournal::open(&path("wandb"), &points::header("ro"), Mode::Offline).unwrap();
    log.finish(0, SystemTime::now()).unwrap();
    Checkpoints::open(path("checkpoints")).unwrap().write_last(&checkpoint(1)).unwrap();
    let before = Workplace::files_below(&root);
    disk.make_read_only();
    let refused: Vec<(&str, Box<dyn Error + 'static>)> = vec![
        ("metrics.csv", Box::new(MetricsCsv::create(&path("metrics.csv")).unwrap_err())),
        ("events.jsonl", Box::new(EventLog::open(&path("events.jsonl")).unwrap_err())),
        ("run_infos.parquet", Box::new(write_cv(&path("run_infos.parquet"), &runs(3), None).unwrap_err())),
        (
            "t.parquet",
            Box::new(
                TuneTable::new(path("t.parquet"))
                    .append_cv("t-cv1", &Map::new(), &runs(2), score)
                    .unwrap_err(),
            ),
        ),
        (
            "hparams.yaml",
            Box::new(hparams::write(&path("hparams.yaml"), &Map::new(), &json!({"a": 1})).unwrap_err()),
        ),
        ("figure", Box::new(atomic::put(&path("figure"), Durability::Synced, |_| Ok(())).unwrap_err())),
        ("tensorboard", Box::new(EventFile::create(&path("tensorboard"), SystemTime::now()).unwrap_err())),
        (
            "wandb",
            Box::new(RunJournal::open(&path("wandb"), &points::header("ro"), Mode::Offline).unwrap_err()),
        ),
        (
            "checkpoints",
            Box::new(Checkpoints::open(path("checkpoints")).unwrap().write_last(&checkpoint(2)).unwrap_err()),
        ),
        ("", Box::new(synthesise(&SynthConfig::new(path("data"))).unwrap_err())),
        ("", Box::new(ArtifactLayout::new(&root).ensure_writable().unwrap_err())),
    ];
    for (name, error) in &refused {
        assert_tells(error.as_ref(), &path(name), "", ErrorKind::ReadOnlyFilesystem);
    }
    assert_eq!(Workplace::files_below(&root), before);
    assert_eq!(read_run_infos(&path("t.parquet")).unwrap().len(), 2);
    assert_eq!(Checkpoint::read(&path("checkpoints/last")).unwrap(), checkpoint(1));
    disk.make_writable();
    write_cv(&path("run_infos.parquet"), &runs(3), None).unwrap();
    Checkpoints::open(path("checkpoints")).unwrap().write_last(&checkpoint(2)).unwrap();
}

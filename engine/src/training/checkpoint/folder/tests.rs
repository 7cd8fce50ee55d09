//! Rules of the checkpoint folder, on a real disk.

use std::collections::BTreeMap;

use serde_json::json;

use engine_tracking::Metrics;

use super::super::snapshot::Snapshot;
use super::super::state::{DataOrder, FORMAT_VERSION, ModelShape, RunIdentity, State};
use super::*;
use crate::models::NamedTensor;
use crate::training::{EarlyStopping, ExponentialLr, Kept, Schedule, TopK, encode_tensors};

fn tensor(name: &str, value: f32) -> NamedTensor {
    NamedTensor { name: name.into(), shape: vec![2], values: vec![value, -value] }
}

fn checkpoint(epoch: u32) -> Checkpoint {
    let mut early_stopping = EarlyStopping::new(3);
    early_stopping.observe(0.1 + 0.2);
    let mut top_k = TopK::new(Kept::Best(2));
    assert!(top_k.insert("epoch=0-step=1-val_iou=nan".into(), f64::NAN).is_empty());
    let state = State {
        format_version: FORMAT_VERSION,
        epoch,
        step: 7,
        data_order: DataOrder { seed: 42, next_epoch: epoch + 1, batches_done: 0 },
        epoch_sums: json!(null),
        open_row: None,
        history: Vec::new(),
        optimizer_steps: BTreeMap::from([("a.weight".to_owned(), 7)]),
        schedule: ExponentialLr::new(1e-3, 0.9).into(),
        early_stopping,
        top_k,
        monitored: Some(0.1 + 0.2),
        metrics: BTreeMap::from([
            ("val/IoU".to_owned(), f64::NEG_INFINITY),
            ("val/ece".to_owned(), f64::INFINITY),
            ("val/loss".to_owned(), 1.0 / 3.0),
            ("val/zero".to_owned(), -0.0),
        ]),
        elapsed_secs: 1.5,
        run: RunIdentity {
            run_name: "r".into(),
            run_id: "abcd1234".into(),
            cv_name: None,
            tune_name: None,
            fold: 0,
            seed: 42,
        },
        model: Some(ModelShape {
            arch: "Unet".into(),
            encoder: "resnet18".into(),
            bands: vec!["red".into()],
            in_channels: 1,
        }),
        hyperparameters: json!({"learning_rate": 1e-3}),
        settings: json!({"max_epochs": 2}),
    };
    let weights = encode_tensors(&[tensor("a.weight", 0.5)]).unwrap();
    Checkpoint { weights, optimizer_tensors: vec![tensor("a.weight.exp_avg", 0.25)], state }
}

fn folder() -> (tempfile::TempDir, Checkpoints) {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path().join("checkpoints")).unwrap();
    (dir, checkpoints)
}

fn listed(checkpoints: &Checkpoints) -> Vec<String> {
    let mut names = checkpoints.names().unwrap();
    names.sort();
    names
}

#[test]
fn a_checkpoint_is_read_back_as_it_was_written() {
    let (_dir, checkpoints) = folder();
    let path = checkpoints.write("epoch=1-step=7-val_iou=0.30", &checkpoint(1)).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint(1));
    assert_eq!(listed(&checkpoints), ["epoch=1-step=7-val_iou=0.30"]);
}

#[test]
fn last_is_replaced_as_a_whole() {
    let (_dir, checkpoints) = folder();
    for epoch in 0..3 {
        let path = checkpoints.write_last(&checkpoint(epoch)).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap().state.epoch, epoch);
        assert_eq!(listed(&checkpoints), [LAST]);
    }
}

fn snapshot(epoch: u32) -> Snapshot {
    let Checkpoint { optimizer_tensors, state, .. } = checkpoint(epoch);
    let weights = vec![tensor("a.weight", 0.5)];
    Snapshot { weights, counters: Vec::new(), optimizer: optimizer_tensors, state }
}

#[test]
fn a_snapshot_makes_the_files_of_a_checkpoint() {
    let (_dir, checkpoints) = folder();
    let names = ["epoch=1-step=7-val_iou=0.30", "epoch=1-step=7-val_iou=0.30-v1"];
    let from_bytes = checkpoints.write(names[0], &checkpoint(1)).unwrap();
    let from_tensors = checkpoints.write(names[1], snapshot(1)).unwrap();
    for file in FILES {
        let read = |path: &Path| fs::read(path.join(file)).unwrap();
        assert_eq!(read(&from_bytes), read(&from_tensors), "{file}");
    }
    let mut broken = snapshot(2);
    broken.optimizer[0].shape = vec![3];
    checkpoints.write_last(broken).unwrap_err();
    assert_eq!(listed(&checkpoints), names, "half of it is gone");
}

#[test]
fn last_shares_the_files_of_the_ranked_one_and_outlives_it() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, checkpoints) = folder();
    let name = "epoch=1-step=7-val_iou=0.30";
    checkpoints.write_last(snapshot(0)).unwrap();
    let ranked = checkpoints.write(name, snapshot(1)).unwrap();
    let last = checkpoints.write_last_as(name).unwrap();
    for file in FILES {
        let inode = |path: &Path| fs::metadata(path.join(file)).unwrap().ino();
        assert_eq!(inode(&ranked), inode(&last), "{file}");
    }
    checkpoints.delete(name).unwrap();
    assert_eq!(Checkpoint::read(&last).unwrap(), checkpoint(1));
    assert_eq!(listed(&checkpoints), [LAST]);
    checkpoints.write_last_as(name).unwrap_err();
    assert_eq!(Checkpoint::read(&last).unwrap(), checkpoint(1), "the one before stays");
}

#[test]
fn a_copy_is_what_it_is_a_copy_of() {
    let (dir, checkpoints) = folder();
    let path = checkpoints.write_last(snapshot(1)).unwrap();
    let copied = dir.path().join("copied");
    copy(&path.join(WEIGHTS), &copied).unwrap();
    assert_eq!(fs::read(copied).unwrap(), fs::read(path.join(WEIGHTS)).unwrap());
    copy(&path.join("nothing"), &dir.path().join("of-nothing")).unwrap_err();
}

#[test]
fn a_taken_name_gets_a_version() {
    let (_dir, checkpoints) = folder();
    let name = checkpoint_name(2, 30, "val_iou", 0.126);
    assert_eq!(name, "epoch=2-step=30-val_iou=0.13");
    for expected in [name.clone(), format!("{name}-v1"), format!("{name}-v2")] {
        assert_eq!(checkpoints.free_name(&name), expected);
        checkpoints.write(&expected, &checkpoint(2)).unwrap();
    }
}

#[test]
fn opening_clears_what_a_killed_run_left_and_restores_last() {
    let (_dir, checkpoints) = folder();
    checkpoints.write_last(&checkpoint(4)).unwrap();
    fs::rename(checkpoints.last(), checkpoints.path(".leaving-last")).unwrap();
    fs::create_dir(checkpoints.path(".writing-last")).unwrap();
    fs::write(checkpoints.path(".writing-last").join(WEIGHTS), b"half").unwrap();
    let dir = checkpoints.dir.clone();
    drop(checkpoints);
    let reopened = Checkpoints::open(dir).unwrap();
    assert_eq!(listed(&reopened), [LAST]);
    assert_eq!(Checkpoint::read(&reopened.last()).unwrap().state.epoch, 4);
}

#[test]
fn what_is_not_in_the_list_is_deleted_and_nothing_else() {
    let (_dir, checkpoints) = folder();
    for name in ["epoch=0-step=1-val_iou=0.10", "epoch=1-step=2-val_iou=0.20"] {
        checkpoints.write(name, &checkpoint(0)).unwrap();
    }
    checkpoints.write_last(&checkpoint(0)).unwrap();
    checkpoints.delete_unknown(|name| name.starts_with("epoch=0")).unwrap();
    assert_eq!(listed(&checkpoints), ["epoch=0-step=1-val_iou=0.10", LAST]);
    checkpoints.delete("never-there").unwrap();
}

#[test]
fn a_missing_file_is_named() {
    for file in [WEIGHTS, "optimizer.safetensors", "state.json"] {
        let (_dir, checkpoints) = folder();
        let path = checkpoints.write_last(&checkpoint(0)).unwrap();
        fs::remove_file(path.join(file)).unwrap();
        let error = Checkpoint::read(&path).unwrap_err();
        assert!(
            matches!(error, CheckpointError::MissingFile { file: named, .. } if named == file),
            "{error}"
        );
    }
    let error = Checkpoint::read(Path::new("nowhere/at/all")).unwrap_err();
    assert!(matches!(error, CheckpointError::Absent { .. }), "{error}");
}

#[test]
fn a_file_cut_in_the_middle_is_named() {
    for file in [WEIGHTS, "optimizer.safetensors", "state.json"] {
        let (_dir, checkpoints) = folder();
        let path = checkpoints.write_last(&checkpoint(0)).unwrap();
        let whole = fs::read(path.join(file)).unwrap();
        fs::write(path.join(file), &whole[..whole.len() / 2]).unwrap();
        let error = Checkpoint::read(&path).unwrap_err();
        assert!(matches!(error, CheckpointError::Damaged { file: named, .. } if named == file), "{error}");
    }
}

#[test]
fn another_format_version_is_refused_before_anything_else_is_read() {
    let (_dir, checkpoints) = folder();
    let path = checkpoints.write_last(&checkpoint(0)).unwrap();
    fs::write(path.join("state.json"), br#"{"format_version": 99, "shape": "unknown"}"#).unwrap();
    let error = Checkpoint::read(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::Version { found: 99, .. }), "{error}");
}

#[test]
fn a_checkpoint_that_can_not_be_written_leaves_the_one_before() {
    let (_dir, checkpoints) = folder();
    checkpoints.write_last(&checkpoint(1)).unwrap();
    let mut broken = checkpoint(2);
    broken.optimizer_tensors[0].shape = vec![3];
    checkpoints.write_last(&broken).unwrap_err();
    assert_eq!(listed(&checkpoints), [LAST]);
    assert_eq!(Checkpoint::read(&checkpoints.last()).unwrap().state.epoch, 1);
}

#[test]
fn leftovers_of_a_run_that_never_goes_on_are_cleared_too() {
    let (_dir, checkpoints) = folder();
    checkpoints.write_last(&checkpoint(4)).unwrap();
    fs::rename(checkpoints.last(), checkpoints.path(".leaving-last")).unwrap();
    for left in
        [".writing-last", ".writing-epoch=1-step=7-val_iou=0.30", ".leaving-epoch=0-step=1-val_iou=0.10"]
    {
        fs::create_dir(checkpoints.path(left)).unwrap();
        fs::write(checkpoints.path(left).join(WEIGHTS), b"half").unwrap();
    }
    let dir = checkpoints.dir.clone();
    assert_eq!(Checkpoints::clear_leftovers(dir.clone()).unwrap(), 0, "while there is a writer");
    assert_eq!(listed(&checkpoints).len(), 4);
    drop(checkpoints);
    assert_eq!(Checkpoints::clear_leftovers(dir.clone()).unwrap(), 4);
    let reader = Checkpoints::of_another(dir.clone());
    assert_eq!(listed(&reader), [LAST]);
    assert_eq!(Checkpoint::read(&reader.last()).unwrap().state.epoch, 4);
    assert_eq!(Checkpoints::clear_leftovers(dir.join("not-there")).unwrap(), 0);
}

#[test]
fn there_is_one_writer_at_a_time_and_the_next_waits_for_it() {
    let (_dir, checkpoints) = folder();
    let dir = checkpoints.dir.clone();
    let error = Checkpoints::open_within(Duration::from_millis(50), dir.clone()).unwrap_err();
    assert!(matches!(&error, CheckpointError::Busy { path } if *path == dir), "{error}");
    assert!(error.to_string().ends_with(&dir.display().to_string()), "{error}");
    let (begun, waits) = std::sync::mpsc::sync_channel(0);
    let next = std::thread::spawn(move || {
        begun.send(()).unwrap();
        Checkpoints::open_within(Duration::from_secs(300), dir).map(drop)
    });
    waits.recv().unwrap();
    checkpoints.write_last(&checkpoint(1)).unwrap();
    drop(checkpoints);
    next.join().unwrap().unwrap();
}

#[test]
fn metrics_that_are_not_finite_are_kept_apart() {
    let (_dir, checkpoints) = folder();
    let mut written = checkpoint(1);
    written.state.metrics = Metrics::from([
        ("a".to_owned(), f64::NAN),
        ("b".to_owned(), f64::INFINITY),
        ("c".to_owned(), f64::NEG_INFINITY),
        ("d".to_owned(), f64::MIN_POSITIVE),
        ("e".to_owned(), 3.0),
    ]);
    let path = checkpoints.write_last(&written).unwrap();
    let bits = |metrics: &Metrics| -> Vec<_> { metrics.values().map(|value| value.to_bits()).collect() };
    let read = Checkpoint::read(&path).unwrap().state.metrics;
    assert_eq!(bits(&read), bits(&written.state.metrics));
    let text: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path.join("state.json")).unwrap()).unwrap();
    assert_eq!(
        text["metrics"],
        json!({"a": "nan", "b": "inf", "c": "-inf", "d": f64::MIN_POSITIVE, "e": 3.0})
    );
    for other in ["\"infinity\"", "true", "[1.0]"] {
        let changed = fs::read_to_string(path.join("state.json")).unwrap().replace("\"-inf\"", other);
        fs::write(path.join("state.json"), &changed).unwrap();
        let error = State::read(&path).unwrap_err();
        assert!(matches!(error, CheckpointError::Damaged { file: "state.json", .. }), "{other}: {error}");
        fs::write(path.join("state.json"), changed.replace(other, "\"-inf\"")).unwrap();
    }
}

/// `state.json` of a run of version 1, which wrote null for whatever was not finite.
const VERSION_1: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/checkpoint-1-state.json"));

#[test]
fn a_checkpoint_of_version_1_still_opens() {
    let (_dir, checkpoints) = folder();
    let path = checkpoints.write_last(&checkpoint(1)).unwrap();
    fs::write(path.join("state.json"), VERSION_1).unwrap();
    let state = Checkpoint::read(&path).unwrap().state;
    assert_eq!((state.format_version, state.epoch, state.step), (1, 1, 4));
    assert!(state.metrics["val/AUROC"].is_nan());
    assert_eq!((state.metrics.len(), state.metrics["val/loss"]), (33, 0.137_668_996_003_926_24));
    assert_eq!(state.early_stopping.best(), Some(0.053_577_849_694_354_55));
    let schedule: Schedule = {
        let mut of = ExponentialLr::new(1e-3, 0.9);
        of.step();
        of.step();
        of.into()
    };
    assert_eq!(state.schedule, schedule);
    assert_eq!(state.top_k.best().unwrap().name, "epoch=0-step=2-val_iou=0.05");
}

#[test]
fn a_refusal_says_what_to_do_and_that_the_checkpoints_before_stay() {
    let (_dir, checkpoints) = folder();
    checkpoints.write_last(&checkpoint(1)).unwrap();
    // A file where the folder would be filled.
    fs::write(checkpoints.path(".writing-last"), "").unwrap();
    let error = checkpoints.write_last(&checkpoint(2)).unwrap_err().to_string();
    assert!(error.contains("free space") && error.contains("the checkpoints before stay"), "{error}");
    assert!(error.contains("checkpoints/.writing-last"), "{error}");
    assert_eq!(Checkpoint::read(&checkpoints.last()).unwrap().state.epoch, 1);
}

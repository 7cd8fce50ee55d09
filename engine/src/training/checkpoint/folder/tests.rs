//! Rules of the checkpoint folder, on a real disk.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::state::{DataOrder, FORMAT_VERSION, ModelShape, RunIdentity, State};
use super::*;
use crate::models::NamedTensor;
use crate::training::{EarlyStopping, ExponentialLr, Kept, TopK, encode_tensors};

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
        optimizer_steps: BTreeMap::from([("a.weight".to_owned(), 7)]),
        schedule: ExponentialLr::new(1e-3, 0.9),
        early_stopping,
        top_k,
        monitored: Some(0.1 + 0.2),
        metrics: BTreeMap::from([("val/AUROC".to_owned(), None), ("val/loss".to_owned(), Some(1.0 / 3.0))]),
        elapsed_secs: 1.5,
        run: RunIdentity {
            run_name: "r".into(),
            run_id: "abcd1234".into(),
            cv_name: None,
            tune_name: None,
            fold: 0,
            seed: 42,
        },
        model: ModelShape {
            arch: "Unet".into(),
            encoder: "resnet18".into(),
            bands: vec!["red".into()],
            in_channels: 1,
        },
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

#[test]
fn a_taken_name_gets_a_version() {
    let (_dir, checkpoints) = folder();
    let name = checkpoint_name(2, 30, 0.126);
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
    let reopened = Checkpoints::open(checkpoints.dir.clone()).unwrap();
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

//! What tests of runs without an engine around them begin with: a small data folder, orders on it, a checkpoint's state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::data::{SynthConfig, synthesise};
use engine::folds::FoldMethod;
use engine::segmentation::SegmentationSettings;
use engine::training::checkpoint::{DataOrder, FORMAT_VERSION, ModelShape, RunIdentity, State};
use engine::training::{EarlyStopping, ExponentialLr, Kept, TopK};
use engine_actors::plan::{Cell, RunPlan, RunTask};
use engine_actors::protocol::RunOrder;
use engine_devices::{DeviceId, DeviceKind, Grant, Place};
use serde::Serialize;
use serde_json::{Value, json};

/// A data folder and a place for runs.
#[derive(Debug)]
pub struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    /// Synthesises so many samples of 32 x 32 pixels in three regions.
    pub fn new(samples: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = SynthConfig::new(dir.path().join("data"));
        (config.samples, config.patch_size, config.regions) = (samples, 32, 3);
        synthesise(&config).unwrap();
        Self { dir }
    }

    /// What is here.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Three folds, no early stopping, no figure, no ranked checkpoint.
    pub fn settings(&self, epochs: u32) -> SegmentationSettings {
        SegmentationSettings {
            train_data_dir: self.data(),
            test_split: None,
            fold_method: FoldMethod::Kfold,
            total_folds: 3,
            subsample: None,
            in_memory: true,
            max_epochs: epochs,
            early_stopping_patience: 0,
            num_workers: 1,
            save_top_k: 0,
            log_every_n_steps: 1,
            accumulate_grad_batches: 1,
            gradient_clip: None,
            precision: engine::nn::Precision::Single,
            check_val_every_n_epoch: 1,
            plot_every_n_val_epochs: 0,
            checkpoint_every_n_steps: None,
            weights_from_checkpoint: None,
            continue_from_checkpoint: None,
            backend: None,
        }
    }

    /// A fresh run of fold 0 with seed 42 on so many CPU slices of one thread; its folder is made.
    pub fn order(
        &self,
        name: &str,
        settings: &SegmentationSettings,
        hyperparameters: &Value,
        slices: u32,
    ) -> RunOrder {
        order(self.dir.path(), name, settings, hyperparameters, slices)
    }
}

/// A fresh run of fold 0 with seed 42 on so many CPU slices of one thread; its folder is made in `folder`.
pub fn order(
    folder: &Path,
    name: &str,
    settings: &impl Serialize,
    hyperparameters: &Value,
    slices: u32,
) -> RunOrder {
    let run_dir = folder.join(name);
    std::fs::create_dir_all(&run_dir).unwrap();
    let plan = RunPlan {
        run_name: name.into(),
        run_id: "abcd1234".into(),
        run_dir,
        cv_name: None,
        tune_name: None,
        cell: Cell { fold: 0, seed: 42 },
        task: RunTask::Fit,
        hyperparameters: hyperparameters.as_object().unwrap().clone(),
        settings: Arc::new(serde_json::to_value(settings).unwrap()),
    };
    let place = |index| Place {
        device: DeviceId::new(DeviceKind::Cpu, index),
        kind: DeviceKind::Cpu,
        index,
        token: None,
        cores: Vec::new(),
        threads: 1,
        lock: None,
    };
    RunOrder { plan, grant: Grant { places: (0..slices).map(place).collect() }, attempt: 1, goes_on: false }
}

/// Changes a setting that is there.
pub fn set(order: &mut RunOrder, key: &str, value: Value) {
    let settings = Arc::make_mut(&mut order.plan.settings);
    assert!(settings.get(key).is_some(), "no setting is called {key}");
    settings[key] = value;
}

/// The checkpoint that a run goes on from.
pub fn last(order: &RunOrder) -> PathBuf {
    order.plan.run_dir.join("checkpoints/last")
}

/// State of a run's checkpoint after its second epoch.
pub fn state() -> State {
    State {
        format_version: FORMAT_VERSION,
        epoch: 1,
        step: 7,
        data_order: DataOrder { seed: 42, next_epoch: 2, batches_done: 0 },
        epoch_sums: Value::Null,
        optimizer_steps: BTreeMap::new(),
        schedule: ExponentialLr::new(1e-3, 0.9).into(),
        early_stopping: EarlyStopping::new(3),
        top_k: TopK::new(Kept::Best(2)),
        monitored: Some(0.3),
        metrics: [("val/loss".to_owned(), 0.25)].into(),
        open_row: None,
        history: Vec::new(),
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
    }
}

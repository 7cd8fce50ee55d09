//! What a segmentation run needs besides its hyperparameters: the `settings` of a run's plan.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::folds::FoldMethod;
use crate::learn::{LearningSettings, Monitor};
use crate::loss::LossFormula;
use crate::nn::Precision;
use crate::training::{Clipping, OptimizerName, ScheduleName};

/// How the held-out test set is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestSplit {
    /// This fraction of the samples, drawn as pandas draws.
    Random(f64),
    /// Every sample of these regions.
    Region(Vec<String>),
    /// These sample ids.
    Sample(Vec<String>),
}

/// A fold method where groups are regions: `region`, `region-stratified`.
pub(crate) mod by_region {
    use serde::de::{Deserializer, Error};
    use serde::{Deserialize, Serializer};

    use crate::folds::FoldMethod;

    const NOUN: &str = "region";

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
    pub(super) fn serialize<S: Serializer>(method: &FoldMethod, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&method.name(NOUN))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FoldMethod, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = FoldMethod::ALL.into_iter().find(|method| method.name(NOUN) == name);
        known.ok_or_else(|| {
            let names: Vec<String> = FoldMethod::ALL.iter().map(|method| method.name(NOUN)).collect();
            Error::custom(format!("there is no fold method {name:?}; there are {}", names.join(", ")))
        })
    }
}

/// Settings of a segmentation run, serialised into `RunPlan::settings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentationSettings {
    /// Folder with `config.toml`, `data.zarr`, `metadata.parquet`.
    pub train_data_dir: PathBuf,
    /// Held-out test set.
    pub test_split: Option<TestSplit>,
    /// How the rest is divided into train and validation; the groups are the regions, and it is written so.
    #[serde(with = "by_region")]
    pub fold_method: FoldMethod,
    /// Number of folds the data are divided into.
    pub total_folds: u32,
    /// Use so many samples only.
    pub subsample: Option<u32>,
    /// Decode every sample once and keep it.
    pub in_memory: bool,
    /// Epochs at the most.
    pub max_epochs: u32,
    /// Validations without improvement before the run ends; 0 = never.
    pub early_stopping_patience: u32,
    /// Threads that decode ahead of training; 0 = decode on one thread ahead.
    pub num_workers: u32,
    /// Best checkpoints kept; 0 = none, -1 = all.
    pub save_top_k: i32,
    /// Log train metrics every so many steps; 0 = never.
    pub log_every_n_steps: u32,
    /// Batches whose gradients make one optimizer step.
    #[serde(default = "one")]
    pub accumulate_grad_batches: u32,
    /// How far the gradients of a step may reach, over all its batches and ranks; none = as far as they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<Clipping>,
    /// In how many bits the network computes.
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    /// Validate every so many epochs, and at the last; 0 = at the last only.
    pub check_val_every_n_epoch: u32,
    /// Draw figures every so many validations; 0 = never.
    pub plot_every_n_val_epochs: u32,
    /// Write `last` within an epoch, every so many optimizer steps; none = at validations alone. Changes no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_n_steps: Option<u32>,
    /// Start from these weights.
    pub weights_from_checkpoint: Option<PathBuf>,
    /// Go on from this checkpoint: weights, optimizer, schedule, early stopping, counters.
    pub continue_from_checkpoint: Option<PathBuf>,
    /// burn backend to compute with: `tch`, `flex`, `cuda`, `wgpu`; `None` = the best one compiled in.
    pub backend: Option<String>,
}

/// What early stopping and the best checkpoints follow; higher is better.
const MONITORED: &str = "val/JaccardIndex";

impl SegmentationSettings {
    /// Those that every training has.
    pub(crate) fn learning(&self) -> LearningSettings {
        LearningSettings {
            max_epochs: self.max_epochs,
            total_folds: self.total_folds,
            monitor: Monitor::higher(MONITORED),
            early_stopping_patience: self.early_stopping_patience,
            save_top_k: self.save_top_k,
            log_every_n_steps: self.log_every_n_steps,
            accumulate_grad_batches: self.accumulate_grad_batches,
            gradient_clip: self.gradient_clip,
            check_val_every_n_epoch: self.check_val_every_n_epoch,
            checkpoint_every_n_steps: self.checkpoint_every_n_steps,
            backend: self.backend.clone(),
        }
    }
}

/// What plans written before there was a choice mean.
fn one() -> u32 {
    1
}

/// Hyperparameters of a segmentation run, read from `RunPlan::hyperparameters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentationHyperparameters {
    /// Architecture, matched without regard to case.
    pub model_arch: String,
    /// Encoder.
    pub model_encoder: String,
    /// Path of pretrained encoder weights, or `imagenet`.
    pub model_encoder_weights: Option<String>,
    /// Augmentations in order of application.
    pub augment: Option<Vec<String>>,
    /// Learning rate: of the first epoch, or the highest, as the schedule has it.
    pub learning_rate: f64,
    /// Factor of the learning rate per epoch, of schedule `exponential`.
    pub gamma: f64,
    /// What is minimised.
    pub loss: LossFormula,
    /// Weight of the positive class in the focal loss; none = no weighting.
    pub focal_loss_alpha: Option<f64>,
    /// Focusing exponent of the focal loss.
    pub focal_loss_gamma: f64,
    /// Weight of a positive pixel in the cross-entropy; a negative one weighs 1.
    pub bce_pos_weight: f64,
    /// Weight of false positives in the Tversky loss.
    pub tversky_alpha: f64,
    /// Weight of false negatives in the Tversky loss.
    pub tversky_beta: f64,
    /// What takes the steps.
    pub optimizer: OptimizerName,
    /// Weight decay; none = the optimizer's own in PyTorch: 0.01 for AdamW, 0 for the others.
    pub weight_decay: Option<f64>,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Whether that is Nesterov's.
    pub nesterov: bool,
    /// How the learning rate changes.
    pub schedule: ScheduleName,
    /// Epochs, or parts of one, over which schedule `cosine` warms up.
    pub warmup_epochs: f64,
    /// Least learning rate of the schedules `cosine` and `plateau`.
    pub min_learning_rate: f64,
    /// Factor of the learning rate, of schedule `plateau`.
    pub plateau_factor: f64,
    /// Validations without improvement that schedule `plateau` lets pass.
    pub plateau_patience: u32,
    /// Samples per batch, on each device of the run.
    pub batch_size: u32,
    /// Bands to use, in order; none = all of the dataset's.
    pub bands: Option<Vec<String>>,
}

impl Default for SegmentationHyperparameters {
    fn default() -> Self {
        Self {
            model_arch: "Unet".into(),
            model_encoder: "resnet34".into(),
            model_encoder_weights: None,
            augment: None,
            learning_rate: 1e-3,
            gamma: 0.9,
            loss: LossFormula::default(),
            focal_loss_alpha: None,
            focal_loss_gamma: 2.0,
            bce_pos_weight: 1.0,
            tversky_alpha: 0.5,
            tversky_beta: 0.5,
            optimizer: OptimizerName::default(),
            weight_decay: None,
            momentum: 0.9,
            nesterov: false,
            schedule: ScheduleName::default(),
            warmup_epochs: 0.0,
            min_learning_rate: 0.0,
            plateau_factor: 0.1,
            plateau_patience: 2,
            batch_size: 8,
            bands: None,
        }
    }
}

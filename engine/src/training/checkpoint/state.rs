//! What a checkpoint says of the run it was taken from.

use std::collections::BTreeMap;
use std::path::Path;

use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::CheckpointError;
use crate::models::NamedTensor;
use crate::training::{EarlyStopping, OptimizerState, Schedule, TopK, decode_tensors, encode_tensors};

/// Version of the folder's form; raised with every change a reader has to know of. Earlier ones are read as well.
///
/// 2 writes metrics that are not finite as `nan`, `inf` and `-inf`; 1 wrote null for all of them. 3 names the kind of schedule,
/// may hold another optimizer's tensors, and region sums of the loss; before, every schedule was exponential.
pub const FORMAT_VERSION: u32 = 3;

/// The first version that names the kind of schedule.
const NAMES_SCHEDULE: u64 = 3;

/// The earliest version that is read.
const FIRST_VERSION: u32 = 1;

pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
pub(super) const STATE: &str = "state.json";
/// Every file of a checkpoint.
pub(super) const FILES: [&str; 3] = [WEIGHTS, OPTIMIZER, STATE];

/// A checkpoint on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Bytes of `weights.safetensors`.
    pub weights: Vec<u8>,
    /// What the optimizer keeps of each parameter.
    pub optimizer_tensors: Vec<NamedTensor>,
    /// Everything else.
    pub state: State,
}

/// Contents of `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT_VERSION`] of whoever wrote it.
    pub format_version: u32,
    /// Epoch the checkpoint was taken in, from 0.
    pub epoch: u32,
    /// Optimizer steps taken.
    pub step: u64,
    /// Where in the data the run goes on.
    pub data_order: DataOrder,
    /// What the task has summed over the epoch under way; null at its beginning.
    pub epoch_sums: Value,
    /// Optimizer steps of each parameter.
    pub optimizer_steps: BTreeMap<String, u64>,
    /// The learning rate, and where its schedule stands.
    pub schedule: Schedule,
    /// Patience.
    pub early_stopping: EarlyStopping,
    /// Best checkpoints so far.
    pub top_k: TopK,
    /// Monitored value of the last validation; none if there was none, or it was not finite.
    pub monitored: Option<f64>,
    /// Metrics last logged; those that are not finite are words, `nan`, `inf` and `-inf`.
    #[serde(with = "super::values")]
    pub metrics: Metrics,
    /// What was logged at this step, while its epoch is not over: what is logged next may belong to the same row.
    #[serde(default)]
    pub open_row: Option<OpenRow>,
    /// What learning curves are drawn from, from the first epoch on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<EpochRow>,
    /// Seconds trained so far.
    pub elapsed_secs: f64,
    /// The run.
    pub run: RunIdentity,
    /// What the segmentation workload's model is; none of other models, whose code says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelShape>,
    /// Hyperparameters of the run.
    pub hyperparameters: Value,
    /// Settings of the run.
    pub settings: Value,
}

/// A row that may get more values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenRow {
    /// Epoch of the row, from 0.
    pub epoch: u32,
    /// Its values so far; words where not finite.
    #[serde(with = "super::values")]
    pub values: Metrics,
}

/// Values of an epoch that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 0.
    pub epoch: u32,
    /// Its values; words where not finite.
    #[serde(with = "super::values")]
    pub values: Metrics,
}

/// Where in the data a run goes on.
///
/// This is the whole state of every generator: order, augmentation and first weights are functions of the
/// seed, the epoch and the sample, none carries state from batch to batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataOrder {
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Epoch to go on with, from 0.
    pub next_epoch: u32,
    /// Batches of that epoch already trained on; 0 at its beginning.
    pub batches_done: u32,
}

/// Which run a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// Name of the run.
    pub run_name: String,
    /// Id of the run.
    pub run_id: String,
    /// The cv it belongs to.
    pub cv_name: Option<String>,
    /// The tune it belongs to.
    pub tune_name: Option<String>,
    /// Fold.
    pub fold: u32,
    /// Seed.
    pub seed: u64,
}

/// What the weights are weights of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Architecture.
    pub arch: String,
    /// Encoder.
    pub encoder: String,
    /// Bands of the input, in the order of its channels.
    pub bands: Vec<String>,
    /// Channels of the input.
    pub in_channels: usize,
}

/// The one entry that is read before all others are trusted.
#[derive(Deserialize)]
struct Version {
    format_version: u64,
}

impl Checkpoint {
    /// Reads a checkpoint folder.
    ///
    /// # Errors
    /// [`CheckpointError`], which names the file that is missing, cut or of another version.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let state = State::read(path)?;
        let weights = read_file(path, WEIGHTS)?;
        safetensors::SafeTensors::deserialize(&weights).map_err(|e| damaged(path, WEIGHTS, &e))?;
        let optimizer_tensors =
            decode_tensors(&read_file(path, OPTIMIZER)?).map_err(|e| damaged(path, OPTIMIZER, &e))?;
        Ok(Self { weights, optimizer_tensors, state })
    }

    /// Bytes of each file of the folder.
    pub(super) fn files(&self, path: &Path) -> Result<[(&'static str, Vec<u8>); 2], CheckpointError> {
        let optimizer = encode_tensors(&self.optimizer_tensors).map_err(|e| damaged(path, OPTIMIZER, &e))?;
        Ok([(OPTIMIZER, optimizer), (STATE, self.state.to_json(path)?)])
    }

    /// State of the optimizer, taken out.
    pub fn take_optimizer(&mut self) -> OptimizerState {
        OptimizerState {
            steps: std::mem::take(&mut self.state.optimizer_steps),
            tensors: std::mem::take(&mut self.optimizer_tensors),
        }
    }
}

impl State {
    /// Bytes of `state.json`.
    pub(super) fn to_json(&self, path: &Path) -> Result<Vec<u8>, CheckpointError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| damaged(path, STATE, &e))?;
        json.push(b'\n');
        Ok(json)
    }

    /// What the segmentation workload's model is.
    ///
    /// # Errors
    /// [`CheckpointError::OtherWorkload`] for the checkpoint of another workload; `path` is where it lies.
    pub fn model_shape(&self, path: &Path) -> Result<&ModelShape, CheckpointError> {
        self.model.as_ref().ok_or_else(|| CheckpointError::OtherWorkload { path: path.to_owned() })
    }

    /// Reads `state.json` of a checkpoint folder alone.
    ///
    /// # Errors
    /// [`CheckpointError`] as for [`Checkpoint::read`].
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        if !path.is_dir() {
            return Err(CheckpointError::Absent { path: path.to_owned() });
        }
        let bytes = read_file(path, STATE)?;
        let Version { format_version } =
            serde_json::from_slice(&bytes).map_err(|e| damaged(path, STATE, &e))?;
        if !(u64::from(FIRST_VERSION)..=u64::from(FORMAT_VERSION)).contains(&format_version) {
            let path = path.to_owned();
            return Err(CheckpointError::Version { path, found: format_version, supported: FORMAT_VERSION });
        }
        if format_version >= NAMES_SCHEDULE {
            return serde_json::from_slice(&bytes).map_err(|e| damaged(path, STATE, &e));
        }
        let mut earlier: Value = serde_json::from_slice(&bytes).map_err(|e| damaged(path, STATE, &e))?;
        if let Some(schedule) = earlier.get_mut("schedule").and_then(Value::as_object_mut) {
            schedule.insert("kind".to_owned(), Value::from("exponential"));
        }
        serde_json::from_value(earlier).map_err(|e| damaged(path, STATE, &e))
    }
}

fn read_file(path: &Path, file: &'static str) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path.join(file)).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => CheckpointError::MissingFile { path: path.to_owned(), file },
        _ => CheckpointError::Io { action: "read", path: path.join(file), source },
    })
}

pub(super) fn damaged(path: &Path, file: &'static str, reason: &dyn std::fmt::Display) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), file, reason: reason.to_string() }
}

//! A trained model on its way out: its weights, and what it takes to build the network around them.
//!
//! | place | becomes |
//! |---|---|
//! | a folder | `model.safetensors` and `config.json` |
//! | `NAME.safetensors` | the weights, and `NAME.json` beside them |
//! | `NAME.pt`, `.pth`, `.ckpt` | one PyTorch file: `{"config": …, "statedict": …}` |
//!
//! Tensors have the names of smp's state dict, batch counters included, so that Python's strict loading takes them. What
//! `config.json` says is the [`Framework`]'s. Nothing that is there is overwritten, and nothing appears by halves.

mod config;
mod error;
mod place;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use error::ExportError;

use crate::backend::{BackendName, ComputeDevice};
use crate::models::weights::{Part, WeightsFile};
use crate::models::{SegmentationModel, batch_counters};
use crate::training::checkpoint::{ModelShape, State, checkpoint_in};
use place::Place;

/// For whom the configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framework {
    /// This engine, and whoever wants to know how the model was trained.
    #[default]
    Engine,
    /// segmentation_models_pytorch: a folder is what `smp.from_pretrained` takes, a PyTorch file what inference pipelines do that
    /// build the network by `smp.create_model(**config["model"])`.
    Smp,
}

impl Framework {
    /// The names of all of them.
    pub const NAMES: [&'static str; 2] = ["engine", "smp"];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "engine" => Some(Self::Engine),
            "smp" => Some(Self::Smp),
            _ => None,
        }
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The checkpoint it was taken from.
    pub checkpoint: PathBuf,
    /// What the weights are weights of.
    pub model: ModelShape,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// Exports a checkpoint, or the best one of a run's folder.
///
/// The weights are compared with the network of their name first: what is exported can be loaded.
///
/// # Errors
/// [`ExportError`]; then nothing is written.
pub fn export(from: &Path, to: &Path, framework: Framework) -> Result<Exported, ExportError> {
    let place = Place::of(to)?;
    let checkpoint = checkpoint_in(from)?;
    let state = State::read(&checkpoint)?;
    let mut weights = WeightsFile::open(&checkpoint)?;
    let shape = state.model_shape(&checkpoint)?.clone();
    let ModelShape { arch, encoder, in_channels, .. } = &shape;
    let device = BackendName::best(ComputeDevice::Cpu)?.device(ComputeDevice::Cpu)?;
    let model = SegmentationModel::build(arch, encoder, *in_channels, 0, &device)?;
    model.check_weights(Part::Whole, &weights)?;
    // In the order of a state dict.
    let names = model.parameter_infos().into_iter().map(|info| info.name);
    let order: HashMap<String, usize> = names.enumerate().map(|(at, name)| (name, at)).collect();
    drop(model);
    let mut tensors = weights.read()?;
    tensors.sort_by_key(|tensor| order.get(&tensor.name));
    let counters = batch_counters(&tensors, state.step);
    let classes = tensors.last().and_then(|tensor| tensor.shape.first()).copied().unwrap_or(1);
    let (arch, encoder) = SegmentationModel::spelled(arch, encoder)?;
    let described = config::Described { state: &state, shape: &shape, arch, encoder, classes };
    let config = match (&place, framework) {
        (_, Framework::Engine) => described.for_engine(),
        (Place::PyTorch(_), Framework::Smp) => described.for_pipelines(),
        (_, Framework::Smp) => described.for_from_pretrained(),
    };
    let files = place.write(&config, tensors, counters)?;
    Ok(Exported { checkpoint, model: shape, files })
}

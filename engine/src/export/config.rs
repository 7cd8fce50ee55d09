//! What is written beside the weights. No clock, no I/O.

use serde_json::{Map, Value, json};

use crate::training::checkpoint::{ModelShape, State};

/// Version of what [`Described::for_engine`] gives; raised with every change a reader has to know of.
const FORMAT_VERSION: u32 = 1;

/// A model that is exported.
pub(super) struct Described<'a> {
    pub(super) state: &'a State,
    /// What the weights are weights of.
    pub(super) shape: &'a ModelShape,
    /// Architecture as smp spells it.
    pub(super) arch: &'a str,
    /// Encoder as smp spells it.
    pub(super) encoder: &'a str,
    /// Channels of the output.
    pub(super) classes: usize,
}

impl Described<'_> {
    /// Everything that is known of the model.
    pub(super) fn for_engine(&self) -> Value {
        let state = self.state;
        json!({
            "format_version": FORMAT_VERSION,
            "model": self.model(),
            "bands": self.shape.bands,
            "run": state.run,
            "epoch": state.epoch,
            "step": state.step,
            "metrics": metrics(state),
            "hyperparameters": state.hyperparameters,
        })
    }

    /// `config.json` as smp writes it itself, from the arguments of the architecture's class; those that are not named have their
    /// defaults. Names that begin with an underscore are passed over there, and hold what smp does not ask for.
    ///
    /// # Sources
    /// segmentation_models_pytorch 0.6, `base/hub_mixin.py`: `save_pretrained`, `from_pretrained`, `supports_config_loading`.
    pub(super) fn for_from_pretrained(&self) -> Value {
        json!({
            "_engine": self.for_engine(),
            "_model_class": self.arch,
            "classes": self.classes,
            "encoder_name": self.encoder,
            "encoder_weights": null,
            "in_channels": self.shape.in_channels,
        })
    }

    /// What inference pipelines ask of a checkpoint: `smp.create_model(**config["model"], encoder_weights=None)`, and the bands in
    /// the order of the channels.
    ///
    /// # Sources
    /// awi-response/darts-nextgen, `darts_segmentation.training.train.convert_lightning_checkpoint` and
    /// `darts_segmentation.segment.SMPSegmenterConfig`.
    pub(super) fn for_pipelines(&self) -> Value {
        json!({
            "model": self.model(),
            "bands": self.shape.bands,
            "model_framework": "smp",
            "name": self.state.run.run_name,
            "engine": self.for_engine(),
        })
    }

    /// Arguments of `smp.create_model`.
    fn model(&self) -> Value {
        json!({
            "arch": self.arch,
            "encoder_name": self.encoder,
            "in_channels": self.shape.in_channels,
            "classes": self.classes,
        })
    }
}

/// Metrics by their names; null where JSON has no number.
fn metrics(state: &State) -> Map<String, Value> {
    state.metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}

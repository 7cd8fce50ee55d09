//! Segmentation models: encoder, decoder and head, as segmentation_models_pytorch 0.6 builds them, of feature
//! `segmentation`; and what any model's tensors are called, out and in.
//!
//! An encoder family is one file in `encoders/` and one line in its table, an architecture one file in
//! `decoders/` and one line there.

#[cfg(feature = "segmentation")]
mod catalogue;
#[cfg(feature = "segmentation")]
mod decoders;
#[cfg(feature = "segmentation")]
mod encoder_input;
#[cfg(feature = "segmentation")]
mod encoder_weights;
#[cfg(feature = "segmentation")]
mod encoders;
#[cfg_attr(not(feature = "segmentation"), allow(dead_code, reason = "networks need more of it"))]
mod error;
#[cfg(feature = "segmentation")]
mod head;
mod input;
#[cfg(feature = "segmentation")]
mod model;
#[cfg(feature = "segmentation")]
mod model_file;
#[cfg(feature = "segmentation")]
mod names;
#[cfg_attr(not(feature = "segmentation"), allow(dead_code, reason = "networks need more of it"))]
mod state_dict;
#[cfg(test)]
#[cfg(feature = "segmentation")]
mod transformer_tests;
#[cfg(feature = "segmentation")]
pub mod weights;
mod weights_file;

#[cfg(feature = "segmentation")]
pub use catalogue::{ArchitectureInfo, Catalogue, EncoderInfo};
pub use error::{Mismatch, ModelError};
pub use input::InputNeeds;
#[cfg(feature = "segmentation")]
pub use model::SegmentationModel;
pub use state_dict::{NamedTensor, ParameterInfo};
pub(crate) use state_dict::{
    check_module, load_tensors_by_name, module_tensors, trained_count, trained_names,
};
pub(crate) use weights_file::batch_counters;
pub use weights_file::read_safetensors;

//! Segmentation models: encoder, decoder and head, as segmentation_models_pytorch 0.6 builds them.
//!
//! An encoder family is one file in `encoders/` and one line in its table, an architecture one file in
//! `decoders/` and one line there.

mod catalogue;
mod decoders;
mod encoder_input;
mod encoder_weights;
mod encoders;
mod error;
mod head;
mod input;
mod model;
mod names;
mod state_dict;
#[cfg(test)]
mod transformer_tests;
pub mod weights;
mod weights_file;

pub use catalogue::{ArchitectureInfo, Catalogue, EncoderInfo};
pub use error::{Mismatch, ModelError};
pub use input::InputNeeds;
pub use model::SegmentationModel;
pub use state_dict::{NamedTensor, ParameterInfo};
pub(crate) use state_dict::{
    check_module, load_tensors_by_name, module_tensors, trained_count, trained_names,
};
pub(crate) use weights_file::batch_counters;
pub use weights_file::read_safetensors;

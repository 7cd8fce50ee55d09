//! Segmentation models: encoder, decoder and head, as segmentation_models_pytorch 0.6 builds them.
//!
//! An encoder family is one file in `encoders/` and one line in its table, an architecture one file in
//! `decoders/` and one line there.

mod decoders;
mod encoder_weights;
mod encoders;
mod error;
mod head;
mod model;
mod names;
mod state_dict;
mod weights_file;

pub use error::{Mismatch, ModelError};
pub use model::SegmentationModel;
pub use state_dict::{NamedTensor, ParameterInfo};
pub(crate) use weights_file::batch_counters;
pub use weights_file::read_safetensors;

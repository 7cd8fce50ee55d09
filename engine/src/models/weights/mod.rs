//! Weights in and out: files of weights, and which of their tensors are which of a model.
//!
//! A file is looked at first and read later: its names and shapes are compared with the model's before any of its tensors is
//! taken, so that a job whose weights do not fit never starts. Formats are told by how a file begins, not by its name.
//!
//! | form | floats | read by |
//! |---|---|---|
//! | safetensors | F32, F64, F16, BF16 | `safetensors` |
//! | PyTorch's archive (1.6 and later) and its form before | the same | [`pytorch`] |
//! | folder with `weights.safetensors` (a checkpoint) or `model.safetensors` (an export, a model of Hugging Face's hub) | | `safetensors` |
//!
//! Everything is 32-bit floats here; 64-bit floats are rounded. What is not finite is refused.
//!
//! # Invariants
//! - `WEIGHTS-1` reading a file runs nothing that stands in it
//! - `WEIGHTS-2` no more memory is taken than a small multiple of the file's length, whatever it says of itself
//! - `WEIGHTS-3` every tensor of a file is taken, or told of with the reason, or an error; batch counters alone are passed over

mod element;
mod error;
mod file;
mod layout;
mod matching;
mod pretrained;
pub mod pytorch;
mod safetensors;

pub use error::{WeightsError, WeightsFault};
pub use file::WeightsFile;
pub use layout::LeftOut;
pub use matching::Part;
pub use pretrained::{PRETRAINED, Pretrained};

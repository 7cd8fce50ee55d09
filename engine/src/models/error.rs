//! What can be wrong with a model's name or its weights.

use std::fmt;

use super::input::InputNeeds;

/// Why a model cannot be built or its weights not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No architecture has this name.
    #[error("no architecture is called `{name}`{}; there are {}", Nearest(.nearest), .known.join(", "))]
    UnknownArchitecture {
        /// Name as given.
        name: String,
        /// Every name there is.
        known: Vec<&'static str>,
        /// The one it resembles, if any.
        nearest: Option<&'static str>,
    },
    /// No encoder has this name.
    #[error("no encoder is called `{name}`{}; there are {}", Nearest(.nearest), .known.join(", "))]
    UnknownEncoder {
        /// Name as given.
        name: String,
        /// Every name there is.
        known: Vec<&'static str>,
        /// The one it resembles, if any.
        nearest: Option<&'static str>,
    },
    /// The encoder takes no images of this size.
    #[error(
        "`{encoder}` attends within windows and takes images whose height and width are multiples of {multiple_of}, \
         not {height} x {width}; take patches of {} x {}, or another encoder",
        nearest[0], nearest[1]
    )]
    EncoderImageSize {
        /// The encoder.
        encoder: &'static str,
        /// Height of the images.
        height: usize,
        /// Their width.
        width: usize,
        /// What both are multiples of.
        multiple_of: usize,
        /// The smallest size that holds such images.
        nearest: [usize; 2],
    },
    /// The architecture wants larger features than the encoder can yield.
    #[error(
        "`{encoder}` cannot yield its deepest features at 1/{output_stride} of the image's size, as the architecture wants \
         them; take `Unet` or `UPerNet`, or another encoder"
    )]
    EncoderStride {
        /// The encoder.
        encoder: &'static str,
        /// The image's size by that of the features wanted.
        output_stride: usize,
    },
    /// A model needs at least one input channel.
    #[error("a model with 0 input channels; name at least one band")]
    NoInputChannels,
    /// The architecture takes no images of this size.
    #[error(
        "`{arch}` takes images whose height and width are multiples of {} and at least {}, not {height} x {width}; \
         take patches of {} x {}, or architecture `Unet`, which takes any size",
        needs.multiple_of, needs.at_least, nearest[0], nearest[1]
    )]
    ImageSize {
        /// The architecture.
        arch: &'static str,
        /// Height of the images.
        height: usize,
        /// Their width.
        width: usize,
        /// What it needs.
        needs: InputNeeds,
        /// The smallest size that holds such images.
        nearest: [usize; 2],
    },
    /// The architecture can not be trained by batches so small.
    #[error(
        "`{arch}` normalises one value an image and channel, so it trains by batches of at least {at_least} images, \
         not {batch_size}; raise `batch_size`, or take another architecture"
    )]
    BatchSize {
        /// The architecture.
        arch: &'static str,
        /// Images of a batch.
        batch_size: usize,
        /// The least it trains by.
        at_least: usize,
    },
    /// The encoder has no features at a resolution that the architecture can not do without.
    #[error(
        "`{arch}` needs features of every resolution, and this encoder has none at 1/{reduction} of the image's size; \
         take architecture `Unet`, or another encoder"
    )]
    EmptyFeatures {
        /// The architecture.
        arch: &'static str,
        /// The image's size by that of the empty features.
        reduction: usize,
    },
    /// The tensors are not those of the model.
    #[error("weights do not fit the model{0}")]
    StateDictMismatch(Box<Mismatch>),
    /// A tensor of a weights file is no 32-bit float.
    #[error("tensor `{name}` holds {dtype}, expected F32; convert the weights with `.float()`")]
    TensorType {
        /// Name of the tensor.
        name: String,
        /// Type as the file says.
        dtype: String,
    },
    /// A parameter that no checkpoint keeps.
    #[error(
        "parameter `{name}` {reason}, which a checkpoint does not keep; make it a constant of the model with \
         `#[module(skip)]`, or give it another name or type"
    )]
    Unkept {
        /// Name of the parameter.
        name: String,
        /// What it is, as a fragment.
        reason: &'static str,
    },
    /// The bytes are no safetensors file, or a damaged one.
    #[error("weights are not a whole safetensors file: {0}")]
    WeightsFile(String),
    /// The device did not hand a tensor back.
    #[error("tensor `{name}` cannot be read from the device: {reason}")]
    Unreadable {
        /// Name of the tensor.
        name: String,
        /// What the backend says.
        reason: String,
    },
}

/// Which tensors do not fit: nothing is left out of these lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors of the model that the weights lack.
    pub missing: Vec<String>,
    /// Tensors of the weights that the model lacks.
    pub unexpected: Vec<String>,
    /// Name, shape in the weights, shape in the model.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.missing.is_empty() {
            write!(formatter, "; missing: {}", self.missing.join(", "))?;
        }
        if !self.unexpected.is_empty() {
            write!(formatter, "; unexpected: {}", self.unexpected.join(", "))?;
        }
        for (name, weights, model) in &self.shapes {
            write!(formatter, "; `{name}` is {weights:?} in the weights and {model:?} in the model")?;
        }
        Ok(())
    }
}

/// `, did you mean ...` where something resembles the name.
struct Nearest<'a>(&'a Option<&'static str>);

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(formatter, ", did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

//! What encoders of fixed windows ask of images and architectures.

use super::maxvit::MaxVit;
use super::{Encoder, EncoderSpec};
use crate::models::error::ModelError;

/// The image's size by that of the deepest features where no stride became a dilation.
const WHOLE_STRIDE: usize = 32;

impl Encoder {
    /// Whether the encoder of this name, as [`Encoder::find`] spells it, takes images of `[height, width]`; what the
    /// architecture needs of them is asked elsewhere.
    ///
    /// # Errors
    /// [`ModelError::EncoderImageSize`] if not.
    pub(in crate::models) fn check_image(
        name: &'static str,
        depth: usize,
        [height, width]: [usize; 2],
    ) -> Result<(), ModelError> {
        if !MaxVit::NAMES.contains(&name) {
            return Ok(());
        }
        let multiple_of = MaxVit::multiple_of(depth);
        if [height, width].into_iter().all(|extent| extent > 0 && extent.is_multiple_of(multiple_of)) {
            return Ok(());
        }
        let nearest = [height, width].map(|extent| extent.max(1).next_multiple_of(multiple_of));
        Err(ModelError::EncoderImageSize { encoder: name, height, width, multiple_of, nearest })
    }

    /// Whether the encoder of this name can yield what is wanted.
    ///
    /// # Errors
    /// [`ModelError::EncoderStride`] if the strides of its stages cannot become dilations: timm refuses it, too.
    pub(super) fn check_stride(name: &'static str, spec: EncoderSpec) -> Result<(), ModelError> {
        let output_stride = spec.wanted.output_stride;
        if output_stride < WHOLE_STRIDE && MaxVit::NAMES.contains(&name) {
            return Err(ModelError::EncoderStride { encoder: name, output_stride });
        }
        Ok(())
    }
}

//! What an architecture needs of the images and batches it is given.

use serde::Serialize;

#[cfg(feature = "segmentation")]
use super::{encoders::FeatureSpec, error::ModelError};

/// What an architecture needs of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InputNeeds {
    /// Height and width are multiples of it.
    pub multiple_of: usize,
    /// Height and width are no less.
    pub at_least: usize,
    /// Images of a batch while training are no fewer, on each device.
    pub batch_at_least: usize,
}

#[cfg(feature = "segmentation")]
impl InputNeeds {
    /// Every size, every batch.
    pub(super) const ANY: Self = Self { multiple_of: 1, at_least: 1, batch_at_least: 1 };

    /// Sizes whose features of every depth fit onto each other.
    ///
    /// # Sources
    /// smp 0.6, `SegmentationModel.check_input_shape` and `EncoderMixin.output_stride`.
    pub(super) const fn of(features: FeatureSpec) -> Self {
        let of_depth = 1 << features.depth;
        let stride = if features.output_stride < of_depth { features.output_stride } else { of_depth };
        Self { multiple_of: stride, at_least: stride, batch_at_least: 1 }
    }

    /// The same, and no smaller than this.
    pub(super) const fn at_least(self, at_least: usize) -> Self {
        Self { at_least, ..self }
    }

    /// The same for an architecture with a batch normalisation behind the mean of whole images: of a batch of one it would see a
    /// single value a channel, and keep a running variance of 0. PyTorch refuses that, too.
    pub(super) const fn normalising_whole_images(self) -> Self {
        Self { batch_at_least: 2, ..self }
    }

    /// Whether images of `[height, width]` can be given to `arch`.
    pub(super) fn check_image(self, arch: &'static str, size: [usize; 2]) -> Result<(), ModelError> {
        let fits = |extent: usize| extent >= self.at_least && extent.is_multiple_of(self.multiple_of);
        if size.into_iter().all(fits) {
            return Ok(());
        }
        let nearest = size.map(|extent| extent.max(self.at_least).next_multiple_of(self.multiple_of));
        let [height, width] = size;
        Err(ModelError::ImageSize { arch, height, width, needs: self, nearest })
    }

    /// Whether `arch` can be trained by batches of so many images.
    pub(super) fn check_batch(self, arch: &'static str, batch_size: usize) -> Result<(), ModelError> {
        let at_least = self.batch_at_least;
        if batch_size >= at_least {
            Ok(())
        } else {
            Err(ModelError::BatchSize { arch, batch_size, at_least })
        }
    }
}

//! Why augmentations cannot be applied.

use thiserror::Error;

use crate::folds::nearest::hint;

/// Why augmentations cannot be parsed or applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// A name that is none of the augmentations.
    #[error("augmentation `{name}` is not one of {known}{}", hint(.nearest.as_deref()))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest one there is.
        nearest: Option<String>,
        /// All there are, comma-separated.
        known: String,
    },
    /// A turn by 90 degrees of a sample that is not square.
    #[error(
        "augmentation {augmentation} turns a sample of {height} x {width} pixels by 90 degrees: \
         use square patches, or HorizontalFlip and VerticalFlip alone"
    )]
    NotSquare {
        /// The augmentation.
        augmentation: &'static str,
        /// Rows of the sample.
        height: usize,
        /// Columns of the sample.
        width: usize,
    },
    /// Buffers that do not hold the sample's shape.
    #[error(
        "image of {image} values and mask of {mask} do not hold a sample of {channels} x {height} x {width}: \
         give the shape of the decoded sample"
    )]
    WrongLength {
        /// Values of the image.
        image: usize,
        /// Values of the mask.
        mask: usize,
        /// Channels of the shape.
        channels: usize,
        /// Rows of the shape.
        height: usize,
        /// Columns of the shape.
        width: usize,
    },
}

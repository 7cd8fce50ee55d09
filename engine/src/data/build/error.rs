//! What can keep a training data folder from being built.

use std::path::PathBuf;

use super::super::error::DataError;
use super::super::raster::RasterError;

/// Why no folder is built from images and masks. Nothing is left at its place then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An image or mask can not be read.
    #[error(transparent)]
    Raster(#[from] RasterError),
    /// The folder can not be written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A number or list that can not be.
    #[error("`{option}` is {value}; {remedy}")]
    Impossible {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// A folder of images or masks, or the table of regions, can not be read.
    #[error("cannot {action}; check that it is there and may be read: {source}: {}", path.display())]
    Unreadable {
        /// What was tried.
        action: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no image.
    #[error("the folder holds no image called *{suffix} with an ending of {endings}: {}", path.display())]
    NoImages {
        /// What their names end in, before the ending.
        suffix: String,
        /// Endings that are looked for.
        endings: String,
        /// The folder.
        path: PathBuf,
    },
    /// Images without masks, or masks without images.
    #[error(
        "{count} of the {what} have no partner, first `{first}`; name each pair alike, or give --image-suffix and \
         --mask-suffix: {}",
        path.display()
    )]
    NoPartner {
        /// `images` or `masks`.
        what: &'static str,
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
        /// Where they are.
        path: PathBuf,
    },
    /// Two files that go by the same name.
    #[error("two {what} are called `{name}`; rename one of them: {} and {}", first.display(), second.display())]
    Twice {
        /// `images` or `masks`.
        what: &'static str,
        /// The name.
        name: String,
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// An image of other bands than those named.
    #[error("the image has {found}, but {expected}; {remedy}: {}", path.display())]
    Bands {
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
        /// What to do.
        remedy: &'static str,
        /// The image.
        path: PathBuf,
    },
    /// A mask of several bands.
    #[error("the mask has {bands} bands; write its labels as one band: {}", path.display())]
    MaskBands {
        /// How many.
        bands: usize,
        /// The mask.
        path: PathBuf,
    },
    /// A mask of another size than its image.
    #[error(
        "the mask is {} x {} pixels, its image {} x {}; write both on the same grid: {} and {}",
        mask_size.0, mask_size.1, image_size.0, image_size.1, path.display(), image.display()
    )]
    Size {
        /// Height and width of the mask.
        mask_size: (usize, usize),
        /// Height and width of the image.
        image_size: (usize, usize),
        /// The mask.
        path: PathBuf,
        /// The image.
        image: PathBuf,
    },
    /// A mask that lies elsewhere than its image.
    #[error(
        "the mask lies elsewhere on the ground than its image; write both on the same grid: {} and {}",
        path.display(), image.display()
    )]
    Place {
        /// The mask.
        path: PathBuf,
        /// The image.
        image: PathBuf,
    },
    /// Values of a mask that mean nothing.
    #[error(
        "{count} pixels of the mask have values that mean nothing, first {value} in row {row}, column {column}; say what \
         they are by --positive, --negative or --ignored: {}",
        path.display()
    )]
    Label {
        /// How many pixels.
        count: u64,
        /// The first such value.
        value: f32,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// The mask.
        path: PathBuf,
    },
    /// The table of regions says nothing of an image, or is none.
    #[error("{what}; correct the table of regions: {}", path.display())]
    Regions {
        /// What is wrong.
        what: String,
        /// The table.
        path: PathBuf,
    },
    /// No patch holds a pixel that counts.
    #[error("no pixel of the images counts: all are without data or ignored; check nodata and labels: {}", path.display())]
    NothingCounts {
        /// Folder of the images.
        path: PathBuf,
    },
}

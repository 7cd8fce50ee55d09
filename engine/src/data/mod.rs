//! The training data folder: reading, checking, loading ahead of training, and synthesis.
//!
//! ```text
//! train_data_dir/
//! ├── config.toml         [darts] bands = [...], patch_size
//! ├── data.zarr/          x: [n, c, h, w] float32, y: [n, h, w] uint8
//! └── metadata.parquet    row i describes sample i: sample_id, region, empty, geometry
//! ```
//!
//! Labels are 0 negative, 1 positive, 2 ignored. A chunk that is not on disk is all fill value.
//!
//! Invariants
//! - `DATA-1` the order of samples depends on seed and epoch alone, never on the number of threads; shards take turns in it.
//! - `DATA-2` no sample reaches training with a value of x that is not finite or a label other than 0, 1, 2.
//! - `DATA-3` an epoch that is dropped loads no further sample; a loader that is dropped with its epochs leaves no thread behind.
//! - `DATA-4` a folder that is synthesised or built appears whole or not at all.

mod arrays;
mod aside;
mod build;
mod config;
mod division;
mod error;
mod fingerprint;
mod folder;
mod geometry;
mod loader;
mod metadata;
mod raster;
mod synth;
mod validate;
mod zarr;

pub use build::{BuildError, BuildProgress, BuildReport, BuildRequest, build};
pub use division::{
    DivisionError, FoldWarning, SampleTable, Side, divide, divide_without_folds, split_test, warnings,
};
pub use error::DataError;
pub use fingerprint::fingerprint;
pub use folder::{DataFolder, Sample};
pub use geometry::Footprint;
pub use loader::{Batch, EpochIter, Loader, LoaderConfig};
pub use raster::{
    Affine, ENDINGS, Epsg, Georeference, MAX_ROW_BYTES, Raster, RasterError, RasterRows, TiffImage,
    TiffValue, TiffWriter,
};
pub use synth::{SynthConfig, SynthReport, synthesise};
pub use validate::{
    FoldReport, PartReport, RegionReport, Report, ValueReport, Warning, WarningKind, check_all, validate,
};
pub use zarr::MAX_CHUNK_BYTES;

pub use crate::training::parallel::{Remainder, Shard};

//! The arrays of a folder that is written: zarr v3, one chunk a sample.

use std::path::Path;
use std::sync::Arc;

use zarrs::array::codec::bytes_to_bytes::blosc::{BloscCodec, BloscCompressor, BloscShuffleMode};
use zarrs::array::{Array, ArrayBuilder, data_type};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::GroupBuilder;

/// Middle level of the compression: noise shrinks little, however long one tries.
const COMPRESSION_LEVEL: u8 = 5;

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// `x` and `y` while they are filled.
pub(super) struct Arrays {
    x: Array<FilesystemStore>,
    y: Array<FilesystemStore>,
}

impl Arrays {
    /// Arrays of so many samples, each of so many bands and so many pixels high and wide. Made again over arrays of more
    /// samples they are these, cut.
    pub(super) fn create(path: &Path, samples: usize, bands: usize, side: usize) -> Result<Self, Cause> {
        std::fs::create_dir_all(path)?;
        let store = Arc::new(FilesystemStore::new(path)?);
        GroupBuilder::new().build(Arc::clone(&store), "/")?.store_metadata()?;
        let (n, c, s) = (samples as u64, bands as u64, side as u64);
        let codec = |bytes: usize| -> Result<Arc<BloscCodec>, Cause> {
            let level = COMPRESSION_LEVEL.try_into().map_err(|_| "no such compression level")?;
            let shuffle = BloscShuffleMode::BitShuffle;
            Ok(Arc::new(BloscCodec::new(BloscCompressor::Zstd, level, None, shuffle, Some(bytes))?))
        };
        let x = ArrayBuilder::new(vec![n, c, s, s], vec![1, c, s, s], data_type::float32(), 0.0f32)
            .bytes_to_bytes_codecs(vec![codec(4)?])
            .build(Arc::clone(&store), "/x")?;
        let y = ArrayBuilder::new(vec![n, s, s], vec![1, s, s], data_type::uint8(), 0u8)
            .bytes_to_bytes_codecs(vec![codec(1)?])
            .build(store, "/y")?;
        x.store_metadata()?;
        y.store_metadata()?;
        Ok(Self { x, y })
    }

    /// Writes a sample. A chunk that is all fill value is left out, as zarr does.
    pub(super) fn store(&self, sample: usize, x: Vec<f32>, y: Vec<u8>) -> Result<(), Cause> {
        self.x.store_chunk(&[sample as u64, 0, 0, 0], x)?;
        self.y.store_chunk(&[sample as u64, 0, 0], y)?;
        Ok(())
    }
}

//! The arrays of `data.zarr`: opening, checking their form, reading one sample.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::{
    Array, ArrayBytes, ArrayBytesRaw, ArrayError, ArrayShardedExt, ArraySubset, CodecOptions,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::ReadableStorageTraits;

use super::error::{Account, DataError};

type Store = dyn ReadableStorageTraits;

/// Bytes of one sample, and of one chunk or inner chunk of a shard, decoded, at the most. Both are held whole: more comes from
/// damaged metadata, and would take the machine's memory before a value is looked at.
pub const MAX_CHUNK_BYTES: usize = 1 << 30;

/// Offset and length in a shard's index.
///
/// # Sources
/// Zarr, sharding codec 1.0, section Binary shard format.
const BYTES_PER_INNER_CHUNK: u64 = 16;

/// One array whose first axis counts samples.
pub(super) struct SampleArray {
    name: &'static str,
    group: PathBuf,
    array: Array<Store>,
    options: CodecOptions,
}

impl SampleArray {
    /// Opens `group/name` and checks its rank and element type.
    pub(super) fn open(
        group: &Path,
        name: &'static str,
        dtype: &'static str,
        axes: &'static [&'static str],
    ) -> Result<Self, DataError> {
        let path = group.join(name);
        if !["zarr.json", ".zarray"].iter().any(|file| path.join(file).is_file()) {
            return Err(DataError::Missing {
                what: if name == "x" { "array x" } else { "array y" },
                remedy: "run preprocessing again, data.zarr holds x and y, each with zarr.json (v3) or .zarray (v2)",
                path,
            });
        }
        let store = FilesystemStore::new(group).map_err(|source| DataError::Io {
            action: "open data.zarr",
            path: group.into(),
            source: std::io::Error::other(source),
        })?;
        let store: Arc<Store> = Arc::new(store);
        let array = Array::open(store, &format!("/{name}")).map_err(|source| DataError::Array {
            array: name,
            path: path.clone(),
            source: Box::new(source),
        })?;
        // Samples are read side by side already: one thread each.
        let options = CodecOptions::default().with_concurrent_target(1).with_chunk_concurrent_minimum(1);
        let this = Self { name, group: group.into(), array, options };
        let found_type = this.array.data_type().to_string();
        if !this.has_type(dtype) {
            return Err(this.wrong_form(format!("of {found_type}"), format!("of {dtype}")));
        }
        if this.array.shape().len() != axes.len() {
            let found = format!("{:?}", this.array.shape());
            return Err(this.wrong_form(found, format!("[{}]", axes.join(", "))));
        }
        if this.array.shape()[1..].contains(&0) {
            let found = format!("{:?}", this.array.shape());
            return Err(this.wrong_form(found, "of at least one pixel a sample".into()));
        }
        this.check_sizes()?;
        Ok(this)
    }

    /// Whether a sample and a chunk can be held in memory, before one is asked for.
    fn check_sizes(&self) -> Result<(), DataError> {
        let item = self.item();
        let limit = MAX_CHUNK_BYTES as u64;
        let fits = |extents: &[u64], item: u64| {
            let bytes = extents.iter().try_fold(item, |bytes, extent| bytes.checked_mul(*extent));
            bytes.is_some_and(|bytes| bytes <= limit)
        };
        let too_large = |what: &str, extents: &[u64]| {
            let expected = format!("of at most {} MiB a {what}", MAX_CHUNK_BYTES >> 20);
            Err(self.wrong_form(format!("{extents:?} a {what}"), expected))
        };
        let shape = self.array.shape();
        if !fits(&shape[1..], item) {
            return too_large("sample", &shape[1..]);
        }
        let Ok(chunk) = self.array.chunk_shape(&vec![0; shape.len()]) else { return Ok(()) };
        let chunk = extents(&chunk);
        // Of a shard its index is held, and one inner chunk at a time.
        match self.array.subchunk_shape().map(|inner| extents(&inner)) {
            Some(inner) => {
                let inner_chunks: Vec<u64> =
                    chunk.iter().zip(&inner).map(|(outer, inner)| outer.div_ceil(*inner)).collect();
                if !fits(&inner_chunks, BYTES_PER_INNER_CHUNK) {
                    return too_large("shard's index", &inner_chunks);
                }
                if fits(&inner, item) { Ok(()) } else { too_large("inner chunk", &inner) }
            }
            None if fits(&chunk, item) => Ok(()),
            None => too_large("chunk", &chunk),
        }
    }

    /// Bytes of a value.
    fn item(&self) -> u64 {
        if self.has_type("float32") { 4 } else { 1 }
    }

    fn has_type(&self, dtype: &str) -> bool {
        use zarrs::array::data_type::{Float32DataType, UInt8DataType};
        match dtype {
            "float32" => self.array.data_type().is::<Float32DataType>(),
            _ => self.array.data_type().is::<UInt8DataType>(),
        }
    }

    pub(super) fn wrong_form(&self, found: String, expected: String) -> DataError {
        DataError::ArrayForm { array: self.name, found, expected, path: self.path() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.group.join(self.name)
    }

    /// Extents along every axis.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.array.shape().iter().map(|extent| *extent as usize).collect()
    }

    /// All values of one sample, as bytes in this machine's order: as many as its shape and type say. A chunk that is not
    /// there reads as the fill value.
    ///
    /// # Errors
    /// The chunk's file and what is wrong with it.
    pub(super) fn read(&self, row: usize) -> Result<ArrayBytesRaw<'static>, (PathBuf, Account)> {
        let subset = self.subset(row);
        let bytes = self.array.retrieve_array_subset_opt(&subset, &self.options).and_then(|bytes| {
            let bytes =
                ArrayBytes::into_fixed(bytes).map_err(|error| ArrayError::Other(error.to_string()))?;
            let expected = self.array.shape()[1..].iter().product::<u64>() * self.item();
            if bytes.len() as u64 == expected {
                Ok(bytes)
            } else {
                let found = bytes.len();
                Err(ArrayError::Other(format!("its samples are of {found} bytes instead of {expected}")))
            }
        });
        bytes.map_err(|error| {
            let path = self.damaged_chunk(&subset).unwrap_or_else(|| self.path());
            (path, Account::from(error))
        })
    }

    fn subset(&self, row: usize) -> ArraySubset {
        let row = row as u64;
        let rest = self.array.shape()[1..].iter().map(|extent| 0..*extent);
        std::iter::once(row..row + 1).chain(rest).collect::<Vec<_>>().into()
    }

    /// The first chunk of a sample that does not decode by itself.
    fn damaged_chunk(&self, subset: &ArraySubset) -> Option<PathBuf> {
        let chunks = self.array.chunks_in_array_subset(subset).ok()??;
        let damaged = chunks.indices().into_iter().find(|indices| {
            let chunk: Result<zarrs::array::ArrayBytes<'static>, _> =
                self.array.retrieve_chunk_opt(indices, &self.options);
            chunk.is_err()
        })?;
        Some(self.group.join(self.array.chunk_key(&damaged).as_str()))
    }
}

fn extents(shape: &[std::num::NonZeroU64]) -> Vec<u64> {
    shape.iter().map(|extent| extent.get()).collect()
}

impl std::fmt::Debug for SampleArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampleArray").field("path", &self.path()).field("shape", &self.shape()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use zarrs::array::ArrayMetadata;

    use super::*;

    /// Seven samples of 2 bands, 4 rows and 6 columns, every value another one.
    const SHAPE: [usize; 4] = [7, 2, 4, 6];

    fn values() -> Vec<f32> {
        (0..SHAPE.iter().product::<usize>()).map(|value| value as f32 + 0.25).collect()
    }

    fn version_3(chunk: [usize; 4], codecs: &Value) -> Value {
        json!({
            "zarr_format": 3, "node_type": "array", "shape": SHAPE, "data_type": "float32", "fill_value": "NaN",
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": chunk } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
            "codecs": codecs,
        })
    }

    fn version_2(chunk: [usize; 4], compressor: &Value, separator: &str, dtype: &str) -> Value {
        json!({
            "zarr_format": 2, "shape": SHAPE, "chunks": chunk, "dtype": dtype, "fill_value": null,
            "order": "C", "filters": null, "compressor": compressor, "dimension_separator": separator,
        })
    }

    /// Writes the array with the library's own writer and reads every sample back.
    fn round_trip(metadata: &Value) {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Arc::new(FilesystemStore::new(directory.path()).unwrap());
        let metadata: ArrayMetadata = serde_json::from_value(metadata.clone()).unwrap();
        let array = Array::new_with_metadata(store, "/x", metadata.clone()).unwrap();
        array.store_metadata().unwrap();
        array.store_array_subset(&array.subset_all(), values()).unwrap();
        let axes = &["samples", "bands", "height", "width"];
        let read = SampleArray::open(directory.path(), "x", "float32", axes).unwrap();
        assert_eq!(read.shape(), SHAPE);
        let item = SHAPE[1..].iter().product::<usize>();
        for (row, expected) in values().chunks(item).enumerate() {
            let bytes = read.read(row).unwrap();
            let found: Vec<f32> =
                bytes.as_chunks().0.iter().map(|value| f32::from_ne_bytes(*value)).collect();
            assert_eq!(found, expected, "row {row} of {metadata:?}");
        }
    }

    #[test]
    fn every_codec_and_chunk_shape_reads_back() {
        let bytes = json!({ "name": "bytes", "configuration": { "endian": "little" } });
        let big = json!({ "name": "bytes", "configuration": { "endian": "big" } });
        let zstd = json!({ "name": "zstd", "configuration": { "level": 3, "checksum": true } });
        let gzip = json!({ "name": "gzip", "configuration": { "level": 5 } });
        let blosc = json!({ "name": "blosc", "configuration": {
            "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0 } });
        let sharded = json!({ "name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 2, 4, 6], "codecs": [bytes, zstd],
            "index_codecs": [bytes, { "name": "crc32c" }], "index_location": "end" } });
        let v2_blosc = json!({ "id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0 });
        for chunk in [[1, 2, 4, 6], [3, 2, 4, 6], [2, 1, 3, 4]] {
            for codecs in [json!([bytes]), json!([big, zstd]), json!([bytes, gzip]), json!([bytes, blosc])] {
                round_trip(&version_3(chunk, &codecs));
            }
            for compressor in [
                Value::Null,
                v2_blosc.clone(),
                json!({ "id": "zstd", "level": 1 }),
                json!({ "id": "gzip", "level": 1 }),
            ] {
                round_trip(&version_2(chunk, &compressor, ".", "<f4"));
                round_trip(&version_2(chunk, &compressor, "/", ">f4"));
            }
        }
        round_trip(&version_3([4, 2, 4, 6], &json!([sharded])));
    }
}

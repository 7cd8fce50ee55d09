//! The arrays of `data.zarr`: opening, checking their form, reading one sample.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::{Array, ArrayError, ArraySubset, CodecOptions, ElementOwned};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::ReadableStorageTraits;

use super::error::DataError;

type Store = dyn ReadableStorageTraits;

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
        Ok(this)
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

    /// All values of one sample. A chunk that is not there reads as the fill value.
    ///
    /// # Errors
    /// The chunk's file and what is wrong with it.
    pub(super) fn read<T: ElementOwned>(&self, row: usize) -> Result<Vec<T>, (PathBuf, Box<ArrayError>)> {
        let subset = self.subset(row);
        self.array.retrieve_array_subset_opt(&subset, &self.options).map_err(|error| {
            let path = self.damaged_chunk(&subset).unwrap_or_else(|| self.path());
            (path, Box::new(error))
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

impl std::fmt::Debug for SampleArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampleArray").field("path", &self.path()).field("shape", &self.shape()).finish()
    }
}

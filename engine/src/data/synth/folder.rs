//! Writes what was drawn in the form that preprocessing writes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::super::arrays::{Arrays, Cause};
use super::super::error::DataError;
use super::super::geometry::rectangle_wkb;
use super::terrain::Terrain;
use super::{PIXEL_METRES, REGION_METRES, Site, SynthConfig};

/// Draws and writes every sample, many at once; returns how many pixels have each label, by sample.
pub(super) fn write_arrays(
    dir: &Path,
    config: &SynthConfig,
    sites: &[Site],
    terrain: &Terrain,
) -> Result<Vec<[u64; 3]>, DataError> {
    let path = dir.join("data.zarr");
    let failed = |source: Cause| DataError::Write { what: "data.zarr", path: path.clone(), source };
    let arrays =
        Arrays::create(&path, config.samples, config.bands.len(), config.patch_size).map_err(failed)?;
    (0..sites.len())
        .into_par_iter()
        .map(|sample| {
            let (x, y) = terrain.draw(sample, &sites[sample]);
            let mut counts = [0; 3];
            for label in &y {
                counts[usize::from(*label)] += 1;
            }
            arrays.store(sample, x, y).map_err(failed)?;
            Ok(counts)
        })
        .collect()
}

/// GeoParquet with one rectangle a sample, in polar stereographic metres.
pub(super) fn write_metadata(
    dir: &Path,
    config: &SynthConfig,
    sites: &[Site],
    empty: &[bool],
) -> Result<(), DataError> {
    let path = dir.join("metadata.parquet");
    let write = || -> Result<(), Cause> {
        let corners: Vec<_> = sites.iter().map(|site| corners(site, config)).collect();
        let wkb: Vec<_> = corners.iter().map(|(min, max)| rectangle_wkb(*min, *max)).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("sample_id", Arc::new(StringArray::from_iter_values(sites.iter().map(|site| &site.sample_id)))),
            ("region", Arc::new(StringArray::from_iter_values(sites.iter().map(|site| &site.region)))),
            ("empty", Arc::new(BooleanArray::from(empty.to_vec()))),
            ("geometry", Arc::new(BinaryArray::from_iter_values(&wkb))),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        let edge = |pick: fn(f64, f64) -> f64, start: f64, axis: usize, upper: bool| {
            corners.iter().map(|(min, max)| if upper { max[axis] } else { min[axis] }).fold(start, pick)
        };
        let note = json!({
            "version": "1.1.0",
            "primary_column": "geometry",
            "columns": { "geometry": {
                "encoding": "WKB",
                "geometry_types": ["Polygon"],
                "crs": serde_json::from_str::<serde_json::Value>(include_str!("epsg3413.json"))?,
                "bbox": [
                    edge(f64::min, f64::INFINITY, 0, false),
                    edge(f64::min, f64::INFINITY, 1, false),
                    edge(f64::max, f64::NEG_INFINITY, 0, true),
                    edge(f64::max, f64::NEG_INFINITY, 1, true),
                ],
            } },
        });
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(vec![KeyValue::new("geo".to_owned(), note.to_string())]))
            .build();
        // Without arrow's own schema, whose notes would hide GeoParquet's from other readers.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(File::create(&path)?, batch.schema(), options)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    };
    write().map_err(|source| DataError::Write { what: "metadata.parquet", path: path.clone(), source })
}

/// Lower left and upper right corner of a sample. Rows run down, the second axis up.
fn corners(site: &Site, config: &SynthConfig) -> ([f64; 2], [f64; 2]) {
    let (column, row) = (site.region_number % 4, site.region_number / 4);
    let left = -1_500_000.0 + REGION_METRES * column as f64 + PIXEL_METRES * site.origin[0] as f64;
    let top = -500_000.0 - REGION_METRES * row as f64 - PIXEL_METRES * site.origin[1] as f64;
    let extent = PIXEL_METRES * config.patch_size as f64;
    ([left, top - extent], [left + extent, top])
}

#[derive(Serialize)]
struct ConfigFile<'a> {
    darts: Darts<'a>,
}

#[derive(Serialize)]
struct Darts<'a> {
    bands: &'a [String],
    patch_size: usize,
    overlap: usize,
    exclude_nopositive: bool,
    exclude_nan: bool,
    mask_erosion_size: usize,
}

pub(super) fn write_config(dir: &Path, config: &SynthConfig) -> Result<(), DataError> {
    let path = dir.join("config.toml");
    let darts = Darts {
        bands: &config.bands,
        patch_size: config.patch_size,
        overlap: 0,
        exclude_nopositive: false,
        exclude_nan: false,
        mask_erosion_size: 0,
    };
    let write = || -> Result<(), Cause> {
        std::fs::write(&path, toml::to_string(&ConfigFile { darts })?)?;
        Ok(())
    };
    write().map_err(|source| DataError::Write { what: "config.toml", path: path.clone(), source })
}

//! What stands beside the arrays of a folder that is built: `metadata.parquet` and `config.toml`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde_json::json;

use super::super::arrays::Cause;
use super::super::error::DataError;
use super::super::geometry::quadrilateral_wkb;
use super::super::raster::Epsg;

/// One sample.
#[derive(Debug, Clone)]
pub(super) struct SampleRow {
    pub(super) sample_id: String,
    pub(super) region: String,
    pub(super) empty: bool,
    /// First row and column in the image.
    pub(super) place: (usize, usize),
    /// The patch on the ground; `None` where the image does not say where it lies.
    pub(super) corners: Option<[[f64; 2]; 4]>,
}

/// The reference system of all footprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    /// There are none, or not for every sample, or of several systems.
    NoGeometry,
    /// One system without a number.
    Unnamed,
    /// A system of the EPSG register.
    Numbered(Epsg),
}

pub(super) fn metadata(dir: &Path, rows: &[SampleRow], system: System) -> Result<(), DataError> {
    let path = dir.join("metadata.parquet");
    let write = || -> Result<(), Cause> {
        let texts = |text: fn(&SampleRow) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
        };
        let numbers = |number: fn(&SampleRow) -> usize| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| number(row) as i64)))
        };
        let empty: Vec<bool> = rows.iter().map(|row| row.empty).collect();
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("sample_id", texts(|row| &row.sample_id)),
            ("region", texts(|row| &row.region)),
            ("empty", Arc::new(BooleanArray::from(empty))),
            ("row", numbers(|row| row.place.0)),
            ("column", numbers(|row| row.place.1)),
        ];
        let mut notes = Vec::new();
        if system != System::NoGeometry {
            let corners: Vec<[[f64; 2]; 4]> = rows.iter().filter_map(|row| row.corners).collect();
            let wkb =
                BinaryArray::from_iter_values(corners.iter().map(|corners| quadrilateral_wkb(*corners)));
            columns.push(("geometry", Arc::new(wkb)));
            notes.push(KeyValue::new("geo".to_owned(), note(&corners, system).to_string()));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(notes))
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

/// GeoParquet's note. The reference system would have to be spelled out there, which a number does not do: it is left
/// open, and the number stands beside it.
///
/// # Sources
/// GeoParquet 1.1.0, section Column metadata, crs.
fn note(corners: &[[[f64; 2]; 4]], system: System) -> serde_json::Value {
    let points = || corners.iter().flatten();
    let edge = |pick: fn(f64, f64) -> f64, start: f64, axis: usize| {
        points().map(|point| point[axis]).fold(start, pick)
    };
    let bounds = [
        edge(f64::min, f64::INFINITY, 0),
        edge(f64::min, f64::INFINITY, 1),
        edge(f64::max, f64::NEG_INFINITY, 0),
        edge(f64::max, f64::NEG_INFINITY, 1),
    ];
    let mut note = json!({
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": { "geometry": { "encoding": "WKB", "geometry_types": ["Polygon"], "crs": null, "bbox": bounds } },
    });
    if let System::Numbered(Epsg { code, is_projected }) = system {
        note["engine"] = json!({ "epsg": code, "is_projected": is_projected });
    }
    note
}

/// `config.toml` of a folder that is built.
#[derive(Debug, Serialize)]
pub(super) struct Config<'a> {
    pub(super) bands: &'a [String],
    pub(super) patch_size: usize,
    pub(super) overlap: usize,
    /// What images' values were multiplied with, and what was added: a prediction on images needs the same.
    pub(super) scale: Vec<f32>,
    pub(super) offset: Vec<f32>,
}

#[derive(Serialize)]
struct ConfigFile<'a> {
    darts: &'a Config<'a>,
}

pub(super) fn config(dir: &Path, config: &Config<'_>) -> Result<(), DataError> {
    let path = dir.join("config.toml");
    let write = || -> Result<(), Cause> {
        std::fs::write(&path, toml::to_string(&ConfigFile { darts: config })?)?;
        Ok(())
    };
    write().map_err(|source| DataError::Write { what: "config.toml", path: path.clone(), source })
}

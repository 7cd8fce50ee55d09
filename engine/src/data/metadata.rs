//! `metadata.parquet`: one row a sample.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use engine_tracking::parquet_guard::{self, guarded};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::division::SampleTable;
use super::error::DataError;
use super::geometry::Footprint;
use super::raster::Epsg;

/// What `metadata.parquet` says.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) table: SampleTable,
    /// One a row, or `None` if the table has no geometry.
    pub(super) footprints: Option<Vec<Option<Footprint>>>,
    /// The reference system of the footprints, where the table numbers it.
    pub(super) epsg: Option<Epsg>,
}

impl Metadata {
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(DataError::Missing {
                    what: "metadata.parquet",
                    remedy: "run preprocessing again, it writes one row a sample",
                    path: path.into(),
                });
            }
            Err(source) => {
                return Err(DataError::Io { action: "read metadata.parquet", path: path.into(), source });
            }
        };
        let damaged =
            |source: ParquetError| DataError::Metadata { path: path.into(), source: Box::new(source) };
        let bytes = file.metadata().map_err(|source| DataError::Io {
            action: "read metadata.parquet",
            path: path.into(),
            source,
        })?;
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
        parquet_guard::check(builder.metadata(), bytes.len()).map_err(damaged)?;
        let schema = builder.schema().clone();
        let notes = builder.metadata().file_metadata().key_value_metadata();
        let geometry = geometry_column(&schema, notes);
        let epsg = reference_system(notes);
        let mut wanted = vec!["sample_id", "region", "empty"];
        wanted.extend(geometry.as_deref());
        let mask = ProjectionMask::roots(
            builder.parquet_schema(),
            wanted.iter().filter_map(|name| schema.index_of(name).ok()),
        );
        let reader = guarded(|| builder.with_projection(mask).build()).map_err(damaged)?;
        let batches = guarded(|| reader.collect::<Result<Vec<_>, ArrowError>>());
        let batches = batches.map_err(|e| damaged(e.into()))?;

        let column = |name: &str| -> Result<Option<ArrayRef>, DataError> {
            let Ok(field) = schema.field_with_name(name) else { return Ok(None) };
            let parts: Vec<&dyn Array> =
                batches.iter().filter_map(|batch| batch.column_by_name(name)).map(AsRef::as_ref).collect();
            if parts.is_empty() {
                return Ok(Some(arrow::array::new_empty_array(field.data_type())));
            }
            concat(&parts).map(Some).map_err(|e| damaged(e.into()))
        };
        let required = |name: &'static str| {
            column(name)?.ok_or_else(|| DataError::MissingColumn {
                column: name,
                available: schema.fields().iter().map(|field| field.name().clone()).collect(),
                path: path.into(),
            })
        };
        let table = SampleTable {
            sample_id: texts("sample_id", &required("sample_id")?, path)?,
            region: texts("region", &required("region")?, path)?,
            empty: flags("empty", &required("empty")?, path)?,
        };
        let footprints = match geometry {
            Some(name) => column(&name)?.map(|column| footprints(&column, path)).transpose()?.flatten(),
            None => None,
        };
        Ok(Self { table, footprints, epsg })
    }
}

/// Name of the geometry column: what the GeoParquet note of the file says, else `geometry`.
///
/// # Sources
/// GeoParquet 1.1.0, section File metadata.
fn geometry_column(
    schema: &Schema,
    notes: Option<&Vec<parquet::file::metadata::KeyValue>>,
) -> Option<String> {
    let name = match geo_note(notes) {
        Some(note) => {
            let name = note.get("primary_column")?.as_str()?.to_owned();
            let encoding =
                note.pointer(&format!("/columns/{name}/encoding")).and_then(|value| value.as_str());
            encoding.is_none_or(|encoding| encoding == "WKB").then_some(name)?
        }
        None => "geometry".to_owned(),
    };
    schema.field_with_name(&name).is_ok().then_some(name)
}

fn geo_note(notes: Option<&Vec<parquet::file::metadata::KeyValue>>) -> Option<serde_json::Value> {
    let note = notes.into_iter().flatten().find(|note| note.key == "geo")?;
    serde_json::from_str(note.value.as_deref()?).ok()
}

/// The EPSG number of the geometries' reference system: of the PROJJSON there, else what [`build`](super::build) notes.
fn reference_system(notes: Option<&Vec<parquet::file::metadata::KeyValue>>) -> Option<Epsg> {
    let note = geo_note(notes)?;
    if let Some(code) = note.pointer("/engine/epsg") {
        let is_projected = note.pointer("/engine/is_projected")?.as_bool()?;
        return Some(Epsg { code: u16::try_from(code.as_u64()?).ok()?, is_projected });
    }
    let name = note.get("primary_column")?.as_str()?;
    let crs = note.get("columns")?.get(name)?.get("crs")?;
    let is_epsg = crs.pointer("/id/authority")?.as_str()? == "EPSG";
    let code = u16::try_from(crs.pointer("/id/code")?.as_u64()?).ok()?;
    is_epsg.then(|| Epsg { code, is_projected: crs.get("type").is_some_and(|kind| kind == "ProjectedCRS") })
}

/// Strings of any layout, or integers written out.
fn texts(column: &'static str, values: &ArrayRef, path: &Path) -> Result<Vec<String>, DataError> {
    fn is_text(kind: &DataType) -> bool {
        match kind {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
            DataType::Dictionary(_, values) => is_text(values) || values.is_integer(),
            kind => kind.is_integer(),
        }
    }
    let wrong = || DataError::ColumnType {
        column,
        found: values.data_type().to_string(),
        expected: "strings or integers",
        path: path.into(),
    };
    if !is_text(values.data_type()) {
        return Err(wrong());
    }
    let texts = cast(values, &DataType::Utf8).map_err(|_| wrong())?;
    let texts = texts.as_string::<i32>();
    texts
        .iter()
        .enumerate()
        .map(|(row, text)| {
            text.map(str::to_owned).ok_or_else(|| DataError::NullValue { column, row, path: path.into() })
        })
        .collect()
}

fn flags(column: &'static str, values: &ArrayRef, path: &Path) -> Result<Vec<bool>, DataError> {
    let flags = values.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| DataError::ColumnType {
        column,
        found: values.data_type().to_string(),
        expected: "booleans",
        path: path.into(),
    })?;
    flags
        .iter()
        .enumerate()
        .map(|(row, flag)| flag.ok_or_else(|| DataError::NullValue { column, row, path: path.into() }))
        .collect()
}

/// `None` if the column holds no bytes, as in native GeoArrow encodings.
fn footprints(values: &ArrayRef, path: &Path) -> Result<Option<Vec<Option<Footprint>>>, DataError> {
    if !matches!(values.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView) {
        return Ok(None);
    }
    let bytes = cast(values, &DataType::LargeBinary)
        .map_err(|source| DataError::Metadata { path: path.into(), source: Box::new(source) })?;
    let read = |(row, wkb): (usize, Option<&[u8]>)| match wkb.map(Footprint::from_wkb) {
        None => Ok(None),
        Some(Ok(footprint)) => Ok(footprint),
        Some(Err(reason)) => Err(DataError::Geometry { row, reason, path: path.into() }),
    };
    bytes.as_binary::<i64>().iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

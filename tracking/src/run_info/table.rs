//! Tables as parquet files: written whole, grown by row groups, read back.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;

use super::columns::{Column, FOOTER_KEY, Footer, Layout, TABLE_VERSION, schema};
use super::error::RunInfoError;
use super::rows::{CvScore, RunInfo, TableRow};
use super::{decode, encode};
use crate::atomic;
use crate::parquet_guard::{self, guarded};

/// A group of fewer rows is written as it is: to set up a compressor for each of its columns takes longer than all else, and saves
/// less than a block of the disk.
const COMPRESSED_ROWS: usize = 256;

/// Writes the runs of a cv, whole or not at all, in the order given.
///
/// Columns: `run_name`, `run_id`, `fold`, `seed`, `duration` (seconds), every metric, `checkpoint`, `is_unstable`,
/// `score`, `score_is_unstable`, `status`, `failure`, `attempts`, `device`, `peak_memory_bytes`,
/// `peak_device_memory_bytes`. A metric named like one of them or like a further column of a tune's table stands under
/// `metric/{name}`.
///
/// # Errors
/// [`RunInfoError`] if the file can not be written; a table that was there stays.
pub fn write_cv(path: &Path, runs: &[RunInfo], score: Option<CvScore>) -> Result<(), RunInfoError> {
    let rows: Vec<_> =
        runs.iter().map(|run| TableRow { run: run.clone(), score, ..TableRow::default() }).collect();
    let mut layout = Layout::default();
    layout.admit(&rows);
    write(path, &Footer { version: TABLE_VERSION, layout, cv_names: Vec::new() }, None, &rows)
}

/// Reads a cv's or a tune's table back, in the order of its rows.
///
/// # Errors
/// [`RunInfoError`] if the file is missing, damaged, of another version or something else.
pub fn read_run_infos(path: &Path) -> Result<Vec<TableRow>, RunInfoError> {
    let table = Table::open(path)?.ok_or_else(|| RunInfoError::Open {
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    table.rows((0..table.groups()).collect())
}

/// A table on disk, its description read.
pub(super) struct Table {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    pub(super) footer: Footer,
    columns: Vec<Column>,
}

impl Table {
    /// Opens a table; none where there is no file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, RunInfoError> {
        let owned = || path.to_owned();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RunInfoError::Open { path: owned(), source }),
        };
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))
            .map_err(|source| RunInfoError::Read { path: owned(), source })?;
        let bytes = file.metadata().map_err(|source| RunInfoError::Open { path: owned(), source })?.len();
        parquet_guard::check(metadata.metadata(), bytes)
            .map_err(|source| RunInfoError::Read { path: owned(), source })?;
        let footer = read_footer(path, metadata.metadata())?;
        let columns = footer.columns();
        let same = |(found, known): (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef)| {
            found.name() == known.name() && found.data_type() == known.data_type()
        };
        let known = schema(&columns);
        let found = metadata.schema();
        if found.fields().len() != columns.len() || !found.fields().iter().zip(known.fields()).all(same) {
            return Err(RunInfoError::NotATable {
                path: owned(),
                reason: "its columns are not those it describes",
            });
        }
        Ok(Some(Self { path: owned(), file, metadata, footer, columns }))
    }

    /// Number of row groups.
    pub(super) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Rows of one group.
    pub(super) fn rows_in_group(&self, group: usize) -> usize {
        usize::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or(usize::MAX)
    }

    /// Reads the rows of the given groups.
    pub(super) fn rows(&self, groups: Vec<usize>) -> Result<Vec<TableRow>, RunInfoError> {
        let owned = || self.path.clone();
        let file = self.file.try_clone().map_err(|source| RunInfoError::Open { path: owned(), source })?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let reader = guarded(|| builder.with_row_groups(groups).build())
            .map_err(|source| RunInfoError::Read { path: owned(), source })?;
        let mut rows = Vec::new();
        let decode = || {
            for batch in reader {
                rows.extend(decode::rows(&self.columns, &batch?)?);
            }
            Ok(rows)
        };
        guarded(decode).map_err(|source: ArrowError| RunInfoError::Rows { path: owned(), source })
    }
}

fn read_footer(path: &Path, metadata: &ParquetMetaData) -> Result<Footer, RunInfoError> {
    #[derive(serde::Deserialize)]
    struct VersionAlone {
        version: u32,
    }
    let not_a_table = |reason| RunInfoError::NotATable { path: path.to_owned(), reason };
    let entries = metadata.file_metadata().key_value_metadata();
    let text = entries
        .into_iter()
        .flatten()
        .find(|entry| entry.key == FOOTER_KEY)
        .and_then(|entry| entry.value.as_deref())
        .ok_or_else(|| not_a_table("it carries no description of its columns"))?;
    let unreadable = |_| not_a_table("the description of its columns can not be read");
    // The version first: a later one may describe itself otherwise.
    let VersionAlone { version } = serde_json::from_str(text).map_err(unreadable)?;
    if !(1..=TABLE_VERSION).contains(&version) {
        return Err(RunInfoError::Version { path: path.to_owned(), found: version, known: TABLE_VERSION });
    }
    serde_json::from_str(text).map_err(unreadable)
}

/// The first groups of a table, to be taken over as they are.
pub(super) struct Kept<'a> {
    pub(super) table: &'a Table,
    pub(super) groups: usize,
}

/// Writes a table: groups kept from the one before, byte for byte, then one group of new rows.
pub(super) fn write(
    path: &Path,
    footer: &Footer,
    kept: Option<Kept<'_>>,
    rows: &[TableRow],
) -> Result<(), RunInfoError> {
    let columns = footer.columns();
    let batch = encode::batch(&columns, rows)
        .map_err(|source| RunInfoError::Encode { path: path.to_owned(), source })?;
    let failed = |source| RunInfoError::Write { path: path.to_owned(), source };
    atomic::write(path, |file| {
        let options =
            ArrowWriterOptions::new().with_properties(properties(footer, rows.len()).map_err(failed)?);
        let writer = ArrowWriter::try_new_with_options(file, schema(&columns), options).map_err(failed)?;
        let (mut writer, factory) = writer.into_serialized_writer().map_err(failed)?;
        if let Some(kept) = kept {
            copy_groups(&mut writer, &kept).map_err(failed)?;
        }
        if batch.num_rows() > 0 {
            write_group(&mut writer, &factory, &batch).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
        Ok(())
    })
}

fn properties(footer: &Footer, fresh_rows: usize) -> Result<WriterProperties, ParquetError> {
    let description = serde_json::to_string(footer).map_err(|error| ParquetError::External(error.into()))?;
    let compression = match fresh_rows {
        ..COMPRESSED_ROWS => Compression::UNCOMPRESSED,
        _ => Compression::ZSTD(ZstdLevel::default()),
    };
    Ok(WriterProperties::builder()
        .set_compression(compression)
        // Groups are small: an index of their pages would be larger than what it saves, and in the way of copying.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new(FOOTER_KEY.to_owned(), description)]))
        .build())
}

/// Takes groups over without decoding them.
fn copy_groups<W: io::Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    kept: &Kept<'_>,
) -> Result<(), ParquetError> {
    for group in kept.table.metadata.metadata().row_groups().iter().take(kept.groups) {
        let mut copy = writer.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size())?,
                rows_written: u64::try_from(group.num_rows())?,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            copy.append_column(&kept.table.file, close)?;
        }
        copy.close()?;
    }
    Ok(())
}

fn write_group<W: io::Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    factory: &ArrowRowGroupWriterFactory,
    batch: &arrow::array::RecordBatch,
) -> Result<(), ParquetError> {
    let columns = factory.create_column_writers(writer.flushed_row_groups().len())?;
    let mut columns = columns.into_iter();
    let mut group = writer.next_row_group()?;
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        for leaf in compute_leaves(field, array)? {
            let mut column =
                columns.next().ok_or_else(|| ParquetError::General("a column is missing".into()))?;
            column.write(&leaf)?;
            column.close()?.append_to_row_group(&mut group)?;
        }
    }
    group.close()?;
    Ok(())
}

//! What can be wrong with a training data folder, or with reading from one.

use std::path::PathBuf;

use super::division::DivisionError;

/// What a library below says of a file.
pub(super) type Account = Box<dyn std::error::Error + Send + Sync>;

/// Why a training data folder cannot be read, divided, loaded or written.
///
/// Every text names what is wrong, what to do about it, and last the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder of the training data is not there.
    #[error("{what} is missing; {remedy}: {}", path.display())]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot {action}: {source}: {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// `config.toml` is not valid TOML, or a value in it has the wrong type.
    #[error("config.toml does not parse; correct it or run preprocessing again: {reason}: {}", path.display())]
    ConfigSyntax {
        /// The parser's account, with line and column.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// `config.toml` lacks something or says something that cannot be.
    #[error("{what}; correct it under [darts]: {}", path.display())]
    ConfigValue {
        /// What is wrong.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A band was asked for that the folder does not have.
    #[error(
        "no band `{band}`{}; the bands are {}: {}",
        nearest.as_ref().map(|name| format!(", did you mean `{name}`")).unwrap_or_default(),
        available.join(", "),
        path.display()
    )]
    UnknownBand {
        /// The band asked for.
        band: String,
        /// The band spelled most like it.
        nearest: Option<String>,
        /// What there is.
        available: Vec<String>,
        /// `config.toml`.
        path: PathBuf,
    },
    /// A band was asked for twice.
    #[error("band `{band}` is asked for twice; name each band once: {}", path.display())]
    RepeatedBand {
        /// The band.
        band: String,
        /// `config.toml`.
        path: PathBuf,
    },
    /// The list of bands to use is empty.
    #[error("no band is asked for; name at least one, or none of the list to use all: {}", path.display())]
    NoBands {
        /// `config.toml`.
        path: PathBuf,
    },
    /// An array of `data.zarr` cannot be opened.
    #[error("array `{array}` does not open; write it as zarr v3 or v2 again: {source}: {}", path.display())]
    Array {
        /// `x` or `y`.
        array: &'static str,
        /// Folder of the array.
        path: PathBuf,
        /// The zarr library's account.
        #[source]
        source: Account,
    },
    /// An array of `data.zarr` has another rank, type or extent than the format says.
    #[error("array `{array}` is {found}, not {expected}; write it again: {}", path.display())]
    ArrayForm {
        /// `x` or `y`.
        array: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: String,
        /// Folder of the array.
        path: PathBuf,
    },
    /// A chunk is damaged.
    #[error(
        "chunk of sample {row} (`{sample_id}`) does not decode; restore the file or run preprocessing again: {source}: {}",
        path.display()
    )]
    Chunk {
        /// Row of the sample.
        row: usize,
        /// Its id.
        sample_id: String,
        /// The chunk's file.
        path: PathBuf,
        /// The zarr library's account.
        #[source]
        source: Account,
    },
    /// Samples with values that are not finite.
    #[error(
        "{values} values of x in {samples} samples are not finite, first in sample {first} (`{sample_id}`); \
         fill or drop them in preprocessing: {}",
        path.display()
    )]
    NotFinite {
        /// How many values.
        values: u64,
        /// In how many samples.
        samples: u64,
        /// Row of the first.
        first: usize,
        /// Its id.
        sample_id: String,
        /// Folder of the array.
        path: PathBuf,
    },
    /// Samples with labels other than 0, 1 and 2.
    #[error(
        "{values} values of y in {samples} samples are not 0, 1 or 2, first {label} in sample {first} (`{sample_id}`); \
         map the labels to 0 negative, 1 positive, 2 ignored: {}",
        path.display()
    )]
    Label {
        /// How many values.
        values: u64,
        /// In how many samples.
        samples: u64,
        /// The first such value.
        label: u8,
        /// Row of the first sample.
        first: usize,
        /// Its id.
        sample_id: String,
        /// Folder of the array.
        path: PathBuf,
    },
    /// `metadata.parquet` is no readable parquet file.
    #[error("metadata.parquet does not read; restore it or run preprocessing again: {source}: {}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The parquet library's account.
        #[source]
        source: Account,
    },
    /// `metadata.parquet` lacks a column.
    #[error("no column `{column}`; the columns are {}; add it, one value a sample: {}", available.join(", "), path.display())]
    MissingColumn {
        /// The column.
        column: &'static str,
        /// What there is.
        available: Vec<String>,
        /// The file.
        path: PathBuf,
    },
    /// A column of `metadata.parquet` has the wrong type.
    #[error("column `{column}` is {found}, not {expected}; write it again: {}", path.display())]
    ColumnType {
        /// The column.
        column: &'static str,
        /// Its type.
        found: String,
        /// What it has to be.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A value of `metadata.parquet` is null.
    #[error("column `{column}` is null in row {row}; give every sample a value: {}", path.display())]
    NullValue {
        /// The column.
        column: &'static str,
        /// The first such row.
        row: usize,
        /// The file.
        path: PathBuf,
    },
    /// A geometry of `metadata.parquet` is no well-known binary.
    #[error("geometry of row {row} is not valid WKB ({reason}); write it again: {}", path.display())]
    Geometry {
        /// The row.
        row: usize,
        /// What is wrong.
        reason: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// `metadata.parquet` and `data.zarr` do not belong together.
    #[error(
        "{metadata_rows} rows for {samples} samples in data.zarr; write both in the same preprocessing run: {}",
        path.display()
    )]
    RowCount {
        /// Rows of the table.
        metadata_rows: usize,
        /// Samples of the arrays.
        samples: usize,
        /// `metadata.parquet`.
        path: PathBuf,
    },
    /// The folder holds no sample.
    #[error("the folder holds no sample; run preprocessing again: {}", path.display())]
    Empty {
        /// `data.zarr`.
        path: PathBuf,
    },
    /// A row that the folder does not have.
    #[error("no sample in row {row}, there are {samples}; use rows from 0 to {}: {}", samples.saturating_sub(1), path.display())]
    RowOutOfRange {
        /// The row asked for.
        row: usize,
        /// Samples of the folder.
        samples: usize,
        /// The folder.
        path: PathBuf,
    },
    /// The samples cannot be divided as asked.
    #[error("{source}: {}", path.display())]
    Folds {
        /// The folder.
        path: PathBuf,
        /// What the division says.
        #[source]
        source: DivisionError,
    },
    /// There is nothing to load.
    #[error("no sample to load; choose another split or fold: {}", path.display())]
    NothingToLoad {
        /// The folder.
        path: PathBuf,
    },
    /// A batch of no samples was asked for.
    #[error("batch size 0; use 1 or more: {}", path.display())]
    BatchOfNone {
        /// The folder.
        path: PathBuf,
    },
    /// Incomplete batches are dropped and none would be left.
    #[error(
        "batch size {batch_size} is larger than the {samples} samples to train on; lower it or use more data: {}",
        path.display()
    )]
    BatchLargerThanSet {
        /// Samples a batch.
        batch_size: usize,
        /// Samples there are.
        samples: usize,
        /// The folder.
        path: PathBuf,
    },
    /// The samples of this folder cannot be augmented as asked.
    #[error("{source}: {}", path.display())]
    Augment {
        /// The folder.
        path: PathBuf,
        /// What the pipeline says.
        #[source]
        source: crate::augment::AugmentError,
    },
    /// A thread that decodes panicked. This is a defect of the program.
    #[error("a loading thread panicked, please report it: {message}: {}", path.display())]
    WorkerPanicked {
        /// What the panic said.
        message: String,
        /// The folder.
        path: PathBuf,
    },
    /// A synthetic folder was described that cannot be.
    #[error("{what}: {}", path.display())]
    SynthSettings {
        /// What is wrong and what to do.
        what: String,
        /// The folder to be written.
        path: PathBuf,
    },
    /// The folder to write is taken.
    #[error("the folder exists and is not empty; name another or remove it: {}", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A part of a synthetic folder could not be written.
    #[error("cannot write {what}, check that its disk has free space and may be written to: {source}: {}", path.display())]
    Write {
        /// Which part.
        what: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The writing library's account.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

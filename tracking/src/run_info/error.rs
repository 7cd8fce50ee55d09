//! Why a table could not be written or read.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::atomic::AtomicError;

/// Why a table could not be written or read. A table that was there before is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunInfoError {
    /// The file could not be put in place.
    #[error(transparent)]
    File(#[from] AtomicError),
    /// The file could not be opened.
    #[error("can not open the table, check that it exists and may be read: {}", path.display())]
    Open {
        /// The table.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The rows could not be written.
    #[error("can not write the table, check the free space of the disk: {}", path.display())]
    Write {
        /// The table.
        path: PathBuf,
        /// What parquet says.
        source: ParquetError,
    },
    /// The rows do not fit the columns, which is a defect of this program.
    #[error("the rows do not fit the columns of the table, please report this: {}", path.display())]
    Encode {
        /// The table.
        path: PathBuf,
        /// What arrow says.
        source: ArrowError,
    },
    /// The file is damaged or no parquet file.
    #[error("can not read the table, move it away to have it written anew: {}", path.display())]
    Read {
        /// The table.
        path: PathBuf,
        /// What parquet says.
        source: ParquetError,
    },
    /// The rows are damaged.
    #[error("can not read the rows of the table, move it away to have it written anew: {}", path.display())]
    Rows {
        /// The table.
        path: PathBuf,
        /// What arrow says.
        source: ArrowError,
    },
    /// A parquet file, but not one of these tables.
    #[error("the file is no run-info table, move it away: {reason}: {}", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        reason: &'static str,
    },
    /// A table of another version.
    #[error("the table has version {found}, this program reads versions up to {known}; use the program that wrote it: {}", path.display())]
    Version {
        /// The table.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Latest version this program reads.
        known: u32,
    },
}

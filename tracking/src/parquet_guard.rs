//! Between damaged parquet files and the parquet library, which panics at some of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

/// Refuses a file whose own description puts parts of it where there are none: behind its end, or before its beginning. The
/// parquet library takes such a description at its word, and panics.
///
/// To be asked before a row is read.
///
/// # Errors
/// What is wrong, without the path, which the caller knows.
pub fn check(metadata: &ParquetMetaData, file_bytes: u64) -> Result<(), ParquetError> {
    let wrong = |what: &str, group: usize| {
        Err(ParquetError::General(format!("row group {group} has {what}: the file is damaged")))
    };
    for (number, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 {
            return wrong("a number of rows below 0", number);
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
            let (start, bytes) = (u64::try_from(start), u64::try_from(column.compressed_size()));
            let (Ok(start), Ok(bytes)) = (start, bytes) else {
                return wrong("a column at a place or of a length below 0", number);
            };
            if start.checked_add(bytes).is_none_or(|end| end > file_bytes) {
                return wrong("a column that lies behind the file's end", number);
            }
            if column.num_values() < 0 || column.uncompressed_size() < 0 {
                return wrong("a column of fewer than 0 values", number);
            }
        }
    }
    Ok(())
}

/// Reads something of a parquet file; a panic of the library at what stands there becomes an error. What was half read is dropped with
/// it.
///
/// # Errors
/// Those of `read`, and what the library said when it panicked.
pub fn guarded<T, E: From<ParquetError>>(read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Err(ParquetError::General(format!("the file is damaged ({said})")).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words_and_an_answer_an_answer() {
        let panics = |number: i32| -> Result<i32, ParquetError> { panic!("offset {number}") };
        let error = guarded(|| panics(7)).unwrap_err();
        assert!(error.to_string().contains("the file is damaged (offset 7)"), "{error}");
        assert_eq!(guarded(|| Ok::<_, ParquetError>(7)).unwrap(), 7);
    }
}

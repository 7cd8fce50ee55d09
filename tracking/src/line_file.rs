//! Text files that grow line by line and never show half a line for good.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::whole_file::WholeFile;

/// Bytes looked at in one step when the end of the last whole line is sought.
const TAIL_BYTES: u64 = 8192;

/// Why a file of lines can not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFileError {
    /// It could not be opened or made.
    #[error("can not open the file for writing, check that its folder exists and may be written to: {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Lines could not be written.
    #[error("can not write, check the free space of the disk: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A file that whole lines are added to.
///
/// A line cut short, by a crash before or by a full disk now, is dropped before the next one is written.
#[derive(Debug)]
pub(crate) struct LineFile(WholeFile);

impl LineFile {
    /// Opens the file, made empty where there was none; a torn last line is dropped with a warning.
    pub(crate) fn open(path: &Path) -> Result<Self, LineFileError> {
        let failed = |source| LineFileError::Open { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let found_bytes = file.metadata().map_err(failed)?.len();
        let whole_bytes = end_of_whole_lines(&mut file, found_bytes).map_err(failed)?;
        if whole_bytes < found_bytes {
            tracing::warn!(path = %path.display(), dropped_bytes = found_bytes - whole_bytes, "torn last line dropped");
            file.set_len(whole_bytes).map_err(failed)?;
        }
        Ok(Self(WholeFile::of(path.to_owned(), file, whole_bytes)))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Whether it holds no line.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds text that ends in a line break, in one write.
    pub(crate) fn append(&mut self, lines: &str) -> Result<(), LineFileError> {
        debug_assert!(lines.is_empty() || lines.ends_with('\n'), "only whole lines are added");
        self.0.append(lines.as_bytes()).map_err(|source| self.failed(source))
    }

    /// Brings everything to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), LineFileError> {
        self.0.sync().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> LineFileError {
        LineFileError::Write { path: self.path().to_owned(), source }
    }
}

/// The place behind the last line break, looked for from the end.
fn end_of_whole_lines(file: &mut File, found_bytes: u64) -> io::Result<u64> {
    let mut end = found_bytes;
    let mut tail = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        tail.clear();
        Read::take(&mut *file, end - start).read_to_end(&mut tail)?;
        if let Some(place) = tail.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_torn_last_line_is_dropped_however_long_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        for torn in ["", "x", &"y".repeat(3 * TAIL_BYTES as usize)] {
            fs::write(&path, format!("one\ntwo\n{torn}")).unwrap();
            let mut file = LineFile::open(&path).unwrap();
            file.append("three\n").unwrap();
            file.sync().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        }
        fs::write(&path, "only half").unwrap();
        assert!(LineFile::open(&path).unwrap().is_empty());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_file_that_can_not_be_made_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not-there").join("lines");
        let error = LineFile::open(&path).unwrap_err();
        assert!(matches!(error, LineFileError::Open { .. }));
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }

    /// `/dev/full` refuses every byte as a full disk does.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let mut file = LineFile::open(Path::new("/dev/full")).unwrap();
        let error = file.append("one\n").unwrap_err();
        assert!(
            matches!(&error, LineFileError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
        );
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}

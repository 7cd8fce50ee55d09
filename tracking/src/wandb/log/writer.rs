//! Writing a log: whole records, one after another, by one writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::frame::frame;
use super::{FILE_HEADER, FIRST_RECORD, LogError, MAX_RECORD_BYTES, Position};
use crate::wandb::record::Record;

/// A log that whole records are added to.
///
/// The file is locked for as long as this lives, so that two processes never write into each other; where the file system
/// knows no locks, nothing keeps them apart.
#[derive(Debug)]
pub(in crate::wandb) struct LogWriter {
    path: PathBuf,
    file: File,
    /// End of the whole records; what lies behind is torn.
    end: Position,
    /// Set for good by the first write that failed.
    is_closed: bool,
}

impl LogWriter {
    /// Opens a log, made where there is none. With records in it, say where they end ([`LogWriter::go_on_at`]) before any
    /// is added.
    pub(in crate::wandb) fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |source| LogError::Open { path: path.to_owned(), source };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(path = %path.display(), %error, "journal not locked");
            }
        }
        let mut log = Self { path: path.to_owned(), file, end: FIRST_RECORD, is_closed: false };
        log.begin().map_err(failed)?;
        Ok(log)
    }

    /// Writes the file's header where it is missing, in whole or in part.
    fn begin(&mut self) -> io::Result<()> {
        let mut found = [0; FILE_HEADER.len()];
        let mut found_bytes = 0;
        while found_bytes < found.len() {
            match self.file.read_at(&mut found[found_bytes..], found_bytes as u64)? {
                0 => break,
                more => found_bytes += more,
            }
        }
        // A whole header is the reader's to judge, and something else that is short is not ours to overwrite.
        if found_bytes < FILE_HEADER.len() && FILE_HEADER.starts_with(&found[..found_bytes]) {
            self.file.write_all_at(&FILE_HEADER, 0)?;
        }
        Ok(())
    }

    /// Says where the whole records of the file end. What lies behind is cut off; where the file is shorter (the rest of a
    /// damaged block is given up), it is filled with zeros.
    pub(in crate::wandb) fn go_on_at(&mut self, end: Position) -> Result<(), LogError> {
        self.file.set_len(end).map_err(|source| self.write_failed(source))?;
        self.end = end;
        Ok(())
    }

    /// End of the whole records.
    pub(in crate::wandb) fn end(&self) -> Position {
        self.end
    }

    /// Whether an earlier write failed, so that nothing further is written.
    pub(in crate::wandb) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Closes the log for good, as a failed write does.
    pub(in crate::wandb) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Refuses what would be written after a failed write.
    pub(in crate::wandb) fn check_open(&self) -> Result<(), LogError> {
        if self.is_closed { Err(LogError::Closed { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Adds a record in one write. A failed one is cut off again, and closes the log for good.
    pub(in crate::wandb) fn append(&mut self, record: &Record) -> Result<(), LogError> {
        self.append_bytes(&record.encode_to_vec())
    }

    /// Adds an encoded record.
    pub(in crate::wandb) fn append_bytes(&mut self, record: &[u8]) -> Result<(), LogError> {
        self.check_open()?;
        if record.len() > MAX_RECORD_BYTES {
            return Err(LogError::TooLong { path: self.path.clone(), bytes: record.len() });
        }
        let framed = frame(record, self.end);
        if let Err(source) = self.file.write_all_at(&framed, self.end) {
            self.is_closed = true;
            if let Err(error) = self.file.set_len(self.end) {
                // Readers take what is torn for the end, and the next to open the file cuts it off.
                tracing::debug!(path = %self.path.display(), %error, "torn record stays");
            }
            return Err(self.write_failed(source));
        }
        self.end += framed.len() as u64;
        Ok(())
    }

    /// Puts another record in the place of one; only where it is as long, byte for byte. Says whether it was.
    pub(in crate::wandb) fn replace(
        &mut self,
        place: Range<Position>,
        record: &[u8],
    ) -> Result<bool, LogError> {
        let framed = frame(record, place.start);
        if framed.len() as u64 != place.end - place.start {
            return Ok(false);
        }
        self.file.write_all_at(&framed, place.start).map_err(|source| self.write_failed(source))?;
        Ok(true)
    }

    /// Brings everything to the disk.
    pub(in crate::wandb) fn sync(&mut self) -> Result<(), LogError> {
        self.file.sync_all().map_err(|source| self.write_failed(source))
    }

    fn write_failed(&self, source: io::Error) -> LogError {
        LogError::Write { path: self.path.clone(), at: self.end, source }
    }
}

#[cfg(test)]
impl LogWriter {
    /// Lets every further write fail: the file can only be read from now on.
    pub(in crate::wandb) fn break_for_test(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }
}

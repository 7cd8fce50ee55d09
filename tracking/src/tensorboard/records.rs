//! The framing of an event file: length, checksum, content, checksum.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;

use super::EventFileError;
use super::proto::Event;
use crate::whole_file::WholeFile;

/// What a checksum is shifted by, so that one of a text with checksums in it stays good.
const MASK: u32 = 0xa282_ead8;

/// A file that whole records are added to.
#[derive(Debug)]
pub(super) struct RecordFile(WholeFile);

impl RecordFile {
    /// A new file.
    pub(super) fn create(path: PathBuf) -> Result<Self, EventFileError> {
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self::of(path, file)),
            Err(source) => Err(EventFileError::Create { path, source }),
        }
    }

    /// A file that holds nothing yet.
    pub(super) fn of(path: PathBuf, file: File) -> Self {
        Self(WholeFile::of(path, file, 0))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Adds records in one write.
    pub(super) fn append(&mut self, events: &[Event]) -> Result<(), EventFileError> {
        let mut bytes = Vec::new();
        for event in events {
            frame(&event.encode_to_vec(), &mut bytes);
        }
        self.0.append(&bytes).map_err(|source| self.failed(source))
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> Result<(), EventFileError> {
        self.0.sync().map_err(|source| self.failed(source))
    }

    /// As after a write that was interrupted.
    #[cfg(test)]
    pub(super) fn tear(&mut self) {
        self.0.tear();
    }

    fn failed(&self, source: io::Error) -> EventFileError {
        EventFileError::Write { path: self.path().to_owned(), source }
    }
}

/// Adds one record.
fn frame(data: &[u8], bytes: &mut Vec<u8>) {
    let length = (data.len() as u64).to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&masked_crc(data).to_le_bytes());
}

/// The checksum of a text, as it stands in the file.
pub(super) fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK)
}

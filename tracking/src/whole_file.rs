//! A file that grows by whole pieces, in one write each.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that whole pieces are added to: lines, records.
///
/// A piece cut short by a full disk is dropped before the next one is written.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole pieces; what lies behind is torn.
    whole_bytes: u64,
    is_torn: bool,
    /// Whether it may hold what is not on the disk.
    is_ahead: bool,
}

impl WholeFile {
    /// A file opened for appending, with so many bytes of whole pieces in it and nothing behind them.
    pub(crate) fn of(path: PathBuf, file: File, whole_bytes: u64) -> Self {
        // Whoever wrote what is there may not have waited for the disk.
        Self { path, file, whole_bytes, is_torn: false, is_ahead: whole_bytes > 0 }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds nothing whole.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole_bytes == 0
    }

    /// Adds whole pieces in one write.
    pub(crate) fn append(&mut self, pieces: &[u8]) -> io::Result<()> {
        self.mend()?;
        self.is_ahead = true;
        if let Err(refused) = self.file.write_all(pieces) {
            self.is_torn = true;
            // Mended again before the next piece if the disk refuses now; the refused write is the error to tell.
            drop(self.mend());
            return Err(refused);
        }
        self.whole_bytes += pieces.len() as u64;
        Ok(())
    }

    /// Brings everything to the disk; nothing where all of it is there.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.mend()?;
        if self.is_ahead {
            self.file.sync_all()?;
            self.is_ahead = false;
        }
        Ok(())
    }

    /// As after a write that was interrupted.
    #[cfg(test)]
    pub(crate) fn tear(&mut self) {
        self.is_torn = true;
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.whole_bytes)?;
            (self.is_torn, self.is_ahead) = (false, true);
        }
        Ok(())
    }
}

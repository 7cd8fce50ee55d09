//! The `checkpoints/` folder of a run: writes whole checkpoints, deletes evicted ones.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::CheckpointError;
use super::lock::WriterLock;
use super::state::{Checkpoint, FILES, WEIGHTS};

/// How long the writer before may take to be gone: a worker that was killed while it waited for a slow disk ends only when
/// that has answered.
const WRITER_PATIENCE: Duration = Duration::from_secs(60);

/// Name of the checkpoint a run goes on from.
pub const LAST: &str = "last";
/// A checkpoint that is being filled; left behind only by a run that was killed.
const WRITING: &str = ".writing-";
/// A checkpoint on its way out.
const LEAVING: &str = ".leaving-";

/// The name of a ranked checkpoint: `epoch=3-step=120-val_iou=0.41`, where `label` is the word for what it is ranked by.
pub fn checkpoint_name(epoch: u32, step: u64, label: &str, value: f64) -> String {
    // Rust writes `NaN` where Python writes `nan`.
    let value = format!("{value:.2}").to_lowercase();
    format!("epoch={epoch}-step={step}-{label}={value}")
}

/// What the folder of a checkpoint is filled with.
pub trait Fill {
    /// Fills a folder that is there and empty, and brings its files to the disk.
    ///
    /// # Errors
    /// [`CheckpointError`]; then the folder is of no use.
    fn fill(self, folder: &Path) -> Result<(), CheckpointError>;
}

impl Fill for &Checkpoint {
    fn fill(self, folder: &Path) -> Result<(), CheckpointError> {
        write_file(&folder.join(WEIGHTS), |file| file.write_all(&self.weights))?;
        for (file, bytes) in self.files(folder)? {
            write_file(&folder.join(file), |file| file.write_all(&bytes))?;
        }
        Ok(())
    }
}

/// The files of another checkpoint: further names of them, or copies where the file system knows no such names.
struct SameAs<'a>(&'a Path);

impl Fill for SameAs<'_> {
    fn fill(self, folder: &Path) -> Result<(), CheckpointError> {
        for file in FILES {
            let (from, to) = (self.0.join(file), folder.join(file));
            if let Err(error) = fs::hard_link(&from, &to) {
                tracing::debug!(%error, path = %to.display(), "a file of a checkpoint is copied");
                copy(&from, &to)?;
            }
        }
        Ok(())
    }
}

/// The checkpoints of one run; there is one writer at a time, in whatever process.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    /// None for readers, who write nothing.
    _lock: Option<WriterLock>,
}

impl Checkpoints {
    /// Opens the folder, making it if need be, and clears what a killed run left half-written. Waits a while for a
    /// writer that is about to end.
    ///
    /// # Errors
    /// [`CheckpointError::Busy`] if another writer stays, [`CheckpointError::Io`].
    pub fn open(dir: PathBuf) -> Result<Self, CheckpointError> {
        Self::open_within(WRITER_PATIENCE, dir)
    }

    fn open_within(patience: Duration, dir: PathBuf) -> Result<Self, CheckpointError> {
        fs::create_dir_all(&dir).map_err(CheckpointError::io("made", &dir))?;
        let lock = WriterLock::take(&dir, patience).map_err(CheckpointError::io("locked", &dir))?;
        let Some(lock) = lock else { return Err(CheckpointError::Busy { path: dir }) };
        let checkpoints = Self { dir, _lock: Some(lock) };
        checkpoints.tidy()?;
        Ok(checkpoints)
    }

    /// Clears what a killed run left half-written in a folder, and says how many things that were. Nothing is touched while
    /// somebody writes there; a folder that is not there holds nothing.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn clear_leftovers(dir: PathBuf) -> Result<usize, CheckpointError> {
        if !dir.is_dir() {
            return Ok(0);
        }
        let lock = WriterLock::take(&dir, Duration::ZERO).map_err(CheckpointError::io("locked", &dir))?;
        let Some(lock) = lock else { return Ok(0) };
        Self { dir, _lock: Some(lock) }.tidy()
    }

    fn tidy(&self) -> Result<usize, CheckpointError> {
        let leaving = self.dir.join(format!("{LEAVING}{LAST}"));
        let mut cleared = 0;
        if leaving.is_dir() && !self.last().exists() {
            // Killed between the two renames of a replacement: the old one is the last whole one.
            rename(&leaving, &self.last())?;
            cleared += 1;
        }
        for name in self.names()? {
            if name.starts_with(WRITING) || name.starts_with(LEAVING) {
                remove(&self.dir.join(name))?;
                cleared += 1;
            }
        }
        Ok(cleared)
    }

    /// The folder as another process keeps it, for reading alone: nothing is made or cleared.
    pub fn of_another(dir: PathBuf) -> Self {
        Self { dir, _lock: None }
    }

    /// The folder of a checkpoint.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The folder of `last`.
    pub fn last(&self) -> PathBuf {
        self.path(LAST)
    }

    /// A name no checkpoint has: `name`, else `name-v1`, `name-v2`, …
    ///
    /// # Sources
    /// Lightning, `ModelCheckpoint`, which counts versions the same way.
    pub fn free_name(&self, name: &str) -> String {
        if !self.path(name).exists() {
            return name.to_owned();
        }
        let mut version = 1_u32;
        while self.path(&format!("{name}-v{version}")).exists() {
            version += 1;
        }
        format!("{name}-v{version}")
    }

    /// Writes a checkpoint under a name no other has, and returns its folder.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; then nothing stands under the name.
    pub fn write(&self, name: &str, contents: impl Fill) -> Result<PathBuf, CheckpointError> {
        let aside = self.fill(name, contents)?;
        let path = self.path(name);
        rename(&aside, &path)?;
        sync_dir(&self.dir)?;
        Ok(path)
    }

    /// Writes `last`, in place of the one before: a reader finds the old or the new one whole.
    ///
    /// Where the file system can not exchange two names at once, `last` is away for an instant between two
    /// renames; [`Checkpoints::open`] puts it back if the run dies in it.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; then the one before stays.
    pub fn write_last(&self, contents: impl Fill) -> Result<PathBuf, CheckpointError> {
        let aside = self.fill(LAST, contents)?;
        let last = self.last();
        if !last.exists() {
            rename(&aside, &last)?;
        } else if exchange(&aside, &last).is_ok() {
            sync_dir(&self.dir)?;
            remove(&aside)?;
        } else {
            let leaving = self.dir.join(format!("{LEAVING}{LAST}"));
            rename(&last, &leaving)?;
            rename(&aside, &last)?;
            sync_dir(&self.dir)?;
            remove(&leaving)?;
        }
        sync_dir(&self.dir)?;
        Ok(last)
    }

    /// Makes `last` the same as another checkpoint of the folder, as [`Checkpoints::write_last`]. Nothing is written again
    /// where a file can have two names.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; then the one before stays.
    pub fn write_last_as(&self, name: &str) -> Result<PathBuf, CheckpointError> {
        self.write_last(SameAs(&self.path(name)))
    }

    /// Deletes a checkpoint; one that is gone already is fine.
    ///
    /// It is renamed first, so that no reader finds it half-deleted.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn delete(&self, name: &str) -> Result<(), CheckpointError> {
        let leaving = self.dir.join(format!("{LEAVING}{name}"));
        match fs::rename(self.path(name), &leaving) {
            Ok(()) => remove(&leaving),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CheckpointError::io("deleted", self.path(name))(error)),
        }
    }

    /// Deletes every ranked checkpoint `is_known` does not know: those written after the checkpoint a run
    /// goes on from, which it will write again.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn delete_unknown(&self, is_known: impl Fn(&str) -> bool) -> Result<(), CheckpointError> {
        for name in self.names()? {
            if name.starts_with("epoch=") && !is_known(&name) {
                self.delete(&name)?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let entries = fs::read_dir(&self.dir).map_err(CheckpointError::io("read", &self.dir))?;
        entries
            .map(|entry| {
                let entry = entry.map_err(CheckpointError::io("read", &self.dir))?;
                Ok(entry.file_name().to_string_lossy().into_owned())
            })
            .collect()
    }

    /// Fills a folder beside its place and flushes it.
    fn fill(&self, name: &str, contents: impl Fill) -> Result<PathBuf, CheckpointError> {
        let aside = self.dir.join(format!("{WRITING}{name}"));
        remove(&aside)?;
        let filled = fill(&aside, contents);
        if filled.is_err() {
            // The first error is the one to tell; what can not be removed now is cleared by the next `open`.
            remove(&aside).unwrap_or_else(|error| tracing::warn!(%error, "half a checkpoint is left"));
        }
        filled.map(|()| aside)
    }
}

fn fill(aside: &Path, contents: impl Fill) -> Result<(), CheckpointError> {
    fs::create_dir(aside).map_err(CheckpointError::io("written", aside))?;
    contents.fill(aside)?;
    sync_dir(aside)
}

/// Writes a file and brings it to the disk.
pub(super) fn write_file(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = File::create(path)?;
        fill(&mut file)?;
        file.sync_all()
    };
    write().map_err(CheckpointError::io("written", path))
}

fn copy(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    write_file(to, |file| io::copy(&mut File::open(from)?, file).map(drop))
}

fn sync_dir(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(CheckpointError::io("flushed", path))
}

fn rename(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    fs::rename(from, to).map_err(CheckpointError::io("renamed", from))
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(CheckpointError::io("deleted", path)(error)),
        _ => Ok(()),
    }
}

/// Lets two names trade places at once.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(a: &Path, b: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_a: &Path, _b: &Path) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;

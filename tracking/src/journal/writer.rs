//! Appends to a journal, as the one process that does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::MAX_RECORD_BYTES;
use super::error::JournalError;
use super::frame::{self, FILE_HEAD, HEAD};
use super::reader::{Contents, parse};
use crate::atomic::{self, AtomicError};

/// Somebody who looks whether a journal is held holds it for an instant: so long is tried again.
const LOOKERS_GONE: Duration = Duration::from_secs(1);
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// How sure it is that a record outlives its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The process may die at once; a power cut may take it.
    Process,
    /// The power may fail at once.
    Power,
}

/// A journal being written. No other process can write to it while this is held, nor after a crash keep it: the
/// system's lock on the file ends with the process.
#[derive(Debug)]
pub struct JournalWriter {
    path: PathBuf,
    file: File,
    end: u64,
    synced: u64,
    is_closed: bool,
}

impl JournalWriter {
    /// Makes a journal with its first record, on the disk whole or not at all.
    ///
    /// # Errors
    /// [`JournalError`]; then there is none.
    pub fn create(path: &Path, first: &[u8]) -> Result<Self, JournalError> {
        check_length(path, first)?;
        let mut bytes = frame::file_head().to_vec();
        frame::push(&mut bytes, first, FILE_HEAD as u64, 0);
        // Held before it has its name: nobody else ever finds it free.
        let file = atomic::write(path, |file| {
            let written = file.write_all(&bytes).and_then(|()| file.try_clone());
            let file =
                written.map_err(|source| Making::Io(AtomicError::Sync { path: path.to_owned(), source }))?;
            lock(path, &file).map_err(Making::Lock)?;
            Ok(file)
        });
        let file = file.map_err(|error| match error {
            Making::Lock(error) => error,
            Making::Io(error) => {
                JournalError::Io { action: "made", path: path.to_owned(), source: io::Error::other(error) }
            }
        })?;
        let end = bytes.len() as u64;
        Ok(Self { path: path.to_owned(), file, end, synced: end, is_closed: false })
    }

    /// Goes on with a journal and gives what stands in it. A torn tail is cut off.
    ///
    /// # Errors
    /// [`JournalError::Held`] if another process has it, and those of [`read`](super::read); then nothing is changed.
    pub fn open(path: &Path) -> Result<(Self, Contents), JournalError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let mut file = file.map_err(JournalError::io("opened", path))?;
        lock(path, &file)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).map_err(JournalError::io("read", path))?;
        let contents = parse(path, &bytes)?;
        let end = contents.whole_bytes;
        let cut = || {
            // One that is whole is not touched: somebody may only want to see whether it can be gone on with.
            if contents.torn.is_some() {
                file.set_len(end)?;
            }
            file.sync_all()
        };
        cut().map_err(|source| JournalError::Write { path: path.to_owned(), at: end, source })?;
        Ok((Self { path: path.to_owned(), file, end, synced: end, is_closed: false }, contents))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds records in one write, in order, and returns when they are as safe as asked for.
    ///
    /// # Errors
    /// [`JournalError`]; then none of them is there, what was there before is whole, and, but after
    /// [`JournalError::Closed`], the next call may succeed.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
        durability: Durability,
    ) -> Result<(), JournalError> {
        if self.is_closed {
            return Err(JournalError::Closed { path: self.path.clone() });
        }
        let mut bytes = Vec::new();
        for record in records {
            check_length(&self.path, record)?;
            bytes.reserve(HEAD + record.len());
            let at = self.end + bytes.len() as u64;
            frame::push(&mut bytes, record, at, self.synced);
        }
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&bytes));
        if let Err(source) = written {
            // What stays of it is a torn tail to every reader, and the next append writes over it.
            if let Err(error) = self.file.set_len(self.end) {
                tracing::debug!(path = %self.path.display(), %error, "torn record stays");
            }
            return Err(JournalError::Write { path: self.path.clone(), at: self.end, source });
        }
        self.end += bytes.len() as u64;
        if durability == Durability::Power { self.sync() } else { Ok(()) }
    }

    /// Brings everything to the disk. A disk that fails at this may have lost anything: nothing more is taken.
    fn sync(&mut self) -> Result<(), JournalError> {
        if let Err(source) = self.file.sync_data() {
            self.is_closed = true;
            return Err(JournalError::Write { path: self.path.clone(), at: self.end, source });
        }
        self.synced = self.end;
        Ok(())
    }

    /// Lets every further write fail: the file can only be read from now on.
    #[cfg(test)]
    pub(super) fn break_for_test(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }
}

/// Whether a process works on the job of this journal now.
///
/// # Errors
/// [`JournalError::Absent`] and [`JournalError::Io`].
pub fn is_held(path: &Path) -> Result<bool, JournalError> {
    let file = File::open(path).map_err(JournalError::io("opened", path))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(JournalError::io("locked", path)(source)),
    }
}

fn lock(path: &Path, file: &File) -> Result<(), JournalError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOOKERS_GONE => std::thread::sleep(TRY_AGAIN),
            Err(TryLockError::WouldBlock) => return Err(JournalError::Held { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(JournalError::io("locked", path)(source)),
        }
    }
}

fn check_length(path: &Path, record: &[u8]) -> Result<(), JournalError> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(JournalError::TooLong { path: path.to_owned(), bytes: record.len() });
    }
    Ok(())
}

/// What can go wrong while a journal is made.
enum Making {
    Io(AtomicError),
    Lock(JournalError),
}

impl From<AtomicError> for Making {
    fn from(error: AtomicError) -> Self {
        Self::Io(error)
    }
}

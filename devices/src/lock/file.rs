//! One lock file: opened as a folder shared by users allows it, locked without waiting.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::LockError;
use super::note::{NOTE_BYTES, Note};

/// Times a lock is tried on a file that is being made or removed under it.
const TRIES: usize = 8;

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Exclusive,
    Shared,
}

/// A file that is locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Locked {
    file: File,
    path: PathBuf,
}

impl Locked {
    /// Locks the file, which is made where it is missing. None if another holder is in the way.
    pub(super) fn take(path: &Path, mode: Mode) -> Result<Option<Self>, LockError> {
        let fail = |source| LockError::File { path: path.to_owned(), source };
        for _ in 0..TRIES {
            let Some(file) = open_or_make(path).map_err(fail)? else { continue };
            if !try_lock(&file, mode).map_err(fail)? {
                return Ok(None);
            }
            let locked = Self { file, path: path.to_owned() };
            // Whoever cleans the folder may have removed the file before it was locked: then it binds nobody.
            if locked.is_at_its_path().map_err(fail)? {
                return Ok(Some(locked));
            }
        }
        Ok(None)
    }

    /// Writes who holds the file. It is only ever overwritten and then cut, so that a reader finds one whole line.
    pub(super) fn write(&self, note: &Note) -> Result<(), LockError> {
        let line = note.to_string();
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let written = self.file.write_all_at(line.as_bytes(), 0).and_then(|()| self.file.set_len(length));
        written.map_err(LockError::file(&self.path))
    }

    fn is_at_its_path(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match self.path.symlink_metadata() {
            Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Locked {
    /// Unlocks at once even if a child process that is just being started still has the file open.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, path = %self.path.display(), "a device lock is freed by closing its file");
        }
    }
}

/// What a look at a lock file finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Nobody holds it exclusively.
    Free,
    /// Somebody does, by this note; none while it is being written.
    Held(Option<Note>),
}

/// Whether the file is held exclusively at this moment. A file that is not there is free.
pub(super) fn look(path: &Path) -> Result<Look, LockError> {
    let fail = |source| LockError::File { path: path.to_owned(), source };
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Look::Free),
        Err(error) => return Err(fail(error)),
    };
    if try_lock(&file, Mode::Shared).map_err(fail)? {
        file.unlock().map_err(fail)?;
        return Ok(Look::Free);
    }
    let mut text = Vec::new();
    file.take(NOTE_BYTES).read_to_end(&mut text).map_err(fail)?;
    Ok(Look::Held(Note::parse(&String::from_utf8_lossy(&text))))
}

fn try_lock(file: &File, mode: Mode) -> io::Result<bool> {
    let tried = match mode {
        Mode::Exclusive => file.try_lock(),
        Mode::Shared => file.try_lock_shared(),
    };
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// None if the file came or went in between.
///
/// An existing file is opened without `O_CREAT`: in a folder like `/tmp` the kernel refuses that to whoever does not
/// own the file (`protected_regular`). Links are not followed, because any user may plant one there.
fn open_or_make(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match options.create_new(true).mode(0o666).open(path) {
                Ok(file) => {
                    // Whatever the umask: every user of the machine locks it.
                    file.set_permissions(Permissions::from_mode(0o666))?;
                    file
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(ErrorKind::InvalidInput.into()) }
}

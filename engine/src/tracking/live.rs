//! Who may send a run: the engine that writes it, while it does, or one `engine sync`.
//!
//! A live engine holds the lock on one file in its artifact folder, and each of its runs has a note beside the journal that
//! names this file. One open file for an engine, not one for each run: thousands of runs may wait to be sent. The kernel frees the
//! lock however the process ends, so that a note left behind says nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use engine_tracking::atomic::{self, Durability};
use engine_tracking::wandb::folder::RunFolder;

use super::abandoned::{LIVE_PREFIX, LIVE_SUFFIX};

/// The note beside a journal that says whose run it is.
fn note(folder: &RunFolder) -> PathBuf {
    folder.path.join(format!("run-{}.live", folder.run_id))
}

/// The lock of one engine. Made with its first run; gone with the engine.
#[derive(Debug)]
pub(super) struct LiveLock {
    dir: PathBuf,
    held: Mutex<Option<(File, PathBuf)>>,
}

impl LiveLock {
    /// A lock in this folder, which is not touched yet.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, held: Mutex::new(None) }
    }

    /// Marks a run as this engine's until the mark is dropped.
    pub(super) fn mark(&self, folder: &RunFolder) -> io::Result<Mark> {
        let lock = self.path()?;
        let path = note(folder);
        let named = lock.to_str().ok_or_else(|| io::Error::other("the artifact folder's name is no text"))?;
        // A reader of half a path would take the run for anybody's.
        atomic::put(&path, Durability::Unsynced, |file| file.write_all(named.as_bytes()))
            .map_err(io::Error::other)?;
        Ok(Mark(path))
    }

    fn path(&self) -> io::Result<PathBuf> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, path)) = &*held {
            return Ok(path.clone());
        }
        let dir = std::path::absolute(&self.dir)?;
        std::fs::create_dir_all(&dir)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = dir.join(format!("{LIVE_PREFIX}{}-{}{LIVE_SUFFIX}", std::process::id(), since.as_nanos()));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.lock()?;
        writeln!(file, "held by a running engine; `engine sync` leaves its runs to it")?;
        *held = Some((file, path.clone()));
        Ok(path)
    }
}

impl Drop for LiveLock {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, path)) = held.take() {
            // Nothing depends on it: a lock that nobody holds is none.
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!(%error, path = %path.display(), "lock file stays");
            }
            drop(file);
        }
    }
}

/// Says that a run is an engine's. Dropped, the run is anybody's to send.
#[derive(Debug)]
pub(super) struct Mark(PathBuf);

impl Drop for Mark {
    fn drop(&mut self) {
        // Gone already where the folder was renamed; the note means nothing then either, once the engine has ended.
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "note of a live run stays");
        }
    }
}

/// Whether an engine that still runs writes or sends this run.
pub(super) fn is_live(folder: &RunFolder) -> bool {
    let Ok(named) = std::fs::read_to_string(note(folder)) else { return false };
    // Not there: the engine has ended, or the folder was brought from elsewhere.
    let Ok(file) = File::open(Path::new(&named)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Keeps other `engine sync` from a run.
#[derive(Debug)]
pub(super) struct SyncLock {
    _file: File,
}

/// Takes a run for one sync; `None` if another has it.
pub(super) fn take(folder: &RunFolder) -> io::Result<Option<SyncLock>> {
    let path = folder.path.join(format!("run-{}.lock", folder.run_id));
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(SyncLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dir: &Path) -> RunFolder {
        let path = dir.join("run-20261122_204613-abcd1234");
        std::fs::create_dir_all(&path).unwrap();
        RunFolder { path, run_id: "abcd1234".into() }
    }

    #[test]
    fn a_run_is_live_while_its_mark_and_its_engine_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path());
        assert!(!is_live(&run));
        let engine = LiveLock::new(dir.path().join("artifacts"));
        let mark = engine.mark(&run).unwrap();
        assert!(is_live(&run));
        drop(mark);
        assert!(!is_live(&run), "without its mark");
        let mark = engine.mark(&run).unwrap();
        assert!(is_live(&run));
        drop(engine);
        assert!(!is_live(&run), "without its engine");
        assert!(note(&run).exists(), "a killed engine leaves its notes");
        drop(mark);
    }

    #[test]
    fn one_sync_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path());
        let first = take(&run).unwrap();
        assert!(first.is_some() && take(&run).unwrap().is_none());
        drop(first);
        assert!(take(&run).unwrap().is_some());
    }
}

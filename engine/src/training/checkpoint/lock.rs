//! One writer at a time in a folder of checkpoints.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps other writers out for as long as it lives. The kernel frees it with the process, however that ends.
///
/// The folder itself is locked: no file is left behind by it. Where a file system knows no such lock (NFS locks only what is
/// open for writing) there is none, and what keeps a second writer away is that a worker dies with its engine.
#[derive(Debug)]
pub(super) struct WriterLock {
    /// None where the file system knows no lock.
    dir: Option<File>,
}

impl WriterLock {
    /// Locks the folder; none if another holds it for longer than `patience`.
    pub(super) fn take(dir: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let file = File::open(dir)?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { dir: Some(file) })),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(None),
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) if is_unknown(&error) => {
                    tracing::debug!(%error, path = %dir.display(), "checkpoints are not locked here");
                    return Ok(Some(Self { dir: None }));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl Drop for WriterLock {
    /// Unlocks at once even if a child process that is just being started still has the folder open.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.dir.as_ref().map(File::unlock) {
            tracing::debug!(%error, "the lock on checkpoints is freed by closing their folder");
        }
    }
}

/// Whether a file system says that it knows no such lock.
///
/// # Sources
/// flock(2), notes on NFS; open(2) and fcntl(2) for `ENOLCK`.
fn is_unknown(error: &io::Error) -> bool {
    let unknown = [Errno::BADF, Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
}

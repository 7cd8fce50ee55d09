//! Taking and keeping the locks of devices.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::error::LockError;
use super::file::{Locked, Look, Mode, look};
use super::holders::{Held, holders};
use super::note::Note;
use crate::lease::Share;
use crate::placement::RunsPerDevice;

/// Ends the name of every lock file.
pub(super) const SUFFIX: &str = ".lock";

/// Ends the name of every file that a worker locks.
const WORKER_SUFFIX: &str = ".worker.lock";

/// The lock folder of a machine.
#[derive(Debug, Clone)]
pub struct DeviceLocks {
    folder: PathBuf,
}

/// A device kept from other engine processes; dropping it gives the device back to them.
#[derive(Debug)]
pub struct DeviceLock {
    // In this order: whoever comes next finds a free slot, then a free device.
    slot: Option<(u32, Locked)>,
    _device: Locked,
    uuid: String,
    worker_file: PathBuf,
}

impl DeviceLock {
    /// The slot of a packed run; none for a run that has the device alone.
    #[must_use]
    pub fn slot(&self) -> Option<u32> {
        self.slot.as_ref().map(|(number, _)| *number)
    }

    /// The device's UUID.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The file that the worker on the device has to lock for its own life, see [`WorkerLock`].
    #[must_use]
    pub fn worker_file(&self) -> &Path {
        &self.worker_file
    }
}

/// A worker's own hold on its device. An engine that is killed takes its locks with it at once, its workers a moment
/// later: until they are gone too, nobody else is given the device.
#[derive(Debug)]
pub struct WorkerLock {
    _file: Locked,
}

impl WorkerLock {
    /// Locks the [`DeviceLock::worker_file`], without waiting. None if another worker holds it, or an engine looks at
    /// it in this instant.
    ///
    /// # Errors
    /// [`LockError::File`] if the file can not be used.
    pub fn try_lock(file: &Path) -> Result<Option<Self>, LockError> {
        Ok(Locked::take(file, Mode::Exclusive)?.map(|file| Self { _file: file }))
    }
}

/// What came of locking several devices.
#[derive(Debug)]
pub enum Attempt {
    /// All of them are locked.
    Locked(Vec<DeviceLock>),
    /// Another process holds this one, or too much of it; none is locked.
    Busy {
        /// The device's UUID.
        uuid: String,
    },
}

impl DeviceLocks {
    /// The locks in that folder, which is made for all users where it is missing.
    ///
    /// # Errors
    /// [`LockError::Folder`] if it can not be made or written to.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, LockError> {
        let folder = folder.into();
        make(&folder).map_err(|source| LockError::Folder { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// Locks so much of a device for a holder, without waiting. None if another holder is in the way, or the runs that
    /// are packed on it need too much together.
    ///
    /// # Errors
    /// [`LockError::File`] if a lock file can not be used.
    pub fn try_lock(&self, uuid: &str, share: Share, holder: &str) -> Result<Option<DeviceLock>, LockError> {
        let (slots, need_bytes, capacity_bytes) = match share {
            Share::Alone => return self.alone(uuid, holder),
            Share::Slot { slots } => (slots, 0, None),
            Share::Memory { need_bytes, capacity_bytes, slots } => (slots, need_bytes, Some(capacity_bytes)),
        };
        let Some(device) = Locked::take(&self.device_file(uuid), Mode::Shared)? else { return Ok(None) };
        if is_held(&self.worker_file(uuid, None))? {
            return Ok(None);
        }
        for number in 0..slots {
            let Some(slot) = Locked::take(&self.slot_file(uuid, number), Mode::Exclusive)? else { continue };
            let worker_file = self.worker_file(uuid, Some(number));
            if is_held(&worker_file)? {
                continue;
            }
            // First written, then summed: of two processes that come at once, at least one counts the other.
            slot.write(&Note::now(uuid, holder, need_bytes))?;
            let fits = match capacity_bytes {
                Some(capacity) => self
                    .others_need(uuid, number)?
                    .is_some_and(|others| others.saturating_add(need_bytes) <= capacity),
                None => true,
            };
            let slot = Some((number, slot));
            return Ok(fits.then(|| DeviceLock {
                slot,
                _device: device,
                uuid: uuid.to_owned(),
                worker_file,
            }));
        }
        Ok(None)
    }

    /// As [`DeviceLocks::try_lock`], for several devices: all of them or none. Locked in the order of the UUIDs, so
    /// that two processes never hold what the other one lacks for long.
    ///
    /// # Errors
    /// As [`DeviceLocks::try_lock`].
    pub fn try_lock_all(&self, uuids: &[&str], share: Share, holder: &str) -> Result<Attempt, LockError> {
        let mut uuids = uuids.to_vec();
        uuids.sort_unstable();
        let mut locked = Vec::with_capacity(uuids.len());
        for uuid in uuids {
            match self.try_lock(uuid, share, holder)? {
                Some(lock) => locked.push(lock),
                None => return Ok(Attempt::Busy { uuid: uuid.to_owned() }),
            }
        }
        Ok(Attempt::Locked(locked))
    }

    /// Who is on the device now: another process, if there is one.
    #[must_use]
    pub fn holder(&self, uuid: &str) -> Option<Held> {
        let own = std::process::id();
        let on_it = holders(&self.folder).into_iter().filter(|held| held.uuid == uuid);
        on_it.min_by_key(|held| held.pid == own)
    }

    fn alone(&self, uuid: &str, holder: &str) -> Result<Option<DeviceLock>, LockError> {
        let Some(device) = Locked::take(&self.device_file(uuid), Mode::Exclusive)? else { return Ok(None) };
        let everybodys = (0..RunsPerDevice::MOST).map(Some).chain([None]);
        for slot in everybodys {
            if is_held(&self.worker_file(uuid, slot))? {
                return Ok(None);
            }
        }
        device.write(&Note::now(uuid, holder, 0))?;
        let worker_file = self.worker_file(uuid, None);
        Ok(Some(DeviceLock { slot: None, _device: device, uuid: uuid.to_owned(), worker_file }))
    }

    /// What the runs in the other slots need together; none while one of them has not said it.
    fn others_need(&self, uuid: &str, own: u32) -> Result<Option<u64>, LockError> {
        let mut needed = 0_u64;
        for number in (0..RunsPerDevice::MOST).filter(|number| *number != own) {
            match look(&self.slot_file(uuid, number))? {
                Look::Free => {}
                Look::Held(Some(note)) => needed = needed.saturating_add(note.need_bytes),
                Look::Held(None) => return Ok(None),
            }
        }
        Ok(Some(needed))
    }

    fn device_file(&self, uuid: &str) -> PathBuf {
        self.folder.join(format!("{}{SUFFIX}", file_name(uuid)))
    }

    fn worker_file(&self, uuid: &str, slot: Option<u32>) -> PathBuf {
        let slot = slot.map(|number| format!(".{number}")).unwrap_or_default();
        self.folder.join(format!("{}{slot}{WORKER_SUFFIX}", file_name(uuid)))
    }

    fn slot_file(&self, uuid: &str, number: u32) -> PathBuf {
        self.folder.join(format!("{}.{number}{SUFFIX}", file_name(uuid)))
    }
}

fn is_held(path: &Path) -> Result<bool, LockError> {
    Ok(look(path)? != Look::Free)
}

/// The UUID as part of a file name: `MIG-GPU-…/1/0` and the like without what leads elsewhere.
pub(super) fn file_name(uuid: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    uuid.chars().map(plain).collect()
}

fn make(folder: &Path) -> std::io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o1777).create(folder) {
        // Whatever the umask: every user of the machine may lock, and remove only what is their own.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o1777))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    if !folder.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    Ok(access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(test)]
#[path = "locks_tests.rs"]
mod tests;

//! Takes devices from the other engine processes of the machine, and reads what is in use on them before.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use engine_devices::inventory::{GpuMemory, gpu_memory};
use engine_devices::lock::{Attempt, Held};
use engine_devices::{DeviceId, DeviceLock, DeviceLocks, LockError, Share};

use super::memory::{Before, Reading};

/// Reads the memory of GPUs by their UUIDs; none where the driver does not answer.
#[derive(Clone)]
pub struct GpuReader(Arc<ReadGpu>);

type ReadGpu = dyn Fn(&str) -> Option<GpuMemory> + Send + Sync;

impl GpuReader {
    /// A reader of another source than the driver.
    pub fn new(read: impl Fn(&str) -> Option<GpuMemory> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn used_bytes(&self, uuid: &str) -> Option<u64> {
        (self.0)(uuid).map(|memory| memory.used_bytes)
    }

    /// Looks at several GPUs.
    pub(super) fn read(&self, gpus: &[Gpu]) -> Vec<Reading> {
        let reading =
            |gpu: &Gpu| Reading { device: gpu.device.clone(), used_bytes: self.used_bytes(&gpu.uuid) };
        gpus.iter().map(reading).collect()
    }
}

impl Default for GpuReader {
    fn default() -> Self {
        Self::new(gpu_memory)
    }
}

impl fmt::Debug for GpuReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("GpuReader")
    }
}

/// A device that other processes know by the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) device: DeviceId,
    pub(super) uuid: String,
}

/// What a lease took besides its place in the book.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Held for as long as the lease is out.
    pub(super) locks: Vec<DeviceLock>,
    /// What the worker on each of them locks for itself.
    pub(super) worker_files: Vec<(DeviceId, PathBuf)>,
    /// The GPUs whose driver answered for them: they are watched.
    pub(super) watched: Vec<Gpu>,
    /// Their use, where nobody else is on them.
    pub(super) before: Vec<Before>,
}

/// What came of a claim.
#[derive(Debug)]
pub(super) enum Claimed {
    Taken(Taken),
    /// Another process is in the way: who, if it can be seen.
    Busy {
        device: DeviceId,
        held: Option<Held>,
    },
}

/// A claim to be made; blocks for as long as the lock files and the driver take.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) holder: String,
    pub(super) gpus: Vec<Gpu>,
    pub(super) share: Share,
    pub(super) locks: Option<DeviceLocks>,
    pub(super) reader: GpuReader,
}

impl Claim {
    /// Locks all of the devices or none.
    ///
    /// # Errors
    /// [`LockError`] if a lock file can not be used.
    pub(super) fn make(&self) -> Result<Claimed, LockError> {
        let mut taken = Taken::default();
        if let Some(locks) = &self.locks {
            let uuids: Vec<&str> = self.gpus.iter().map(|gpu| gpu.uuid.as_str()).collect();
            match locks.try_lock_all(&uuids, self.share, &self.holder)? {
                Attempt::Locked(locked) => {
                    let file = |lock: &DeviceLock| {
                        let gpu = self.gpus.iter().find(|gpu| gpu.uuid == lock.uuid())?;
                        Some((gpu.device.clone(), lock.worker_file().to_owned()))
                    };
                    taken.worker_files = locked.iter().filter_map(file).collect();
                    taken.locks = locked;
                }
                Attempt::Busy { uuid } => {
                    let busy = self.gpus.iter().find(|gpu| gpu.uuid == uuid);
                    if let Some(Gpu { device, uuid }) = busy.or(self.gpus.first()) {
                        return Ok(Claimed::Busy { device: device.clone(), held: locks.holder(uuid) });
                    }
                }
            }
        }
        for gpu in &self.gpus {
            let Some(used_bytes) = self.reader.used_bytes(&gpu.uuid) else { continue };
            taken.watched.push(gpu.clone());
            if self.share == Share::Alone {
                taken.before.push(Before { device: gpu.device.clone(), used_bytes });
            }
        }
        Ok(Claimed::Taken(taken))
    }
}

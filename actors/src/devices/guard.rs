//! A lease as a value: whoever holds it may use the devices, and dropping it gives them back.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};

use engine_devices::{DeviceKind, Grant, LeaseId};
use tokio::sync::{Notify, watch};

use crate::outcome::Cause;

/// The right to use its devices. Dropped on any path (end, error, panic), it goes back to the DeviceManager.
///
/// The way back is a shared bin, not a message: dropping never waits, and no mailbox can be too full for it.
/// The bin holds at most one entry for each lease that is out.
#[derive(Debug)]
pub struct LeaseGuard {
    lease: LeaseId,
    grant: Grant,
    revoked: watch::Receiver<bool>,
    bin: Arc<ReturnBin>,
}

impl LeaseGuard {
    pub(super) fn new(
        lease: LeaseId,
        grant: Grant,
        revoked: watch::Receiver<bool>,
        bin: Arc<ReturnBin>,
    ) -> Self {
        Self { lease, grant, revoked, bin }
    }

    /// The devices, and the threads that go with each.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether a device of the lease is gone: whoever works there is to be given up, and the lease dropped.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        *self.revoked.borrow()
    }

    /// Ends once a device of the lease is gone, and not before.
    ///
    /// # Cancel safety
    /// Dropped, nothing is lost: the next one ends at once if the device is gone.
    pub fn revoked(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut revoked = self.revoked.clone();
        async move {
            if revoked.wait_for(|revoked| *revoked).await.is_err() {
                // The lease came back, or there is nobody left to revoke it.
                pending::<()>().await;
            }
        }
    }

    /// Tells how much memory a run that ended well used at the most: of the host, and of the device where it has its
    /// own. What later runs of its configuration need is reckoned by it. To be told before the lease is dropped.
    pub fn measured(&self, host_bytes: Option<u64>, device_bytes: Option<u64>) {
        let peak = match self.grant.places.first().map(|place| place.kind) {
            Some(DeviceKind::Cuda) => device_bytes,
            Some(DeviceKind::Cpu | DeviceKind::Mps) | None => host_bytes,
        };
        if peak.is_some() {
            self.bin.put(self.lease, |word| word.peak_bytes = word.peak_bytes.max(peak));
        }
    }

    /// Tells that a run found no memory left, so that fewer are put on the device if it was the device's own. To be
    /// told before the lease is dropped.
    pub fn out_of_memory(&self, cause: Cause) {
        let has_its_own = self.grant.places.iter().any(|place| place.kind == DeviceKind::Cuda);
        let is_the_devices = match cause {
            Cause::DeviceOutOfMemory => true,
            Cause::HostOutOfMemory => !has_its_own,
            _ => false,
        };
        if is_the_devices {
            self.bin.put(self.lease, |word| word.ran_out_of_memory = true);
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.bin.put(self.lease, |word| word.is_back = true);
    }
}

/// What was said of a lease since the bin was last emptied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) peak_bytes: Option<u64>,
    pub(super) ran_out_of_memory: bool,
    pub(super) is_back: bool,
}

/// What was said of leases and waits for the DeviceManager to enter it.
#[derive(Debug, Default)]
pub(super) struct ReturnBin {
    words: Mutex<BTreeMap<LeaseId, Word>>,
    filled: Notify,
}

impl ReturnBin {
    fn put(&self, lease: LeaseId, say: impl FnOnce(&mut Word)) {
        say(self.words.lock().unwrap_or_else(PoisonError::into_inner).entry(lease).or_default());
        self.filled.notify_one();
    }

    /// Takes out what is there.
    pub(super) fn empty(&self) -> BTreeMap<LeaseId, Word> {
        std::mem::take(&mut *self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something is put in; at once if something was since the last wait.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

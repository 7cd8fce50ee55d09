//! A lease as a value: whoever holds it may use the device, and dropping it gives the device back.

use std::sync::{Arc, Mutex, PoisonError};

use engine_devices::{Grant, LeaseId};
use tokio::sync::Notify;

/// The right to use one device. Dropped on any path (end, error, panic), it goes back to the DeviceManager.
///
/// The way back is a shared bin, not a message: dropping never waits, and no mailbox can be too full for it.
/// The bin holds at most as many ids as there are leases out.
#[derive(Debug)]
pub struct LeaseGuard {
    lease: LeaseId,
    grant: Grant,
    bin: Arc<ReturnBin>,
}

impl LeaseGuard {
    pub(super) fn new(lease: LeaseId, grant: Grant, bin: Arc<ReturnBin>) -> Self {
        Self { lease, grant, bin }
    }

    /// The device and the threads that go with it.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.bin.put(self.lease);
    }
}

/// Leases that came back and wait for the DeviceManager to enter them.
#[derive(Debug, Default)]
pub(super) struct ReturnBin {
    returned: Mutex<Vec<LeaseId>>,
    filled: Notify,
}

impl ReturnBin {
    fn put(&self, lease: LeaseId) {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
        self.filled.notify_one();
    }

    /// Takes out what is there.
    pub(super) fn empty(&self) -> Vec<LeaseId> {
        std::mem::take(&mut *self.returned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something is put in; at once if something was since the last wait.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

//! Decides from the memory of GPUs whether a lease may go back, and whether a GPU is gone. No clock, no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use engine_devices::{DeviceId, LeaseId};

use crate::limits::{GPU_GONE_LOOKS, MEMORY_DEADLINE, MEMORY_SLACK_BYTES};

/// A GPU as it was when it was given out, with nobody else on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) device: DeviceId,
    pub(super) used_bytes: u64,
}

/// What a look at a GPU told: memory in use, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) device: DeviceId,
    pub(super) used_bytes: Option<u64>,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// The driver no longer answers for the device.
    Gone { device: DeviceId },
    /// Nothing of the lease is left on its devices.
    Back { lease: LeaseId },
    /// So much is still in use although the lease's holder is long gone. The lease is given up all the same.
    Kept { lease: LeaseId, device: DeviceId, bytes: u64 },
}

/// The leases whose holders are done and whose memory is not seen to be back, and the GPUs that did not answer.
#[derive(Debug, Default)]
pub(super) struct MemoryWatch {
    draining: BTreeMap<LeaseId, Drain>,
    unanswered: BTreeMap<DeviceId, u32>,
}

#[derive(Debug)]
struct Drain {
    before: Vec<Before>,
    since: Duration,
}

impl MemoryWatch {
    /// Begins to wait, at a time since any fixed one, for the memory of a lease whose holder is done.
    pub(super) fn drain(&mut self, lease: LeaseId, before: Vec<Before>, now: Duration) {
        self.draining.insert(lease, Drain { before, since: now });
    }

    pub(super) fn is_draining(&self) -> bool {
        !self.draining.is_empty()
    }

    /// Takes what a look told, and when.
    #[must_use = "a finding left alone keeps a lease out"]
    pub(super) fn looked(&mut self, readings: &[Reading], now: Duration) -> Vec<Finding> {
        let mut findings = Vec::new();
        for Reading { device, used_bytes } in readings {
            if used_bytes.is_some() {
                self.unanswered.remove(device);
                continue;
            }
            let unanswered = self.unanswered.entry(device.clone()).or_default();
            *unanswered += 1;
            if *unanswered == GPU_GONE_LOOKS {
                findings.push(Finding::Gone { device: device.clone() });
            }
        }
        let unanswered = &self.unanswered;
        self.draining.retain(|lease, drain| {
            match drain.left(readings, unanswered) {
                None => findings.push(Finding::Back { lease: *lease }),
                Some((device, bytes)) if now.saturating_sub(drain.since) >= MEMORY_DEADLINE => {
                    findings.push(Finding::Kept { lease: *lease, device, bytes });
                }
                Some(_) => return true,
            }
            false
        });
        findings
    }
}

impl Drain {
    /// The device on which most is still in use above what was, and how much; none once all is back. A device that is
    /// gone has nothing to give back; one that did not answer this time keeps the lease waiting.
    fn left(&self, readings: &[Reading], unanswered: &BTreeMap<DeviceId, u32>) -> Option<(DeviceId, u64)> {
        let is_gone =
            |device: &DeviceId| unanswered.get(device).is_some_and(|looks| *looks >= GPU_GONE_LOOKS);
        let left = |before: &Before| {
            let reading = readings.iter().find(|reading| reading.device == before.device);
            match reading.and_then(|reading| reading.used_bytes) {
                Some(used) => used.saturating_sub(before.used_bytes.saturating_add(MEMORY_SLACK_BYTES)),
                None if is_gone(&before.device) => 0,
                None => u64::MAX,
            }
        };
        let each = self.before.iter().map(|before| (before, left(before)));
        let most = each.max_by_key(|(_, bytes)| *bytes).filter(|(_, bytes)| *bytes > 0);
        most.map(|(before, bytes)| (before.device.clone(), bytes))
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;

//! One device in the book: what is on it, and what still fits.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::messages::{LeaseId, Share};
use crate::inventory::{DeviceId, DeviceInfo, DeviceKind};

/// What a request comes to, once it is known what its family needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// One of the counted slots of a device.
    Slot,
    /// A device alone.
    Alone,
    /// A device alone, to find out what the family needs.
    First,
    /// So much of a device's memory.
    Memory { need_bytes: u64 },
    /// Every device, alone on each.
    All,
    /// Nothing yet: a run of the family is being measured, or is about to be.
    Measurement,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) info: DeviceInfo,
    presence: Presence,
    slots: u32,
    capacity_bytes: Option<u64>,
    leases: BTreeMap<LeaseId, Share>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    /// Another process holds it, or as much of it as was asked for.
    Elsewhere,
    Gone,
}

impl Device {
    /// A device that carries at most so many leases, fewer if its driver says so. `cpus` slices share the memory of
    /// the machine.
    pub(super) fn new(info: DeviceInfo, at_most: u32, cpus: u64) -> Self {
        let slots = info.at_most.map_or(at_most, |limit| limit.min(at_most)).max(1);
        let shared_by = if info.kind == DeviceKind::Cpu { cpus.max(1) } else { 1 };
        let capacity_bytes = info.memory_bytes.map(|bytes| bytes / shared_by);
        Self { info, presence: Presence::Here, slots, capacity_bytes, leases: BTreeMap::new() }
    }

    pub(super) fn id(&self) -> &DeviceId {
        &self.info.id
    }

    pub(super) fn is_gone(&self) -> bool {
        self.presence == Presence::Gone
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        self.presence == Presence::Elsewhere
    }

    pub(super) fn go(&mut self) {
        self.presence = Presence::Gone;
    }

    pub(super) fn mark_elsewhere(&mut self) {
        if self.presence == Presence::Here {
            self.presence = Presence::Elsewhere;
        }
    }

    pub(super) fn look_again(&mut self) {
        if self.presence == Presence::Elsewhere {
            self.presence = Presence::Here;
        }
    }

    /// Leases it can carry at once; 0 once it is gone.
    pub(super) fn slots(&self) -> u32 {
        if self.is_gone() { 0 } else { self.slots }
    }

    pub(super) fn leases(&self) -> &BTreeMap<LeaseId, Share> {
        &self.leases
    }

    pub(super) fn put(&mut self, lease: LeaseId, share: Share) {
        self.leases.insert(lease, share);
    }

    pub(super) fn take(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }

    /// Memory all its runs may need together, where it is known.
    pub(super) fn capacity_bytes(&self) -> Option<u64> {
        self.capacity_bytes
    }

    /// Whether several runs can be weighed against its memory.
    pub(super) fn packs_by_memory(&self) -> bool {
        !self.is_gone() && self.slots > 1 && self.capacity_bytes.is_some()
    }

    /// Whether a run with that need may ever be on it beside others, or alone where its memory is not known.
    pub(super) fn may_hold(&self, need_bytes: u64) -> bool {
        !self.is_gone() && self.capacity_bytes.is_none_or(|capacity| need_bytes <= capacity)
    }

    /// Whether that can be served here now.
    pub(super) fn fits(&self, ask: Ask) -> bool {
        self.presence == Presence::Here
            && match (ask, self.capacity_bytes) {
                (Ask::Slot, _) => self.has_slot(),
                (Ask::Memory { need_bytes }, Some(_)) => self.has_slot() && need_bytes <= self.free_bytes(),
                (Ask::Memory { .. }, None) | (Ask::Alone | Ask::First | Ask::All, _) => {
                    self.leases.is_empty()
                }
                (Ask::Measurement, _) => false,
            }
    }

    /// What a lease for that takes of it. A device for one run is always taken whole.
    pub(super) fn share(&self, ask: Ask) -> Share {
        match (ask, self.capacity_bytes) {
            _ if self.slots == 1 => Share::Alone,
            (Ask::Slot, _) => Share::Slot { slots: self.slots },
            (Ask::Memory { need_bytes }, Some(capacity_bytes)) => {
                Share::Memory { need_bytes, capacity_bytes, slots: self.slots }
            }
            _ => Share::Alone,
        }
    }

    /// Where to put what fits: the emptiest device first, so that packing starts once every device is in use.
    pub(super) fn preference(&self, ask: Ask) -> (usize, Reverse<u64>) {
        let free = if matches!(ask, Ask::Memory { .. }) { self.free_bytes() } else { 0 };
        (self.leases.len(), Reverse(free))
    }

    /// How far it is from serving what does not fit; the nearest is reserved.
    ///
    /// While a device is reserved nothing new comes onto it, so its distance only shrinks, and a reservation moves to
    /// a device that is nearer still, or as near and earlier in the list: whoever waits is served in the end.
    pub(super) fn distance(&self, ask: Ask) -> (bool, usize, Reverse<u64>) {
        let elsewhere = self.is_elsewhere();
        match ask {
            Ask::Memory { .. } => (elsewhere, 0, Reverse(self.free_bytes())),
            _ => (elsewhere, self.leases.len(), Reverse(0)),
        }
    }

    fn has_slot(&self) -> bool {
        self.leases.len() < usize::try_from(self.slots).unwrap_or(usize::MAX) && !self.is_taken_whole()
    }

    fn is_taken_whole(&self) -> bool {
        self.leases.values().any(|share| *share == Share::Alone)
    }

    fn needed_bytes(&self) -> u64 {
        let needs = self.leases.values().map(|share| match share {
            Share::Memory { need_bytes, .. } => *need_bytes,
            Share::Alone | Share::Slot { .. } => 0,
        });
        needs.fold(0, u64::saturating_add)
    }

    fn free_bytes(&self) -> u64 {
        if self.is_taken_whole() {
            return 0;
        }
        self.capacity_bytes.unwrap_or(0).saturating_sub(self.needed_bytes())
    }

    /// DM-1 for this device. Leases on a device that is gone are no use of it: they only wait to be released.
    pub(super) fn dm1_is_respected(&self) -> bool {
        let leases = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
        self.is_gone()
            || (leases <= self.slots
                && (leases <= 1 || !self.is_taken_whole())
                && self.capacity_bytes.is_none_or(|capacity| self.needed_bytes() <= capacity))
    }
}

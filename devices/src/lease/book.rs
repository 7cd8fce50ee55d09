//! Decides who gets which device.

use std::collections::{BTreeMap, VecDeque};

use super::messages::{
    DeviceUse, LeaseEffect, LeaseEvent, LeaseId, LeaseSnapshot, LeaseUse, RefuseReason, Ticket, Want,
};
use crate::inventory::{DeviceId, DeviceInfo};

/// The state of every device and every request; see the [module](super) for its invariants.
#[derive(Debug, Clone)]
pub struct LeaseBook {
    devices: Vec<Device>,
    waiting: VecDeque<Waiting>,
    next_lease: u64,
}

#[derive(Debug, Clone)]
struct Device {
    info: DeviceInfo,
    presence: Presence,
    leases: BTreeMap<LeaseId, Lease>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here { slots: u32 },
    Gone,
}

#[derive(Debug, Clone)]
struct Lease {
    ticket: Ticket,
    holder: String,
}

#[derive(Debug, Clone)]
struct Waiting {
    ticket: Ticket,
    holder: String,
}

impl Device {
    fn slots(&self) -> usize {
        match self.presence {
            Presence::Here { slots } => usize::try_from(slots).unwrap_or(usize::MAX),
            Presence::Gone => 0,
        }
    }

    fn is_free(&self) -> bool {
        self.leases.len() < self.slots()
    }
}

impl LeaseBook {
    /// A book over these devices, nothing leased. A device carries at least one lease at a time, so 0 slots are read
    /// as 1.
    #[must_use]
    pub fn new(devices: Vec<DeviceInfo>, slots_per_device: u32) -> Self {
        let presence = Presence::Here { slots: slots_per_device.max(1) };
        let devices =
            devices.into_iter().map(|info| Device { info, presence, leases: BTreeMap::new() }).collect();
        Self { devices, waiting: VecDeque::new(), next_lease: 0 }
    }

    /// Takes one event to the effects it causes, in the order they are to be performed.
    #[must_use = "an effect left unperformed is a lost lease"]
    pub fn apply(&mut self, event: LeaseEvent) -> Vec<LeaseEffect> {
        let mut effects = match event {
            LeaseEvent::Acquire { ticket, holder, want } => self.acquire(ticket, holder, want),
            LeaseEvent::Withdraw { ticket } => self.withdraw(ticket),
            LeaseEvent::Release { lease } => self.release(lease),
            LeaseEvent::DeviceGone { device } => self.device_gone(device),
        };
        self.serve(&mut effects);
        debug_assert!(self.dm1_slots_are_respected(), "DM-1: {self:?}");
        debug_assert!(self.dm3_nobody_waits_in_vain(), "DM-3: {self:?}");
        effects
    }

    /// The book as it stands, for people.
    #[must_use]
    pub fn snapshot(&self) -> LeaseSnapshot {
        let device_use = |device: &Device| DeviceUse {
            device: device.info.id.clone(),
            slots: u32::try_from(device.slots()).unwrap_or(u32::MAX),
            leases: device
                .leases
                .iter()
                .map(|(lease, held)| LeaseUse { lease: *lease, holder: held.holder.clone() })
                .collect(),
        };
        LeaseSnapshot {
            devices: self.devices.iter().map(device_use).collect(),
            waiting: self.waiting.iter().map(|waiting| waiting.holder.clone()).collect(),
        }
    }

    fn acquire(&mut self, ticket: Ticket, holder: String, want: Want) -> Vec<LeaseEffect> {
        let waits = self.waiting.iter().any(|waiting| waiting.ticket == ticket);
        let holds =
            self.devices.iter().flat_map(|device| device.leases.values()).any(|held| held.ticket == ticket);
        if waits || holds {
            return vec![LeaseEffect::CountLate(LeaseEvent::Acquire { ticket, holder, want })];
        }
        self.waiting.push_back(Waiting { ticket, holder });
        Vec::new()
    }

    fn withdraw(&mut self, ticket: Ticket) -> Vec<LeaseEffect> {
        match self.waiting.iter().position(|waiting| waiting.ticket == ticket) {
            Some(place) => {
                self.waiting.remove(place);
                Vec::new()
            }
            None => vec![LeaseEffect::CountLate(LeaseEvent::Withdraw { ticket })],
        }
    }

    fn release(&mut self, lease: LeaseId) -> Vec<LeaseEffect> {
        for device in &mut self.devices {
            if device.leases.remove(&lease).is_some() {
                return vec![LeaseEffect::Returned { lease, device: device.info.id.clone() }];
            }
        }
        vec![LeaseEffect::CountLate(LeaseEvent::Release { lease })]
    }

    fn device_gone(&mut self, id: DeviceId) -> Vec<LeaseEffect> {
        let here = |device: &&mut Device| device.info.id == id && device.presence != Presence::Gone;
        match self.devices.iter_mut().find(here) {
            Some(device) => {
                device.presence = Presence::Gone;
                device.leases.keys().map(|lease| LeaseEffect::Revoke { lease: *lease }).collect()
            }
            None => vec![LeaseEffect::CountLate(LeaseEvent::DeviceGone { device: id })],
        }
    }

    /// Serves those who wait, first come first served, for as long as a device is free; sends them away once there
    /// is no device to wait for.
    fn serve(&mut self, effects: &mut Vec<LeaseEffect>) {
        if self.devices.iter().all(|device| device.presence == Presence::Gone) {
            let refused = self.waiting.drain(..).map(|waiting| waiting.ticket);
            effects.extend(
                refused.map(|ticket| LeaseEffect::Refuse { ticket, reason: RefuseReason::NoDeviceLeft }),
            );
            return;
        }
        // The emptiest device first, so that packing starts once every device is in use.
        while let Some(device) =
            self.devices.iter_mut().filter(|device| device.is_free()).min_by_key(|device| device.leases.len())
        {
            let Some(Waiting { ticket, holder }) = self.waiting.pop_front() else { return };
            let lease = LeaseId(self.next_lease);
            self.next_lease += 1;
            device.leases.insert(lease, Lease { ticket, holder });
            effects.push(LeaseEffect::Grant { ticket, lease, grant: device.info.place().into() });
        }
    }

    /// Leases on a device that is gone are no use of it: they only wait to be released.
    fn dm1_slots_are_respected(&self) -> bool {
        let here = self.devices.iter().filter(|device| device.presence != Presence::Gone);
        here.into_iter().all(|device| device.leases.len() <= device.slots())
    }

    fn dm3_nobody_waits_in_vain(&self) -> bool {
        self.waiting.is_empty() || !self.devices.iter().any(Device::is_free)
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;

//! Decides who gets which device.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::device::{Ask, Device};
use super::messages::{
    DeviceUse, Grant, LeaseEffect, LeaseEvent, LeaseId, LeaseSnapshot, LeaseUse, RefuseReason, Share, Ticket,
    Want,
};
use super::needs::Needs;
use crate::inventory::{DeviceId, DeviceInfo, DeviceKind};
use crate::placement::RunsPerDevice;

mod serve;

/// The state of every device and every request; see the [module](super) for its invariants.
#[derive(Debug, Clone)]
pub struct LeaseBook {
    devices: Vec<Device>,
    packing: RunsPerDevice,
    /// In the order they came.
    waiting: VecDeque<Request>,
    leases: BTreeMap<LeaseId, Lease>,
    needs: Needs,
    next_lease: u64,
    next_arrival: u64,
}

#[derive(Debug, Clone)]
struct Request {
    arrival: u64,
    ticket: Ticket,
    holder: String,
    want: Want,
}

impl Request {
    fn family(&self) -> Option<&str> {
        match &self.want {
            Want::Slot { family } => family.as_deref(),
            Want::Alone | Want::All => None,
        }
    }
}

#[derive(Debug, Clone)]
struct Lease {
    request: Request,
    /// Indices into the devices, in the order of the grant.
    devices: Vec<usize>,
    share: Share,
    standing: Standing,
    purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Other processes are being asked for the devices; the holder knows nothing of it yet.
    Claiming,
    Held,
    /// A device of it is gone; the holder was told.
    Revoked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Work,
    /// The first run of its family: the others wait for what it will have used.
    Measure,
}

impl LeaseBook {
    /// A book over these devices, nothing leased. They are of one kind, as [`select`](crate::select) gives them.
    #[must_use]
    pub fn new(devices: Vec<DeviceInfo>, packing: RunsPerDevice) -> Self {
        let cpus = devices.iter().filter(|info| info.kind == DeviceKind::Cpu).count();
        let cpus = u64::try_from(cpus).unwrap_or(u64::MAX);
        let at_most = packing.at_most();
        Self {
            devices: devices.into_iter().map(|info| Device::new(info, at_most, cpus)).collect(),
            packing,
            waiting: VecDeque::new(),
            leases: BTreeMap::new(),
            needs: Needs::default(),
            next_lease: 0,
            next_arrival: 0,
        }
    }

    /// Takes one event to the effects it causes, in the order they are to be performed.
    #[must_use = "an effect left unperformed is a lost lease"]
    pub fn apply(&mut self, event: LeaseEvent) -> Vec<LeaseEffect> {
        let mut effects = match event {
            LeaseEvent::Acquire { ticket, holder, want } => self.acquire(ticket, holder, want),
            LeaseEvent::Withdraw { ticket } => self.withdraw(ticket),
            LeaseEvent::Claimed { lease } => self.claimed(lease),
            LeaseEvent::Busy { lease, device } => self.busy(lease, device),
            LeaseEvent::ClaimFailed { lease } => self.claim_failed(lease),
            LeaseEvent::LookAgain => self.look_again(),
            LeaseEvent::Measured { lease, peak_bytes } => self.measured(lease, peak_bytes),
            LeaseEvent::RanOutOfMemory { lease } => self.ran_out_of_memory(lease),
            LeaseEvent::Release { lease } => self.release(lease),
            LeaseEvent::DeviceGone { device } => self.device_gone(device),
        };
        self.serve(&mut effects);
        debug_assert!(self.dm1_devices_are_not_overfilled(), "DM-1: {self:?}");
        debug_assert!(self.dm2_every_lease_is_somewhere(), "DM-2: {self:?}");
        debug_assert!(self.dm3_nobody_waits_in_vain(), "DM-3: {self:?}");
        effects
    }

    /// Whether somebody waits while another process holds a device: then it is worth to look again.
    #[must_use]
    pub fn is_held_up_elsewhere(&self) -> bool {
        !self.waiting.is_empty() && self.devices.iter().any(Device::is_elsewhere)
    }

    /// The book as it stands, for people.
    #[must_use]
    pub fn snapshot(&self) -> LeaseSnapshot {
        let lease_use = |lease: &LeaseId| {
            let holder = self.leases.get(lease).map(|held| held.request.holder.clone());
            LeaseUse { lease: *lease, holder: holder.unwrap_or_default() }
        };
        let device_use = |device: &Device| DeviceUse {
            device: device.id().clone(),
            slots: device.slots(),
            leases: device.leases().keys().map(lease_use).collect(),
        };
        LeaseSnapshot {
            devices: self.devices.iter().map(device_use).collect(),
            waiting: self.waiting.iter().map(|waiting| waiting.holder.clone()).collect(),
        }
    }

    fn acquire(&mut self, ticket: Ticket, holder: String, want: Want) -> Vec<LeaseEffect> {
        let waits = self.waiting.iter().any(|waiting| waiting.ticket == ticket);
        let holds = self.leases.values().any(|lease| lease.request.ticket == ticket);
        if waits || holds {
            return vec![LeaseEffect::CountLate(LeaseEvent::Acquire { ticket, holder, want })];
        }
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        self.waiting.push_back(Request { arrival, ticket, holder, want });
        Vec::new()
    }

    fn withdraw(&mut self, ticket: Ticket) -> Vec<LeaseEffect> {
        if let Some(place) = self.waiting.iter().position(|waiting| waiting.ticket == ticket) {
            self.waiting.remove(place);
            return Vec::new();
        }
        let claiming = self
            .leases
            .iter()
            .find(|(_, lease)| lease.request.ticket == ticket && lease.standing == Standing::Claiming);
        match claiming.map(|(id, _)| *id) {
            Some(lease) => {
                self.remove(lease);
                vec![LeaseEffect::Unclaim { lease }]
            }
            None => vec![LeaseEffect::CountLate(LeaseEvent::Withdraw { ticket })],
        }
    }

    fn claimed(&mut self, lease: LeaseId) -> Vec<LeaseEffect> {
        let late = LeaseEffect::CountLate(LeaseEvent::Claimed { lease });
        match self.leases.get_mut(&lease) {
            Some(held) if held.standing == Standing::Claiming => {
                held.standing = Standing::Held;
                self.grant(lease).into_iter().collect()
            }
            Some(_) => vec![late],
            None => vec![LeaseEffect::Unclaim { lease }, late],
        }
    }

    fn busy(&mut self, lease: LeaseId, device: DeviceId) -> Vec<LeaseEffect> {
        let there = self.devices.iter().position(|known| *known.id() == device);
        let claims = |held: &&Lease| {
            held.standing == Standing::Claiming && there.is_some_and(|index| held.devices.contains(&index))
        };
        if self.leases.get(&lease).filter(claims).is_none() {
            return vec![LeaseEffect::CountLate(LeaseEvent::Busy { lease, device })];
        }
        if let Some(device) = there.and_then(|index| self.devices.get_mut(index)) {
            device.mark_elsewhere();
        }
        self.put_back(lease);
        Vec::new()
    }

    fn claim_failed(&mut self, lease: LeaseId) -> Vec<LeaseEffect> {
        if self.leases.get(&lease).is_none_or(|held| held.standing != Standing::Claiming) {
            return vec![LeaseEffect::CountLate(LeaseEvent::ClaimFailed { lease })];
        }
        let refuse = |lease: Lease| LeaseEffect::Refuse {
            ticket: lease.request.ticket,
            reason: RefuseReason::Unclaimable,
        };
        self.remove(lease).map(refuse).into_iter().collect()
    }

    fn look_again(&mut self) -> Vec<LeaseEffect> {
        self.devices.iter_mut().for_each(Device::look_again);
        Vec::new()
    }

    fn measured(&mut self, lease: LeaseId, peak_bytes: u64) -> Vec<LeaseEffect> {
        let late = LeaseEffect::CountLate(LeaseEvent::Measured { lease, peak_bytes });
        let Some((held, device)) = self.held(lease) else { return vec![late] };
        if let Some(family) = held.request.family() {
            let (family, kind) = (family.to_owned(), device.info.kind);
            self.needs.measured(&family, kind, peak_bytes);
        }
        Vec::new()
    }

    fn ran_out_of_memory(&mut self, lease: LeaseId) -> Vec<LeaseEffect> {
        let late = LeaseEffect::CountLate(LeaseEvent::RanOutOfMemory { lease });
        let Some((held, device)) = self.held(lease) else { return vec![late] };
        if let (Some(family), Some(capacity)) = (held.request.family(), device.capacity_bytes()) {
            let (family, runs) = (family.to_owned(), device.leases().len());
            self.needs.ran_out(&family, capacity, runs);
        }
        Vec::new()
    }

    fn release(&mut self, lease: LeaseId) -> Vec<LeaseEffect> {
        let late = vec![LeaseEffect::CountLate(LeaseEvent::Release { lease })];
        if self.held(lease).is_none() {
            return late;
        }
        let Some(held) = self.remove(lease) else { return late };
        vec![LeaseEffect::Returned { lease, devices: self.ids(&held.devices) }]
    }

    fn device_gone(&mut self, id: DeviceId) -> Vec<LeaseEffect> {
        let here = |device: &Device| *device.id() == id && !device.is_gone();
        let Some(index) = self.devices.iter().position(here) else {
            return vec![LeaseEffect::CountLate(LeaseEvent::DeviceGone { device: id })];
        };
        let device = &mut self.devices[index];
        device.go();
        let leases: Vec<LeaseId> = device.leases().keys().copied().collect();
        leases.into_iter().filter_map(|lease| self.lose(lease)).collect()
    }

    /// A device of the lease is gone.
    fn lose(&mut self, lease: LeaseId) -> Option<LeaseEffect> {
        let held = self.leases.get_mut(&lease)?;
        match held.standing {
            Standing::Claiming => {
                self.put_back(lease);
                Some(LeaseEffect::Unclaim { lease })
            }
            Standing::Held => {
                held.standing = Standing::Revoked;
                Some(LeaseEffect::Revoke { lease })
            }
            Standing::Revoked => None,
        }
    }

    fn place(&mut self, request: Request, ask: Ask, devices: Vec<usize>) -> Option<LeaseEffect> {
        let id = LeaseId(self.next_lease);
        self.next_lease += 1;
        let share = match devices.as_slice() {
            [only] => self.devices[*only].share(ask),
            _ => Share::Alone,
        };
        for index in &devices {
            self.devices[*index].put(id, share);
        }
        let is_shared_with_others = devices.iter().any(|index| self.devices[*index].info.uuid.is_some());
        let claim = is_shared_with_others.then(|| LeaseEffect::Claim {
            lease: id,
            holder: request.holder.clone(),
            devices: self.ids(&devices),
            share,
        });
        let standing = if claim.is_some() { Standing::Claiming } else { Standing::Held };
        let purpose = if ask == Ask::First { Purpose::Measure } else { Purpose::Work };
        self.leases.insert(id, Lease { request, devices, share, standing, purpose });
        claim.or_else(|| self.grant(id))
    }

    fn grant(&self, id: LeaseId) -> Option<LeaseEffect> {
        let lease = self.leases.get(&id)?;
        let places = lease.devices.iter().map(|index| self.devices[*index].info.place()).collect();
        let ticket = lease.request.ticket;
        Some(LeaseEffect::Grant { ticket, lease: id, grant: Grant { places }, share: lease.share })
    }

    /// The lease, if somebody holds it, and its first device.
    fn held(&self, id: LeaseId) -> Option<(&Lease, &Device)> {
        let lease = self.leases.get(&id).filter(|lease| lease.standing != Standing::Claiming)?;
        Some((lease, self.devices.get(*lease.devices.first()?)?))
    }

    fn remove(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        for index in &lease.devices {
            self.devices[*index].take(id);
        }
        Some(lease)
    }

    /// The request of a claim waits again, where it was.
    fn put_back(&mut self, id: LeaseId) {
        if let Some(Lease { request, .. }) = self.remove(id) {
            let place = self.waiting.partition_point(|waiting| waiting.arrival < request.arrival);
            self.waiting.insert(place, request);
        }
    }

    fn ids(&self, devices: &[usize]) -> Vec<DeviceId> {
        devices.iter().map(|index| self.devices[*index].id().clone()).collect()
    }
}

/// The invariants of the module.
impl LeaseBook {
    fn dm1_devices_are_not_overfilled(&self) -> bool {
        self.devices.iter().all(Device::dm1_is_respected)
    }

    /// What is leased is on its devices and nothing else is, so that it can come back, and only once.
    fn dm2_every_lease_is_somewhere(&self) -> bool {
        let mut listed = BTreeSet::new();
        for (id, lease) in &self.leases {
            listed.extend(lease.devices.iter().map(|index| (*index, *id)));
        }
        let devices = self.devices.iter().enumerate();
        let there: BTreeSet<(usize, LeaseId)> = devices
            .flat_map(|(index, device)| device.leases().keys().map(move |lease| (index, *lease)))
            .collect();
        listed == there && self.leases.values().all(|lease| !lease.devices.is_empty())
    }
}

#[cfg(test)]
#[path = "book_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;

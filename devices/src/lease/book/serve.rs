//! Who is served next, and who waits for what.

use std::collections::BTreeSet;

use super::{Lease, LeaseBook, Purpose, Request, Standing};
use crate::lease::device::{Ask, Device};
use crate::lease::messages::{LeaseEffect, RefuseReason, Want};
use crate::placement::RunsPerDevice;

/// What those ahead in the line have asked for and not got.
#[derive(Debug)]
struct Ahead {
    reserved: Vec<bool>,
    unmeasured: BTreeSet<String>,
}

impl LeaseBook {
    /// Serves those who wait in the order they came. Whoever can not be served reserves what would serve it, so that
    /// nobody behind gets it first; what nobody ahead waits for is not left idle.
    pub(super) fn serve(&mut self, effects: &mut Vec<LeaseEffect>) {
        if self.devices.iter().all(Device::is_gone) {
            let refused = self.waiting.drain(..).map(|waiting| waiting.ticket);
            effects.extend(
                refused.map(|ticket| LeaseEffect::Refuse { ticket, reason: RefuseReason::NoDeviceLeft }),
            );
            return;
        }
        let mut ahead = self.nobody_ahead();
        let mut index = 0;
        while let Some(request) = self.waiting.get(index).filter(|request| !self.is_behind_a_claim(request)) {
            let ask = self.ask(request, &ahead);
            match self.choose(ask, &ahead) {
                Some(devices) => {
                    if let Some(request) = self.waiting.remove(index) {
                        effects.extend(self.place(request, ask, devices));
                    }
                }
                None => {
                    self.reserve(request, ask, &mut ahead);
                    index += 1;
                }
            }
        }
        if self.waiting.is_empty() && !self.claims().any(|_| true) {
            // Whoever comes next finds out anew what other processes hold.
            self.devices.iter_mut().for_each(Device::look_again);
        }
    }

    fn nobody_ahead(&self) -> Ahead {
        Ahead { reserved: vec![false; self.devices.len()], unmeasured: BTreeSet::new() }
    }

    /// A claim may come back, and its request then waits ahead of those that came later: until that is known, they
    /// could take what it waits for.
    fn is_behind_a_claim(&self, request: &Request) -> bool {
        self.claims().any(|lease| lease.request.arrival < request.arrival)
    }

    fn claims(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(|lease| lease.standing == Standing::Claiming)
    }

    fn ask(&self, request: &Request, ahead: &Ahead) -> Ask {
        match (&request.want, self.packing) {
            (Want::All, _) => return Ask::All,
            (Want::Alone, _) => return Ask::Alone,
            (Want::Slot { .. }, RunsPerDevice::Fixed(_)) => return Ask::Slot,
            (Want::Slot { .. }, RunsPerDevice::ByMemory) => {}
        }
        let Some(family) = request.family().filter(|_| self.devices.iter().any(Device::packs_by_memory))
        else {
            return Ask::Alone;
        };
        match self.needs.of(family) {
            Some(need) if self.devices.iter().any(|device| device.may_hold(need)) => {
                Ask::Memory { need_bytes: need }
            }
            Some(_) => Ask::Alone,
            None if ahead.unmeasured.contains(family) || self.is_being_measured(family) => Ask::Measurement,
            None => Ask::First,
        }
    }

    fn is_being_measured(&self, family: &str) -> bool {
        // Where the device is gone nothing will have been measured, and the holder itself may wait for another one.
        let first = |lease: &Lease| {
            lease.purpose == Purpose::Measure
                && lease.standing != Standing::Revoked
                && lease.request.family() == Some(family)
        };
        self.leases.values().any(first)
    }

    fn choose(&self, ask: Ask, ahead: &Ahead) -> Option<Vec<usize>> {
        let present = self.devices.iter().enumerate().filter(|(_, device)| !device.is_gone());
        let is_open = |index: usize, device: &Device| !ahead.reserved[index] && device.fits(ask);
        if ask == Ask::All {
            let all: Vec<(usize, &Device)> = present.collect();
            let open = all.iter().all(|(index, device)| is_open(*index, device));
            return open.then(|| all.into_iter().map(|(index, _)| index).collect());
        }
        present
            .filter(|(index, device)| is_open(*index, device))
            .min_by_key(|(_, device)| device.preference(ask))
            .map(|(index, _)| vec![index])
    }

    fn reserve(&self, request: &Request, ask: Ask, ahead: &mut Ahead) {
        if let (Ask::First, Some(family)) = (ask, request.family()) {
            ahead.unmeasured.insert(family.to_owned());
        }
        let could = |device: &Device| match ask {
            Ask::Alone | Ask::First => !device.is_gone(),
            Ask::Memory { need_bytes } => device.may_hold(need_bytes),
            // Every device that could give a slot is full, and whoever is behind finds it as full.
            Ask::Slot | Ask::Measurement => false,
            Ask::All => true,
        };
        if ask == Ask::All {
            ahead.reserved.fill(true);
            return;
        }
        let devices = self.devices.iter().enumerate();
        let open = devices.filter(|(index, device)| !ahead.reserved[*index] && could(device));
        let nearest = open.min_by_key(|(_, device)| device.distance(ask)).map(|(index, _)| index);
        if let Some(index) = nearest {
            ahead.reserved[index] = true;
        }
    }

    pub(super) fn dm3_nobody_waits_in_vain(&self) -> bool {
        let mut ahead = self.nobody_ahead();
        let mut served = self.waiting.iter().take_while(|request| !self.is_behind_a_claim(request));
        served.all(|request| {
            let ask = self.ask(request, &ahead);
            let waits = self.choose(ask, &ahead).is_none();
            self.reserve(request, ask, &mut ahead);
            waits
        })
    }
}

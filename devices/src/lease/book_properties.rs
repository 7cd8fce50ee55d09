//! The invariants of the book in any order of events, seen by somebody who knows only events and effects.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{GIB, ask_for, device, gpu, release};
use super::*;
use crate::inventory::DeviceKind;
use crate::lease::need_of;

/// A request as the witness knows it; tickets are looked up, arrivals count.
#[derive(Debug, Clone)]
struct Asked {
    arrival: usize,
    ticket: Ticket,
    want: Want,
}

#[derive(Debug, Clone)]
struct Out {
    asked: Asked,
    devices: Vec<usize>,
    share: Share,
    is_claim: bool,
    is_revoked: bool,
    /// The need of its family was not known when it was placed.
    is_first: bool,
}

/// What an outsider knows of the book.
struct Witness {
    infos: Vec<DeviceInfo>,
    packing: RunsPerDevice,
    queue: Vec<Asked>,
    out: BTreeMap<LeaseId, Out>,
    ever_out: BTreeSet<LeaseId>,
    gone: BTreeSet<usize>,
    elsewhere: BTreeSet<usize>,
    needs: BTreeMap<String, u64>,
    arrivals: usize,
}

impl Witness {
    fn new(infos: Vec<DeviceInfo>, packing: RunsPerDevice) -> Self {
        Self {
            infos,
            packing,
            queue: vec![],
            out: BTreeMap::new(),
            ever_out: BTreeSet::new(),
            gone: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            needs: BTreeMap::new(),
            arrivals: 0,
        }
    }

    // ---- what a device holds ----

    fn index(&self, id: &DeviceId) -> Option<usize> {
        self.infos.iter().position(|info| info.id == *id)
    }

    fn slots(&self, device: usize) -> usize {
        let limit = self.infos[device].at_most.unwrap_or(u32::MAX);
        self.packing.at_most().min(limit) as usize
    }

    fn capacity(&self, device: usize) -> Option<u64> {
        let info = &self.infos[device];
        let shared_by = if info.kind == DeviceKind::Cpu { self.infos.len() as u64 } else { 1 };
        info.memory_bytes.map(|bytes| bytes / shared_by)
    }

    fn on(&self, device: usize) -> Vec<&Out> {
        self.out.values().filter(|out| out.devices.contains(&device)).collect()
    }

    fn needed(&self, device: usize) -> u64 {
        let need = |out: &&Out| match out.share {
            Share::Memory { need_bytes, .. } => need_bytes,
            Share::Alone => self.capacity(device).unwrap_or(0),
            Share::Slot { .. } => 0,
        };
        self.on(device).iter().map(need).sum()
    }

    fn free(&self, device: usize) -> u64 {
        self.capacity(device).unwrap_or(0).saturating_sub(self.needed(device))
    }

    fn dm1_holds(&self) -> bool {
        (0..self.infos.len()).filter(|device| !self.gone.contains(device)).all(|device| {
            let on = self.on(device);
            let alone = on.iter().filter(|out| out.share == Share::Alone).count();
            let fits = self.capacity(device).is_none_or(|capacity| self.needed(device) <= capacity);
            on.len() <= self.slots(device) && (alone == 0 || on.len() == 1) && fits
        })
    }

    // ---- what a request wants ----

    fn family(want: &Want) -> Option<&String> {
        match want {
            Want::Slot { family } => family.as_ref(),
            Want::Alone | Want::All => None,
        }
    }

    /// The need of a request that is placed by memory; none for one that needs a device alone or a slot.
    fn need(&self, want: &Want) -> Option<u64> {
        let need = *self.needs.get(Self::family(want)?)?;
        let may_hold = |device: usize| self.capacity(device).is_none_or(|capacity| need <= capacity);
        let somewhere = (0..self.infos.len()).any(|device| !self.gone.contains(&device) && may_hold(device));
        (self.packing == RunsPerDevice::ByMemory && self.is_weighed() && somewhere).then_some(need)
    }

    fn is_weighed(&self) -> bool {
        let weighs = |device: usize| self.slots(device) > 1 && self.capacity(device).is_some();
        (0..self.infos.len()).any(|device| !self.gone.contains(&device) && weighs(device))
    }

    fn is_unmeasured(&self, want: &Want) -> bool {
        let unknown = Self::family(want).is_some_and(|family| !self.needs.contains_key(family));
        self.packing == RunsPerDevice::ByMemory && self.is_weighed() && unknown
    }

    fn takes_a_slot(&self, want: &Want) -> bool {
        matches!(want, Want::Slot { .. }) && matches!(self.packing, RunsPerDevice::Fixed(_))
    }

    fn could_serve(&self, device: usize, want: &Want) -> bool {
        let on = self.on(device);
        let has_slot = on.len() < self.slots(device) && on.iter().all(|out| out.share != Share::Alone);
        let is_here = !self.gone.contains(&device) && !self.elsewhere.contains(&device);
        is_here
            && match self.need(want) {
                _ if self.takes_a_slot(want) => has_slot,
                Some(need) if self.capacity(device).is_some() => has_slot && need <= self.free(device),
                _ => on.is_empty(),
            }
    }

    /// Devices that those who came before are waiting for.
    fn reserved_before(&self, arrival: usize) -> BTreeSet<usize> {
        let mut reserved = BTreeSet::new();
        let mut firsts = BTreeSet::new();
        for asked in self.queue.iter().filter(|asked| asked.arrival < arrival) {
            let open: Vec<usize> = (0..self.infos.len())
                .filter(|device| !reserved.contains(device) && !self.gone.contains(device))
                .collect();
            let away = |device: &usize| self.elsewhere.contains(device);
            let nearest = match (&asked.want, self.need(&asked.want)) {
                (Want::All, _) => {
                    reserved.extend(open);
                    continue;
                }
                (want, _) if self.takes_a_slot(want) => continue,
                (want, _) if self.is_unmeasured(want) && !self.leads(want, &mut firsts) => continue,
                (_, Some(need)) => open
                    .into_iter()
                    .filter(|device| self.capacity(*device).is_none_or(|capacity| need <= capacity))
                    .min_by_key(|device| (away(device), Reverse(self.free(*device)))),
                (_, None) => open.into_iter().min_by_key(|device| (away(device), self.on(*device).len())),
            };
            reserved.extend(nearest);
        }
        reserved
    }

    /// Whether this is the unmeasured run of its family that is to be the first.
    fn leads(&self, want: &Want, firsts: &mut BTreeSet<String>) -> bool {
        let Some(family) = Self::family(want) else { return true };
        let under_way = self
            .out
            .values()
            .any(|out| out.is_first && !out.is_revoked && Self::family(&out.asked.want) == Some(family));
        !under_way && firsts.insert(family.clone())
    }

    fn dm3_holds(&self) -> bool {
        let mut firsts = BTreeSet::new();
        let claims = self.out.values().filter(|out| out.is_claim).map(|out| out.asked.arrival);
        let barrier = claims.min().unwrap_or(usize::MAX);
        self.queue.iter().filter(|asked| asked.arrival < barrier).all(|asked| {
            if self.is_unmeasured(&asked.want) && !self.leads(&asked.want, &mut firsts) {
                return true;
            }
            let reserved = self.reserved_before(asked.arrival);
            let here: Vec<usize> =
                (0..self.infos.len()).filter(|device| !self.gone.contains(device)).collect();
            let serves =
                |device: &usize| !reserved.contains(device) && self.could_serve(*device, &asked.want);
            if asked.want == Want::All { !here.iter().all(serves) } else { !here.iter().any(serves) }
        })
    }

    // ---- what happens ----

    fn hears(&mut self, event: &LeaseEvent, effects: &[LeaseEffect]) {
        let late = effects.contains(&LeaseEffect::CountLate(event.clone()));
        let claims = |lease: &LeaseId| self.out.get(lease).is_some_and(|out| out.is_claim);
        let holds = |lease: &LeaseId| self.out.get(lease).is_some_and(|out| !out.is_claim);
        let waits = |ticket: &Ticket| self.queue.iter().any(|asked| asked.ticket == *ticket);
        let is_out = |ticket: &Ticket| self.out.values().any(|out| out.asked.ticket == *ticket);
        let is_claimed =
            |ticket: &Ticket| self.out.values().any(|out| out.asked.ticket == *ticket && out.is_claim);
        let due = match event {
            LeaseEvent::Acquire { ticket, .. } => !waits(ticket) && !is_out(ticket),
            LeaseEvent::Withdraw { ticket } => waits(ticket) || is_claimed(ticket),
            LeaseEvent::Claimed { lease } | LeaseEvent::ClaimFailed { lease } => claims(lease),
            LeaseEvent::Busy { lease, device } => {
                let there = self.index(device);
                claims(lease) && there.is_some_and(|there| self.out[lease].devices.contains(&there))
            }
            LeaseEvent::LookAgain => true,
            LeaseEvent::Measured { lease, .. }
            | LeaseEvent::RanOutOfMemory { lease }
            | LeaseEvent::Release { lease } => holds(lease),
            LeaseEvent::DeviceGone { device } => {
                self.index(device).is_some_and(|index| !self.gone.contains(&index))
            }
        };
        assert_eq!(late, !due, "late exactly when it was not due: {event:?}");
        if due {
            self.follows(event, effects);
        }
        for effect in effects {
            self.sees(effect);
        }
        if self.queue.is_empty() && self.out.values().all(|out| !out.is_claim) {
            self.elsewhere.clear();
        }
    }

    fn follows(&mut self, event: &LeaseEvent, effects: &[LeaseEffect]) {
        match event {
            LeaseEvent::Acquire { ticket, want, .. } => {
                self.queue.push(Asked { arrival: self.arrivals, ticket: *ticket, want: want.clone() });
                self.arrivals += 1;
            }
            LeaseEvent::Withdraw { ticket } => self.queue.retain(|asked| asked.ticket != *ticket),
            LeaseEvent::Busy { lease, device } => {
                self.elsewhere.extend(self.index(device));
                self.waits_again(*lease);
            }
            LeaseEvent::LookAgain => self.elsewhere.clear(),
            LeaseEvent::Measured { lease, peak_bytes } => self.learns(*lease, |witness, device| {
                (*peak_bytes > 0).then(|| need_of(witness.infos[device].kind, *peak_bytes))
            }),
            LeaseEvent::RanOutOfMemory { lease } => self.learns(*lease, |witness, device| {
                let fewer = witness.on(device).len().max(2) as u64 - 1;
                witness.capacity(device).map(|capacity| capacity / fewer)
            }),
            LeaseEvent::DeviceGone { device } => {
                let index = self.index(device).unwrap();
                let mut told = vec![];
                let there: Vec<LeaseId> = self
                    .out
                    .iter()
                    .filter(|(_, out)| out.devices.contains(&index))
                    .map(|(id, _)| *id)
                    .collect();
                self.gone.insert(index);
                for lease in there {
                    let out = self.out.get_mut(&lease).unwrap();
                    if out.is_claim {
                        told.push(LeaseEffect::Unclaim { lease });
                        self.waits_again(lease);
                    } else if !std::mem::replace(&mut out.is_revoked, true) {
                        told.push(LeaseEffect::Revoke { lease });
                    }
                }
                assert_eq!(&effects[..told.len()], told, "every holder is told, once");
            }
            LeaseEvent::Claimed { .. } | LeaseEvent::ClaimFailed { .. } | LeaseEvent::Release { .. } => {}
        }
    }

    fn learns(&mut self, lease: LeaseId, need: impl Fn(&Self, usize) -> Option<u64>) {
        let out = &self.out[&lease];
        if let (Some(family), Some(need)) = (Self::family(&out.asked.want), need(self, out.devices[0])) {
            let family = family.clone();
            let known = self.needs.entry(family).or_default();
            *known = need.max(*known);
        }
    }

    fn waits_again(&mut self, lease: LeaseId) {
        let asked = self.out.remove(&lease).unwrap().asked;
        let place = self.queue.partition_point(|waiting| waiting.arrival < asked.arrival);
        self.queue.insert(place, asked);
    }

    fn sees(&mut self, effect: &LeaseEffect) {
        match effect {
            LeaseEffect::Claim { lease, holder, devices, share } => {
                let asked = self.queue.iter().find(|asked| *holder == format!("run {}", asked.ticket.0));
                let ticket = asked.unwrap().ticket;
                let devices: Vec<usize> = devices.iter().map(|id| self.index(id).unwrap()).collect();
                assert!(devices.iter().any(|device| self.infos[*device].uuid.is_some()));
                self.is_placed(*lease, ticket, devices, *share, true);
            }
            LeaseEffect::Grant { ticket, lease, grant, share } => {
                let devices: Vec<usize> =
                    grant.places.iter().map(|place| self.index(&place.device).unwrap()).collect();
                if let Some(out) = self.out.get_mut(lease) {
                    assert_eq!((out.asked.ticket, &out.devices, out.share), (*ticket, &devices, *share));
                    assert!(std::mem::replace(&mut out.is_claim, false), "a lease is granted once");
                } else {
                    assert!(devices.iter().all(|device| self.infos[*device].uuid.is_none()));
                    self.is_placed(*lease, *ticket, devices, *share, false);
                }
            }
            LeaseEffect::Returned { lease, devices } => {
                let out = self.out.remove(lease).expect("DM-2: only what is held comes back");
                assert!(!out.is_claim);
                let there: Vec<DeviceId> = out.devices.iter().map(|on| self.infos[*on].id.clone()).collect();
                assert_eq!(*devices, there);
            }
            LeaseEffect::Unclaim { lease } => {
                // Withdrawn: a claim that waits again was put back before.
                self.out.remove(lease);
            }
            LeaseEffect::Refuse { ticket, reason: RefuseReason::NoDeviceLeft } => {
                assert_eq!(self.gone.len(), self.infos.len());
                assert_eq!(self.queue.remove(0).ticket, *ticket);
            }
            LeaseEffect::Refuse { ticket, reason: RefuseReason::Unclaimable } => {
                let refused = |out: &Out| out.asked.ticket == *ticket && out.is_claim;
                let lease = self.out.iter().find(|(_, out)| refused(out)).map(|(lease, _)| *lease);
                self.out.remove(&lease.unwrap());
            }
            LeaseEffect::Revoke { .. } | LeaseEffect::CountLate(_) => {}
        }
    }

    fn is_placed(
        &mut self,
        lease: LeaseId,
        ticket: Ticket,
        devices: Vec<usize>,
        share: Share,
        is_claim: bool,
    ) {
        assert!(self.ever_out.insert(lease), "a lease id is used once");
        let place = self.queue.iter().position(|asked| asked.ticket == ticket).unwrap();
        let reserved = self.reserved_before(self.queue[place].arrival);
        assert!(devices.iter().all(|device| !reserved.contains(device)), "DM-3: it was somebody else's turn");
        let asked = self.queue.remove(place);
        assert!(devices.iter().all(|device| self.could_serve(*device, &asked.want)));
        if asked.want == Want::All {
            let here = (0..self.infos.len()).filter(|device| !self.gone.contains(device));
            assert_eq!(devices, here.collect::<Vec<_>>(), "all of them, in listed order");
        } else {
            assert_eq!(devices.len(), 1);
        }
        match share {
            Share::Memory { need_bytes, .. } => assert_eq!(self.need(&asked.want), Some(need_bytes)),
            Share::Slot { .. } => assert!(self.takes_a_slot(&asked.want)),
            Share::Alone => {}
        }
        let is_first = self.is_unmeasured(&asked.want);
        assert!(!is_first || self.leads(&asked.want, &mut BTreeSet::new()), "one unmeasured run of a family");
        self.out.insert(lease, Out { asked, devices, share, is_claim, is_revoked: false, is_first });
    }
}

/// What a test does next: an event of any kind, due or not; an answer to the oldest open claim; what a holder says.
#[derive(Debug, Clone)]
enum Step {
    Hear(LeaseEvent),
    Claimed,
    Busy { nth: usize },
    Release { nth: usize },
    Measured { nth: usize, gib: u64 },
    RanOutOfMemory { nth: usize },
}

fn want() -> impl Strategy<Value = Want> {
    let family = prop_oneof![1 => Just(None), 4 => (0u32..6).prop_map(|family| Some(format!("cv{family}")))];
    prop_oneof![
        10 => family.prop_map(|family| Want::Slot { family }),
        2 => Just(Want::Alone),
        2 => Just(Want::All),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let id = |index: u32| if index.is_multiple_of(2) { device(index / 2).id } else { gpu(index / 2, 1).id };
    let lease = || (0u64..60).prop_map(LeaseId);
    let hear = prop_oneof![
        12 => ((0u64..24), want()).prop_map(|(ticket, want)| ask_for(ticket, want)),
        2 => (0u64..24).prop_map(|ticket| LeaseEvent::Withdraw { ticket: Ticket(ticket) }),
        2 => (0u64..60).prop_map(release),
        2 => (0u32..10).prop_map(move |index| LeaseEvent::DeviceGone { device: id(index) }),
        1 => lease().prop_map(|lease| LeaseEvent::Claimed { lease }),
        1 => (lease(), 0u32..10).prop_map(move |(lease, on)| LeaseEvent::Busy { lease, device: id(on) }),
        1 => lease().prop_map(|lease| LeaseEvent::ClaimFailed { lease }),
        2 => Just(LeaseEvent::LookAgain),
        1 => (lease(), 0u64..12).prop_map(|(lease, gib)| LeaseEvent::Measured { lease, peak_bytes: gib * GIB }),
        1 => lease().prop_map(|lease| LeaseEvent::RanOutOfMemory { lease }),
    ];
    let nth = || 0usize..8;
    prop_oneof![
        10 => hear.prop_map(Step::Hear),
        8 => Just(Step::Claimed),
        3 => nth().prop_map(|nth| Step::Busy { nth }),
        4 => nth().prop_map(|nth| Step::Release { nth }),
        3 => (nth(), 0u64..12).prop_map(|(nth, gib)| Step::Measured { nth, gib }),
        1 => nth().prop_map(|nth| Step::RanOutOfMemory { nth }),
    ]
}

fn devices() -> impl Strategy<Value = Vec<DeviceInfo>> {
    let memory = || prop_oneof![1 => Just(None), 6 => (4u64..48).prop_map(|gib| Some(gib * GIB))];
    let at_most = || prop_oneof![4 => Just(None), 1 => Just(Some(1))];
    let cpus = proptest::collection::vec(memory(), 0..4).prop_map(|memory| {
        let cpu = |(index, memory_bytes)| DeviceInfo { memory_bytes, ..device(index) };
        (0..).zip(memory).map(cpu).collect::<Vec<_>>()
    });
    let gpus = proptest::collection::vec((memory(), at_most()), 1..5).prop_map(|gpus| {
        let gpu = |(index, (memory_bytes, at_most))| DeviceInfo { memory_bytes, at_most, ..gpu(index, 1) };
        (0..).zip(gpus).map(gpu).collect::<Vec<_>>()
    });
    prop_oneof![cpus, gpus]
}

fn packing() -> impl Strategy<Value = RunsPerDevice> {
    prop_oneof![(1u32..4).prop_map(RunsPerDevice::Fixed), Just(RunsPerDevice::ByMemory)]
}

proptest! {
    #[test]
    fn the_invariants_hold_in_any_order_of_events(
        devices in devices(),
        packing in packing(),
        steps in proptest::collection::vec(step(), 0..160),
    ) {
        let mut book = LeaseBook::new(devices.clone(), packing);
        let mut witness = Witness::new(devices, packing);
        let tell = |book: &mut LeaseBook, witness: &mut Witness, event: LeaseEvent| {
            let effects = book.apply(event.clone());
            witness.hears(&event, &effects);
            prop_assert!(witness.dm1_holds(), "DM-1 after {event:?}: {book:?}");
            prop_assert!(witness.dm3_holds(), "DM-3 after {event:?}: {book:?}");
            let all_gone = witness.gone.len() == witness.infos.len();
            prop_assert!(!all_gone || witness.queue.is_empty(), "nobody waits for nothing");
            Ok(())
        };
        let claim = |witness: &Witness| {
            witness.out.iter().find(|(_, out)| out.is_claim).map(|(lease, out)| (*lease, out.devices.clone()))
        };
        let held = |witness: &Witness, nth: usize| {
            let held: Vec<LeaseId> =
                witness.out.iter().filter(|(_, out)| !out.is_claim).map(|(lease, _)| *lease).collect();
            held.get(nth % held.len().max(1)).copied()
        };
        for step in steps {
            let event = match step {
                Step::Hear(event) => Some(event),
                Step::Claimed => claim(&witness).map(|(lease, _)| LeaseEvent::Claimed { lease }),
                Step::Busy { nth } => claim(&witness).map(|(lease, on)| LeaseEvent::Busy {
                    lease,
                    device: witness.infos[on[nth % on.len()]].id.clone(),
                }),
                Step::Release { nth } => held(&witness, nth).map(|lease| LeaseEvent::Release { lease }),
                Step::Measured { nth, gib } => {
                    held(&witness, nth).map(|lease| LeaseEvent::Measured { lease, peak_bytes: gib * GIB })
                }
                Step::RanOutOfMemory { nth } => {
                    held(&witness, nth).map(|lease| LeaseEvent::RanOutOfMemory { lease })
                }
            };
            if let Some(event) = event {
                tell(&mut book, &mut witness, event)?;
            }
        }
        // Whatever happened: once claims are answered and every holder lets go, nothing is left behind.
        tell(&mut book, &mut witness, LeaseEvent::LookAgain)?;
        loop {
            let event = match (claim(&witness), held(&witness, 0)) {
                (Some((lease, _)), _) => LeaseEvent::Claimed { lease },
                (None, Some(lease)) => LeaseEvent::Release { lease },
                (None, None) => break,
            };
            tell(&mut book, &mut witness, event)?;
        }
        prop_assert!(witness.queue.is_empty(), "{book:?}");
        prop_assert!(book.snapshot().devices.iter().all(|device| device.leases.is_empty()));
    }

    /// Whoever waits is served although others keep coming: newcomers fill whatever the line leaves open, and one
    /// lease after another comes back.
    #[test]
    fn nobody_starves_behind_those_who_keep_coming(
        count in 1u32..4,
        slots in 1u32..4,
        want in prop_oneof![Just(Want::Alone), Just(Want::All), Just(Want::Slot { family: None })],
        picks in proptest::collection::vec(0usize..64, 200),
    ) {
        let mut book = LeaseBook::new((0..count).map(device).collect(), RunsPerDevice::Fixed(slots));
        let full = u64::from(count * slots);
        let mut held: Vec<LeaseId> = vec![];
        let patient = Ticket(1_000_000);
        let mut next = 0;
        let mut served = false;
        let mut newcomer = |book: &mut LeaseBook| {
            next += 1;
            book.apply(ask_for(next, Want::Slot { family: None }))
        };
        let granted = |effects: &[LeaseEffect], held: &mut Vec<LeaseId>| {
            for effect in effects {
                if let LeaseEffect::Grant { ticket, lease, .. } = effect {
                    held.push(*lease);
                    if *ticket == patient { return true; }
                }
            }
            false
        };
        for _ in 0..full {
            let effects = newcomer(&mut book);
            granted(&effects, &mut held);
        }
        served |= granted(&book.apply(ask_for(patient.0, want)), &mut held);
        // At most so many leases were out or came ahead; each is let go sooner or later, the oldest at least every
        // second time.
        for (turn, pick) in picks.into_iter().enumerate() {
            if served { break; }
            let effects = newcomer(&mut book);
            served |= granted(&effects, &mut held);
            let lease = held.remove(if turn % 2 == 0 { 0 } else { pick % held.len() });
            served |= granted(&book.apply(LeaseEvent::Release { lease }), &mut held);
        }
        prop_assert!(served, "{book:?}");
    }
}

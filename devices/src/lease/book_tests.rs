use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::messages::Grant;
use super::*;
use crate::inventory::DeviceKind;

fn device(index: u32) -> DeviceInfo {
    DeviceInfo::bare(DeviceKind::Cpu, index, vec![index as usize], 1)
}

fn id(index: u32) -> DeviceId {
    device(index).id
}

fn book(devices: u32, slots: u32) -> LeaseBook {
    LeaseBook::new((0..devices).map(device).collect(), slots)
}

fn acquire(ticket: u64) -> LeaseEvent {
    LeaseEvent::Acquire {
        ticket: Ticket(ticket),
        holder: format!("run {ticket}"),
        want: Want::Slot { family: None },
    }
}

fn release(lease: u64) -> LeaseEvent {
    LeaseEvent::Release { lease: LeaseId(lease) }
}

fn granted(ticket: u64, lease: u64, on: u32) -> LeaseEffect {
    LeaseEffect::Grant { ticket: Ticket(ticket), lease: LeaseId(lease), grant: device(on).place().into() }
}

fn returned(lease: u64, on: u32) -> LeaseEffect {
    LeaseEffect::Returned { lease: LeaseId(lease), device: id(on) }
}

#[test]
fn the_first_free_device_is_granted_with_its_cores_and_threads() {
    let mut book = book(2, 1);
    let effects = book.apply(acquire(7));
    let grant = Grant::from(device(0).place());
    assert_eq!((grant.places[0].cores.as_slice(), grant.places[0].threads), (&[0][..], 1));
    assert_eq!(effects, [LeaseEffect::Grant { ticket: Ticket(7), lease: LeaseId(0), grant }]);
    assert_eq!(book.apply(acquire(8)), [granted(8, 1, 1)]);
}

#[test]
fn those_who_wait_are_served_in_the_order_they_came() {
    let mut book = book(1, 1);
    let _ = book.apply(acquire(0));
    assert_eq!(book.apply(acquire(2)), []);
    assert_eq!(book.apply(acquire(1)), []);
    assert_eq!(book.apply(release(0)), [returned(0, 0), granted(2, 1, 0)]);
    assert_eq!(book.apply(release(1)), [returned(1, 0), granted(1, 2, 0)]);
}

#[test]
fn a_second_cv_never_doubles_the_load_of_a_device() {
    // The reference hands out every device again with each new cv.
    let mut book = book(2, 1);
    for ticket in 0..2 {
        assert_eq!(book.apply(acquire(ticket)).len(), 1);
    }
    for ticket in 2..4 {
        assert_eq!(book.apply(acquire(ticket)), [], "both devices are in use");
    }
}

#[test]
fn packing_fills_every_device_before_it_doubles_up() {
    let mut book = book(2, 2);
    let on: Vec<u32> = (0..4)
        .flat_map(|ticket| book.apply(acquire(ticket)))
        .map(|effect| match effect {
            LeaseEffect::Grant { grant, .. } => grant.places[0].index,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(on, [0, 1, 0, 1]);
    assert_eq!(book.apply(acquire(4)), []);
}

#[test]
fn a_lease_is_returned_once() {
    let mut book = book(1, 1);
    let _ = book.apply(acquire(0));
    assert_eq!(book.apply(release(0)), [returned(0, 0)]);
    assert_eq!(book.apply(release(0)), [LeaseEffect::CountLate(release(0))]);
}

#[test]
fn a_ticket_asked_for_twice_is_late() {
    let mut book = book(1, 1);
    let _ = book.apply(acquire(0));
    assert_eq!(book.apply(acquire(0)), [LeaseEffect::CountLate(acquire(0))]);
    let _ = book.apply(acquire(1));
    assert_eq!(book.apply(acquire(1)), [LeaseEffect::CountLate(acquire(1))]);
}

#[test]
fn a_withdrawn_ticket_is_passed_over_and_an_answered_one_is_late() {
    let mut book = book(1, 1);
    for ticket in 0..3 {
        let _ = book.apply(acquire(ticket));
    }
    assert_eq!(book.apply(LeaseEvent::Withdraw { ticket: Ticket(1) }), []);
    assert_eq!(book.apply(release(0)), [returned(0, 0), granted(2, 1, 0)]);
    let late = LeaseEvent::Withdraw { ticket: Ticket(2) };
    assert_eq!(book.apply(late.clone()), [LeaseEffect::CountLate(late)]);
}

#[test]
fn a_device_that_goes_revokes_its_leases_and_takes_no_new_ones() {
    let mut book = book(2, 1);
    let _ = book.apply(acquire(0));
    let gone = LeaseEvent::DeviceGone { device: id(0) };
    assert_eq!(book.apply(gone.clone()), [LeaseEffect::Revoke { lease: LeaseId(0) }]);
    assert_eq!(book.apply(gone.clone()), [LeaseEffect::CountLate(gone)]);
    assert_eq!(book.apply(acquire(1)), [granted(1, 1, 1)]);
    assert_eq!(book.apply(acquire(2)), []);
    assert_eq!(book.apply(release(0)), [returned(0, 0)], "its slot is not given out again");
}

#[test]
fn when_the_last_device_goes_those_who_wait_and_those_who_come_are_refused() {
    let mut book = book(1, 1);
    let _ = book.apply(acquire(0));
    let _ = book.apply(acquire(1));
    let refused = |ticket| LeaseEffect::Refuse { ticket: Ticket(ticket), reason: RefuseReason::NoDeviceLeft };
    let effects = book.apply(LeaseEvent::DeviceGone { device: id(0) });
    assert_eq!(effects, [LeaseEffect::Revoke { lease: LeaseId(0) }, refused(1)]);
    assert_eq!(book.apply(acquire(2)), [refused(2)]);
}

#[test]
fn the_snapshot_tells_who_holds_and_who_waits() {
    let mut book = book(1, 1);
    let _ = book.apply(acquire(0));
    let _ = book.apply(acquire(1));
    let snapshot = book.snapshot();
    assert_eq!(snapshot.waiting, ["run 1"]);
    assert_eq!(snapshot.devices[0].leases, [LeaseUse { lease: LeaseId(0), holder: "run 0".into() }]);
    assert_eq!(snapshot.devices[0].slots, 1);
}

/// What an outsider who sees only events and effects knows of the book.
#[derive(Default)]
struct Witness {
    queue: Vec<Ticket>,
    asked: BTreeSet<Ticket>,
    held: BTreeMap<LeaseId, (Ticket, DeviceId)>,
    ever_granted: BTreeSet<LeaseId>,
    gone: BTreeSet<DeviceId>,
}

impl Witness {
    fn hears(&mut self, event: &LeaseEvent, effects: &[LeaseEffect]) {
        let late = effects.contains(&LeaseEffect::CountLate(event.clone()));
        match event {
            LeaseEvent::Acquire { ticket, .. } => {
                let known = self.queue.contains(ticket) || self.held.values().any(|(held, _)| held == ticket);
                assert_eq!(late, known, "late exactly when the ticket is in use");
                if !late {
                    self.queue.push(*ticket);
                    self.asked.insert(*ticket);
                }
            }
            LeaseEvent::Withdraw { ticket } => {
                assert_eq!(late, !self.queue.contains(ticket));
                self.queue.retain(|waiting| waiting != ticket);
            }
            LeaseEvent::Release { lease } => {
                assert_eq!(late, !self.held.contains_key(lease));
                let back =
                    effects.iter().filter(|effect| matches!(effect, LeaseEffect::Returned { .. })).count();
                assert_eq!(back, usize::from(!late), "DM-2: returned exactly once");
            }
            LeaseEvent::DeviceGone { device } => {
                let revoked: Vec<LeaseId> = effects
                    .iter()
                    .filter_map(|effect| match effect {
                        LeaseEffect::Revoke { lease } => Some(*lease),
                        _ => None,
                    })
                    .collect();
                let there: Vec<LeaseId> =
                    self.held.iter().filter(|(_, (_, on))| on == device).map(|(lease, _)| *lease).collect();
                assert!(late || revoked == there, "every lease on it is revoked");
                assert!(!late || revoked.is_empty());
                self.gone.insert(device.clone());
            }
        }
        for effect in effects {
            self.sees(effect);
        }
    }

    fn sees(&mut self, effect: &LeaseEffect) {
        match effect {
            LeaseEffect::Grant { ticket, lease, grant } => {
                assert_eq!(self.queue.first(), Some(ticket), "DM-3: first come, first served");
                self.queue.remove(0);
                assert!(self.ever_granted.insert(*lease), "a lease id is used once");
                assert!(!self.gone.contains(&grant.places[0].device));
                self.held.insert(*lease, (*ticket, grant.places[0].device.clone()));
            }
            LeaseEffect::Returned { lease, device } => {
                let (_, on) = self.held.remove(lease).expect("DM-2: only what is held comes back");
                assert_eq!(&on, device);
            }
            LeaseEffect::Refuse { ticket, .. } => {
                assert_eq!(self.queue.first(), Some(ticket));
                self.queue.remove(0);
            }
            LeaseEffect::Revoke { .. } | LeaseEffect::CountLate(_) => {}
        }
    }
}

fn event() -> impl Strategy<Value = LeaseEvent> {
    prop_oneof![
        8 => (0u64..24).prop_map(acquire),
        2 => (0u64..24).prop_map(|ticket| LeaseEvent::Withdraw { ticket: Ticket(ticket) }),
        8 => (0u64..40).prop_map(release),
        1 => (0u32..5).prop_map(|index| LeaseEvent::DeviceGone { device: id(index) }),
    ]
}

proptest! {
    #[test]
    fn the_invariants_hold_in_any_order_of_events(
        devices in 0u32..4,
        slots in 1u32..4,
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let mut book = book(devices, slots);
        let mut witness = Witness::default();
        for event in events {
            let effects = book.apply(event.clone());
            witness.hears(&event, &effects);
            for index in (0..devices).filter(|index| !witness.gone.contains(&id(*index))) {
                let used = witness.held.values().filter(|(_, on)| *on == id(index)).count();
                prop_assert!(used <= slots as usize, "DM-1: {used} leases on {slots} slots");
                prop_assert!(used == slots as usize || witness.queue.is_empty(), "DM-3: a slot is free");
            }
            let all_gone = (0..devices).all(|index| witness.gone.contains(&id(index)));
            prop_assert!(!all_gone || witness.queue.is_empty(), "nobody waits for nothing");
        }
        // Whatever happened: once every holder lets go, nothing is left behind.
        let held: Vec<LeaseId> = witness.held.keys().copied().collect();
        for lease in held {
            let mut open = vec![lease];
            while let Some(lease) = open.pop() {
                let effects = book.apply(LeaseEvent::Release { lease });
                for effect in &effects {
                    witness.sees(effect);
                    if let LeaseEffect::Grant { lease, .. } = effect {
                        open.push(*lease);
                    }
                }
            }
        }
        prop_assert!(witness.held.is_empty() && witness.queue.is_empty());
        prop_assert!(book.snapshot().devices.iter().all(|device| device.leases.is_empty()));
    }
}

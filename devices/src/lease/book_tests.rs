use super::*;
use crate::inventory::DeviceKind;
use crate::lease::need_of;

pub(super) const GIB: u64 = 1 << 30;

pub(super) fn device(index: u32) -> DeviceInfo {
    DeviceInfo::bare(DeviceKind::Cpu, index, vec![index as usize], 1)
}

/// A GPU with a UUID and so much memory.
pub(super) fn gpu(index: u32, gib: u64) -> DeviceInfo {
    DeviceInfo {
        memory_bytes: Some(gib * GIB),
        uuid: Some(format!("GPU-{index}")),
        ..DeviceInfo::bare(DeviceKind::Cuda, index, vec![], 1)
    }
}

fn id(index: u32) -> DeviceId {
    device(index).id
}

fn gpu_id(index: u32) -> DeviceId {
    gpu(index, 1).id
}

fn book(devices: u32, slots: u32) -> LeaseBook {
    LeaseBook::new((0..devices).map(device).collect(), RunsPerDevice::Fixed(slots))
}

pub(super) fn ask_for(ticket: u64, want: Want) -> LeaseEvent {
    LeaseEvent::Acquire { ticket: Ticket(ticket), holder: format!("run {ticket}"), want }
}

fn acquire(ticket: u64) -> LeaseEvent {
    ask_for(ticket, Want::Slot { family: None })
}

fn of_family(ticket: u64, family: &str) -> LeaseEvent {
    ask_for(ticket, Want::Slot { family: Some(family.into()) })
}

pub(super) fn release(lease: u64) -> LeaseEvent {
    LeaseEvent::Release { lease: LeaseId(lease) }
}

fn granted(ticket: u64, lease: u64, on: u32) -> LeaseEffect {
    let grant = device(on).place().into();
    LeaseEffect::Grant { ticket: Ticket(ticket), lease: LeaseId(lease), grant, share: Share::Alone }
}

fn returned(lease: u64, on: u32) -> LeaseEffect {
    LeaseEffect::Returned { lease: LeaseId(lease), devices: vec![id(on)] }
}

/// Tickets that were served, and the devices they were put on.
fn served(effects: &[LeaseEffect]) -> Vec<(u64, String)> {
    let grant = |effect: &LeaseEffect| match effect {
        LeaseEffect::Grant { ticket, grant, .. } => Some((ticket.0, grant.device_names())),
        _ => None,
    };
    effects.iter().filter_map(grant).collect()
}

fn on(ticket: u64, devices: &str) -> (u64, String) {
    (ticket, devices.to_owned())
}

#[test]
fn the_first_free_device_is_granted_with_its_cores_and_threads() {
    let mut book = book(2, 1);
    let effects = book.apply(acquire(7));
    let grant = Grant::from(device(0).place());
    assert_eq!((grant.places[0].cores.as_slice(), grant.places[0].threads), (&[0][..], 1));
    let share = Share::Alone;
    assert_eq!(effects, [LeaseEffect::Grant { ticket: Ticket(7), lease: LeaseId(0), grant, share }]);
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
    let effects: Vec<_> = (0..4).flat_map(|ticket| book.apply(acquire(ticket))).collect();
    assert_eq!(served(&effects), [on(0, "cpu:0"), on(1, "cpu:1"), on(2, "cpu:0"), on(3, "cpu:1")]);
    let half = Share::Slot { slots: 2 };
    assert!(matches!(effects[0], LeaseEffect::Grant { share, .. } if share == half));
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

#[test]
fn a_run_on_every_device_waits_for_all_of_them_and_nobody_behind_it_gets_one() {
    let mut book = book(3, 1);
    let _ = book.apply(acquire(0));
    assert_eq!(book.apply(ask_for(1, Want::All)), []);
    assert_eq!(book.apply(acquire(2)), [], "two devices are free, and reserved");
    assert_eq!(served(&book.apply(release(0))), [on(1, "cpu:0,cpu:1,cpu:2")]);
    let effects = book.apply(release(1));
    assert_eq!(effects[0], LeaseEffect::Returned { lease: LeaseId(1), devices: vec![id(0), id(1), id(2)] });
    assert_eq!(served(&effects), [on(2, "cpu:0")]);
}

#[test]
fn a_run_on_every_device_takes_those_that_are_left_when_one_is_gone() {
    let mut book = book(3, 1);
    let _ = book.apply(LeaseEvent::DeviceGone { device: id(1) });
    assert_eq!(served(&book.apply(ask_for(0, Want::All))), [on(0, "cpu:0,cpu:2")]);
    let gone = |index| LeaseEvent::DeviceGone { device: id(index) };
    assert_eq!(book.apply(gone(2)), [LeaseEffect::Revoke { lease: LeaseId(0) }]);
    assert_eq!(book.apply(gone(0)), [], "its holder was told already");
}

#[test]
fn a_run_alone_reserves_the_emptiest_device_and_leaves_the_others_to_those_behind() {
    let mut book = book(2, 2);
    for ticket in 0..4 {
        let _ = book.apply(acquire(ticket));
    }
    let _ = book.apply(release(0));
    assert_eq!(book.apply(ask_for(4, Want::Alone)), []);
    assert_eq!(book.apply(acquire(5)), [], "the free slot of cpu:0 is reserved");
    assert_eq!(served(&book.apply(release(1))), [on(5, "cpu:1")], "that of cpu:1 is not");
    assert_eq!(served(&book.apply(release(2))), [on(4, "cpu:0")]);
    let _ = book.apply(release(3));
    assert_eq!(served(&book.apply(acquire(6))), [on(6, "cpu:1")], "alone means alone");
}

#[test]
fn a_device_for_one_run_holds_one_whatever_the_packing() {
    let exclusive = DeviceInfo { at_most: Some(1), ..gpu(0, 80) };
    let exclusive = DeviceInfo { uuid: None, ..exclusive };
    for packing in [RunsPerDevice::Fixed(4), RunsPerDevice::ByMemory] {
        let mut book = LeaseBook::new(vec![exclusive.clone()], packing);
        assert_eq!(book.apply(of_family(0, "a")).len(), 1, "{packing}");
        let _ = book.apply(LeaseEvent::Measured { lease: LeaseId(0), peak_bytes: GIB });
        assert_eq!(book.apply(of_family(1, "a")), [], "{packing}");
        assert_eq!(book.snapshot().devices[0].slots, 1);
    }
}

/// Books by memory over GPUs that no other process is asked for.
fn by_memory(gib: &[u64]) -> LeaseBook {
    let gpus = (0..).zip(gib).map(|(index, gib)| DeviceInfo { uuid: None, ..gpu(index, *gib) });
    LeaseBook::new(gpus.collect(), RunsPerDevice::ByMemory)
}

fn measured(lease: u64, peak_bytes: u64) -> LeaseEvent {
    LeaseEvent::Measured { lease: LeaseId(lease), peak_bytes }
}

#[test]
fn the_first_run_of_a_family_is_alone_and_the_others_wait_for_its_measurement() {
    let mut book = by_memory(&[40, 40]);
    assert_eq!(served(&book.apply(of_family(0, "a"))), [on(0, "cuda:0")]);
    assert_eq!(book.apply(of_family(1, "a")), [], "a second unmeasured run of a family is held back");
    assert_eq!(served(&book.apply(of_family(2, "b"))), [on(2, "cuda:1")], "another family is not");
    assert_eq!(book.apply(of_family(3, "a")), []);
    // 10 GiB become a need of 12.1 GiB: three fit in 40.
    let _ = book.apply(measured(0, 10 * GIB));
    assert_eq!(served(&book.apply(release(0))), [on(1, "cuda:0"), on(3, "cuda:0")]);
    assert_eq!(served(&book.apply(of_family(4, "a"))), [on(4, "cuda:0")]);
    assert_eq!(book.apply(of_family(5, "a")), [], "cuda:0 is full, cuda:1 taken whole");
}

#[test]
fn a_family_that_waits_to_be_measured_reserves_one_device_however_many_of_it_wait() {
    let mut book = by_memory(&[40, 40]);
    let _ = book.apply(of_family(0, "small"));
    let _ = book.apply(measured(0, 3 * GIB));
    let _ = book.apply(release(0));
    let both: Vec<_> = (1..3).flat_map(|ticket| book.apply(of_family(ticket, "small"))).collect();
    assert_eq!(served(&both), [on(1, "cuda:0"), on(2, "cuda:1")]);
    for ticket in 3..5 {
        assert_eq!(book.apply(of_family(ticket, "new")), []);
    }
    assert_eq!(served(&book.apply(of_family(5, "small"))), [on(5, "cuda:1")]);
    assert_eq!(served(&book.apply(release(1))), [on(3, "cuda:0")]);
}

#[test]
fn a_run_that_was_not_measured_leaves_its_family_unmeasured() {
    let mut book = by_memory(&[40]);
    let _ = book.apply(of_family(0, "a"));
    let _ = book.apply(of_family(1, "a"));
    let _ = book.apply(of_family(2, "a"));
    let _ = book.apply(measured(0, 0));
    assert_eq!(served(&book.apply(release(0))), [on(1, "cuda:0")], "the next one is the first");
}

#[test]
fn nobody_waits_for_the_measurement_of_a_run_whose_device_is_gone() {
    let mut book = by_memory(&[40, 40]);
    assert_eq!(served(&book.apply(of_family(0, "a"))), [on(0, "cuda:0")]);
    assert_eq!(book.apply(of_family(1, "a")), []);
    let effects = book.apply(LeaseEvent::DeviceGone { device: gpu_id(0) });
    assert_eq!(
        served(&effects),
        [on(1, "cuda:1")],
        "the next one is the first, and the revoked lease is still out"
    );
}

#[test]
fn a_run_without_a_family_is_alone_where_runs_are_packed_by_memory() {
    let mut book = by_memory(&[40]);
    let _ = book.apply(acquire(0));
    let _ = book.apply(measured(0, GIB));
    assert_eq!(book.apply(acquire(1)), []);
}

#[test]
fn one_fewer_fits_after_a_device_ran_out_of_memory() {
    let mut book = by_memory(&[40]);
    let _ = book.apply(of_family(0, "a"));
    let _ = book.apply(measured(0, 5 * GIB));
    let _ = book.apply(release(0));
    let fill = |book: &mut LeaseBook, from: u64| {
        let effects: Vec<_> =
            (from..from + 8).flat_map(|ticket| book.apply(of_family(ticket, "a"))).collect();
        served(&effects).len()
    };
    assert_eq!(fill(&mut book, 1), 6, "6.3 GiB each");
    let _ = book.apply(LeaseEvent::RanOutOfMemory { lease: LeaseId(1) });
    for lease in 1..=6 {
        let _ = book.apply(release(lease));
    }
    assert_eq!(book.snapshot().devices[0].leases.len(), 2, "two had waited");
    assert_eq!(fill(&mut book, 20), 3, "five in all");
}

#[test]
fn a_family_too_big_for_any_device_beside_others_is_alone() {
    let mut book = by_memory(&[40, 80]);
    let _ = book.apply(of_family(0, "a"));
    let _ = book.apply(measured(0, 60 * GIB));
    assert_eq!(served(&book.apply(of_family(1, "a"))), [on(1, "cuda:1")], "69.6 GiB fit there alone");
    let _ = book.apply(measured(1, 79 * GIB));
    assert_eq!(served(&book.apply(release(0))), []);
    assert_eq!(served(&book.apply(of_family(2, "a"))), [on(2, "cuda:0")], "fits nowhere: tried alone");
}

#[test]
fn slices_of_the_cpu_share_the_memory_of_the_machine() {
    let slices = (0..2).map(|index| DeviceInfo { memory_bytes: Some(16 * GIB), ..device(index) });
    let mut book = LeaseBook::new(slices.collect(), RunsPerDevice::ByMemory);
    let _ = book.apply(of_family(0, "a"));
    let _ = book.apply(measured(0, 3 * GIB));
    let _ = book.apply(release(0));
    assert_eq!(need_of(DeviceKind::Cpu, 3 * GIB), 3 * GIB * 115 / 100, "no context on a CPU");
    let effects: Vec<_> = (1..9).flat_map(|ticket| book.apply(of_family(ticket, "a"))).collect();
    assert_eq!(served(&effects).len(), 4, "two of 3.45 GiB in each half of 16");
}

#[test]
fn the_need_that_waits_reserves_the_device_with_most_memory_left() {
    let mut book = by_memory(&[40]);
    let _ = book.apply(of_family(0, "small"));
    let _ = book.apply(measured(0, 3 * GIB));
    let _ = book.apply(release(0));
    let _ = book.apply(of_family(1, "big"));
    let _ = book.apply(measured(1, 30 * GIB));
    let _ = book.apply(release(1));
    let _ = book.apply(of_family(2, "small"));
    let _ = book.apply(of_family(3, "small"));
    assert_eq!(book.apply(of_family(4, "big")), [], "35.1 GiB do not fit beside two of 4");
    assert_eq!(book.apply(of_family(5, "small")), [], "would fit, but the big one was first");
    assert_eq!(served(&book.apply(release(2))), [on(4, "cuda:0")]);
    assert_eq!(served(&book.apply(release(3))), [on(5, "cuda:0")]);
}

fn gpus(count: u32, packing: RunsPerDevice) -> LeaseBook {
    LeaseBook::new((0..count).map(|index| gpu(index, 40)).collect(), packing)
}

fn claim(lease: u64, ticket: u64, on: u32) -> LeaseEffect {
    let (holder, devices) = (format!("run {ticket}"), vec![gpu_id(on)]);
    LeaseEffect::Claim { lease: LeaseId(lease), holder, devices, share: Share::Alone }
}

fn busy(lease: u64, on: u32) -> LeaseEvent {
    LeaseEvent::Busy { lease: LeaseId(lease), device: gpu_id(on) }
}

#[test]
fn a_device_with_a_uuid_is_claimed_before_it_is_granted() {
    let mut book = gpus(1, RunsPerDevice::ONE);
    assert_eq!(book.apply(acquire(0)), [claim(0, 0, 0)]);
    assert_eq!(book.apply(release(0)), [LeaseEffect::CountLate(release(0))], "nobody holds it yet");
    let claimed = LeaseEvent::Claimed { lease: LeaseId(0) };
    assert_eq!(served(&book.apply(claimed.clone())), [on(0, "cuda:0")]);
    assert_eq!(book.apply(claimed.clone()), [LeaseEffect::CountLate(claimed)]);
}

#[test]
fn a_device_held_elsewhere_is_passed_over_until_it_is_time_to_look_again() {
    let mut book = gpus(2, RunsPerDevice::ONE);
    let _ = book.apply(acquire(0));
    assert_eq!(book.apply(busy(0, 0)), [claim(1, 0, 1)], "the next device is tried");
    assert_eq!(book.apply(busy(1, 1)), []);
    assert!(book.is_held_up_elsewhere());
    assert_eq!(book.apply(busy(1, 1)), [LeaseEffect::CountLate(busy(1, 1))]);
    assert_eq!(book.apply(acquire(1)), [], "whoever comes later waits behind");
    assert_eq!(book.apply(LeaseEvent::LookAgain), [claim(2, 0, 0)]);
    let effects = book.apply(LeaseEvent::Claimed { lease: LeaseId(2) });
    assert_eq!(served(&effects), [on(0, "cuda:0")]);
    assert_eq!(effects[1], claim(3, 1, 1));
}

#[test]
fn nobody_is_served_past_a_claim_that_is_not_answered() {
    let mut book = gpus(2, RunsPerDevice::ONE);
    assert_eq!(book.apply(acquire(0)), [claim(0, 0, 0)]);
    assert_eq!(book.apply(acquire(1)), [], "the first may come back and want cuda:1");
    assert_eq!(book.apply(busy(0, 0)), [claim(1, 0, 1)]);
}

#[test]
fn a_request_withdrawn_while_it_is_claimed_gives_up_its_locks() {
    let mut book = gpus(1, RunsPerDevice::ONE);
    let _ = book.apply(acquire(0));
    let unclaim = LeaseEffect::Unclaim { lease: LeaseId(0) };
    let effects = book.apply(LeaseEvent::Withdraw { ticket: Ticket(0) });
    assert_eq!(effects, std::slice::from_ref(&unclaim));
    let claimed = LeaseEvent::Claimed { lease: LeaseId(0) };
    assert_eq!(book.apply(claimed.clone()), [unclaim, LeaseEffect::CountLate(claimed)]);
    assert_eq!(book.apply(acquire(1)), [claim(1, 1, 0)]);
}

#[test]
fn a_claim_that_can_not_be_made_refuses_its_request() {
    let mut book = gpus(1, RunsPerDevice::ONE);
    let _ = book.apply(acquire(0));
    let refused = LeaseEffect::Refuse { ticket: Ticket(0), reason: RefuseReason::Unclaimable };
    assert_eq!(book.apply(LeaseEvent::ClaimFailed { lease: LeaseId(0) }), [refused]);
    assert_eq!(book.apply(acquire(1)), [claim(1, 1, 0)]);
}

#[test]
fn a_claim_on_a_device_that_goes_waits_again_in_its_place() {
    let mut book = gpus(2, RunsPerDevice::ONE);
    let _ = book.apply(acquire(0));
    let effects = book.apply(LeaseEvent::DeviceGone { device: gpu_id(0) });
    assert_eq!(effects, [LeaseEffect::Unclaim { lease: LeaseId(0) }, claim(1, 0, 1)]);
}

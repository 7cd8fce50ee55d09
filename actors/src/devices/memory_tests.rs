use engine_devices::DeviceKind;

use super::*;

const GIB: u64 = 1 << 30;
const NOW: Duration = Duration::from_secs(1_000);

fn gpu(index: u32) -> DeviceId {
    DeviceId::new(DeviceKind::Cuda, index)
}

fn before(index: u32, used_bytes: u64) -> Before {
    Before { device: gpu(index), used_bytes }
}

fn reads(index: u32, used_bytes: impl Into<Option<u64>>) -> Reading {
    Reading { device: gpu(index), used_bytes: used_bytes.into() }
}

#[test]
fn a_lease_goes_back_when_the_use_is_what_it_was_before_up_to_the_slack() {
    let mut watch = MemoryWatch::default();
    watch.drain(LeaseId(7), vec![before(0, GIB)], NOW);
    assert_eq!(watch.looked(&[reads(0, 20 * GIB)], NOW), []);
    assert_eq!(watch.looked(&[reads(0, GIB + MEMORY_SLACK_BYTES + 1)], NOW), []);
    let back = Finding::Back { lease: LeaseId(7) };
    assert_eq!(watch.looked(&[reads(0, GIB + MEMORY_SLACK_BYTES)], NOW), [back]);
    assert!(!watch.is_draining());
    assert_eq!(watch.looked(&[reads(0, GIB)], NOW), [], "told once");
}

#[test]
fn after_the_deadline_it_goes_back_all_the_same_and_says_how_much_is_missing() {
    let mut watch = MemoryWatch::default();
    watch.drain(LeaseId(7), vec![before(0, 0), before(1, 0)], NOW);
    let held = [reads(0, 0), reads(1, 3 * GIB)];
    for second in 0..MEMORY_DEADLINE.as_secs() {
        assert_eq!(watch.looked(&held, NOW + Duration::from_secs(second)), []);
    }
    let bytes = 3 * GIB - MEMORY_SLACK_BYTES;
    let kept = Finding::Kept { lease: LeaseId(7), device: gpu(1), bytes };
    assert_eq!(watch.looked(&held, NOW + MEMORY_DEADLINE), [kept]);
    assert!(!watch.is_draining());
}

#[test]
fn every_lease_waits_for_its_own_devices_only() {
    let mut watch = MemoryWatch::default();
    watch.drain(LeaseId(1), vec![before(0, 0)], NOW);
    watch.drain(LeaseId(2), vec![before(1, 0)], NOW);
    let back = Finding::Back { lease: LeaseId(2) };
    assert_eq!(watch.looked(&[reads(0, GIB), reads(1, 0)], NOW), [back]);
    assert!(watch.is_draining());
}

#[test]
fn a_gpu_is_gone_after_several_looks_without_an_answer_and_its_leases_wait_for_nothing() {
    let mut watch = MemoryWatch::default();
    watch.drain(LeaseId(7), vec![before(0, 0)], NOW);
    for _ in 1..GPU_GONE_LOOKS {
        assert_eq!(watch.looked(&[reads(0, None)], NOW), [], "one missing answer is no loss");
    }
    let findings = watch.looked(&[reads(0, None)], NOW);
    assert_eq!(findings, [Finding::Gone { device: gpu(0) }, Finding::Back { lease: LeaseId(7) }]);
    assert_eq!(watch.looked(&[reads(0, None)], NOW), [], "told once");
}

#[test]
fn an_answer_in_between_makes_a_gpu_whole_again() {
    let mut watch = MemoryWatch::default();
    for _ in 0..3 {
        for _ in 1..GPU_GONE_LOOKS {
            assert_eq!(watch.looked(&[reads(0, None)], NOW), []);
        }
        assert_eq!(watch.looked(&[reads(0, 0)], NOW), []);
    }
}

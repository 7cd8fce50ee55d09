//! The DeviceManager with real lock files and GPUs that are numbers; and systems that share both.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[path = "devices/support.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Actor;
use engine_actors::devices::{DeviceManager, GpuReader};
use engine_actors::events::Event;
use engine_actors::limits::GPU_GONE_LOOKS;
use engine_actors::outcome::{Cause, Status};
use engine_actors::{StartError, SystemOptions};
use engine_devices::lock::holders;
use engine_devices::{DeviceLocks, RunsPerDevice, Share, Want};
use support::{Bench, GIB, Gpus, Rig, gpus, is_given, on_arbiter, seen, warned};

fn slot(family: &str) -> Want {
    Want::Slot { family: Some(family.into()) }
}

#[test]
fn a_leased_gpu_is_locked_and_named_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let locks = DeviceLocks::open(folder.path()).unwrap();
    on_arbiter(async {
        let bench = Bench::new(2, RunsPerDevice::ONE, Some(locks.clone()), GpuReader::new(|_| None));
        let lease = bench.acquire("first", Want::Alone).await.unwrap();
        let held = holders(folder.path());
        assert_eq!((held.len(), held[0].uuid.as_str(), held[0].holder.as_str()), (1, "GPU-0", "first"));
        let all = bench.ask("second", Want::All);
        drop(lease);
        let all = is_given(all).await.unwrap();
        assert_eq!(all.grant().device_names(), "cuda:0,cuda:1");
        assert_eq!(holders(folder.path()).len(), 2);
        let mut events = bench.events();
        drop(all);
        let back = seen(&mut events, |event| matches!(event, Event::LeaseReturned { .. })).await;
        assert!(matches!(back, Event::LeaseReturned { device, .. } if device == "cuda:0,cuda:1"));
        assert_eq!(holders(folder.path()), [], "the locks are gone before it is told");
    });
}

#[test]
fn a_gpu_goes_back_only_once_the_memory_of_its_run_is_back() {
    on_arbiter(async {
        let gpus = Gpus::default();
        gpus.use_bytes(GIB);
        let bench = Bench::new(1, RunsPerDevice::ONE, None, gpus.reader());
        let lease = bench.acquire("first", slot("a")).await.unwrap();
        gpus.use_bytes(20 * GIB);
        let mut next = bench.ask("second", slot("a"));
        drop(lease);
        gpus.looked_at(4).await;
        assert!(next.try_recv().is_err(), "20 GiB are still in use");
        gpus.use_bytes(GIB);
        is_given(next).await.unwrap();
    });
}

#[test]
fn a_gpu_that_is_gone_revokes_its_lease_and_is_not_waited_for() {
    on_arbiter(async {
        let gpus = Gpus::default();
        let bench = Bench::new(1, RunsPerDevice::ONE, None, gpus.reader());
        let mut events = bench.events();
        let lease = bench.acquire("first", slot("a")).await.unwrap();
        assert!(!lease.is_revoked());
        let next = bench.ask("second", slot("a"));
        gpus.lose();
        lease.revoked().await;
        assert!(lease.is_revoked());
        lease.revoked().await;
        assert!(warned(&mut events).await.starts_with("cuda:0 is gone"));
        let refused = is_given(next).await.unwrap_err().to_string();
        assert!(refused.contains("`second`") && refused.contains("no device is left"), "{refused}");
        assert!(gpus.looks() >= GPU_GONE_LOOKS, "one look without an answer is no loss");
        drop(lease);
        seen(&mut events, |event| matches!(event, Event::LeaseReturned { .. })).await;
    });
}

#[test]
fn what_a_run_used_decides_how_many_fit_and_running_out_makes_it_one_fewer() {
    on_arbiter(async {
        let bench = Bench::new(1, RunsPerDevice::ByMemory, None, GpuReader::new(|_| None));
        let first = bench.acquire("first", slot("a")).await.unwrap();
        let mut waiting: Vec<_> = (0..4).map(|index| bench.ask(&format!("run {index}"), slot("a"))).collect();
        // The host's peak says nothing of a GPU; 10 GiB there become 12.1: three fit in 40.
        first.measured(Some(GIB), Some(10 * GIB));
        drop(first);
        let mut packed = vec![];
        for granted in waiting.drain(..3) {
            packed.push(is_given(granted).await.unwrap());
        }
        let mut fourth = waiting.pop().unwrap();
        assert!(fourth.try_recv().is_err());
        packed[0].out_of_memory(Cause::DeviceOutOfMemory);
        drop(packed.remove(0));
        // Answers come in turn, so once this one is refused its place the other was not served either.
        let other = bench.acquire_or_withdraw("other family", slot("b")).await;
        assert!(other.is_none() && fourth.try_recv().is_err(), "two are on it, and two fit now");
        packed.clear();
        is_given(fourth).await.unwrap();
    });
}

#[test]
fn a_device_that_can_not_be_locked_refuses_the_request_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let locks = DeviceLocks::open(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("GPU-0.lock")).unwrap();
    on_arbiter(async {
        let bench = Bench::new(1, RunsPerDevice::ONE, Some(locks), GpuReader::new(|_| None));
        let refused = bench.acquire("run", Want::Alone).await.unwrap_err().to_string();
        assert!(refused.contains("`run`") && refused.contains("GPU-0.lock"), "{refused}");
    });
}

#[test]
fn a_request_given_up_while_another_process_holds_the_device_is_not_served_later() {
    let folder = tempfile::tempdir().unwrap();
    let locks = DeviceLocks::open(folder.path()).unwrap();
    let theirs = locks.try_lock("GPU-0", Share::Alone, "theirs").unwrap().unwrap();
    on_arbiter(async {
        let bench = Bench::new(1, RunsPerDevice::ONE, Some(locks.clone()), GpuReader::new(|_| None));
        let mut events = bench.events();
        let given_up = bench.ask("given up", Want::Alone);
        let told = warned(&mut events).await;
        assert_eq!(told, format!("cuda:0 is held by `theirs` (process {}); waiting", std::process::id()));
        drop(given_up);
        let next = bench.ask("next", Want::Alone);
        drop(theirs);
        let lease = is_given(next).await.unwrap();
        let granted = seen(&mut events, |event| matches!(event, Event::LeaseGranted { .. })).await;
        assert!(matches!(granted, Event::LeaseGranted { holder, .. } if holder == "next"));
        drop(lease);
    });
}

#[test]
fn two_systems_with_one_lock_folder_never_share_a_gpu() {
    let rig = Rig::new(2);
    let (ours, theirs) = (rig.system(SystemOptions::default()), rig.system(SystemOptions::default()));
    let mut told = theirs.subscribe();
    let first = ours.cv(rig.cv_plan("ours", 6)).unwrap();
    rig.wait_until_busy();
    let second = theirs.cv(rig.cv_plan("theirs", 6)).unwrap();
    // The first runs go on until the other engine has found their devices held.
    let waits = support::block_on(warned(&mut told));
    assert!(waits.contains("is held by `ours-run-f") && waits.ends_with("waiting"), "{waits}");
    rig.open_the_gate();
    for outcome in [first.wait().unwrap(), second.wait().unwrap()] {
        assert_eq!((outcome.status, outcome.runs.len()), (Status::Complete, 6));
    }
    assert_eq!(rig.most_at_once(), [("cuda:0".to_string(), 1), ("cuda:1".to_string(), 1)]);
    ours.shutdown().unwrap();
    theirs.shutdown().unwrap();
    assert_eq!(holders(&rig.lock_dir()), []);
}

#[test]
fn a_run_whose_gpu_is_gone_is_given_up_and_tried_on_another() {
    let rig = Rig::new(2);
    let is_lost = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&is_lost);
    let gpus = GpuReader::new(move |uuid| {
        (uuid != "GPU-0" || !lost.load(Ordering::SeqCst)).then(|| support::used(GIB))
    });
    let system = rig.system(SystemOptions { gpus, ..SystemOptions::default() });
    let run = system.run(rig.run_plan("r")).unwrap();
    rig.wait_until_busy();
    is_lost.store(true, Ordering::SeqCst);
    let mut events = system.subscribe();
    let retried = support::block_on(seen(&mut events, |event| matches!(event, Event::RunRetried { .. })));
    let Event::RunRetried { failure, .. } = retried else { panic!("{retried:?}") };
    assert_eq!((failure.cause, failure.message.as_str()), (Cause::Lost, "its device is gone"));
    rig.open_the_gate();
    let outcome = run.wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 2));
    assert_eq!(outcome.device.as_deref(), Some("cuda:1"));
    system.shutdown().unwrap();
}

#[test]
fn a_lock_folder_that_can_not_be_used_is_told_at_the_start_for_gpus_only() {
    let rig = Rig::new(1);
    let file = rig.lock_dir().join("file");
    std::fs::write(&file, "").unwrap();
    let error = rig.start(gpus(1), &file, SystemOptions::default()).unwrap_err();
    assert!(matches!(error, StartError::Locks(_)));
    assert!(error.to_string().contains("--lock-dir"), "{error}");
    let unlocked = gpus(1).into_iter().map(|gpu| engine_devices::DeviceInfo { uuid: None, ..gpu }).collect();
    rig.start(unlocked, &file, SystemOptions::default()).unwrap().shutdown().unwrap();
}

#[test]
fn a_manager_without_devices_refuses_at_once() {
    on_arbiter(async {
        let bus = engine_actors::bus::EventBus::new();
        let manager = DeviceManager::new(vec![], RunsPerDevice::ONE, bus.clone()).start();
        let (reply, answer) = tokio::sync::oneshot::channel();
        let ask = engine_actors::devices::AcquireLease { holder: "run".into(), want: Want::All, bus, reply };
        manager.send(ask).await.unwrap();
        assert!(is_given(answer).await.is_err());
    });
}

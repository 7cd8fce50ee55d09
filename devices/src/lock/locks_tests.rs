use std::os::unix::fs::symlink;

use super::*;

const GPU: &str = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6";

fn locks() -> (tempfile::TempDir, DeviceLocks) {
    let folder = tempfile::tempdir().unwrap();
    let locks = DeviceLocks::open(folder.path().join("locks")).unwrap();
    (folder, locks)
}

fn memory(need_bytes: u64) -> Share {
    Share::Memory { need_bytes, capacity_bytes: 100, slots: 16 }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn folder_and_files_are_for_every_user_whatever_the_umask() {
    let (folder, locks) = locks();
    let _lock = locks.try_lock(GPU, Share::Slot { slots: 2 }, "run").unwrap().unwrap();
    assert_eq!(mode(&folder.path().join("locks")), 0o1777);
    for file in fs::read_dir(folder.path().join("locks")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o666);
    }
}

#[test]
fn alone_means_alone_and_a_dropped_lock_is_free() {
    let (_folder, locks) = locks();
    let alone = locks.try_lock(GPU, Share::Alone, "first").unwrap().unwrap();
    assert_eq!(alone.slot(), None);
    assert!(locks.try_lock(GPU, Share::Alone, "second").unwrap().is_none());
    assert!(locks.try_lock(GPU, Share::Slot { slots: 2 }, "third").unwrap().is_none());
    assert!(locks.try_lock("GPU-other", Share::Alone, "fourth").unwrap().is_some());
    drop(alone);
    let packed = locks.try_lock(GPU, Share::Slot { slots: 2 }, "third").unwrap().unwrap();
    assert_eq!(packed.slot(), Some(0));
    assert!(locks.try_lock(GPU, Share::Alone, "second").unwrap().is_none());
}

#[test]
fn each_packed_run_has_a_slot_of_its_own() {
    let (_folder, locks) = locks();
    let two = Share::Slot { slots: 2 };
    let first = locks.try_lock(GPU, two, "a").unwrap().unwrap();
    let second = locks.try_lock(GPU, two, "b").unwrap().unwrap();
    assert_eq!((first.slot(), second.slot()), (Some(0), Some(1)));
    assert!(locks.try_lock(GPU, two, "c").unwrap().is_none());
    drop(first);
    assert_eq!(locks.try_lock(GPU, two, "c").unwrap().unwrap().slot(), Some(0));
}

#[test]
fn a_worker_that_outlives_its_engine_keeps_its_device() {
    let (_dir, locks) = locks();
    let slots = |slots| Share::Slot { slots };
    let engine = locks.try_lock("GPU-1", Share::Alone, "a").unwrap().unwrap();
    let worker = WorkerLock::try_lock(engine.worker_file()).unwrap().unwrap();
    assert!(WorkerLock::try_lock(engine.worker_file()).unwrap().is_none());
    drop(engine);
    assert!(locks.try_lock("GPU-1", Share::Alone, "b").unwrap().is_none());
    assert!(locks.try_lock("GPU-1", slots(2), "b").unwrap().is_none());
    drop(worker);

    let engine = locks.try_lock("GPU-1", slots(2), "b").unwrap().unwrap();
    let worker = WorkerLock::try_lock(engine.worker_file()).unwrap().unwrap();
    drop(engine);
    assert!(locks.try_lock("GPU-1", Share::Alone, "c").unwrap().is_none());
    let other = locks.try_lock("GPU-1", slots(2), "c").unwrap().unwrap();
    assert_eq!(other.slot(), Some(1), "the slot of the worker is not free, the other one is");
    assert!(locks.try_lock("GPU-1", slots(2), "d").unwrap().is_none());
    drop((worker, other));
    assert!(locks.try_lock("GPU-1", Share::Alone, "d").unwrap().is_some());
    assert_eq!(holders(&locks.folder).len(), 0, "what workers lock is nobody's device");
}

#[test]
fn packed_by_memory_the_needs_of_all_processes_count() {
    let (_folder, locks) = locks();
    let first = locks.try_lock(GPU, memory(60), "a").unwrap().unwrap();
    assert!(locks.try_lock(GPU, memory(50), "b").unwrap().is_none());
    let second = locks.try_lock(GPU, memory(40), "b").unwrap().unwrap();
    assert!(locks.try_lock(GPU, memory(1), "c").unwrap().is_none());
    drop(first);
    assert_eq!(locks.try_lock(GPU, memory(60), "c").unwrap().unwrap().slot(), Some(0));
    assert_eq!(second.slot(), Some(1));
}

#[test]
fn several_devices_are_locked_together_or_not_at_all() {
    let (_folder, locks) = locks();
    let held = locks.try_lock("GPU-b", Share::Alone, "other").unwrap().unwrap();
    let all = ["GPU-c", "GPU-b", "GPU-a"];
    let attempt = locks.try_lock_all(&all, Share::Alone, "all").unwrap();
    assert!(matches!(attempt, Attempt::Busy { uuid } if uuid == "GPU-b"));
    assert!(locks.try_lock("GPU-a", Share::Alone, "free again").unwrap().is_some());
    drop(held);
    let Attempt::Locked(three) = locks.try_lock_all(&all, Share::Alone, "all").unwrap() else {
        panic!("nobody is in the way");
    };
    assert_eq!(three.len(), 3);
    assert!(all.iter().all(|uuid| locks.try_lock(uuid, Share::Alone, "late").unwrap().is_none()));
}

#[test]
fn holders_are_those_who_hold_at_the_moment() {
    let (folder, locks) = locks();
    let folder = folder.path().join("locks");
    assert_eq!(holders(&folder.join("missing")), []);
    let alone = locks.try_lock("GPU-b", Share::Alone, "t-cv0-run-f0s42").unwrap().unwrap();
    let _packed = locks.try_lock("GPU-a", memory(60), "packed").unwrap().unwrap();
    let gone = locks.try_lock("GPU-a", memory(10), "gone").unwrap().unwrap();
    drop(gone);
    let held = holders(&folder);
    let rows: Vec<_> =
        held.iter().map(|h| (h.uuid.as_str(), h.slot, h.holder.as_str(), h.need_bytes)).collect();
    assert_eq!(rows, [("GPU-a", Some(0), "packed", 60), ("GPU-b", None, "t-cv0-run-f0s42", 0)]);
    assert!(held.iter().all(|held| held.pid == std::process::id() && held.since_unix_secs > 1_600_000_000));
    assert_eq!(locks.holder("GPU-b").unwrap().holder, "t-cv0-run-f0s42");
    assert!(locks.try_lock("GPU-b", Share::Alone, "late").unwrap().is_none(), "looking frees nothing");
    drop(alone);
    assert_eq!(locks.holder("GPU-b"), None);
}

#[test]
fn a_longer_note_of_an_earlier_holder_is_overwritten_whole() {
    let (_folder, locks) = locks();
    drop(locks.try_lock(GPU, Share::Alone, &"long".repeat(50)).unwrap());
    let _lock = locks.try_lock(GPU, Share::Alone, "short").unwrap().unwrap();
    assert_eq!(locks.holder(GPU).unwrap().holder, "short");
}

#[test]
fn a_uuid_never_leads_out_of_the_folder() {
    let (folder, locks) = locks();
    let odd = "MIG-GPU-1/../../x/1";
    let _lock = locks.try_lock(odd, Share::Alone, "run").unwrap().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the lock folder itself");
    assert_eq!(locks.holder(odd).unwrap().uuid, odd, "the note has the name as it is");
}

#[test]
fn a_file_that_was_removed_under_its_lock_is_locked_anew() {
    let (folder, locks) = locks();
    drop(locks.try_lock(GPU, Share::Alone, "first").unwrap());
    fs::remove_file(folder.path().join("locks").join(format!("{GPU}.lock"))).unwrap();
    let _lock = locks.try_lock(GPU, Share::Alone, "second").unwrap().unwrap();
    assert!(locks.try_lock(GPU, Share::Alone, "third").unwrap().is_none());
}

#[test]
fn what_is_no_plain_file_is_an_error_and_a_planted_link_is_not_followed() {
    let (folder, locks) = locks();
    let precious = folder.path().join("precious");
    fs::write(&precious, "kept").unwrap();
    symlink(&precious, folder.path().join("locks").join(format!("{GPU}.lock"))).unwrap();
    fs::create_dir(folder.path().join("locks/GPU-dir.lock")).unwrap();
    for uuid in [GPU, "GPU-dir"] {
        let error = locks.try_lock(uuid, Share::Alone, "run").unwrap_err().to_string();
        assert!(error.contains("plain file") && error.contains(uuid), "{error}");
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
}

#[test]
fn a_folder_that_can_not_be_used_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/engine-locks")] {
        let error = DeviceLocks::open(&path).unwrap_err().to_string();
        assert!(error.contains("--lock-dir") && error.ends_with(path.to_str().unwrap()), "{error}");
    }
}

//! Device locks between real processes, some of which are killed while they hold them.
//!
//! Every process appends what it begins and ends to holding to one file. A line is appended under the lock it tells of,
//! so the order of the lines is the order of what happened, whatever the clocks say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that is not as it should be"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use engine_devices::lock::{Attempt, DeviceLock, holders};
use engine_devices::{DeviceLocks, Share};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Makes this program a process that locks devices, in that folder.
const FOLDER: &str = "ENGINE_TEST_LOCK_FOLDER";
const SEED: &str = "ENGINE_TEST_LOCK_SEED";
/// Beyond this a test hangs and fails.
const PATIENCE: Duration = Duration::from_secs(60);
const DEVICES: [&str; 8] = ["GPU-0", "GPU-1", "GPU-2", "GPU-3", "GPU-4", "GPU-5", "GPU-6", "GPU-7"];
const CAPACITY: u64 = 100;

/// Numbers without a pattern, the same for the same seed (Marsaglia 2003, Xorshift RNGs).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

// ---- a process that takes and gives back ----

/// Not a rule but the other side of the tests below: does nothing unless it is started by one of them.
#[test]
fn the_process_that_locks_until_it_is_told_to_stop() {
    let (Ok(folder), Ok(seed)) = (std::env::var(FOLDER), std::env::var(SEED)) else { return };
    let folder = Path::new(&folder);
    let locks = DeviceLocks::open(folder.join("locks")).unwrap();
    let mut log = Log::open(folder);
    let mut dice = Dice(seed.parse().unwrap());
    while !folder.join("stop").exists() {
        let device = dice.below(8);
        let share = match device {
            0..=2 => Share::Slot { slots: 2 },
            3 => Share::Alone,
            4 | 5 => Share::Memory { need_bytes: 20 + dice.below(60), capacity_bytes: CAPACITY, slots: 16 },
            _ => {
                hold_several(&locks, &mut log, &mut dice);
                continue;
            }
        };
        let share = if dice.below(6) == 0 { Share::Alone } else { share };
        let uuid = DEVICES[usize::try_from(device).unwrap()];
        if let Some(lock) = locks.try_lock(uuid, share, "holder").unwrap() {
            log.hold(&[uuid], share, &[lock], &mut dice);
        }
    }
}

fn hold_several(locks: &DeviceLocks, log: &mut Log, dice: &mut Dice) {
    let uuids: Vec<&str> = DEVICES.into_iter().rev().filter(|_| dice.below(3) == 0).collect();
    if let Attempt::Locked(several) = locks.try_lock_all(&uuids, Share::Alone, "several").unwrap() {
        log.hold(&uuids, Share::Alone, &several, dice);
    }
}

/// What happened, one line each: `+|- PID UUID SLOT|alone NEED`, and `x PID` before a process is killed.
struct Log {
    file: File,
}

impl Log {
    fn open(folder: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap();
        Self { file }
    }

    fn line(&mut self, line: &str) {
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hold(&mut self, uuids: &[&str], share: Share, locks: &[DeviceLock], dice: &mut Dice) {
        let pid = std::process::id();
        let slot = |lock: &DeviceLock| lock.slot().map_or("alone".to_owned(), |slot| slot.to_string());
        let slot = locks.first().map(slot).unwrap_or_default();
        let need = match share {
            Share::Memory { need_bytes, .. } => need_bytes,
            Share::Alone | Share::Slot { .. } => 0,
        };
        for uuid in uuids {
            self.line(&format!("+ {pid} {uuid} {slot} {need}"));
        }
        for _ in 0..dice.below(20) {
            std::thread::yield_now();
        }
        for uuid in uuids {
            self.line(&format!("- {pid} {uuid} {slot} {need}"));
        }
    }
}

// ---- those who watch ----

struct Yard {
    folder: tempfile::TempDir,
    seed: u64,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, seed: 0x9E37_79B9_7F4A_7C15 }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn locks(&self) -> PathBuf {
        self.path().join("locks")
    }

    fn start(&mut self) -> Child {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_locks_until_it_is_told_to_stop"])
            .env(FOLDER, self.path())
            .env(SEED, self.seed.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Waits until the process has begun to hold something so many times.
    fn wait_for(&self, pid: u32, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        let begun = format!("+ {pid} ");
        while self.log().lines().filter(|line| line.starts_with(&begun)).count() < times {
            assert!(Instant::now() < deadline, "process {pid} never held {times} locks");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(&self, children: Vec<Child>) {
        fs::write(self.path().join("stop"), "").unwrap();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    }
}

/// Who holds what, followed line by line.
#[derive(Default)]
struct Followed {
    held: BTreeMap<String, Vec<(u32, String, u64)>>,
    killed: BTreeSet<u32>,
    /// Locks that were taken over from a killed process.
    taken_over: usize,
    begun: usize,
}

impl Followed {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["x", pid] => {
                self.killed.insert(pid.parse().unwrap());
            }
            ["+", pid, uuid, slot, need] => {
                let entry = (pid.parse().unwrap(), (*slot).to_owned(), need.parse().unwrap());
                self.begins(uuid, entry, line);
            }
            ["-", pid, uuid, slot, _] => {
                let pid: u32 = pid.parse().unwrap();
                let held = self.held.get_mut(*uuid).unwrap();
                let place = held.iter().position(|held| held.0 == pid && held.1 == *slot);
                held.remove(place.expect("what ends was begun, and not taken over meanwhile"));
            }
            other => panic!("{other:?}"),
        }
    }

    fn begins(&mut self, uuid: &str, (pid, slot, need): (u32, String, u64), line: &str) {
        self.begun += 1;
        let held = self.held.entry(uuid.to_owned()).or_default();
        let killed = &self.killed;
        let conflicts = |other: &(u32, String, u64)| slot == "alone" || other.1 == "alone" || other.1 == slot;
        let before = held.len();
        held.retain(|held| !(killed.contains(&held.0) && conflicts(held)));
        self.taken_over += before - held.len();
        assert!(!held.iter().any(conflicts), "`{line}` while {held:?} hold it");
        held.push((pid, slot, need));
        let living = held.iter().filter(|held| !killed.contains(&held.0));
        let needed: u64 = living.map(|held| held.2).sum();
        assert!(needed <= CAPACITY, "`{line}`: {needed} of {CAPACITY} are needed by {held:?}");
    }
}

#[test]
fn no_two_processes_overlap_on_a_slot_and_what_a_killed_one_held_is_used_again() {
    let mut yard = Yard::new();
    let mut dice = Dice(0x2545_F491_4F6C_DD1D ^ u64::from(std::process::id()));
    let steady = vec![yard.start(), yard.start()];
    let mut log = Log::open(yard.path());
    for round in 0..8 {
        let mut victim = yard.start();
        let moment = 1 + usize::try_from(dice.below(60)).unwrap();
        println!("round {round}: killed after its {moment}th lock");
        yard.wait_for(victim.id(), moment);
        log.line(&format!("x {}", victim.id()));
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    for child in &steady {
        let done = yard.log().lines().filter(|line| line.starts_with(&format!("+ {} ", child.id()))).count();
        yard.wait_for(child.id(), done + 200);
    }
    yard.stop(steady);

    let mut followed = Followed::default();
    yard.log().lines().for_each(|line| followed.line(line));
    assert!(followed.begun > 400);
    assert_eq!(holders(&yard.locks()), [], "the kernel freed what the dead held");
    let locks = DeviceLocks::open(yard.locks()).unwrap();
    let all = locks.try_lock_all(&DEVICES, Share::Alone, "the last").unwrap();
    assert!(matches!(all, Attempt::Locked(locks) if locks.len() == DEVICES.len()));
    println!("{} locks, {} taken over from the dead", followed.begun, followed.taken_over);
}

#[test]
fn a_stopped_process_keeps_its_devices_and_is_named() {
    let mut yard = Yard::new();
    let mut child = yard.start();
    let pid = Pid::from_child(&child);
    let deadline = Instant::now() + PATIENCE;
    // Stopped again and again until it is stopped while it holds something.
    let held = loop {
        yard.wait_for(child.id(), 1);
        kill_process(pid, Signal::STOP).unwrap();
        assert!(waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap().1.stopped());
        if let Some(held) = holders(&yard.locks()).into_iter().find(|held| held.pid == child.id()) {
            break held;
        }
        kill_process(pid, Signal::CONT).unwrap();
        assert!(Instant::now() < deadline, "it was never stopped while it held a lock");
        std::thread::yield_now();
    };
    assert!(["holder", "several"].contains(&held.holder.as_str()));
    let locks = DeviceLocks::open(yard.locks()).unwrap();
    assert!(locks.try_lock(&held.uuid, Share::Alone, "second").unwrap().is_none());
    assert_eq!(locks.holder(&held.uuid).map(|held| held.pid), Some(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(locks.try_lock(&held.uuid, Share::Alone, "second").unwrap().is_some());
}

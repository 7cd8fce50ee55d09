//! A child process from spawn to reaping: it is killed as a group, and never by a process id that may be another's.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// A worker with libtorch takes a tenth of a second to end: what is lost by looking too late is little beside it.
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

/// A child that leads its own process group.
///
/// A child that rests between two launches is nobody's: each launch is a turn, and a handle kills in its own turn only.
pub(super) struct ProcessGroup {
    leader: Pid,
    life: Mutex<Life>,
}

struct Life {
    /// Unreaped, the child's id is its own, be it a zombie.
    reaped: bool,
    /// Whether a kill was sent from here.
    killed: bool,
    turn: Turn,
}

/// One launch of a child that may have several, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u32);

/// How a child was reaped.
pub(super) struct Reaped {
    pub(super) status: ExitStatus,
    /// Whether it had to be killed because it did not exit.
    pub(super) overdue: bool,
}

impl ProcessGroup {
    pub(super) fn of(child: &Child) -> Self {
        let life = Life { reaped: false, killed: false, turn: Turn(0) };
        Self { leader: Pid::from_child(child), life: Mutex::new(life) }
    }

    pub(super) fn pid(&self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The launch under way, or the next one of a child that rests.
    pub(super) fn turn(&self) -> Turn {
        self.life().turn
    }

    /// Whether the child is gone, or is another launch's by now.
    pub(super) fn is_over(&self, turn: Turn) -> bool {
        let life = self.life();
        life.reaped || life.turn != turn
    }

    /// Ends the turn under way, unless the child has been killed in it.
    pub(super) fn end_turn(&self) -> bool {
        let mut life = self.life();
        let lives = !life.killed && !life.reaped;
        if lives {
            life.turn.0 += 1;
        }
        lives
    }

    /// Kills the child and all of its group, if it has not been reaped.
    pub(super) fn kill(&self) {
        self.kill_unreaped(&mut self.life());
    }

    /// As [`ProcessGroup::kill`], if this is still the turn under way.
    pub(super) fn kill_in(&self, turn: Turn) {
        let mut life = self.life();
        if life.turn == turn {
            self.kill_unreaped(&mut life);
        }
    }

    fn kill_unreaped(&self, life: &mut Life) {
        if !life.reaped {
            life.killed = true;
            self.signal();
        }
    }

    /// Whether a kill was sent from here before the child was reaped.
    pub(super) fn was_killed(&self) -> bool {
        self.life().killed
    }

    /// Does something with the child's id while that is surely its own; not at all once it has been reaped.
    pub(super) fn while_unreaped(&self, act: impl FnOnce(u32)) {
        let life = self.life();
        if !life.reaped {
            act(self.pid());
        }
    }

    /// Whether the child has ended, reaped or not.
    pub(super) fn has_ended(&self) -> bool {
        // An answer that can not be had is one that nobody can wait for.
        self.life().reaped || self.wait(WaitIdOptions::NOHANG).unwrap_or(true)
    }

    /// Waits for the child's end, kills it after `grace`, and reaps it. Its group is killed before its id is given up,
    /// so the id can not have become another process's.
    pub(super) fn reap(&self, child: &mut Child, grace: Duration) -> io::Result<Reaped> {
        let overdue = !self.ends_within(grace)?;
        if overdue {
            tracing::warn!(pid = self.pid(), "worker did not exit after its last word: killed");
            self.kill();
            self.wait(WaitIdOptions::empty())?;
        }
        let mut life = self.life();
        self.signal();
        let status = child.wait();
        life.reaped = true;
        Ok(Reaped { status: status?, overdue })
    }

    fn ends_within(&self, grace: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + grace;
        let mut pause = FIRST_PAUSE;
        loop {
            if self.wait(WaitIdOptions::NOHANG)? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether the child has ended; leaves it to be reaped.
    fn wait(&self, how: WaitIdOptions) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how;
        let status = retry_on_intr(|| waitid(WaitId::Pid(self.leader), options))?;
        Ok(status.is_some())
    }

    fn signal(&self) {
        match kill_process_group(self.leader, Signal::KILL) {
            // macOS answers PERM where all that is left of a group is its zombie leader.
            Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
            Err(error) => tracing::error!(pid = self.pid(), %error, "worker was not killed"),
        }
    }
}

/// Whether nothing but the leader is left of a group. Not known is no.
///
/// # Sources
/// proc_pid_stat(5), fields 3 (state) and 5 (process group).
#[cfg(target_os = "linux")]
pub(super) fn is_alone(group: &ProcessGroup) -> bool {
    let leader = group.pid();
    let is_member = |pid: u32| {
        // What can not be read has ended meanwhile.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let of_group: u32 = fields.nth(1)?.parse().ok()?;
        (of_group == leader && state != "Z").then_some(())
    };
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    let mut others = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != leader);
    !others.any(|pid| is_member(pid).is_some())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_alone(_group: &ProcessGroup) -> bool {
    false
}

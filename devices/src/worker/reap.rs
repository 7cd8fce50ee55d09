//! A child process from spawn to reaping: it is killed as a group, and never by a process id that may be another's.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A child that leads its own process group.
pub(super) struct ProcessGroup {
    leader: Pid,
    life: Mutex<Life>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The child's id is its own, be it a zombie.
    Unreaped,
    Reaped,
}

impl ProcessGroup {
    pub(super) fn of(child: &Child) -> Self {
        Self { leader: Pid::from_child(child), life: Mutex::new(Life::Unreaped) }
    }

    pub(super) fn pid(&self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn is_reaped(&self) -> bool {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) == Life::Reaped
    }

    /// Kills the child and all of its group, if it has not been reaped.
    pub(super) fn kill(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if *life == Life::Unreaped {
            self.signal();
        }
    }

    /// Waits for the child's end, kills it after `grace`, and reaps it. Its group is killed before its id is given up,
    /// so the id can not have become another process's.
    pub(super) fn reap(&self, child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
        if !self.ends_within(grace)? {
            tracing::warn!(pid = self.pid(), "worker did not exit after its last word: killed");
            self.kill();
            self.wait(WaitIdOptions::empty())?;
        }
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        self.signal();
        let status = child.wait();
        *life = Life::Reaped;
        status
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

/// Largest resident memory of a process so far.
///
/// # Sources
/// proc_pid_status(5), `VmHWM`.
pub(super) fn peak_memory_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

//! The child's part: from a freshly started process to a worker's port.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

use super::INBOX_BOUND;
use super::error::AttachError;
use super::port::{WorkerPort, WorkerReceiver, WorkerSender};
use super::wire::AfterWork;
use crate::frame;
use crate::lock::WorkerLock;

/// Marks a process as a worker.
pub(super) const MARK_VARIABLE: &str = "ENGINE_WORKER";
/// Process id of whoever launched the worker.
pub(super) const PARENT_VARIABLE: &str = "ENGINE_WORKER_PARENT";
/// Cores the worker pins itself to, joined by commas.
pub(super) const CORES_VARIABLE: &str = "ENGINE_WORKER_CORES";
/// Set to 1 for a worker that may wait for other work when its own is over.
pub(super) const MAY_REST_VARIABLE: &str = "ENGINE_WORKER_MAY_REST";

/// File that the worker locks for its own life.
pub(super) const LOCK_VARIABLE: &str = "ENGINE_WORKER_LOCK";

/// How long another engine's look at the lock, or the end of the worker before, may take.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Time between two tries to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How long an orphan may take to stop by itself before it ends itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

static ATTACHED: AtomicBool = AtomicBool::new(false);

/// Freed by the kernel with the process, and not a moment earlier.
static DEVICE: OnceLock<WorkerLock> = OnceLock::new();

/// Whether this process was started as a worker: `main` then serves the port of [`attach_process`] and does nothing
/// else.
#[must_use]
pub fn is_worker_process() -> bool {
    std::env::var_os(MARK_VARIABLE).is_some_and(|mark| mark == "1")
}

/// Takes up this process's part as a worker. To be called once, first thing in `main`, before any thread is started
/// and anything is printed.
///
/// Afterwards standard output goes to standard error, so that whatever a library prints can not get into the
/// protocol, and standard input is empty. The process is pinned to its cores, is killed with whoever launched it
/// (Linux: at once; elsewhere within seconds), and its port answers `None` from then on. Children that it starts
/// are killed with it while the launching process lives to do so; they survive it only where both die at once.
///
/// Signals that a terminal or a batch system sends to every process of a job are left to whoever launched this one, who
/// tells it what to do: SIGHUP, SIGUSR1 and SIGUSR2 always, and the first SIGINT or SIGTERM. A second one ends the process.
///
/// # Errors
/// [`AttachError`] if the process is no worker, has attached before, or its pipes could not be set up.
pub fn attach_process<In, Out>() -> Result<WorkerPort<In, Out>, AttachError>
where
    In: DeserializeOwned + Send + 'static,
    Out: Serialize,
{
    if !is_worker_process() {
        return Err(AttachError::NotAWorker);
    }
    if ATTACHED.swap(true, Ordering::AcqRel) {
        return Err(AttachError::Twice);
    }
    die_with_parent()?;
    leave_signals().map_err(failed("leaving signals to the engine"))?;
    lock_device()?;
    pin_to_cores();
    let (commands, protocol) = set_pipes_aside()?;
    let (inbox, messages) = bounded(INBOX_BOUND);
    let orphaned = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&orphaned);
    thread::Builder::new()
        .name("worker commands".to_owned())
        .spawn(move || {
            listen(File::from(commands), &inbox);
            flag.store(true, Ordering::Release);
            drop(inbox);
            end_orphan();
        })
        .map_err(failed("starting the thread that reads them"))?;
    let may_rest = std::env::var_os(MAY_REST_VARIABLE).is_some_and(|mark| mark == "1");
    let at_most = if may_rest { AfterWork::Rests } else { AfterWork::Leaves };
    let sender = WorkerSender::pipe(File::from(protocol), at_most);
    Ok(WorkerPort::new(WorkerReceiver::new(messages, orphaned), sender))
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> AttachError {
    move |source| AttachError::Pipes { step, source }
}

fn refused(step: &'static str) -> impl FnOnce(Errno) -> AttachError {
    move |errno| AttachError::Pipes { step, source: errno.into() }
}

/// See [`attach_process`]. A handler is used where ignoring would do, because what is ignored stays so in children.
fn leave_signals() -> io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    for signal in [SIGHUP, SIGUSR1, SIGUSR2] {
        flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Locks the worker's device, before anything of a driver is touched.
fn lock_device() -> Result<(), AttachError> {
    let Some(file) = std::env::var_os(LOCK_VARIABLE).map(PathBuf::from) else { return Ok(()) };
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = WorkerLock::try_lock(&file)? {
            // The process attaches once, so nothing was there before.
            DEVICE.get_or_init(|| lock);
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(AttachError::DeviceTaken { file });
        }
        thread::sleep(LOCK_PAUSE);
    }
}

/// Moves both ends of the protocol to descriptors that no library knows and no child inherits.
fn set_pipes_aside() -> Result<(OwnedFd, OwnedFd), AttachError> {
    let commands =
        io::stdin().as_fd().try_clone_to_owned().map_err(failed("setting standard input aside"))?;
    let protocol =
        io::stdout().as_fd().try_clone_to_owned().map_err(failed("setting standard output aside"))?;
    let nothing = File::open("/dev/null").map_err(failed("opening /dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(refused("emptying standard input"))?;
    rustix::stdio::dup2_stdout(io::stderr()).map_err(refused("sending standard output to standard error"))?;
    Ok((commands, protocol))
}

/// Passes messages on until the pipe ends.
fn listen<In: DeserializeOwned>(mut commands: File, inbox: &Sender<In>) {
    loop {
        match frame::read(&mut commands) {
            // With the port dropped nobody takes messages; the end of the pipe is still to be seen.
            Ok(Some(message)) => {
                let _: Result<(), _> = inbox.send(message);
            }
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "worker can not read its messages"),
        }
    }
}

/// A worker that does not stop by itself once nobody is there to hear it ends itself, with its children.
fn end_orphan() {
    thread::sleep(ORPHAN_GRACE);
    let killed = if getpgrp() == getpid() {
        kill_current_process_group(Signal::KILL)
    } else {
        kill_process(getpid(), Signal::KILL)
    };
    if let Err(error) = killed {
        tracing::error!(%error, "orphaned worker could not end itself");
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> Result<(), AttachError> {
    use rustix::process::{getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(refused("asking to be killed with the parent"))?;
    // The parent may have died before the request: then nobody sends the signal.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    match std::env::var(PARENT_VARIABLE) {
        Ok(expected) if parent.as_ref() != Some(&expected) => Err(AttachError::Orphaned),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> Result<(), AttachError> {
    Ok(()) // No such request elsewhere; the end of standard input tells.
}

fn pin_to_cores() {
    let listed = std::env::var(CORES_VARIABLE).unwrap_or_default();
    let cores: Vec<usize> = listed.split(',').filter_map(|core| core.parse().ok()).collect();
    pin_thread(&cores);
}

/// Pins the calling thread. Threads and processes that it starts later inherit the mask. What may not be pinned works all the
/// same, only less apart.
#[cfg(target_os = "linux")]
pub(super) fn pin_thread(cores: &[usize]) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut mask = CpuSet::new();
    cores.iter().filter(|core| **core < CpuSet::MAX_CPU).for_each(|core| mask.set(*core));
    if mask.count() > 0
        && let Err(error) = sched_setaffinity(None, &mask)
    {
        tracing::warn!(%error, ?cores, "a run could not be pinned to its cores");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pin_thread(_cores: &[usize]) {}

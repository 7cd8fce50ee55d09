//! Threads that are used again: a run needs several for a moment each, and starting one costs more than most of what they do.
//!
//! Not for the work of a run itself, which has a thread of its own: what it leaves behind there (its pools, its settings) must not
//! reach the next.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A thread without work ends after this long: an engine at rest has none.
const REST: Duration = Duration::from_secs(2);

/// Threads that may wait for work at once; a further one ends with its work. More than the runs of a machine need.
const RESTING: usize = 128;

/// Name of these threads, where it can not be that of their work.
const NAME: &str = "engine-thread";

type Work = Box<dyn FnOnce() + Send>;

/// Threads that wait for work, the one that began last at the end: it is the warmest, and the others get to end.
static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

struct Idle {
    number: u64,
    /// Has room for one work, which is put in by whoever takes the thread out of the list.
    work: SyncSender<Work>,
}

fn idle() -> MutexGuard<'static, Vec<Idle>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` on a thread of its own, one that waits or a new one. The system's tools show the thread by `name` meanwhile.
///
/// There is nothing to wait on: work that is waited for says so over a channel. Where it panics, what it holds is dropped, so that
/// the channel closes; the panic hook has said why.
///
/// # Errors
/// What the system says if there is no thread to be had; then `work` is dropped.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let name = name.to_owned();
    let mut work: Work = Box::new(move || {
        call_this_thread(&name);
        work();
    });
    let waiting = idle().pop();
    if let Some(waiting) = waiting {
        match waiting.work.try_send(work) {
            Ok(()) => return Ok(()),
            // It is gone, as a thread of a process that forked.
            Err(refused) => work = taken_back(refused),
        }
    }
    thread::Builder::new().name(NAME.into()).spawn(move || serve(work)).map(drop)
}

fn taken_back(refused: std::sync::mpsc::TrySendError<Work>) -> Work {
    match refused {
        std::sync::mpsc::TrySendError::Full(work) | std::sync::mpsc::TrySendError::Disconnected(work) => work,
    }
}

/// Works until nothing came for a while.
fn serve(first: Work) {
    let (work, given) = sync_channel(1);
    let mut next = Some(first);
    while let Some(work_now) = next.take() {
        // The hook has printed the panic. What the work held is dropped.
        drop(catch_unwind(AssertUnwindSafe(work_now)));
        next = rest(&work, &given);
    }
}

/// Waits for further work; `None` if there was none.
fn rest(work: &SyncSender<Work>, given: &Receiver<Work>) -> Option<Work> {
    let number = next_number();
    {
        let mut idle = idle();
        if idle.len() >= RESTING {
            return None;
        }
        idle.push(Idle { number, work: work.clone() });
    }
    match given.recv_timeout(REST) {
        Ok(work) => Some(work),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let mut idle = idle();
            let place = idle.iter().position(|waiting| waiting.number == number);
            if let Some(place) = place {
                idle.remove(place);
                return None;
            }
            drop(idle);
            // Somebody took it out of the list at this very moment, and is about to put work in.
            given.recv().ok()
        }
    }
}

fn next_number() -> u64 {
    static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Shows the thread under the name of its work; of no effect where the system has no such names.
fn call_this_thread(name: &str) {
    #[cfg(target_os = "linux")]
    {
        // The system keeps 15 bytes.
        let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
        if let Ok(name) = std::ffi::CString::new(bytes)
            && let Err(error) = rustix::thread::set_name(&name)
        {
            tracing::debug!(%error, "a thread goes by the name of its last work");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    /// Waits for a fact, not for a time.
    const PATIENCE: Duration = Duration::from_secs(300);

    fn thread_of_work() -> ThreadId {
        let (tells, told) = sync_channel(1);
        spawn("id", move || tells.send(thread::current().id()).unwrap()).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }

    #[test]
    fn work_side_by_side_has_threads_of_its_own() {
        let (arrived, arrivals) = sync_channel(8);
        let gates: Vec<_> = (0..8)
            .map(|_| {
                let (open, gate) = sync_channel::<()>(0);
                let arrived = arrived.clone();
                spawn("gate", move || {
                    arrived.send(thread::current().id()).unwrap();
                    // Closed is opened.
                    gate.recv().unwrap_or_default();
                })
                .unwrap();
                open
            })
            .collect();
        let threads: std::collections::HashSet<ThreadId> =
            (0..8).map(|_| arrivals.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(threads.len(), 8, "all of them are at work at once");
        drop(gates);
    }

    #[test]
    fn a_panic_ends_its_work_and_nothing_else() {
        let (tells, told) = sync_channel::<()>(1);
        spawn("panics", move || {
            let _held = tells;
            panic!("on purpose");
        })
        .unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
        thread_of_work();
    }

    #[test]
    fn a_thread_works_again_and_ends_when_nothing_comes() {
        let deadline = std::time::Instant::now() + PATIENCE;
        let first = thread_of_work();
        // Whoever waits in line before it gets work first.
        while thread_of_work() != first {
            assert!(std::time::Instant::now() < deadline, "a thread that rests is never used");
        }
        while !idle().is_empty() {
            assert!(std::time::Instant::now() < deadline, "threads without work stay");
            thread::yield_now();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_shows_a_thread_by_the_name_of_its_work() {
        let (tells, told) = sync_channel(1);
        spawn("a name longer than fifteen", move || {
            tells.send(std::fs::read_to_string("/proc/thread-self/comm").unwrap()).unwrap();
        })
        .unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "a name longer t\n");
    }
}

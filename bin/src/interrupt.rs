//! What a job does on signals.
//!
//! | signal | first | again |
//! |---|---|---|
//! | SIGINT, SIGTERM | keeps what is done and stops | stops at once |
//! | SIGUSR1 | runs under way write `last` and go on | the same |
//! | SIGHUP | nothing: the job outlives its terminal | nothing |
//!
//! While results are sent, one SIGINT or SIGTERM ends that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::{Engine, StopMode, Stopper};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use crate::exit::Code;
use crate::print::errln;

/// In place of a signal: none.
const NOTHING: i32 = 0;

/// Listens for as long as it lives.
pub struct Interrupts {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    told: Arc<Told>,
}

/// What the user said, and what was going on.
#[derive(Default)]
struct Told {
    /// The first signal that asked for a stop of the job.
    stop: AtomicI32,
    is_sending: AtomicBool,
    stop_sending: AtomicBool,
}

/// What signals act on.
pub struct Job {
    pub engine: Engine,
    pub stopper: Stopper,
    /// What a run has to finish its step.
    pub stop_within: Duration,
}

impl Interrupts {
    /// Does with the job what the user asks for.
    ///
    /// # Errors
    /// What the system says if signals or a thread can not be had.
    pub fn listen(job: Job) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let handle = signals.handle();
        let told = Arc::new(Told::default());
        let heard = Arc::clone(&told);
        let thread = std::thread::Builder::new().name("engine-signals".into()).spawn(move || {
            for signal in signals.forever() {
                heard.hear(signal, &job);
            }
        })?;
        Ok(Self { handle, thread: Some(thread), told })
    }

    /// How the program ends if the user asked for a stop of the job.
    pub fn heard(&self) -> Option<Code> {
        match self.told.stop.load(Ordering::Acquire) {
            NOTHING => None,
            SIGTERM => Some(Code::Terminated),
            _ => Some(Code::Interrupted),
        }
    }

    /// The job is over and its results are sent: from now on a signal ends that.
    pub fn begin_sending(&self) {
        self.told.is_sending.store(true, Ordering::Release);
    }

    /// Whether the user does not want to wait for the rest to be sent.
    pub fn ends_sending(&self) -> bool {
        self.told.stop_sending.load(Ordering::Acquire)
    }
}

impl Told {
    fn hear(&self, signal: i32, job: &Job) {
        let is_sending = self.is_sending.load(Ordering::Acquire);
        if signal == SIGUSR1 {
            if !is_sending {
                errln!(
                    "checkpoints now: every run that trains writes `last` before its next step, and goes on"
                );
                job.engine.checkpoint_now();
            }
        } else if is_sending {
            self.stop_sending.store(true, Ordering::Release);
        } else if self.is_first_stop(signal) {
            errln!(
                "stopping: nothing new starts, runs under way finish their step and keep a `last` checkpoint within {} s, \
                 tables are closed; once more stops at once",
                job.stop_within.as_secs()
            );
            job.stopper.stop(StopMode::Cancel);
        } else {
            errln!("stopping at once: runs under way are killed, their checkpoints on disk stay");
            job.stopper.stop(StopMode::Kill);
        }
    }

    fn is_first_stop(&self, signal: i32) -> bool {
        self.stop.compare_exchange(NOTHING, signal, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// From here on neither a closed terminal nor a wish for checkpoints ends this process, be there a job already or not.
///
/// # Errors
/// What the system says if signals can not be had.
pub fn outlive_terminal() -> std::io::Result<()> {
    for signal in [SIGHUP, SIGUSR1] {
        flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// In a process that follows rank 0's: a first signal is left to that one, which gets it too and tells the others what
/// to do. A second one ends this process, and its worker with it.
///
/// # Errors
/// What the system says if signals can not be had.
pub fn leave_to_rank_0() -> std::io::Result<()> {
    let heard = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&heard))?;
        flag::register(signal, Arc::clone(&heard))?;
    }
    Ok(())
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // The thread only prints and forwards; if it panicked, its message is on standard error already.
            drop(thread.join());
        }
    }
}

//! Ctrl-C and a request to terminate: once keeps what is done, twice stops at once. While results are sent, once is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use engine::{StopMode, Stopper};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

/// Listens for as long as it lives.
pub struct Interrupts {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    told: Arc<Told>,
}

/// What the user said, and what was going on.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    is_sending: AtomicBool,
    stop_sending: AtomicBool,
}

impl Interrupts {
    /// Stops the job of `stopper` when the user asks for it.
    ///
    /// # Errors
    /// What the system says if signals or a thread can not be had.
    pub fn listen(stopper: Stopper) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let told = Arc::new(Told::default());
        let heard = Arc::clone(&told);
        let thread = std::thread::Builder::new().name("engine-signals".into()).spawn(move || {
            for _ in signals.forever() {
                if heard.is_sending.load(Ordering::Acquire) {
                    heard.stop_sending.store(true, Ordering::Release);
                } else if heard.stop.swap(true, Ordering::Relaxed) {
                    eprintln!("stopping at once: runs under way are killed, their checkpoints on disk stay");
                    stopper.stop(StopMode::Kill);
                } else {
                    eprintln!(
                        "stopping: nothing new starts, runs under way finish their step and keep a `last` checkpoint, \
                         tables are closed; once more stops at once"
                    );
                    stopper.stop(StopMode::Cancel);
                }
            }
        })?;
        Ok(Self { handle, thread: Some(thread), told })
    }

    /// Whether the user asked for a stop of the job.
    pub fn heard(&self) -> bool {
        self.told.stop.load(Ordering::Relaxed)
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

//! Ctrl-C and a request to terminate: once keeps what is done, twice stops at once.

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
    heard: Arc<AtomicBool>,
}

impl Interrupts {
    /// Stops the job of `stopper` when the user asks for it.
    ///
    /// # Errors
    /// What the system says if signals or a thread can not be had.
    pub fn listen(stopper: Stopper) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let heard = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&heard);
        let thread = std::thread::Builder::new().name("engine-signals".into()).spawn(move || {
            for _ in signals.forever() {
                if told.swap(true, Ordering::Relaxed) {
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
        Ok(Self { handle, thread: Some(thread), heard })
    }

    /// Whether the user asked for a stop.
    pub fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
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

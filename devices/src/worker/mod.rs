//! Workers: where a run trains, apart from whoever watches it.
//!
//! A worker is a child process of the same executable or a named thread; both hear `In`, say `Out`, and end with
//! exactly one [`WorkerEvent::Exited`], the last event of all. Nothing here knows what is said.
//!
//! - W-1: `Exited` is told exactly once, after every message the worker got out.
//! - W-2: once the handle is dropped or killed, nothing of a process worker is left: neither it nor its children. Only
//!   one that has told its end by [`Exit::Rested`] may live on, without children, for the next launch; see
//!   [`WarmLauncher`].
//! - W-3: a worker that is not read, or does not read, never blocks the caller of [`Worker::send`].

mod attach;
mod environment;
mod error;
mod group;
mod listener;
mod memory;
mod port;
mod process;
mod program;
mod reap;
mod stderr;
mod supervise;
mod thread;
mod warm;
mod wire;

pub use attach::{attach_process, is_worker_process};
pub use environment::computing_environment;
pub use error::{AttachError, LaunchError, PortError, SendError};
pub use group::{
    FollowError, Follower, GroupLauncher, Heard, Judge, Lead, Patience, ReservedPort, SessionError, Whose,
};
pub(crate) use memory::resident_bytes;
pub use port::{WorkerPort, WorkerReceiver, WorkerSender};
pub use process::ProcessLauncher;
pub use program::{Program, ProgramEnd, ProgramError};
pub use thread::ThreadLauncher;
pub use warm::WarmLauncher;
pub use wire::AfterWork;

use serde::{Deserialize, Serialize};

use crate::lease::Grant;

/// Messages to a worker that may wait to be written; beyond them [`Worker::send`] answers [`SendError::Full`].
pub const INBOX_BOUND: usize = 8;

/// Messages of a thread worker that may wait to be heard; beyond them the worker waits. A process worker's bound is
/// its pipe's.
pub const OUTBOX_BOUND: usize = 64;

/// What a worker's watcher hears.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerEvent<Out> {
    /// The worker said this.
    Message(Out),
    /// The worker, a process, printed these lines, oldest first and without their ends. Of one that prints more than is
    /// taken the oldest are not here, and `… n lines were not kept` stands in their place.
    Printed(Vec<String>),
    /// The worker is gone; nothing follows.
    Exited(ExitReport),
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// The way it ended.
    pub exit: Exit,
    /// Last lines of its standard error, oldest first; empty for a thread, whose standard error is the host's.
    pub stderr_tail: Vec<String>,
    /// Largest resident memory: told by the worker itself with its last word. Of one that ended without a word the
    /// largest seen, sampled once a second, so a lower bound. `None` for a thread and where
    /// the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Largest memory of its GPU seen, sampled in that way. `None` on a CPU and where the driver does not tell.
    pub peak_device_memory_bytes: Option<u64>,
    /// The rank this tells of, where the worker was several processes: the one that failed first.
    pub rank: Option<u32>,
}

impl ExitReport {
    /// That it ended so, and nothing else.
    #[must_use]
    pub fn bare(exit: Exit) -> Self {
        let (peak_memory_bytes, peak_device_memory_bytes) = (None, None);
        Self { exit, stderr_tail: Vec::new(), peak_memory_bytes, peak_device_memory_bytes, rank: None }
    }
}

/// The way a worker ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// The process ended with this code; 101 is a panic of its main thread.
    Code(i32),
    /// The process was ended by this signal; 9 is also what a kill from here looks like.
    Signal(i32),
    /// The kernel ended the process for want of memory.
    OutOfMemory,
    /// The process did what it was launched for and is no longer this worker's: it waits for other work, or was ended.
    Rested,
    /// The thread returned.
    Returned,
    /// The thread panicked with this message.
    Panicked(String),
    /// The thread was killed and has not returned yet: it runs on, unheard, until it looks at its port.
    Detached,
    /// The process gave no sign of life for so long and was killed.
    Silent(std::time::Duration),
    /// The worker broke the protocol and was killed.
    Protocol(String),
}

/// Hears a worker, on the worker's own supervising thread: it may block there, and the worker then waits. The answer
/// is whether anyone still listens; with `false` the worker is killed and only `Exited` is still told.
pub type EventSink<Out> = Box<dyn FnMut(WorkerEvent<Out>) -> bool + Send>;

/// A handle on a worker under way. Dropping it kills the worker.
pub trait Worker<In>: Send {
    /// Queues a message for the worker. Never blocks.
    ///
    /// # Errors
    /// [`SendError::Full`] if [`INBOX_BOUND`] messages wait already, [`SendError::Gone`] after the worker's end.
    fn send(&self, message: In) -> Result<(), SendError>;

    /// Ends the worker now. A process goes with its whole process group; a thread can only be told, see
    /// [`ThreadLauncher`]. Twice is once; after the worker's end it does nothing.
    fn kill(&self);

    /// The worker's process id, if it is a process of its own.
    fn pid(&self) -> Option<u32>;
}

/// A worker to be started.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// For people: threads and log lines carry it.
    pub name: &'a str,
    /// What may share one worker process, one after another: the runs of one job. None shares nothing.
    pub family: Option<&'a str>,
    /// What the worker is held to.
    pub grant: &'a Grant,
}

/// Starts workers.
pub trait Launcher<In, Out>: Send + Sync + 'static {
    /// Starts a worker that is held to its grant, and returns once it runs.
    ///
    /// # Errors
    /// [`LaunchError`] if it could not be started; `sink` is then never called.
    fn launch(&self, launch: &Launch<'_>, sink: EventSink<Out>) -> Result<Box<dyn Worker<In>>, LaunchError>;
}

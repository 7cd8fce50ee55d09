//! The supervising thread of a worker process: from its spawn to its end, over all of its turns.

use std::io::{BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::LaunchError;
use super::listener::Listener;
use super::memory::{OomKills, PERIOD, PeakMemory};
use super::reap::{ProcessGroup, Reaped, Turn};
use super::stderr::{Printed, StderrDrain};
use super::warm::Berth;
use super::wire::{AfterWork, Heard, Over};
use super::{Exit, ExitReport};
use crate::frame::{self, FrameError};

/// How long a worker may take to exit after it closed its end of the protocol.
const EXIT_GRACE: Duration = Duration::from_secs(10);

/// Signal of a kill, from here, from outside and from the kernel.
const SIGKILL: i32 = 9;

/// The supervising thread's own: who it looks after.
pub(super) struct Supervisor {
    pub(super) name: String,
    pub(super) program: PathBuf,
    /// The worker's GPU, as its driver calls it.
    pub(super) gpu: Option<String>,
}

/// What a supervising thread is started with.
pub(super) struct Order<In, Out> {
    pub(super) command: Command,
    /// Messages for the worker.
    pub(super) waiting: Receiver<In>,
    /// Answers the launch.
    pub(super) started: Sender<Started>,
    /// Hears the first turn.
    pub(super) listener: Listener<Out>,
    /// Where the worker may rest, and how it is spoken to then.
    pub(super) berth: Option<(Berth<In, Out>, Sender<In>)>,
}

/// A worker that stands, with what is read from it.
struct Attended {
    child: Child,
    group: Arc<ProcessGroup>,
    stdout: BufReader<ChildStdout>,
    stderr: StderrDrain,
    memory: Arc<PeakMemory>,
    /// The kernel's kills before it was started.
    kills: OomKills,
}

/// The worker that stands, or why there is none.
pub(super) type Started = Result<(Arc<ProcessGroup>, Turn), LaunchError>;

impl Supervisor {
    pub(super) fn run<In, Out>(&self, order: Order<In, Out>)
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned,
    {
        let Order { mut command, waiting, started, listener, berth } = order;
        let kills = OomKills::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(source) => {
                let (name, program) = (self.name.clone(), self.program.clone());
                return answer(&started, Err(LaunchError::Spawn { name, program, source }));
            }
        };
        let group = Arc::new(ProcessGroup::of(&child));
        let memory = Arc::new(PeakMemory::of(Arc::clone(&group), self.gpu.clone()));
        match self.attend(&mut child, waiting, &memory) {
            Ok((stdout, stderr)) => {
                answer(&started, Ok((Arc::clone(&group), group.turn())));
                let stdout = BufReader::new(stdout);
                self.look_after(Attended { child, group, stdout, stderr, memory, kills }, listener, berth);
            }
            Err(error) => {
                group.kill();
                self.reap_quietly(&group, &mut child);
                answer(&started, Err(error));
            }
        }
    }

    /// Hears the worker through all of its turns, until it is reaped.
    fn look_after<In, Out: DeserializeOwned>(
        &self,
        attended: Attended,
        mut listener: Listener<Out>,
        mut berth: Option<(Berth<In, Out>, Sender<In>)>,
    ) {
        let Attended { mut child, group, mut stdout, stderr, memory, mut kills } = attended;
        // Dropped with this thread: whoever waits for the worker's end waits for that.
        let (_alive, ended) = bounded::<()>(0);
        loop {
            let end = hear(&mut stdout, &group, &mut listener, &memory, &stderr);
            let done = match (&end, &mut berth) {
                (End::Rests(over), Some(berth)) if group.end_turn() => Some((*over, berth)),
                _ => None,
            };
            let Some((over, (berth, inbox))) = done else {
                let exit = match group.reap(&mut child, EXIT_GRACE) {
                    Ok(reaped) => judge(&reaped, end, group.was_killed(), || kills.rose()),
                    Err(error) => {
                        Exit::Protocol(format!("the end of the process could not be observed: {error}"))
                    }
                };
                return conclude(listener, exit, stderr.finish(), &memory);
            };
            let printed = stderr.end_turn();
            let may_rest = printed.is_some() && berth.proves(over, &group);
            let parked =
                if may_rest { berth.park(&group, inbox, (&ended, stderr.between_turns())) } else { None };
            let Some(parked) = parked else {
                group.kill();
                self.reap_quietly(&group, &mut child);
                let printed = printed.unwrap_or_else(|| stderr.finish());
                return conclude(listener, Exit::Rested, printed, &memory);
            };
            conclude(listener, Exit::Rested, printed.unwrap_or_default(), &memory);
            let Some(sink) = parked.order(&group) else {
                group.kill();
                return self.reap_quietly(&group, &mut child);
            };
            listener = Listener::new(sink);
            kills = OomKills::now();
        }
    }

    /// Of a worker that has been told of already.
    fn reap_quietly(&self, group: &ProcessGroup, child: &mut Child) {
        if let Err(error) = group.reap(child, EXIT_GRACE) {
            tracing::error!(worker = %self.name, %error, "worker was not reaped");
        }
    }

    /// Starts the threads that write to the child and drain its standard error.
    fn attend<In: Serialize + Send + 'static>(
        &self,
        child: &mut Child,
        waiting: Receiver<In>,
        memory: &Arc<PeakMemory>,
    ) -> Result<(ChildStdout, StderrDrain), LaunchError> {
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes(child) else {
            return Err(LaunchError::Lost { name: self.name.clone() });
        };
        let refused = |source| LaunchError::Thread { name: self.name.clone(), source };
        let drain = StderrDrain::start(&self.name, child.id(), stderr).map_err(refused)?;
        let memory = Arc::clone(memory);
        thread::Builder::new()
            .name(format!("stdin {}", self.name))
            .spawn(move || write_all(stdin, &waiting, &memory))
            .map_err(refused)?;
        Ok((stdout, drain))
    }
}

fn pipes(child: &mut Child) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
    (child.stdin.take(), child.stdout.take(), child.stderr.take())
}

/// Answers the launch, which waits for nothing else and never goes away before.
fn answer(started: &Sender<Started>, result: Started) {
    if let Err(unheard) = started.send(result)
        && let Ok((group, _)) = unheard.into_inner()
    {
        group.kill();
    }
}

/// Writes what waits to the child, until nobody is left to send or the child has closed its end. In the long time
/// between looks at the child's memory.
fn write_all<In: Serialize>(mut stdin: ChildStdin, waiting: &Receiver<In>, memory: &PeakMemory) {
    loop {
        let message = match waiting.recv_timeout(PERIOD) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                memory.look();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match frame::write(&mut stdin, &message) {
            Ok(()) => {}
            // The supervising thread sees the same end and reports it.
            Err(FrameError::Io(_)) => return,
            Err(error) => tracing::error!(%error, "a message to a worker was not sent"),
        }
    }
}

/// How a worker's side of the protocol ended.
enum End {
    /// Between two frames.
    Clean,
    /// Inside a frame, or with the pipe: the way the process ended says more.
    Broken(String),
    /// With bytes that are no frame; the worker was killed for it.
    Nonsense(String),
    /// Not at all: the worker is done and waits for other work.
    Rests(Over),
}

/// Passes the worker's messages on until its work is over or its end of the protocol is closed.
fn hear<Out: DeserializeOwned>(
    stdout: &mut impl Read,
    group: &ProcessGroup,
    listener: &mut Listener<Out>,
    memory: &PeakMemory,
    stderr: &StderrDrain,
) -> End {
    loop {
        match frame::read(stdout) {
            Ok(Some(Heard::Said(message))) => {
                memory.look();
                listener.printed(stderr.take());
                if !listener.hears(message) {
                    group.kill();
                }
            }
            Ok(Some(Heard::Over(over))) => {
                memory.note_host(over.memory);
                if over.then == AfterWork::Rests {
                    return End::Rests(over);
                }
            }
            Ok(None) => return End::Clean,
            Err(error @ (FrameError::Torn { .. } | FrameError::Io(_))) => {
                return End::Broken(error.to_string());
            }
            Err(error) => {
                group.kill();
                return End::Nonsense(error.to_string());
            }
        }
    }
}

fn judge(reaped: &Reaped, end: End, killed_here: bool, out_of_memory: impl Fn() -> bool) -> Exit {
    let status = reaped.status;
    match (status.code(), end) {
        (_, End::Nonsense(text)) | (Some(0), End::Broken(text)) => Exit::Protocol(text),
        (None, _) if reaped.overdue => {
            Exit::Protocol(format!("it closed its end and did not exit within {} s", EXIT_GRACE.as_secs()))
        }
        _ => exit_of(status, killed_here, out_of_memory),
    }
}

/// How a process ended that may have been killed from here.
pub(super) fn exit_of(status: ExitStatus, killed_here: bool, out_of_memory: impl Fn() -> bool) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(SIGKILL)) if !killed_here && out_of_memory() => Exit::OutOfMemory,
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Protocol(format!("the process ended in an unknown way: {status}")),
    }
}

/// Tells a listener the last of a worker.
fn conclude<Out>(mut listener: Listener<Out>, exit: Exit, printed: Printed, memory: &PeakMemory) {
    let Printed { lines, tail: stderr_tail } = printed;
    listener.printed(lines);
    let seen = memory.take();
    let (peak_memory_bytes, peak_device_memory_bytes) = (seen.host_bytes, seen.device_bytes);
    let bare = ExitReport::bare(exit);
    listener.exited(ExitReport { stderr_tail, peak_memory_bytes, peak_device_memory_bytes, ..bare });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(raw: i32, end: End, killed_here: bool, kernel: bool) -> Exit {
        let reaped = Reaped { status: ExitStatus::from_raw(raw), overdue: false };
        judge(&reaped, end, killed_here, || kernel)
    }

    #[test]
    fn a_torn_last_frame_of_a_killed_worker_is_a_kill() {
        let torn = || End::Broken("torn".into());
        assert_eq!(judged(9, torn(), false, false), Exit::Signal(9));
        assert_eq!(judged(101 << 8, torn(), false, false), Exit::Code(101));
        assert_eq!(judged(0, torn(), false, false), Exit::Protocol("torn".into()));
        assert_eq!(judged(9, End::Nonsense("crc".into()), true, false), Exit::Protocol("crc".into()));
        assert_eq!(judged(0, End::Clean, false, false), Exit::Code(0));
    }

    #[test]
    fn only_a_sigkill_that_was_not_sent_from_here_can_be_the_kernels() {
        assert_eq!(judged(9, End::Clean, false, true), Exit::OutOfMemory);
        assert_eq!(judged(9, End::Clean, true, true), Exit::Signal(9));
        assert_eq!(judged(11, End::Clean, false, true), Exit::Signal(11));
        let overdue = Reaped { status: ExitStatus::from_raw(9), overdue: true };
        assert!(
            matches!(judge(&overdue, End::Clean, true, || false), Exit::Protocol(why) if why.contains("10 s"))
        );
    }
}

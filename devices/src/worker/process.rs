//! Workers that are child processes.
//!
//! Three threads look after each: one writes its messages to the child's standard input, one drains its standard
//! error, and the supervising one spawns the child, reads its frames and reaps it. The child asks to be killed when
//! the thread that spawned it ends, which is why that thread is the one that waits for it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Sender, TrySendError, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attach::MAY_REST_VARIABLE;
use super::environment;
use super::error::{LaunchError, SendError};
use super::listener::Listener;
use super::reap::{ProcessGroup, Turn};
use super::supervise::{Order, Supervisor};
use super::warm::Berth;
use super::{EventSink, INBOX_BOUND, Launch, Launcher, Worker};
use crate::lease::Place;

/// Starts workers as child processes of one program, which has to call
/// [`attach_process`](super::attach_process) where [`is_worker_process`](super::is_worker_process).
#[derive(Debug, Clone)]
pub struct ProcessLauncher {
    program: PathBuf,
    shown_as: OsString,
}

impl ProcessLauncher {
    /// Workers of the running program itself, even if its file has been replaced meanwhile (on Linux).
    ///
    /// # Errors
    /// [`LaunchError::CurrentExe`] if the system does not say which file is running.
    pub fn current_exe() -> Result<Self, LaunchError> {
        let path = std::env::current_exe().map_err(|source| LaunchError::CurrentExe { source })?;
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() { own.to_owned() } else { path.clone() };
        Ok(Self { program, shown_as: path.into_os_string() })
    }

    /// Workers of another program.
    #[must_use]
    pub fn program(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { shown_as: program.clone().into_os_string(), program }
    }

    /// Starts one process on one place, with `environment` on top of what every worker gets.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub(super) fn start<In, Out>(
        &self,
        name: &str,
        place: &Place,
        environment: &[(&'static str, String)],
        sink: EventSink<Out>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError>
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
    {
        self.spawn(name, place, self.command(place, environment), sink, None)
    }

    /// As [`ProcessLauncher::start`], with a place where the worker may wait for other work.
    pub(super) fn start_resting<In, Out>(
        &self,
        name: &str,
        place: &Place,
        sink: EventSink<Out>,
        berth: Berth<In, Out>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError>
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
    {
        let command = self.command(place, &[(MAY_REST_VARIABLE, "1".to_owned())]);
        self.spawn(name, place, command, sink, Some(berth))
    }

    fn spawn<In, Out>(
        &self,
        name: &str,
        place: &Place,
        command: Command,
        sink: EventSink<Out>,
        berth: Option<Berth<In, Out>>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError>
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
    {
        let (inbox, waiting) = bounded(INBOX_BOUND);
        let (started, start) = bounded(1);
        let supervisor = Supervisor {
            name: name.to_owned(),
            program: self.program.clone(),
            gpu: place.token.as_ref().map(|token| token.value.clone()),
        };
        let berth = berth.map(|berth| (berth, inbox.clone()));
        let order = Order { command, waiting, started, listener: Listener::new(sink), berth };
        thread::Builder::new()
            .name(format!("worker {name}"))
            .spawn(move || supervisor.run(order))
            .map_err(|source| LaunchError::Thread { name: name.to_owned(), source })?;
        match start.recv() {
            Ok(Ok((group, turn))) => Ok(Box::new(ProcessWorker { group, turn, inbox })),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LaunchError::Lost { name: name.to_owned() }),
        }
    }

    fn command(&self, place: &Place, environment: &[(&'static str, String)]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(&self.shown_as);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        environment::set_up(&mut command, place);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl<In, Out> Launcher<In, Out> for ProcessLauncher
where
    In: Serialize + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    fn launch(&self, launch: &Launch<'_>, sink: EventSink<Out>) -> Result<Box<dyn Worker<In>>, LaunchError> {
        let Launch { name, grant, .. } = *launch;
        let [place] = grant.places.as_slice() else {
            return Err(LaunchError::SeveralPlaces { name: name.to_owned(), places: grant.places.len() });
        };
        self.start(name, place, &[], sink)
    }
}

/// The handle on a child process in one of its turns.
pub(super) struct ProcessWorker<In> {
    pub(super) group: Arc<ProcessGroup>,
    pub(super) turn: Turn,
    pub(super) inbox: Sender<In>,
}

impl<In: Send> Worker<In> for ProcessWorker<In> {
    fn send(&self, message: In) -> Result<(), SendError> {
        if self.group.is_over(self.turn) {
            return Err(SendError::Gone);
        }
        self.inbox.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Disconnected(_) => SendError::Gone,
        })
    }

    fn kill(&self) {
        self.group.kill_in(self.turn);
    }

    fn pid(&self) -> Option<u32> {
        Some(self.group.pid())
    }
}

impl<In> Drop for ProcessWorker<In> {
    fn drop(&mut self) {
        self.group.kill_in(self.turn);
    }
}

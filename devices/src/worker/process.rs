//! Workers that are child processes.
//!
//! Three threads look after each: one writes its messages to the child's standard input, one drains its standard
//! error, and the supervising one spawns the child, reads its frames and reaps it. The child asks to be killed when
//! the thread that spawned it ends, which is why that thread is the one that waits for it.

use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attach::{CORES_VARIABLE, MARK_VARIABLE, PARENT_VARIABLE};
use super::error::{LaunchError, SendError};
use super::listener::Listener;
use super::reap::{ProcessGroup, peak_memory_bytes};
use super::stderr::StderrDrain;
use super::{EventSink, Exit, ExitReport, INBOX_BOUND, Launch, Launcher, Worker};
use crate::frame::{self, FrameError};
use crate::lease::Place;

/// How long a worker may take to exit after it closed its end of the protocol.
const EXIT_GRACE: Duration = Duration::from_secs(10);

/// Time between two looks at a worker's memory.
const MEMORY_PERIOD: Duration = Duration::from_secs(1);

/// Thread counts of the libraries that a workload may compute with: OpenMP and MKL (libtorch), OpenBLAS, rayon.
const THREAD_VARIABLES: [&str; 4] =
    ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"];

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
        let (inbox, waiting) = bounded(INBOX_BOUND);
        let (started, start) = bounded(1);
        let supervisor = Supervisor { name: name.to_owned(), program: self.program.clone() };
        let command = self.command(place, environment);
        thread::Builder::new()
            .name(format!("worker {name}"))
            .spawn(move || supervisor.run(command, waiting, &started, Listener::new(sink)))
            .map_err(|source| LaunchError::Thread { name: name.to_owned(), source })?;
        match start.recv() {
            Ok(Ok(group)) => Ok(Box::new(ProcessWorker { group, inbox })),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LaunchError::Lost { name: name.to_owned() }),
        }
    }

    fn command(&self, place: &Place, environment: &[(&'static str, String)]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(&self.shown_as);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        command.env(MARK_VARIABLE, "1").env(PARENT_VARIABLE, std::process::id().to_string());
        let cores: Vec<String> = place.cores.iter().map(ToString::to_string).collect();
        command.env(CORES_VARIABLE, cores.join(","));
        for variable in THREAD_VARIABLES {
            command.env(variable, place.threads.to_string());
        }
        if let Some(token) = &place.token {
            command.envs(token.environment());
        }
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

/// The handle on a child process.
struct ProcessWorker<In> {
    group: Arc<ProcessGroup>,
    inbox: Sender<In>,
}

impl<In: Send> Worker<In> for ProcessWorker<In> {
    fn send(&self, message: In) -> Result<(), SendError> {
        if self.group.is_reaped() {
            return Err(SendError::Gone);
        }
        self.inbox.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Disconnected(_) => SendError::Gone,
        })
    }

    fn kill(&self) {
        self.group.kill();
    }

    fn pid(&self) -> Option<u32> {
        Some(self.group.pid())
    }
}

impl<In> Drop for ProcessWorker<In> {
    fn drop(&mut self) {
        self.group.kill();
    }
}

/// The supervising thread's own: who it looks after.
struct Supervisor {
    name: String,
    program: PathBuf,
}

impl Supervisor {
    fn run<In, Out>(
        &self,
        mut command: Command,
        waiting: Receiver<In>,
        started: &Sender<Result<Arc<ProcessGroup>, LaunchError>>,
        mut listener: Listener<Out>,
    ) where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned,
    {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(source) => {
                let (name, program) = (self.name.clone(), self.program.clone());
                return answer(started, Err(LaunchError::Spawn { name, program, source }));
            }
        };
        let group = Arc::new(ProcessGroup::of(&child));
        let (stdout, stderr) = match self.attend(&mut child, waiting) {
            Ok(attended) => attended,
            Err(error) => {
                group.kill();
                if let Err(error) = group.reap(&mut child, EXIT_GRACE) {
                    tracing::error!(worker = %self.name, %error, "worker was not reaped");
                }
                return answer(started, Err(error));
            }
        };
        answer(started, Ok(Arc::clone(&group)));

        let mut memory = PeakMemory::of(group.pid());
        let end = hear(stdout, &group, &mut listener, &mut memory);
        let status = group.reap(&mut child, EXIT_GRACE);
        let exit = status.map_or_else(
            |error| Exit::Protocol(format!("the end of the process could not be observed: {error}")),
            |status| judge(status, end),
        );
        let stderr_tail = stderr.finish();
        listener.exited(ExitReport {
            stderr_tail,
            peak_memory_bytes: memory.peak_bytes,
            ..ExitReport::bare(exit)
        });
    }

    /// Starts the threads that write to the child and drain its standard error.
    fn attend<In: Serialize + Send + 'static>(
        &self,
        child: &mut Child,
        waiting: Receiver<In>,
    ) -> Result<(ChildStdout, StderrDrain), LaunchError> {
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes(child) else {
            return Err(LaunchError::Lost { name: self.name.clone() });
        };
        let refused = |source| LaunchError::Thread { name: self.name.clone(), source };
        let drain = StderrDrain::start(&self.name, stderr).map_err(refused)?;
        thread::Builder::new()
            .name(format!("stdin {}", self.name))
            .spawn(move || write_all(stdin, &waiting))
            .map_err(refused)?;
        Ok((stdout, drain))
    }
}

fn pipes(child: &mut Child) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
    (child.stdin.take(), child.stdout.take(), child.stderr.take())
}

/// Answers [`Launcher::launch`], which waits for nothing else and never goes away before.
fn answer(
    started: &Sender<Result<Arc<ProcessGroup>, LaunchError>>,
    result: Result<Arc<ProcessGroup>, LaunchError>,
) {
    if let Err(unheard) = started.send(result)
        && let Ok(group) = unheard.into_inner()
    {
        group.kill();
    }
}

/// Writes what waits to the child, until the handle is dropped or the child has closed its end.
fn write_all<In: Serialize>(mut stdin: ChildStdin, waiting: &Receiver<In>) {
    for message in waiting {
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
}

/// Passes the worker's messages on until its end of the protocol is closed.
fn hear<Out: DeserializeOwned>(
    stdout: impl Read,
    group: &ProcessGroup,
    listener: &mut Listener<Out>,
    memory: &mut PeakMemory,
) -> End {
    let mut stdout = BufReader::new(stdout);
    loop {
        match frame::read(&mut stdout) {
            Ok(Some(message)) => {
                memory.look();
                if !listener.hears(message) {
                    group.kill();
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

fn judge(status: ExitStatus, end: End) -> Exit {
    match (status.code(), status.signal(), end) {
        (_, _, End::Nonsense(text)) | (Some(0), _, End::Broken(text)) => Exit::Protocol(text),
        (Some(code), _, _) => Exit::Code(code),
        (None, Some(signal), _) => Exit::Signal(signal),
        (None, None, _) => Exit::Protocol(format!("the process ended in an unknown way: {status}")),
    }
}

/// The largest resident memory seen. A process takes its own record with it, so it is looked at while it lives.
struct PeakMemory {
    pid: u32,
    peak_bytes: Option<u64>,
    next: Option<Instant>,
}

impl PeakMemory {
    fn of(pid: u32) -> Self {
        Self { pid, peak_bytes: None, next: None }
    }

    fn look(&mut self) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now >= next) {
            self.peak_bytes = self.peak_bytes.max(peak_memory_bytes(self.pid));
            self.next = Some(now + MEMORY_PERIOD);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::inventory::{DeviceId, DeviceKind, Token};

    #[test]
    fn a_worker_is_held_to_its_grant_by_its_environment() {
        let place = Place {
            device: DeviceId::new(DeviceKind::Cpu, 1),
            kind: DeviceKind::Cpu,
            index: 1,
            token: None,
            cores: vec![2, 3],
            threads: 2,
        };
        let command = ProcessLauncher::program("engine").command(&place, &[]);
        let environment: BTreeMap<String, String> = command
            .get_envs()
            .map(|(key, value)| (key.to_string_lossy().into(), value.unwrap().to_string_lossy().into()))
            .collect();
        for variable in THREAD_VARIABLES {
            assert_eq!(environment[variable], "2");
        }
        assert_eq!(environment[CORES_VARIABLE], "2,3");
        assert!(!environment.contains_key("CUDA_VISIBLE_DEVICES"));

        let gpu = Place { kind: DeviceKind::Cuda, token: Some(Token::nvidia("GPU-8932f937")), ..place };
        let command = ProcessLauncher::program("engine").command(&gpu, &[]);
        let told = command.get_envs().find(|(key, _)| *key == "CUDA_VISIBLE_DEVICES").unwrap().1;
        assert_eq!(told.unwrap(), "GPU-8932f937");
    }

    #[test]
    fn a_torn_last_frame_of_a_killed_worker_is_a_kill() {
        let torn = || End::Broken("torn".into());
        assert_eq!(judge(ExitStatus::from_raw(9), torn()), Exit::Signal(9));
        assert_eq!(judge(ExitStatus::from_raw(101 << 8), torn()), Exit::Code(101));
        assert_eq!(judge(ExitStatus::from_raw(0), torn()), Exit::Protocol("torn".into()));
        assert_eq!(judge(ExitStatus::from_raw(9), End::Nonsense("crc".into())), Exit::Protocol("crc".into()));
        assert_eq!(judge(ExitStatus::from_raw(0), End::Clean), Exit::Code(0));
    }
}

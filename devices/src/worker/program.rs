//! Programs of somebody else as children of this process: held to a place as workers are, in a process group that does not outlive
//! whoever started it.
//!
//! A worker asks the kernel to be killed with its parent. A program that knows nothing of that can not, so a guard leads its group: a
//! shell that reads a pipe whose other end this process alone holds, and kills the group when it is closed. The kernel closes it however
//! this process ends. Only what leaves the group of its own accord, by a session of its own, is out of reach.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::ExitReport;
use super::attach::pin_thread;
use super::environment;
use super::memory::OomKills;
use super::reap::ProcessGroup;
use super::stderr::StderrDrain;
use super::supervise::exit_of;
use crate::lease::Place;

/// The guard: deaf to what a terminal or a batch system sends to all processes of a job, gone with its group.
///
/// # Sources
/// POSIX.1-2024, Shell Command Language: `trap`, `read`; `kill` with process 0, which is the group of the shell.
const GUARD: &str = "trap '' HUP INT QUIT TERM USR1 USR2; read -r _; kill -s KILL 0";
const SHELL: &str = "/bin/sh";

/// How long a killed guard may take to be gone.
const GUARD_GRACE: Duration = Duration::from_secs(10);

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The shell that ends what is left of it.
    #[error("the guard of the program could not be started, {SHELL} is needed for it")]
    Guard(#[source] io::Error),
    /// The program itself.
    #[error("the program could not be started")]
    Program(#[source] io::Error),
    /// A thread that looks after it.
    #[error("a thread that looks after the program could not be started")]
    Thread(#[source] io::Error),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEnd {
    /// The way it ended, and the last lines of its standard error.
    pub report: ExitReport,
    /// Lines of its standard error that nobody has taken yet, oldest first.
    pub printed: Vec<String>,
}

/// A program under way. Dropped, it is killed with all of its group.
pub struct Program {
    child: Child,
    guard: Child,
    group: ProcessGroup,
    /// Until its end.
    stderr: Option<StderrDrain>,
    kills: OomKills,
}

impl Program {
    /// A command that is held to a place: its threads, its GPU or none, and nothing in its environment that is meant for others.
    /// What the caller sets besides goes before.
    #[must_use]
    pub fn command(program: &Path, place: &Place) -> Command {
        let mut command = Command::new(program);
        environment::set_up_program(&mut command, place);
        command
    }

    /// Starts a command of [`Program::command`], pinned to the cores of its place. `name` is for people. All of its standard error goes
    /// into `stderr_log`; its standard output is the caller's to read, and it waits if nobody does.
    ///
    /// # Errors
    /// [`ProgramError`]; then nothing of it runs.
    pub fn start(
        name: &str,
        mut command: Command,
        place: &Place,
        stderr_log: File,
    ) -> Result<(Self, ChildStdout), ProgramError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let kills = OomKills::now();
        // The mask is a thread's, and handed on to what it starts.
        let pinned = thread::Builder::new().name(format!("start {name}"));
        let (mut child, guard) = thread::scope(|scope| {
            let started = pinned.spawn_scoped(scope, || {
                pin_thread(&place.cores);
                spawn(&mut command)
            });
            let lost = |_| ProgramError::Thread(io::Error::other("it panicked"));
            started.map_err(ProgramError::Thread)?.join().map_err(lost)?
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let group = ProcessGroup::of(&guard);
        let mut program = Self { child, guard, group, stderr: None, kills };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(ProgramError::Program(io::Error::other("it has no pipes")));
        };
        let tee = Tee { from: stderr, into: Some(stderr_log) };
        let drain = StderrDrain::start(name, program.child.id(), tee).map_err(ProgramError::Thread)?;
        program.stderr = Some(drain);
        Ok((program, stdout))
    }

    /// Process id of the program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whole lines of standard error that nobody has taken yet, oldest first.
    pub fn take_printed(&self) -> Vec<String> {
        self.stderr.as_ref().map_or_else(Vec::new, StderrDrain::take)
    }

    /// Whether the program has ended. Processes that it started may live on until [`Program::end`].
    ///
    /// # Errors
    /// What the system says if it does not tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Asks the program to end (SIGTERM). What it started is its own to ask.
    ///
    /// # Errors
    /// What the system says if it can not be asked.
    pub fn terminate(&mut self) -> io::Result<()> {
        // Unreaped, its id is its own.
        if !self.has_ended()? {
            kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        }
        Ok(())
    }

    /// Ends the program and all of its group now (SIGKILL). Twice is once.
    pub fn kill(&self) {
        self.group.kill();
    }

    /// Waits for the program's end, ends what is left of its group, and tells how it ended. Lines of standard error that come more than
    /// a second later are dropped: only what has left the group can print them.
    ///
    /// # Errors
    /// What the system says if it does not tell of the end.
    pub fn end(mut self) -> io::Result<ProgramEnd> {
        let status = self.child.wait()?;
        let exit = exit_of(status, self.group.was_killed(), || self.kills.rose());
        self.end_group()?;
        let printed = self.stderr.take().map(StderrDrain::finish).unwrap_or_default();
        let report = ExitReport { stderr_tail: printed.tail, ..ExitReport::bare(exit) };
        Ok(ProgramEnd { report, printed: printed.lines })
    }

    fn end_group(&mut self) -> io::Result<()> {
        self.group.kill();
        self.group.reap(&mut self.guard, GUARD_GRACE).map(drop)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A group that is gone is not signalled again.
        self.group.kill();
        let ended = self.child.wait().and_then(|_| self.guard.wait());
        if let Err(error) = ended {
            tracing::error!(pid = self.pid(), %error, "a program's end was not waited for");
        }
    }
}

/// Starts the guard, and the program in its group.
fn spawn(command: &mut Command) -> Result<(Child, Child), ProgramError> {
    let mut guard = Command::new(SHELL)
        .args(["-c", GUARD])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(ProgramError::Guard)?;
    let group = Pid::from_child(&guard).as_raw_nonzero().get();
    match command.process_group(group).spawn() {
        Ok(child) => Ok((child, guard)),
        Err(error) => {
            // It waits for this process' end of the pipe, which goes with it.
            guard.kill().and_then(|()| guard.wait()).map_err(ProgramError::Guard)?;
            Err(ProgramError::Program(error))
        }
    }
}

/// Hands on what is read, and writes it down.
struct Tee<R> {
    from: R,
    /// Until the disk refuses.
    into: Option<File>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(file) = &mut self.into
            && let Err(error) = file.write_all(&buffer[..count])
        {
            tracing::warn!(%error, "what a program prints is no longer written down");
            self.into = None;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::Exit;
    use super::*;
    use crate::inventory::{DeviceId, DeviceKind};

    fn place() -> Place {
        Place {
            device: DeviceId::new(DeviceKind::Cpu, 0),
            kind: DeviceKind::Cpu,
            index: 0,
            token: None,
            cores: vec![0],
            threads: 1,
            lock: None,
        }
    }

    struct Case {
        folder: tempfile::TempDir,
        program: Program,
        stdout: ChildStdout,
    }

    fn start(script: &str) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("stderr.log")).unwrap();
        let mut command = Program::command(Path::new(SHELL), &place());
        command.args(["-c", script]);
        let (program, stdout) = Program::start("test", command, &place(), log).unwrap();
        Case { folder, program, stdout }
    }

    fn line(from: &mut impl Read) -> String {
        let mut text = String::new();
        let mut byte = [0];
        while from.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            text.push(char::from(byte[0]));
        }
        text
    }

    fn is_gone(pid: &str) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    }

    #[track_caller]
    fn assert_gone(pid: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_gone(pid) {
            assert!(Instant::now() < deadline, "process {pid} is still there");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_tells_by_its_exit_code_and_its_last_lines() {
        let Case { folder, program, mut stdout } =
            start("echo $OMP_NUM_THREADS$ENGINE_WORKER; echo one >&2; echo two >&2; exit 3");
        assert_eq!(line(&mut stdout), "1");
        let end = program.end().unwrap();
        assert_eq!((end.report.exit, end.report.stderr_tail.join(" ")), (Exit::Code(3), "one two".into()));
        assert_eq!(std::fs::read_to_string(folder.path().join("stderr.log")).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_signal_is_told_apart_from_an_exit_code() {
        let end = start("kill -s SEGV $$").program.end().unwrap();
        assert_eq!(end.report.exit, Exit::Signal(11));
        let Case { mut program, mut stdout, .. } = start("echo here; exec sleep 1000");
        line(&mut stdout);
        program.terminate().unwrap();
        assert_eq!(program.end().unwrap().report.exit, Exit::Signal(15));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_program_leaves_behind_ends_with_it() {
        let Case { program, mut stdout, .. } = start("sleep 1000 & echo $!");
        let child = line(&mut stdout);
        assert!(!is_gone(&child));
        assert_eq!(program.end().unwrap().report.exit, Exit::Code(0));
        assert_gone(&child);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_that_is_killed_or_dropped_takes_its_children_along() {
        for is_dropped in [false, true] {
            let script = "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1000; done";
            let Case { mut program, mut stdout, .. } = start(script);
            let (child, own) = (line(&mut stdout), program.pid().to_string());
            program.terminate().unwrap();
            assert!(!program.has_ended().unwrap());
            if is_dropped {
                drop(program);
            } else {
                program.kill();
                assert_eq!(program.end().unwrap().report.exit, Exit::Signal(9));
            }
            assert_gone(&child);
            assert_gone(&own);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_guard_ends_the_group_when_its_pipe_is_closed() {
        let Case { mut program, mut stdout, .. } = start("sleep 1000 & echo $!; sleep 1000");
        let (child, own) = (line(&mut stdout), program.pid().to_string());
        // As the kernel does when this process ends.
        drop(program.guard.stdin.take());
        assert_gone(&child);
        assert_gone(&own);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_is_pinned_to_its_cores_and_this_process_is_not() {
        let before = rustix::thread::sched_getaffinity(None).unwrap();
        let Case { program, mut stdout, .. } = start("grep Cpus_allowed_list /proc/self/status");
        assert!(line(&mut stdout).ends_with("\t0"));
        program.end().unwrap();
        assert!(rustix::thread::sched_getaffinity(None).unwrap() == before);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_and_leaves_no_guard() {
        let log = tempfile::tempfile().unwrap();
        let command = Program::command(Path::new("/nowhere/at-all"), &place());
        let Err(error) = Program::start("test", command, &place(), log) else { unreachable!() };
        assert!(matches!(error, ProgramError::Program(source) if source.kind() == io::ErrorKind::NotFound));
    }
}

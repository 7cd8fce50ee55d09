//! The engine's program, run as a user runs it: in a folder of its own, its output read while it runs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::probe::Job;

/// Whatever is waited for has happened by then, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at something that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Environment variable that marks every process of a [`Workplace`].
const MARK: &str = "TEST_WORKPLACE";

/// The program, built into the folder above that of the running test.
///
/// # Panics
/// Where it was not built.
pub fn engine_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("engine");
    assert!(
        path.is_file(),
        "the program to test is not there; build it with `cargo build --package engine-cli`: {}",
        path.display()
    );
    path
}

/// An example of the library, built beside the program.
///
/// # Panics
/// Where it was not built.
pub fn example_binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(
        path.is_file(),
        "the example is not there; build it with `cargo build --package engine --examples`: {}",
        path.display()
    );
    path
}

/// A folder to run the program in.
pub struct Workplace {
    dir: tempfile::TempDir,
}

impl Workplace {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// One with a training data folder `data`: 24 samples of 32 x 32 pixels in three regions, the smallest that
    /// all fold methods can divide.
    pub fn with_data() -> Self {
        let place = Self::new();
        let made =
            place.run(&["data", "synth", "data", "--samples", "24", "--patch-size", "32", "--regions", "3"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        place
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file below the folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The program with these arguments, with the folder as its working directory and none of this process's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&engine_binary());
        command.args(arguments);
        command
    }

    /// Starts the program `probe`, built for the test at this path, on a job.
    pub fn probe(&self, program: &str, job: &Job) -> Running {
        Running::start(self.probe_command(program, job))
    }

    /// What [`Workplace::probe`] starts, to be changed before [`Workplace::start_command`].
    pub fn probe_command(&self, program: &str, job: &Job) -> Command {
        self.write("job.json", &serde_json::to_string(job).unwrap());
        let mut command = self.program(Path::new(program));
        command.arg(self.path("job.json"));
        command
    }

    /// Starts a command.
    pub fn start_command(&self, command: Command) -> Running {
        Running::start(command)
    }

    /// Waits until something is so that tells nobody when it changes.
    ///
    /// # Panics
    /// If it does not come to be so.
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// A program as part of this workplace.
    pub fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENGINE_"))
        {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path()).env(MARK, self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.command(arguments)).end()
    }

    /// Starts the program.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Every file and folder below, with size and time of the last change.
    pub fn files(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        files(self.dir.path())
    }

    /// Every file and folder below any folder, with size and time of the last change.
    pub fn files_below(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        files(folder)
    }

    /// Processes that run in this workplace: ids and parents.
    #[cfg(target_os = "linux")]
    pub fn processes(&self) -> Vec<(i32, i32)> {
        let mark = format!("{MARK}={}", self.dir.path().display());
        let ids = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter_map(|id: i32| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
            environment.split(|byte| *byte == 0).find(|variable| *variable == mark.as_bytes())?;
            // `id (name) state parent …`; a process that ended and was not asked for its status is no process any more.
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let state = fields.next()?;
            let parent = fields.next()?.parse().ok()?;
            (state != "Z").then_some((id, parent))
        })
        .collect()
    }

    /// Waits until at least so many of its processes run, and gives them. A program shows a moment after its start, when
    /// it has its own memory.
    ///
    /// # Panics
    /// If they do not come.
    #[cfg(target_os = "linux")]
    pub fn wait_for_processes(&self, at_least: usize) -> Vec<(i32, i32)> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let processes = self.processes();
            if processes.len() >= at_least {
                return processes;
            }
            assert!(Instant::now() < deadline, "{at_least} processes were awaited, there are {processes:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until none of its processes is left.
    ///
    /// # Panics
    /// If one stays.
    #[cfg(target_os = "linux")]
    pub fn assert_left_by_all(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() {
            assert!(Instant::now() < deadline, "processes were left behind: {:?}", self.processes());
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        found.insert(entry.path(), (about.len(), about.modified().unwrap()));
        if about.is_dir() {
            found.extend(files(&entry.path()));
        }
    }
    found
}

/// What the program left when it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// The lines of standard output as JSON objects.
    ///
    /// # Panics
    /// Where a line is none.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| match serde_json::from_str::<Value>(line) {
            Ok(value) if value.is_object() => value,
            other => unreadable(line, &other),
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The outcome in the last line of `--json`.
    pub fn outcome(&self) -> Value {
        let last = self.json().pop().unwrap();
        assert_eq!(last["event"], "result", "the last line is the result");
        last["outcome"].clone()
    }
}

#[expect(clippy::panic, reason = "the test's failure")]
fn unreadable(line: &str, read: &dyn std::fmt::Debug) -> ! {
    panic!("not a JSON object ({read:?}): {line}")
}

/// The program while it runs. Dropped, it is killed.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: String,
    errors: Receiver<String>,
    stderr: String,
    readers: Vec<JoinHandle<()>>,
}

/// Reads lines into a queue until the pipe is closed.
fn read_lines(pipe: impl Read + Send + 'static) -> (Receiver<String>, JoinHandle<()>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "all that a program prints is kept, and it never waits for a test"
    )]
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        // A receiver that is gone wants no more lines, the pipe must be emptied all the same.
        BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    (lines, reader)
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, out) = read_lines(child.stdout.take().unwrap());
        let (errors, err) = read_lines(child.stderr.take().unwrap());
        let readers = vec![out, err];
        Self { child, lines, stdout: String::new(), errors, stderr: String::new(), readers }
    }

    /// The process.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits for an event of `--json` and returns it.
    ///
    /// # Panics
    /// If the program ends before, or nothing of the kind comes in time.
    pub fn until_event(&mut self, event: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    note(&mut self.stdout, &line);
                    let value: Value = serde_json::from_str(&line).unwrap();
                    if value["event"] == event {
                        return value;
                    }
                }
                Err(why) => self.gave_up(event, why),
            }
        }
    }

    /// Waits for a line on standard output that holds this text.
    ///
    /// # Panics
    /// If the program ends before, or nothing of the kind comes in time.
    pub fn until_line(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    note(&mut self.stdout, &line);
                    if line.contains(text) {
                        return;
                    }
                }
                Err(why) => self.gave_up(text, why),
            }
        }
    }

    /// Waits for a line on standard error that holds this text.
    ///
    /// # Panics
    /// If the program ends before, or nothing of the kind comes in time.
    pub fn until_stderr(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.errors.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    note(&mut self.stderr, &line);
                    if line.contains(text) {
                        return;
                    }
                }
                Err(why) => self.gave_up(text, why),
            }
        }
    }

    /// The next line on standard output; `None` if none comes until then, or ever.
    pub fn line_until(&mut self, deadline: Instant) -> Option<String> {
        let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        note(&mut self.stdout, &line);
        Some(line)
    }

    #[expect(clippy::panic, reason = "the test's failure")]
    fn gave_up(&mut self, awaited: &str, why: RecvTimeoutError) -> ! {
        drop(self.child.kill());
        self.gather();
        panic!("no `{awaited}` ({why}) after:\n{}and on standard error:\n{}", self.stdout, self.stderr)
    }

    /// Takes what was printed since.
    fn gather(&mut self) {
        self.lines.try_iter().for_each(|line| note(&mut self.stdout, &line));
        self.errors.try_iter().for_each(|line| note(&mut self.stderr, &line));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        kill(self.id(), signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn end(mut self) -> Ended {
        let status = self.wait();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.gather();
        let (stdout, stderr) = (std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr));
        Ended { code: status.code(), stdout, stderr }
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the program did not end; so far it said:\n{}", self.stdout);
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn note(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail for a program that has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process.
pub fn kill(id: i32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

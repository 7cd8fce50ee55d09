//! Process workers against real processes: this binary is watcher, worker and, once, the parent that is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's own main"
)]

mod support;

use std::cell::RefCell;
#[cfg(target_os = "linux")]
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};
use engine_devices::{
    Accelerator, AfterWork, AttachError, Exit, ExitReport, Grant, Launch, LaunchError, Launcher, Place,
    ProcessLauncher, SendError, WarmLauncher, Worker, WorkerEvent, WorkerPort, attach_process, frame,
    is_worker_process, select,
};
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
#[cfg(target_os = "linux")]
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde::{Deserialize, Serialize};

/// Beyond this a test hangs and fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names the socket through which a parent that is to be killed gets a worker.
const PARENT_ROLE: &str = "ENGINE_TEST_PARENT_SOCKET";
const FLOOD_BYTES: usize = 100 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Order {
    Echo(String),
    /// Prints this on standard output, as it is.
    Print(String),
    #[cfg(target_os = "linux")]
    Describe,
    AttachAgain,
    Panic(String),
    FloodStderr,
    PrintToStdout,
    ReadStdin,
    /// Connects to the socket and holds the connection for as long as the process lives.
    Hold(PathBuf),
    /// Connects to the socket, and lets a child of its own hold the connection too.
    HoldWithChild(PathBuf),
    /// Closes nothing and reads nothing any more.
    Deaf,
    Return,
    /// Is done, and would do more.
    Finish,
    /// Takes so much memory and keeps it.
    Keep(usize),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Said {
    Echo(String),
    #[cfg(target_os = "linux")]
    Described {
        environment: BTreeMap<String, String>,
        cores: Vec<usize>,
        group: i32,
        dies_with_parent: bool,
    },
    AttachedTwice(bool),
    Done,
    Read(Vec<u8>),
    Holding {
        child: u32,
    },
}

/// What a worker writes, as far as these tests read it themselves.
#[derive(Debug, PartialEq, Deserialize)]
enum Frame {
    Said(Said),
}

fn main() -> ExitCode {
    if is_worker_process() {
        return work(attach_process().unwrap());
    }
    if let Some(socket) = std::env::var_os(PARENT_ROLE) {
        return be_a_parent(Path::new(&socket));
    }
    support::run(&[TESTS], 1)
}

// ---- the worker's side ----

fn work(mut port: WorkerPort<Order, Said>) -> ExitCode {
    while let Some(order) = port.recv() {
        let answer = match order {
            Order::Echo(text) => Said::Echo(text),
            Order::Print(text) => {
                print!("{text}");
                std::io::stdout().flush().unwrap();
                Said::Done
            }
            #[cfg(target_os = "linux")]
            Order::Describe => describe(),
            Order::AttachAgain => {
                Said::AttachedTwice(matches!(attach_process::<Order, Said>(), Err(AttachError::Twice)))
            }
            Order::Panic(message) => panic!("{message}"),
            Order::FloodStderr => flood_stderr(),
            Order::PrintToStdout => print_to_stdout(),
            Order::ReadStdin => {
                let mut bytes = Vec::new();
                std::io::stdin().read_to_end(&mut bytes).unwrap();
                Said::Read(bytes)
            }
            Order::Hold(socket) => {
                std::mem::forget(UnixStream::connect(socket).unwrap());
                Said::Done
            }
            Order::HoldWithChild(socket) => hold_with_child(&socket),
            Order::Deaf => {
                port.send(Said::Done).unwrap();
                loop {
                    std::thread::park();
                }
            }
            Order::Return => return ExitCode::from(7),
            Order::Finish => match port.work_is_over(AfterWork::Rests) {
                AfterWork::Rests => continue,
                AfterWork::Leaves => return ExitCode::SUCCESS,
            },
            Order::Keep(bytes) => {
                std::mem::forget(std::hint::black_box(vec![1_u8; bytes]));
                Said::Done
            }
        };
        port.send(answer).unwrap();
    }
    ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
fn describe() -> Said {
    let mask = rustix::thread::sched_getaffinity(None).unwrap();
    Said::Described {
        environment: std::env::vars().collect(),
        cores: (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect(),
        group: rustix::process::getpgrp().as_raw_nonzero().get(),
        dies_with_parent: rustix::process::parent_process_death_signal().unwrap() == Some(Signal::KILL),
    }
}

fn flood_stderr() -> Said {
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    let mut stderr = std::io::stderr().lock();
    for _ in 0..FLOOD_BYTES / line.len() {
        stderr.write_all(&line).unwrap();
    }
    stderr.write_all(b"the last line\n").unwrap();
    Said::Done
}

fn print_to_stdout() -> Said {
    println!("a library prints");
    // A child prints too, on what it inherits.
    assert!(Command::new("echo").arg("so does its child").status().unwrap().success());
    Said::Done
}

fn hold_with_child(socket: &Path) -> Said {
    let line = UnixStream::connect(socket).unwrap();
    let stdin = Stdio::from(std::os::fd::OwnedFd::from(line.try_clone().unwrap()));
    let child = Command::new("sleep").arg("1000").stdin(stdin).spawn().unwrap().id();
    // Held until this process is gone.
    std::mem::forget(line);
    Said::Holding { child }
}

// ---- the watcher's side ----

/// One worker with what it said, in order.
struct Watched {
    worker: Option<Box<dyn Worker<Order>>>,
    events: Receiver<WorkerEvent<Said>>,
    printed: RefCell<Vec<String>>,
}

/// One core that this process may use.
fn grant() -> Grant {
    let devices = select(Accelerator::Cpu, &["auto".to_owned()]).unwrap();
    Place { cores: vec![devices[0].cores[0]], threads: 1, ..devices[0].place() }.into()
}

fn to_launch<'a>(name: &'a str, grant: &'a Grant) -> Launch<'a> {
    Launch { name, family: None, grant }
}

impl Watched {
    fn launch() -> Self {
        Self::launched(&ProcessLauncher::current_exe().unwrap(), &to_launch("tested", &grant()))
    }

    fn launched(launcher: &impl Launcher<Order, Said>, launch: &Launch<'_>) -> Self {
        let (tell, events) = bounded(1024);
        let sink = Box::new(move |event| tell.send(event).is_ok());
        Self { worker: Some(launcher.launch(launch, sink).unwrap()), events, printed: RefCell::default() }
    }

    /// Does a run that leaves nothing behind, and rests.
    fn rest(&self) {
        assert_eq!(self.ask(Order::Echo("work".into())), Said::Echo("work".into()));
        self.order(Order::Finish);
        let report = self.end();
        assert_eq!(report.exit, Exit::Rested);
        assert!(report.peak_memory_bytes.is_some());
    }

    fn worker(&self) -> &dyn Worker<Order> {
        self.worker.as_deref().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.worker().pid().unwrap()).unwrap()).unwrap()
    }

    fn order(&self, order: Order) {
        self.worker().send(order).unwrap();
    }

    fn ask(&self, order: Order) -> Said {
        self.order(order);
        match self.next() {
            WorkerEvent::Exited(report) => panic!("exited: {report:?}"),
            WorkerEvent::Message(said) => said,
            WorkerEvent::Printed(_) => unreachable!(),
        }
    }

    /// The next word; what is printed before it is put aside.
    fn next(&self) -> WorkerEvent<Said> {
        loop {
            match self.events.recv_timeout(PATIENCE).unwrap() {
                WorkerEvent::Printed(lines) => self.printed.borrow_mut().extend(lines),
                word => return word,
            }
        }
    }

    /// The report, which must be the last of all and come once: after it the sink is dropped.
    fn end(&self) -> ExitReport {
        let report = match self.next() {
            WorkerEvent::Exited(report) => report,
            other => panic!("{other:?} instead of exiting"),
        };
        assert!(self.events.recv_timeout(PATIENCE).is_err_and(|error| error.is_disconnected()));
        report
    }
}

fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
}

/// Waits until every holder of the other end is dead: the kernel closes it with the last of them.
fn wait_for_the_last_holder(line: &mut UnixStream) {
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(line.read(&mut [0]).unwrap(), 0);
}

fn echo() {
    let watched = Watched::launch();
    for n in 0..100 {
        let text = format!("word {n}");
        assert_eq!(watched.ask(Order::Echo(text.clone())), Said::Echo(text));
    }
    let big = "ä".repeat(4 << 20);
    assert_eq!(watched.ask(Order::Echo(big.clone())), Said::Echo(big));
    watched.order(Order::Return);
    let report = watched.end();
    assert_eq!(report.exit, Exit::Code(7));
    assert!(report.stderr_tail.is_empty(), "{report:?}");
    if cfg!(target_os = "linux") {
        assert!(report.peak_memory_bytes.unwrap() > 100 << 10, "{report:?}");
    }
    assert_eq!(watched.worker().send(Order::Return), Err(SendError::Gone));
}

#[cfg(target_os = "linux")]
fn a_worker_is_held_to_its_grant() {
    let watched = Watched::launch();
    let pid = watched.pid();
    let Said::Described { environment, cores, group, dies_with_parent } = watched.ask(Order::Describe) else {
        panic!()
    };
    assert_eq!(cores, grant().places[0].cores, "pinned to the granted core");
    assert_eq!(group, pid.as_raw_nonzero().get(), "leads a process group of its own");
    assert!(dies_with_parent);
    for variable in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        assert_eq!(environment[variable], "1");
    }
    assert_eq!(watched.ask(Order::AttachAgain), Said::AttachedTwice(true));
}

fn a_kill_from_outside_is_reported_as_its_signal() {
    let watched = Watched::launch();
    assert_eq!(watched.ask(Order::Echo("alive".into())), Said::Echo("alive".into()));
    kill_process(watched.pid(), Signal::KILL).unwrap();
    assert_eq!(watched.end().exit, Exit::Signal(9));
    assert!(is_gone(watched.pid()), "no zombie is left");
}

fn a_stopped_worker_is_killed_all_the_same() {
    let watched = Watched::launch();
    assert_eq!(watched.ask(Order::Echo("alive".into())), Said::Echo("alive".into()));
    kill_process(watched.pid(), Signal::STOP).unwrap();
    watched.worker().kill();
    assert_eq!(watched.end().exit, Exit::Signal(9));
    assert!(is_gone(watched.pid()));
}

fn the_peak_of_a_worker_that_leaves_is_told_by_itself() {
    let watched = Watched::launch();
    assert_eq!(watched.ask(Order::Echo("looked at".into())), Said::Echo("looked at".into()));
    // Within a second of the last look from outside, which is too early for another.
    assert_eq!(watched.ask(Order::Keep(200 << 20)), Said::Done);
    watched.order(Order::Finish);
    let report = watched.end();
    assert_eq!(report.exit, Exit::Code(0), "launched to do one thing, it does not rest");
    if cfg!(target_os = "linux") {
        assert!(report.peak_memory_bytes.unwrap() > 200 << 20, "{report:?}");
    }
}

// ---- workers that rest ----

fn warm() -> WarmLauncher<Order, Said> {
    WarmLauncher::new(ProcessLauncher::current_exe().unwrap())
}

fn of_family<'a>(family: &'a str, grant: &'a Grant) -> Launch<'a> {
    Launch { name: "warm", family: Some(family), grant }
}

/// Waits until the process has ended, every thread of it, and leaves it to be reaped by whom it belongs to.
#[cfg(target_os = "linux")]
fn wait_until_dead(pid: Pid) {
    match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        Ok(_) | Err(Errno::CHILD) => {}
        Err(error) => panic!("{error}"),
    }
}

#[cfg(target_os = "linux")]
fn wait_until_gone(pid: Pid) {
    let deadline = Instant::now() + PATIENCE;
    while !is_gone(pid) {
        assert!(Instant::now() < deadline, "{pid:?} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
fn a_worker_that_rests_does_the_next_run_of_its_family() {
    let (launcher, grant) = (warm(), grant());
    let first = Watched::launched(&launcher, &of_family("cv", &grant));
    let pid = first.pid();
    first.rest();
    assert_eq!(first.worker().send(Order::Return), Err(SendError::Gone));
    let mut second = Watched::launched(&launcher, &of_family("cv", &grant));
    assert_eq!(second.pid(), pid);
    // WARM-4: neither handle of the run that is over reaches this one.
    first.worker().kill();
    drop(first);
    second.rest();
    let third = Watched::launched(&launcher, &of_family("cv", &grant));
    assert_eq!(third.pid(), pid);
    drop(second.worker.take());
    third.order(Order::Panic("at last".into()));
    let report = third.end();
    assert_eq!(report.exit, Exit::Code(101));
    assert!(report.stderr_tail.iter().any(|line| line.contains("at last")), "{report:?}");
    let fourth = Watched::launched(&launcher, &of_family("cv", &grant));
    assert_ne!(fourth.pid(), pid, "a worker that failed does not rest");
    fourth.worker().kill();
    assert_eq!(fourth.end().exit, Exit::Signal(9));
}

#[cfg(target_os = "linux")]
fn another_family_finds_the_device_empty() {
    let (launcher, grant) = (warm(), grant());
    for other in [Some("other"), None] {
        let first = Watched::launched(&launcher, &of_family("cv", &grant));
        let pid = first.pid();
        first.rest();
        let second = Watched::launched(&launcher, &Launch { name: "second", family: other, grant: &grant });
        assert!(is_gone(pid), "gone before the other is there");
        assert_ne!(second.pid(), pid);
    }
}

#[cfg(target_os = "linux")]
fn a_resting_worker_ends_with_its_launcher_and_after_its_time() {
    let grant = grant();
    let launcher = warm();
    let first = Watched::launched(&launcher, &of_family("cv", &grant));
    let pid = first.pid();
    first.rest();
    assert!(!is_gone(pid));
    drop(launcher);
    wait_until_gone(pid);

    let launcher =
        WarmLauncher::resting_for(ProcessLauncher::current_exe().unwrap(), Duration::from_millis(50));
    let first = Watched::launched(&launcher, &of_family("cv", &grant));
    first.rest();
    wait_until_gone(first.pid());
    let second = Watched::launched(&launcher, &of_family("cv", &grant));
    assert_eq!(second.ask(Order::Echo("anew".into())), Said::Echo("anew".into()));
}

#[cfg(target_os = "linux")]
fn a_resting_worker_that_is_killed_is_replaced() {
    let (launcher, grant) = (warm(), grant());
    let first = Watched::launched(&launcher, &of_family("cv", &grant));
    let pid = first.pid();
    first.rest();
    kill_process(pid, Signal::KILL).unwrap();
    wait_until_dead(pid);
    let second = Watched::launched(&launcher, &of_family("cv", &grant));
    assert_eq!(second.ask(Order::Echo("anew".into())), Said::Echo("anew".into()));
    assert_ne!(second.pid(), pid);
    wait_until_gone(pid);
}

#[cfg(target_os = "linux")]
fn a_worker_that_keeps_memory_does_not_rest_again() {
    let (launcher, grant) = (warm(), grant());
    let first = Watched::launched(&launcher, &of_family("cv", &grant));
    let pid = first.pid();
    first.rest();
    let second = Watched::launched(&launcher, &of_family("cv", &grant));
    assert_eq!(second.pid(), pid);
    assert_eq!(second.ask(Order::Keep(400 << 20)), Said::Done);
    second.order(Order::Finish);
    let report = second.end();
    assert_eq!(report.exit, Exit::Rested);
    assert!(report.peak_memory_bytes.unwrap() > 400 << 20);
    assert!(is_gone(pid), "its memory is back before its end is told");
}

#[cfg(target_os = "linux")]
fn a_worker_with_a_child_does_not_rest_and_takes_it_along() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("line")).unwrap();
    let (launcher, grant) = (warm(), grant());
    let watched = Watched::launched(&launcher, &of_family("cv", &grant));
    let Said::Holding { .. } = watched.ask(Order::HoldWithChild(dir.path().join("line"))) else { panic!() };
    let (mut line, _) = listener.accept().unwrap();
    watched.order(Order::Finish);
    assert_eq!(watched.end().exit, Exit::Rested);
    assert!(is_gone(watched.pid()));
    wait_for_the_last_holder(&mut line);
}

#[cfg(target_os = "linux")]
fn one_worker_at_the_most_rests_on_a_device() {
    let (launcher, grant) = (warm(), grant());
    let both = [(); 2].map(|()| Watched::launched(&launcher, &of_family("cv", &grant)));
    let pids = [both[0].pid(), both[1].pid()];
    assert_ne!(pids[0], pids[1], "both are at work");
    both[0].rest();
    both[1].rest();
    assert!(!is_gone(pids[0]) && is_gone(pids[1]));
}

fn a_panic_is_code_101_with_its_message_in_the_tail() {
    let watched = Watched::launch();
    watched.order(Order::Panic("the loss fell off a cliff".into()));
    let report = watched.end();
    assert_eq!(report.exit, Exit::Code(101));
    assert!(report.stderr_tail.iter().any(|line| line.contains("the loss fell off a cliff")), "{report:?}");
}

fn a_hundred_megabytes_on_stderr_neither_hang_nor_stay() {
    let watched = Watched::launch();
    let before = own_memory_bytes();
    assert_eq!(watched.ask(Order::FloodStderr), Said::Done);
    watched.order(Order::Return);
    let report = watched.end();
    let grown = own_memory_bytes().saturating_sub(before);
    assert_eq!(report.stderr_tail.len(), 40);
    assert_eq!(report.stderr_tail[39], "the last line");
    assert_eq!(report.stderr_tail[38], "x".repeat(500));
    assert!(grown < 20 << 20, "grown by {grown} bytes");
    // Of what nobody could take in time the end is there, and how much is not.
    let printed = watched.printed.borrow();
    assert_eq!(printed.last().unwrap(), "the last line");
    assert!(printed.iter().any(|line| line.starts_with("… ") && line.ends_with(" lines were not kept")));
}

fn what_a_worker_prints_is_heard_in_order_and_before_its_end() {
    let watched = Watched::launch();
    let mut expected = Vec::new();
    for n in 0..50 {
        assert_eq!(watched.ask(Order::Print(format!("line {n}\n"))), Said::Done);
        expected.push(format!("line {n}"));
    }
    assert_eq!(watched.ask(Order::Print("no end".into())), Said::Done);
    watched.order(Order::Return);
    let report = watched.end();
    expected.push("no end".into());
    assert_eq!(*watched.printed.borrow(), expected);
    assert_eq!(report.stderr_tail, expected[11..]);
}

#[cfg(target_os = "linux")]
fn what_one_run_of_a_worker_prints_never_reaches_the_next() {
    let (launcher, grant) = (warm(), grant());
    let mut pid = None;
    for n in 0..20 {
        let run = Watched::launched(&launcher, &of_family("cv", &grant));
        assert_eq!(*pid.get_or_insert(run.pid()), run.pid());
        assert_eq!(run.ask(Order::Print(format!("run {n}\nand its last words"))), Said::Done);
        run.order(Order::Finish);
        let report = run.end();
        assert_eq!(report.exit, Exit::Rested);
        let own = [format!("run {n}"), "and its last words".to_owned()];
        assert_eq!((run.printed.borrow().as_slice(), report.stderr_tail.as_slice()), (&own[..], &own[..]));
    }
}

/// Largest resident memory of this process; 0 where the system does not tell.
fn own_memory_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024)
}

fn prints_on_stdout_do_not_reach_the_protocol() {
    let watched = Watched::launch();
    assert_eq!(watched.ask(Order::PrintToStdout), Said::Done);
    assert_eq!(
        watched.ask(Order::ReadStdin),
        Said::Read(Vec::new()),
        "standard input is empty, not the commands"
    );
    assert_eq!(watched.ask(Order::Echo("whole".into())), Said::Echo("whole".into()));
    watched.order(Order::Return);
    let report = watched.end();
    assert_eq!(report.exit, Exit::Code(7));
    for line in ["a library prints", "so does its child"] {
        assert!(report.stderr_tail.iter().any(|kept| kept == line), "{report:?}");
    }
}

fn dropping_the_handle_kills_the_worker_and_its_child() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("line")).unwrap();
    let mut watched = Watched::launch();
    let pid = watched.pid();
    let Said::Holding { child } = watched.ask(Order::HoldWithChild(dir.path().join("line"))) else {
        panic!()
    };
    let child = Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
    assert!(!is_gone(pid) && !is_gone(child));
    let (mut line, _) = listener.accept().unwrap();

    drop(watched.worker.take());
    assert_eq!(watched.end().exit, Exit::Signal(9));
    assert!(is_gone(pid), "reaped");
    wait_for_the_last_holder(&mut line);
}

fn a_worker_that_dies_alone_takes_its_child_along() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("line")).unwrap();
    let watched = Watched::launch();
    let Said::Holding { .. } = watched.ask(Order::HoldWithChild(dir.path().join("line"))) else { panic!() };
    let (mut line, _) = listener.accept().unwrap();
    watched.order(Order::Return);
    assert_eq!(watched.end().exit, Exit::Code(7));
    wait_for_the_last_holder(&mut line);
}

fn a_worker_dies_with_a_parent_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("line");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .env(PARENT_ROLE, &socket)
        .process_group(0)
        .spawn()
        .unwrap();
    let (mut line, _) = listener.accept().unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for_the_last_holder(&mut line);
}

/// The part of the process that is killed: launches a worker that holds the line, and waits for its own end.
fn be_a_parent(socket: &Path) -> ExitCode {
    let watched = Watched::launch();
    watched.order(Order::Hold(socket.to_owned()));
    watched.order(Order::Deaf);
    loop {
        std::thread::park();
    }
}

fn a_worker_returns_when_its_input_ends() {
    let mut child = worker_by_hand().spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    frame::write(&mut stdin, &Order::Echo("by hand".into())).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    assert_eq!(frame::read(&mut stdout).unwrap(), Some(Frame::Said(Said::Echo("by hand".into()))));
    drop(stdin);
    assert_eq!(frame::read::<Frame>(&mut stdout).unwrap(), None);
    assert!(child.wait().unwrap().success());
}

fn an_orphan_that_does_not_listen_ends_itself() {
    let mut child = worker_by_hand().stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    frame::write(&mut stdin, &Order::Deaf).unwrap();
    assert_eq!(frame::read(child.stdout.as_mut().unwrap()).unwrap(), Some(Frame::Said(Said::Done)));
    drop(stdin);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[cfg(target_os = "linux")]
fn a_worker_whose_parent_is_gone_before_it_attaches_does_not_start() {
    let output = worker_by_hand().env("ENGINE_WORKER_PARENT", "1").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Orphaned"), "{output:?}");
}

fn worker_by_hand() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("ENGINE_WORKER", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn a_worker_that_does_not_read_never_blocks_its_watcher() {
    let watched = Watched::launch();
    assert_eq!(watched.ask(Order::Deaf), Said::Done);
    let big = "x".repeat(1 << 20);
    let full = (0..100).map(|_| watched.worker().send(Order::Echo(big.clone()))).find(Result::is_err);
    assert_eq!(full, Some(Err(SendError::Full)));
    watched.worker().kill();
    watched.worker().kill();
    assert_eq!(watched.end().exit, Exit::Signal(9));
}

fn a_watcher_that_turns_away_ends_its_worker() {
    let (tell, events) = bounded(4);
    let sink = Box::new(move |event: WorkerEvent<Said>| {
        tell.send(event).unwrap();
        false
    });
    let worker: Box<dyn Worker<Order>> =
        ProcessLauncher::current_exe().unwrap().launch(&to_launch("unheard", &grant()), sink).unwrap();
    worker.send(Order::Echo("one".into())).unwrap();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), WorkerEvent::Message(Said::Echo("one".into())));
    match events.recv_timeout(PATIENCE).unwrap() {
        WorkerEvent::Exited(report) => assert_eq!(report.exit, Exit::Signal(9)),
        other => panic!("{other:?}"),
    }
}

fn a_worker_that_breaks_the_protocol_is_killed() {
    let (tell, events) = bounded(4);
    let sink = Box::new(move |event: WorkerEvent<u64>| tell.send(event).is_ok());
    let worker: Box<dyn Worker<Order>> =
        ProcessLauncher::current_exe().unwrap().launch(&to_launch("confused", &grant()), sink).unwrap();
    worker.send(Order::Echo("not a number".into())).unwrap();
    match events.recv_timeout(PATIENCE).unwrap() {
        WorkerEvent::Exited(ExitReport { exit: Exit::Protocol(text), .. }) => {
            assert!(text.contains("no such message"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

fn a_program_that_is_not_there_is_a_launch_error() {
    let launcher = ProcessLauncher::program("/nowhere/engine");
    let sink = Box::new(|event: WorkerEvent<Said>| panic!("the sink is never called, not with {event:?}"));
    let launched: Result<Box<dyn Worker<Order>>, _> = launcher.launch(&to_launch("lost", &grant()), sink);
    match launched.err().unwrap() {
        error @ LaunchError::Spawn { .. } => {
            assert!(error.to_string().ends_with("/nowhere/engine"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

fn a_process_that_is_no_worker_can_not_attach() {
    assert!(matches!(attach_process::<Order, Said>(), Err(AttachError::NotAWorker)));
}

// ---- the runner: names, a filter, and the listing that other runners ask for ----

const TESTS: &[(&str, fn())] = &[
    ("echo", echo),
    #[cfg(target_os = "linux")]
    ("a_worker_is_held_to_its_grant", a_worker_is_held_to_its_grant),
    ("a_kill_from_outside_is_reported_as_its_signal", a_kill_from_outside_is_reported_as_its_signal),
    ("a_stopped_worker_is_killed_all_the_same", a_stopped_worker_is_killed_all_the_same),
    (
        "the_peak_of_a_worker_that_leaves_is_told_by_itself",
        the_peak_of_a_worker_that_leaves_is_told_by_itself,
    ),
    #[cfg(target_os = "linux")]
    (
        "a_worker_that_rests_does_the_next_run_of_its_family",
        a_worker_that_rests_does_the_next_run_of_its_family,
    ),
    #[cfg(target_os = "linux")]
    ("another_family_finds_the_device_empty", another_family_finds_the_device_empty),
    #[cfg(target_os = "linux")]
    (
        "a_resting_worker_ends_with_its_launcher_and_after_its_time",
        a_resting_worker_ends_with_its_launcher_and_after_its_time,
    ),
    #[cfg(target_os = "linux")]
    ("a_resting_worker_that_is_killed_is_replaced", a_resting_worker_that_is_killed_is_replaced),
    #[cfg(target_os = "linux")]
    ("a_worker_that_keeps_memory_does_not_rest_again", a_worker_that_keeps_memory_does_not_rest_again),
    #[cfg(target_os = "linux")]
    (
        "a_worker_with_a_child_does_not_rest_and_takes_it_along",
        a_worker_with_a_child_does_not_rest_and_takes_it_along,
    ),
    #[cfg(target_os = "linux")]
    ("one_worker_at_the_most_rests_on_a_device", one_worker_at_the_most_rests_on_a_device),
    ("a_panic_is_code_101_with_its_message_in_the_tail", a_panic_is_code_101_with_its_message_in_the_tail),
    (
        "a_hundred_megabytes_on_stderr_neither_hang_nor_stay",
        a_hundred_megabytes_on_stderr_neither_hang_nor_stay,
    ),
    (
        "what_a_worker_prints_is_heard_in_order_and_before_its_end",
        what_a_worker_prints_is_heard_in_order_and_before_its_end,
    ),
    #[cfg(target_os = "linux")]
    (
        "what_one_run_of_a_worker_prints_never_reaches_the_next",
        what_one_run_of_a_worker_prints_never_reaches_the_next,
    ),
    ("prints_on_stdout_do_not_reach_the_protocol", prints_on_stdout_do_not_reach_the_protocol),
    (
        "dropping_the_handle_kills_the_worker_and_its_child",
        dropping_the_handle_kills_the_worker_and_its_child,
    ),
    ("a_worker_that_dies_alone_takes_its_child_along", a_worker_that_dies_alone_takes_its_child_along),
    ("a_worker_dies_with_a_parent_that_is_killed", a_worker_dies_with_a_parent_that_is_killed),
    ("a_worker_returns_when_its_input_ends", a_worker_returns_when_its_input_ends),
    ("an_orphan_that_does_not_listen_ends_itself", an_orphan_that_does_not_listen_ends_itself),
    #[cfg(target_os = "linux")]
    (
        "a_worker_whose_parent_is_gone_before_it_attaches_does_not_start",
        a_worker_whose_parent_is_gone_before_it_attaches_does_not_start,
    ),
    (
        "a_worker_that_does_not_read_never_blocks_its_watcher",
        a_worker_that_does_not_read_never_blocks_its_watcher,
    ),
    ("a_watcher_that_turns_away_ends_its_worker", a_watcher_that_turns_away_ends_its_worker),
    ("a_worker_that_breaks_the_protocol_is_killed", a_worker_that_breaks_the_protocol_is_killed),
    ("a_program_that_is_not_there_is_a_launch_error", a_program_that_is_not_there_is_a_launch_error),
    ("a_process_that_is_no_worker_can_not_attach", a_process_that_is_no_worker_can_not_attach),
];

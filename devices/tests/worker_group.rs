//! Groups of ranks against real processes: this binary is watcher, rank, and the processes of several machines.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's own main"
)]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};
use engine_devices::rank::Rank;
use engine_devices::{
    Accelerator, Allocation, Exit, ExitReport, Follower, Grant, GroupLauncher, Heard, Launch, LaunchError,
    Launcher, Lead, Patience, Place, ProcessLauncher, SendError, Whose, Worker, WorkerEvent, attach_process,
    is_worker_process, select,
};
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// Beyond this a test hangs and fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names the folder that the processes of several machines share.
const NODES_ROLE: &str = "ENGINE_TEST_RANKS_DIR";
/// Shorter than the engine's, so that nobody waits a minute for a machine that is gone.
const NODES: Patience = Patience { node_silence: Duration::from_secs(6), ..Patience::NODES };

/// What each rank is to do, by its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Order {
    /// Connect to `line` in the folder, write down what it is, and do its part.
    Work { dir: PathBuf, parts: Vec<Part> },
    /// End those who wait.
    Finish,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Part {
    /// Finish at once.
    Finish,
    /// Beat until told to finish.
    Wait,
    /// Beat until told to finish, with a child that holds the line too.
    WaitWithChild,
    /// Stop beating and everything else.
    StopSelf,
    /// Say what is wrong with it, and end well.
    FailItself,
    /// Say that the others are lost, and wait.
    LosePeers,
    /// Leave a line on standard error and this exit code.
    ExitWith(i32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Said {
    Hello { rank: u32 },
    Beat,
    Failed { rank: u32 },
    LostPeers { rank: u32 },
    Finished { rank: u32 },
}

fn judge(rank: u32, said: &Said) -> Heard {
    match said {
        Said::Failed { .. } => Heard::Failure(Whose::Own),
        Said::LostPeers { .. } => Heard::Failure(Whose::Peers),
        _ if rank == 0 => Heard::Pass,
        _ => Heard::Drop,
    }
}

/// Tests that wait for processes side by side: they compute nothing.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    if is_worker_process() {
        return work();
    }
    if let Some(dir) = std::env::var_os(NODES_ROLE) {
        return be_one_of_many(Path::new(&dir));
    }
    support::run(&[TESTS], AT_ONCE)
}

// ---- a rank's side ----

fn work() -> ExitCode {
    let rank = Rank::from_env().unwrap().map_or(0, |rank| rank.rank);
    let (mut ears, voice) = attach_process::<Order, Said>().unwrap().split();
    voice.send(Said::Hello { rank }).unwrap();
    let Some(Order::Work { dir, parts }) = ears.recv() else { return ExitCode::FAILURE };
    let beating = voice.clone();
    std::thread::spawn(move || {
        while beating.send(Said::Beat).is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    // Held until this process is gone.
    let mut line = UnixStream::connect(dir.join("line")).unwrap();
    let part = parts[rank as usize];
    if part == Part::WaitWithChild {
        let stdin = Stdio::from(std::os::fd::OwnedFd::from(line.try_clone().unwrap()));
        drop(Command::new("sleep").arg("1000").stdin(stdin).spawn().unwrap());
    }
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let about = format!("{}\n{environment:?}\n", getpid().as_raw_nonzero());
    std::fs::write(dir.join(format!("aside.{rank}")), about).unwrap();
    std::fs::rename(dir.join(format!("aside.{rank}")), dir.join(format!("rank.{rank}"))).unwrap();
    // Nobody ends, or is ended, before all are there.
    if line.read(&mut [0]).unwrap() == 0 {
        return ExitCode::FAILURE;
    }
    std::mem::forget(line);
    match part {
        Part::Finish => voice.send(Said::Finished { rank }).unwrap(),
        Part::Wait | Part::WaitWithChild => {
            if ears.recv().is_none() {
                return ExitCode::FAILURE;
            }
            voice.send(Said::Finished { rank }).unwrap();
        }
        Part::StopSelf => kill_process(getpid(), Signal::STOP).unwrap(),
        Part::FailItself => voice.send(Said::Failed { rank }).unwrap(),
        Part::LosePeers => {
            voice.send(Said::LostPeers { rank }).unwrap();
            drop(ears.recv());
        }
        Part::ExitWith(code) => {
            eprintln!("rank {rank} has had enough");
            return ExitCode::from(u8::try_from(code).unwrap());
        }
    }
    ExitCode::SUCCESS
}

// ---- the watcher's side ----

/// A worker with what it said, in order, and a line that each of its ranks holds as long as it lives.
struct Watched {
    dir: tempfile::TempDir,
    listener: UnixListener,
    worker: Option<Box<dyn Worker<Order>>>,
    events: Receiver<WorkerEvent<Said>>,
    printed: RefCell<Vec<String>>,
}

fn places(count: usize) -> Grant {
    let place = select(Accelerator::Cpu, &["auto".to_owned()]).unwrap()[0].place();
    let place = Place { threads: 1, ..place };
    Grant { places: vec![place; count] }
}

fn launcher() -> GroupLauncher<Order, Said> {
    GroupLauncher::new(ProcessLauncher::current_exe().unwrap(), judge)
}

impl Watched {
    fn launch(launcher: &GroupLauncher<Order, Said>, ranks: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("line")).unwrap();
        let (tell, events) = bounded(1024);
        let sink = Box::new(move |event| tell.send(event).is_ok());
        let grant = places(ranks);
        let launch = Launch { name: "tested", family: None, grant: &grant };
        let worker = launcher.launch(&launch, sink).unwrap();
        Self { dir, listener, worker: Some(worker), events, printed: RefCell::default() }
    }

    /// Has the ranks do their parts, and waits until each has begun; their lines, in no order.
    fn work(&self, parts: &[Part]) -> Vec<UnixStream> {
        assert_eq!(self.next(), Said::Hello { rank: 0 });
        self.order(Order::Work { dir: self.dir.path().to_owned(), parts: parts.to_vec() });
        let lines = assemble(&self.listener, parts.len());
        (0..parts.len()).for_each(|rank| drop(self.about(rank)));
        begin(lines)
    }

    fn order(&self, order: Order) {
        self.worker.as_ref().unwrap().send(order).unwrap();
    }

    /// The process id of a rank, and its environment, once it has written them down.
    fn about(&self, rank: usize) -> (Pid, String) {
        let path = self.dir.path().join(format!("rank.{rank}"));
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(Instant::now() < deadline, "rank {rank} did not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = std::fs::read_to_string(path).unwrap();
        let (pid, environment) = text.split_once('\n').unwrap();
        (Pid::from_raw(pid.parse().unwrap()).unwrap(), environment.to_owned())
    }

    /// The next message that is no beat.
    fn next(&self) -> Said {
        loop {
            match self.events.recv_timeout(PATIENCE).unwrap() {
                WorkerEvent::Message(Said::Beat) => {}
                WorkerEvent::Message(said) => return said,
                WorkerEvent::Printed(lines) => self.printed.borrow_mut().extend(lines),
                WorkerEvent::Exited(report) => panic!("exited: {report:?}"),
            }
        }
    }

    /// The messages until the end, and the end: after it the sink is dropped.
    fn end(&self) -> (Vec<Said>, ExitReport) {
        let mut said = Vec::new();
        loop {
            match self.events.recv_timeout(PATIENCE).unwrap() {
                WorkerEvent::Message(Said::Beat) => {}
                WorkerEvent::Message(message) => said.push(message),
                WorkerEvent::Printed(lines) => self.printed.borrow_mut().extend(lines),
                WorkerEvent::Exited(report) => {
                    assert!(self.events.recv_timeout(PATIENCE).is_err_and(|error| error.is_disconnected()));
                    return (said, report);
                }
            }
        }
    }
}

/// Waits until every holder of each line is dead: the kernel closes it with the last of them.
/// The lines of so many ranks, in no order; each waits at its own.
fn assemble(listener: &UnixListener, ranks: usize) -> Vec<UnixStream> {
    let deadline = Instant::now() + PATIENCE;
    listener.set_nonblocking(true).unwrap();
    let mut lines = Vec::with_capacity(ranks);
    while lines.len() < ranks {
        match listener.accept() {
            Ok((line, _)) => lines.push(line),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
        assert!(Instant::now() < deadline, "{} of {ranks} ranks are there", lines.len());
        std::thread::sleep(Duration::from_millis(5));
    }
    lines
}

/// Has the ranks at these lines do their parts.
fn begin(mut lines: Vec<UnixStream>) -> Vec<UnixStream> {
    lines.iter_mut().for_each(|line| line.write_all(b".").unwrap());
    lines
}

fn all_gone(lines: Vec<UnixStream>) {
    for mut line in lines {
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        match line.read(&mut [0]) {
            Ok(bytes) => assert_eq!(bytes, 0),
            // It was ended before it had read that it may begin.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

fn four_ranks_are_one_worker() {
    let watched = Watched::launch(&launcher(), 4);
    let lines = watched.work(&[Part::Wait; 4]);
    let (pid, _) = watched.about(0);
    assert_eq!(watched.worker.as_ref().unwrap().pid(), Some(pid.as_raw_nonzero().get().unsigned_abs()));
    let environments: Vec<String> = (0..4).map(|rank| watched.about(rank).1).collect();
    for (rank, environment) in environments.iter().enumerate() {
        for (name, value) in [
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", rank.to_string()),
            ("NODE_RANK", "0".to_owned()),
            ("WORLD_SIZE", "4".to_owned()),
            ("LOCAL_WORLD_SIZE", "4".to_owned()),
            ("MASTER_ADDR", "127.0.0.1".to_owned()),
            ("OMP_NUM_THREADS", "1".to_owned()),
        ] {
            assert!(environment.contains(&format!("{name:?}: {value:?}")), "{name} of {environment}");
        }
    }
    let port = |text: &String| {
        text.split("\"MASTER_PORT\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let ports: Vec<String> = environments.iter().map(port).collect();
    assert!(ports[0].parse::<u16>().unwrap() > 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");

    watched.order(Order::Finish);
    let (said, report) = watched.end();
    assert_eq!(said, [Said::Finished { rank: 0 }], "the other ranks are not heard");
    assert_eq!((report.exit, report.rank), (Exit::Code(0), None));
    all_gone(lines);
    assert_eq!(watched.worker.as_ref().unwrap().send(Order::Finish), Err(SendError::Gone));
}

fn a_grant_of_one_place_is_a_plain_process() {
    let watched = Watched::launch(&launcher(), 1);
    let lines = watched.work(&[Part::ExitWith(3)]);
    assert!(!watched.about(0).1.contains("\"WORLD_SIZE\""));
    let (_, report) = watched.end();
    assert_eq!((report.exit, report.rank), (Exit::Code(3), None));
    all_gone(lines);
}

fn a_rank_that_is_killed_is_named_and_the_others_are_ended() {
    let watched = Watched::launch(&launcher(), 4);
    let lines = watched.work(&[Part::Wait, Part::WaitWithChild, Part::WaitWithChild, Part::Wait]);
    let before = Instant::now();
    kill_process(watched.about(2).0, Signal::KILL).unwrap();
    let (said, report) = watched.end();
    assert_eq!((said, report.exit, report.rank), (vec![], Exit::Signal(9), Some(2)));
    all_gone(lines);
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
}

fn a_rank_that_exits_leaves_its_own_last_words() {
    let watched = Watched::launch(&launcher(), 3);
    let lines = watched.work(&[Part::Wait, Part::Wait, Part::ExitWith(3)]);
    let (_, report) = watched.end();
    assert_eq!((report.exit, report.rank), (Exit::Code(3), Some(2)));
    assert_eq!(report.stderr_tail, ["rank 2 has had enough"]);
    assert_eq!(*watched.printed.borrow(), ["[rank 2] rank 2 has had enough"]);
    all_gone(lines);
}

fn a_rank_that_is_stopped_is_silent_and_named() {
    let watched = Watched::launch(&launcher(), 3);
    let lines = watched.work(&[Part::Wait, Part::StopSelf, Part::Wait]);
    let before = Instant::now();
    let (said, report) = watched.end();
    assert_eq!((said, report.rank), (vec![], Some(1)));
    assert!(matches!(report.exit, Exit::Silent(time) if time >= Patience::LOCAL.silence), "{report:?}");
    all_gone(lines);
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
}

fn the_rank_that_failed_is_heard_and_not_the_one_that_lost_it() {
    let watched = Watched::launch(&launcher(), 3);
    let lines = watched.work(&[Part::LosePeers, Part::FailItself, Part::LosePeers]);
    let (said, report) = watched.end();
    assert_eq!((said, report.rank), (vec![Said::Failed { rank: 1 }], Some(1)));
    all_gone(lines);
}

fn dropping_or_killing_a_group_leaves_nobody() {
    for drop_it in [true, false] {
        let mut watched = Watched::launch(&launcher(), 3);
        let lines = watched.work(&[Part::WaitWithChild; 3]);
        if drop_it {
            drop(watched.worker.take());
        } else {
            watched.worker.as_ref().unwrap().kill();
        }
        let (said, report) = watched.end();
        assert_eq!((said, report.exit, report.rank), (vec![], Exit::Signal(9), None));
        all_gone(lines);
    }
}

fn a_watcher_that_turns_away_ends_every_rank() {
    let watched = Watched::launch(&launcher(), 2);
    let lines = watched.work(&[Part::Wait, Part::WaitWithChild]);
    let Watched { worker, events, dir, .. } = watched;
    drop(events);
    all_gone(lines);
    drop((worker, dir));
}

fn a_program_that_is_not_there_starts_no_group() {
    let launcher = GroupLauncher::new(ProcessLauncher::program("/nowhere/engine"), judge);
    let sink = Box::new(|event: WorkerEvent<Said>| panic!("the sink is never called, not with {event:?}"));
    let grant = places(2);
    let launch = Launch { name: "lost", family: None, grant: &grant };
    let launched: Result<Box<dyn Worker<Order>>, _> = launcher.launch(&launch, sink);
    assert!(matches!(launched.err().unwrap(), LaunchError::Spawn { .. }));
}

// ---- several machines: their processes are this program, started as torchrun would ----

fn be_one_of_many(dir: &Path) -> ExitCode {
    let allocation = Allocation::from_env().unwrap().unwrap();
    let ranks_dir = dir.join(".ranks");
    let processes = ProcessLauncher::current_exe().unwrap();
    if allocation.rank > 0 {
        let place = places(1).places.remove(0);
        let follower = Follower::new(&ranks_dir, allocation, place).patience(NODES, PATIENCE);
        return match follower.follow::<Order, Said>(&processes, judge) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(9)
            }
        };
    }
    let lead = Arc::new(Lead::open(&ranks_dir, allocation).unwrap());
    let launcher = GroupLauncher::new(processes, judge).leading(Arc::clone(&lead)).patience(NODES);
    // One worker for each line of parts.
    for line in std::io::stdin().lock().lines() {
        let parts: Vec<Part> = line.unwrap().split(' ').map(part).collect();
        let (tell, events) = bounded(1024);
        let sink = Box::new(move |event| tell.send(event).is_ok());
        let grant = places(1);
        let launch = Launch { name: "tested", family: None, grant: &grant };
        let worker = launcher.launch(&launch, sink).unwrap();
        worker.send(Order::Work { dir: dir.to_owned(), parts }).unwrap();
        for event in events {
            match event {
                WorkerEvent::Message(Said::Beat | Said::Hello { .. }) | WorkerEvent::Printed(_) => {}
                WorkerEvent::Message(said) => println!("{said:?}"),
                WorkerEvent::Exited(ExitReport { exit, rank, stderr_tail, .. }) => {
                    println!("{exit:?} {rank:?} {stderr_tail:?}");
                }
            }
        }
    }
    drop(launcher);
    drop(lead);
    ExitCode::SUCCESS
}

fn part(word: &str) -> Part {
    match word {
        "finish" => Part::Finish,
        "wait" => Part::Wait,
        "fail" => Part::FailItself,
        "lose" => Part::LosePeers,
        "exit" => Part::ExitWith(3),
        _ => panic!("{word}"),
    }
}

/// Two machines of two processes each, on one folder.
struct Nodes {
    dir: tempfile::TempDir,
    listener: UnixListener,
    processes: Vec<Child>,
    told: BufReader<ChildStdout>,
}

impl Nodes {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("line")).unwrap();
        let mut processes: Vec<Child> = (0..4u32)
            .map(|rank| {
                Command::new(std::env::current_exe().unwrap())
                    .env(NODES_ROLE, dir.path())
                    .env("RANK", rank.to_string())
                    .env("LOCAL_RANK", (rank % 2).to_string())
                    .env("WORLD_SIZE", "4")
                    .env("LOCAL_WORLD_SIZE", "2")
                    .env("MASTER_ADDR", "127.0.0.1")
                    .env("MASTER_PORT", "29500")
                    .env("TORCHELASTIC_RUN_ID", "none")
                    .stdin(Stdio::piped())
                    .stdout(if rank == 0 { Stdio::piped() } else { Stdio::null() })
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let told = BufReader::new(processes[0].stdout.take().unwrap());
        Self { dir, listener, processes, told }
    }

    /// Orders one worker, and waits for its ranks to begin.
    fn work(&self, parts: &str) -> Vec<UnixStream> {
        writeln!(self.processes[0].stdin.as_ref().unwrap(), "{parts}").unwrap();
        begin(assemble(&self.listener, 4))
    }

    fn told(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends rank 0's input: all processes end by themselves, and leave no folder.
    fn end(mut self) {
        drop(self.processes[0].stdin.take());
        for (rank, child) in self.processes.drain(..).enumerate() {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{rank}: {output:?}");
        }
        assert!(!self.dir.path().join(".ranks").exists());
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &mut self.processes {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn four_processes_of_two_machines_do_what_the_first_says() {
    let mut nodes = Nodes::start();
    let lines = nodes.work("finish finish finish finish");
    assert_eq!(nodes.told(), "Finished { rank: 0 }");
    assert_eq!(nodes.told(), "Code(0) None []");
    all_gone(lines);
    let environment = std::fs::read_to_string(nodes.dir.path().join("rank.3")).unwrap();
    for entry in [r#""RANK": "3""#, r#""LOCAL_RANK": "1""#, r#""NODE_RANK": "1""#, r#""WORLD_SIZE": "4""#] {
        assert!(environment.contains(entry), "{entry} of {environment}");
    }
    assert!(!environment.contains(r#""MASTER_PORT": "29500""#), "each worker has a port of its own");

    let lines = nodes.work("wait wait wait exit");
    assert_eq!(nodes.told(), r#"Code(3) Some(3) ["rank 3 has had enough"]"#);
    all_gone(lines);
    let lines = nodes.work("lose lose fail wait");
    assert_eq!(nodes.told(), "Failed { rank: 2 }");
    assert_eq!(nodes.told(), "Code(0) Some(2) []");
    all_gone(lines);
    nodes.end();
}

fn a_machine_that_is_gone_is_named_and_its_worker_dies_with_it() {
    let mut nodes = Nodes::start();
    let lines = nodes.work("wait wait wait wait");
    nodes.processes[2].kill().unwrap();
    let told = nodes.told();
    assert!(told.starts_with("Silent(") && told.ends_with(" Some(2) []"), "{told}");
    all_gone(lines);
}

fn followers_end_when_rank_0_is_gone() {
    let mut nodes = Nodes::start();
    let lines = nodes.work("wait wait wait wait");
    nodes.processes[0].kill().unwrap();
    for child in &mut nodes.processes[1..] {
        assert_eq!(child.wait().unwrap().code(), Some(9));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("has seen no sign of rank 0 for 6 s"), "{said}");
    }
    all_gone(lines);
}

const TESTS: &[support::Test] = &[
    ("a_rank_that_is_stopped_is_silent_and_named", a_rank_that_is_stopped_is_silent_and_named),
    (
        "a_machine_that_is_gone_is_named_and_its_worker_dies_with_it",
        a_machine_that_is_gone_is_named_and_its_worker_dies_with_it,
    ),
    ("followers_end_when_rank_0_is_gone", followers_end_when_rank_0_is_gone),
    (
        "four_processes_of_two_machines_do_what_the_first_says",
        four_processes_of_two_machines_do_what_the_first_says,
    ),
    ("four_ranks_are_one_worker", four_ranks_are_one_worker),
    ("a_grant_of_one_place_is_a_plain_process", a_grant_of_one_place_is_a_plain_process),
    (
        "a_rank_that_is_killed_is_named_and_the_others_are_ended",
        a_rank_that_is_killed_is_named_and_the_others_are_ended,
    ),
    ("a_rank_that_exits_leaves_its_own_last_words", a_rank_that_exits_leaves_its_own_last_words),
    (
        "the_rank_that_failed_is_heard_and_not_the_one_that_lost_it",
        the_rank_that_failed_is_heard_and_not_the_one_that_lost_it,
    ),
    ("dropping_or_killing_a_group_leaves_nobody", dropping_or_killing_a_group_leaves_nobody),
    ("a_watcher_that_turns_away_ends_every_rank", a_watcher_that_turns_away_ends_every_rank),
    ("a_program_that_is_not_there_starts_no_group", a_program_that_is_not_there_starts_no_group),
];

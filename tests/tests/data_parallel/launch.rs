//! Ranks as child processes of the test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use engine_devices::ReservedPort;
use engine_devices::rank::Rank;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{exchange, net, workload};

/// Beyond this a test hangs and fails.
const PATIENCE: Duration = Duration::from_secs(90);
/// Carries a [`Part`] to a rank.
const PART: &str = "ENGINE_TEST_PART";

/// What a rank is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Part {
    Exchange(exchange::Part),
    Net(net::Part),
    Workload(Box<workload::Part>),
}

impl Part {
    /// What this process was started for; none in the test itself.
    pub fn of_this_process() -> Option<Self> {
        std::env::var(PART).ok().map(|text| serde_json::from_str(&text).unwrap())
    }
}

/// Begins the lines that are for the test: gloo prints some of its own.
const SAYS: &str = "rank says ";

/// What a rank says, one line each.
pub fn say(what: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAYS}{}", serde_json::to_string(what).unwrap()).unwrap();
    out.flush().unwrap();
}

/// The rank this process was started as; none where the test started it alone.
pub fn own_rank() -> Option<Rank> {
    Rank::from_env().unwrap()
}

/// A process, and the lines it says.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// Ranks under way. Whatever is left of them is killed when this is dropped.
pub struct Ranks {
    processes: Vec<Process>,
    /// Theirs for as long as they live.
    _port: Option<ReservedPort>,
}

/// Starts a process for the part without any rank.
pub fn alone(part: &Part) -> Ranks {
    Ranks { processes: vec![start(part, None)], _port: None }
}

/// Starts `world` ranks; they wait `timeout` for each other.
pub fn ranks(part: &Part, world: u32, timeout: Duration) -> Ranks {
    some_ranks(part, world, world, timeout)
}

/// Starts the first `started` of `world` ranks.
pub fn some_ranks(part: &Part, started: u32, world: u32, timeout: Duration) -> Ranks {
    let port = ReservedPort::any().unwrap();
    let rank = |rank| Rank { timeout, ..Rank::local(rank, world, port.port()) };
    let processes = (0..started).map(|number| start(part, Some(&rank(number)))).collect();
    Ranks { processes, _port: Some(port) }
}

fn start(part: &Part, rank: Option<&Rank>) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, serde_json::to_string(part).unwrap()).stdin(Stdio::null()).stdout(Stdio::piped());
    command.env("OMP_NUM_THREADS", "1");
    command.envs(rank.map(Rank::environment).unwrap_or_default());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = sync_channel(1024);
    std::thread::spawn(move || {
        let said = out.lines().map_while(Result::ok);
        said.filter_map(|line| line.strip_prefix(SAYS).map(str::to_owned))
            .try_for_each(|line| send.send(line))
    });
    Process { child, lines }
}

impl Ranks {
    /// The next thing a rank says.
    pub fn hear<T: DeserializeOwned>(&self, rank: usize) -> T {
        let line = match self.processes[rank].lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("rank {rank} hangs"),
            Err(RecvTimeoutError::Disconnected) => panic!("rank {rank} ended without a word"),
        };
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("rank {rank} said {line}: {error}"))
    }

    /// What each rank says next, and nothing after it.
    pub fn hear_all<T: DeserializeOwned>(mut self) -> Vec<T> {
        let said = (0..self.processes.len()).map(|rank| self.hear(rank)).collect();
        let deadline = Instant::now() + PATIENCE;
        for (rank, process) in self.processes.iter_mut().enumerate() {
            while process.child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "rank {rank} does not end");
                std::thread::sleep(Duration::from_millis(5));
            }
            let status = process.child.wait().unwrap();
            assert!(status.success(), "rank {rank} ended with {status}");
        }
        said
    }

    /// Sends a signal.
    pub fn signal(&self, rank: usize, signal: Signal) {
        kill_process(Pid::from_child(&self.processes[rank].child), signal).unwrap();
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended already is fine.
            drop(process.child.kill());
            process.child.wait().unwrap();
        }
    }
}

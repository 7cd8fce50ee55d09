//! Memory of GPUs and of processes on them, followed by one process while the machine changes.
//!
//! A process loads the driver's library once, so the watcher is a process of its own: this test's program again, started
//! with the machine's environment.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use engine_devices::inventory::{gpu_memory, gpu_process_memory};
use engine_tests::nvml::{FakeNvml, Gpu, GpuProcess};

/// Set for the watcher.
const WATCHER: &str = "TEST_GPU_WATCHER";
const PID: u32 = 4711;
const MIB: u64 = 1 << 20;

/// For each UUID on standard input, what is known of it, on standard error: standard output is the test harness's.
fn watch() {
    for uuid in std::io::stdin().lines().map_while(Result::ok) {
        let memory = gpu_memory(&uuid).map(|memory| {
            assert_eq!(memory.total_bytes, memory.used_bytes + memory.free_bytes);
            memory.used_bytes
        });
        let told = format!("{:?}\n", (memory, gpu_process_memory(&uuid, PID)));
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }
}

struct Watcher {
    child: Child,
    errors: BufReader<std::process::ChildStderr>,
}

impl Watcher {
    fn start(machine: &FakeNvml, test: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(WATCHER, "1");
        machine.give(&mut command);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, errors }
    }

    /// Memory in use on a GPU, and what of it is the process's.
    fn sees(&mut self, uuid: &str) -> String {
        let mut input = self.child.stdin.as_ref().unwrap();
        input.write_all(format!("{uuid}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.errors.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn told(used_mib: u64, process_mib: Option<u64>) -> String {
    format!("{:?}", (Some(used_mib * MIB), process_mib.map(|mib| mib * MIB)))
}

#[test]
fn a_process_follows_memory_and_processes_of_gpus() {
    if std::env::var_os(WATCHER).is_some() {
        return watch();
    }
    let gpus = Gpu::row(2);
    let (first, second) = (&gpus[0].uuid, &gpus[1].uuid);
    let mut machine = FakeNvml::new(&gpus);
    let mut watcher = Watcher::start(&machine, "a_process_follows_memory_and_processes_of_gpus");
    assert_eq!(watcher.sees(first), told(0, None));

    machine.set_used(0, 5_000);
    let process = |pid, used_mib| GpuProcess { uuid: first.clone(), pid, used_mib };
    machine.set_processes(&[process(1, Some(900)), process(PID, Some(4_100))]);
    assert_eq!(watcher.sees(first), told(5_000, Some(4_100)));
    assert_eq!(watcher.sees(second), told(0, None));

    machine.set_processes(&[process(PID, None)]);
    assert_eq!(watcher.sees(first), told(5_000, None));

    machine.lose(0);
    assert_eq!(watcher.sees(first), "(None, None)");
    assert_eq!(watcher.sees(second), told(0, None));
    watcher.end();
}

//! What an engine leaves behind in its process.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Whatever is waited for has happened by then, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Names of the threads of this process, and its child processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    threads: Vec<String>,
    children: Vec<u32>,
}

impl Left {
    pub fn now() -> Self {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        // One that ends meanwhile has no name any more.
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
        let mut threads: Vec<String> =
            tasks.filter_map(|task| name(task.ok()?)).map(|name| name.trim().to_owned()).collect();
        threads.sort_unstable();
        Self { threads, children: children() }
    }

    pub fn children(&self) -> usize {
        self.children.len()
    }

    /// How many threads there are more than before.
    pub fn threads_more_than(&self, before: &Self) -> usize {
        self.threads.len().saturating_sub(before.threads.len())
    }
}

fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut children: Vec<u32> = pids
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // `pid (name) state ppid …`, where the name may hold anything.
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(&own)
        })
        .collect();
    children.sort_unstable();
    children
}

/// Waits until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}; there is {:?}", Left::now());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Does it, and waits until the process has the threads and children it had before.
pub fn leaving_nothing(act: impl FnOnce(&Left)) {
    let before = Left::now();
    act(&before);
    wait_until(&format!("nothing more than {before:?}"), || Left::now() == before);
}

//! Processes as the kernel lists them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// One process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) parent: u32,
    /// Time on a core so far, of all its threads.
    ///
    /// # Units
    /// Ticks, see [`TICKS_PER_SEC`].
    pub(super) ticks: u64,
    pub(super) threads: u32,
    /// When it started, in ticks: with its number it names the process for good.
    pub(super) started: u64,
}

/// Ticks of a second in `/proc`: `USER_HZ`, 100 on every architecture this is built for.
///
/// # Sources
/// include/asm-generic/param.h of Linux.
pub(super) const TICKS_PER_SEC: f64 = 100.0;

/// All processes, by number.
pub(super) type Processes = HashMap<u32, Process>;

/// The processes there are now; those that can not be read have ended.
pub(super) fn processes(root: &Path) -> Processes {
    let Ok(entries) = std::fs::read_dir(root.join("proc")) else { return Processes::new() };
    let read = |pid: u32| {
        let stat = std::fs::read_to_string(root.join(format!("proc/{pid}/stat"))).ok()?;
        Some((pid, parse(&stat)?))
    };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(read).collect()
}

/// # Sources
/// proc_pid_stat(5): the second field, in parentheses, may hold anything; 4 (parent), 14 and 15 (times), 20
/// (threads), 22 (start).
fn parse(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first of these is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let times: [u64; 2] = [field(14)?.parse().ok()?, field(15)?.parse().ok()?];
    Some(Process {
        parent: field(4)?.parse().ok()?,
        ticks: times[0].saturating_add(times[1]),
        threads: field(20)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
    })
}

/// A process and all that came from it and still have it above them; nothing if it is gone.
pub(super) fn tree(all: &Processes, top: u32) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, process) in all {
        children.entry(process.parent).or_default().push(*pid);
    }
    let mut found = HashSet::new();
    let mut waiting: Vec<u32> = all.contains_key(&top).then_some(top).into_iter().collect();
    while let Some(pid) = waiting.pop() {
        if found.insert(pid) {
            waiting.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_hides_nothing() {
        let stat = "42 (a) b (c) R 7 42 42 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 12345 1000 77 18446744073709551615";
        assert_eq!(parse(stat), Some(Process { parent: 7, ticks: 300, threads: 9, started: 12345 }));
        for torn in
            ["", "42 (a", "42 (a) R 7", "42 (a) R x 42 42 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 12345"]
        {
            assert_eq!(parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn a_tree_holds_all_descendants_and_nobody_else() {
        let of = |parent| Process { parent, ticks: 0, threads: 1, started: 0 };
        let all: Processes =
            [(1, of(0)), (5, of(1)), (6, of(5)), (7, of(6)), (8, of(1)), (0, of(0))].into_iter().collect();
        assert_eq!(tree(&all, 5), HashSet::from([5, 6, 7]));
        assert_eq!(tree(&all, 8), HashSet::from([8]));
        assert_eq!(tree(&all, 9), HashSet::new());
        // The kernel's own, which is its own parent here, is no endless loop.
        assert_eq!(tree(&all, 0).len(), 6);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_among_those_of_the_machine_with_its_threads() {
        let before = processes(Path::new("/"))[&std::process::id()];
        std::thread::scope(|scope| {
            let (stop, wait) = crossbeam::channel::bounded::<()>(0);
            scope.spawn(move || wait.recv());
            let with = processes(Path::new("/"))[&std::process::id()];
            assert_eq!(with.started, before.started);
            assert!(with.threads >= 2, "{with:?}");
            drop(stop);
        });
    }
}

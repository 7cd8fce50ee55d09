//! Memory of worker processes: how much they take, and whether the kernel ended one for it.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::reap::ProcessGroup;
use crate::inventory::gpu_process_memory;

/// Time between two looks at a worker's memory.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Memory of one process on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostMemory {
    pub(super) resident_bytes: Option<u64>,
    /// Largest resident memory since its start, or since [`HostMemory::forget_peak`].
    pub(super) peak_bytes: Option<u64>,
}

impl HostMemory {
    /// Of a process by its id, or of `self`. Nothing is known of one that has ended.
    ///
    /// # Sources
    /// proc_pid_status(5), `VmRSS` and `VmHWM`.
    pub(super) fn of(process: impl Display) -> Self {
        Self::read(Path::new(&format!("/proc/{process}/status")))
    }

    fn read(status: &Path) -> Self {
        let status = fs::read_to_string(status).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kibibytes * 1024)
        };
        Self { resident_bytes: field("VmRSS:"), peak_bytes: field("VmHWM:") }
    }

    /// Lets this process's peak begin anew at what it takes now. Where the system does not do so, later peaks tell of
    /// earlier work too: they are too large, never too small.
    ///
    /// # Sources
    /// proc_pid_clear_refs(5), value 5.
    pub(super) fn forget_peak() {
        if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
            tracing::debug!(%error, "the peak of this process's memory was not reset");
        }
    }
}

/// Resident memory of a process by its id, under this root; none of one that has ended.
pub(crate) fn resident_bytes(root: &Path, pid: u32) -> Option<u64> {
    HostMemory::read(&root.join(format!("proc/{pid}/status"))).resident_bytes
}

/// The largest memory seen of a worker. A process takes its own record with it, so it is looked at while it lives: with
/// its messages, and from a thread that has little else to do.
pub(super) struct PeakMemory {
    group: Arc<ProcessGroup>,
    /// How its GPU is called, if it has one.
    gpu: Option<String>,
    seen: Mutex<Seen>,
}

/// What a [`PeakMemory`] has seen since its worker's turn began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) host_bytes: Option<u64>,
    pub(super) device_bytes: Option<u64>,
    next: Option<Instant>,
}

impl PeakMemory {
    pub(super) fn of(group: Arc<ProcessGroup>, gpu: Option<String>) -> Self {
        Self { group, gpu, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks, unless it has just done so or the worker has been reaped: its id may be another's then.
    pub(super) fn look(&self) {
        let mut seen = self.seen();
        let now = Instant::now();
        if seen.next.is_some_and(|next| now < next) {
            return;
        }
        seen.next = Some(now + PERIOD);
        self.group.while_unreaped(|pid| {
            seen.host_bytes = seen.host_bytes.max(HostMemory::of(pid).peak_bytes);
            let device_bytes = self.gpu.as_deref().and_then(|gpu| gpu_process_memory(gpu, pid));
            seen.device_bytes = seen.device_bytes.max(device_bytes);
        });
    }

    /// Takes over what the worker has found out itself.
    pub(super) fn note_host(&self, memory: HostMemory) {
        let mut seen = self.seen();
        seen.host_bytes = seen.host_bytes.max(memory.peak_bytes);
    }

    /// What was seen in the turn that is over; the next one begins with nothing.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen())
    }
}

/// How often the kernel has ended processes for want of memory, where a worker's own end would be counted too.
///
/// The count of the process's cgroup is the best there is: it rises for a limit of a batch system or container and for
/// the machine's own, and only by processes beside the worker. Without it the machine's count is taken. Either can rise
/// by another process while the worker is killed by something else; the worker is then taken for out of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OomKills {
    counted_in: Option<(PathBuf, u64)>,
}

impl OomKills {
    /// The count now.
    ///
    /// # Sources
    /// Kernel documentation, admin-guide/cgroup-v2 (`memory.events`), cgroup-v1/memory (`memory.oom_control`);
    /// mm/vmstat.c (`oom_kill`).
    pub(super) fn now() -> Self {
        Self::at(Path::new("/"))
    }

    fn at(root: &Path) -> Self {
        let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let files = counters(&cgroups).into_iter().map(|file| root.join(file));
        Self { counted_in: files.filter_map(|file| Some((file.clone(), oom_kills(&file)?))).next() }
    }

    /// Whether it has risen since.
    pub(super) fn rose(&self) -> bool {
        let Some((file, before)) = &self.counted_in else { return false };
        oom_kills(file).is_some_and(|now| now > *before)
    }
}

/// Files that may hold the count, the best first.
fn counters(cgroups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // `4:memory:/path` (version 1) or `0::/path` (version 2); in a container the path may be one of the outer machine's.
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.events"),
            listed if listed.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.oom_control")
            }
            _ => continue,
        };
        let own = Path::new(mount).join(path.trim_start_matches('/'));
        files.extend([own.join(file), Path::new(mount).join(file)]);
    }
    files.push("proc/vmstat".into());
    files
}

fn oom_kills(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_knows_its_own_memory_and_forgets_its_peak() {
        let before = HostMemory::of("self");
        assert!(before.peak_bytes >= before.resident_bytes, "{before:?}");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let with = HostMemory::of(std::process::id());
        assert!(with.peak_bytes.unwrap() > 64 << 20, "{with:?}");
        drop(block);
        HostMemory::forget_peak();
        assert!(HostMemory::of("self").peak_bytes <= with.peak_bytes);
        assert_eq!(HostMemory::of("no-process"), HostMemory::default());
    }

    /// A root folder with these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_count_of_the_own_cgroup_is_taken_before_the_machines() {
        let vmstat = ("proc/vmstat", "pgfault 7\noom_kill 3\n");
        for (cgroups, counter, text) in [
            ("0::/user/a\n", "sys/fs/cgroup/user/a/memory.events", "oom 1\noom_kill 1\n"),
            ("0::/outer/x\n", "sys/fs/cgroup/memory.events", "oom_kill 1\n"),
            (
                "4:cpu,memory:/a\n0::/\n",
                "sys/fs/cgroup/memory/a/memory.oom_control",
                "under_oom 0\noom_kill 1\n",
            ),
        ] {
            let root = machine(&[("proc/self/cgroup", cgroups), (counter, text), vmstat]);
            let before = OomKills::at(root.path());
            fs::write(root.path().join("proc/vmstat"), "oom_kill 4\n").unwrap();
            assert!(!before.rose(), "{cgroups}: another's end is not counted");
            fs::write(root.path().join(counter), text.replace("oom_kill 1", "oom_kill 2")).unwrap();
            assert!(before.rose(), "{cgroups}");
        }
    }

    #[test]
    fn without_a_cgroup_the_machines_count_is_taken_and_without_any_none_rises() {
        let root = machine(&[("proc/vmstat", "oom_kill 3\n"), ("proc/self/cgroup", "3:cpuset:/\n0::/\n")]);
        let before = OomKills::at(root.path());
        assert!(!before.rose());
        fs::write(root.path().join("proc/vmstat"), "oom_kill 4\n").unwrap();
        assert!(before.rose());
        let nothing = machine(&[]);
        assert!(!OomKills::at(nothing.path()).rose());
    }
}

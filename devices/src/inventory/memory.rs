//! Memory of the machine, as far as this process may use it.
//!
//! # Sources
//! - proc_meminfo(5): `MemTotal`, `MemAvailable`
//! - Linux kernel, Documentation/admin-guide/cgroup-v2.rst: `memory.max`, `memory.current`; cgroup-v1/memory.rst:
//!   `memory.limit_in_bytes`, `memory.usage_in_bytes`. A limit holds for the group and everything below it

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Memory of the machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainMemory {
    /// What there is, or the least limit of a control group of this process where that is less.
    pub total_bytes: u64,
    /// What can still be had.
    pub available_bytes: u64,
    /// Whether a control group limits it.
    pub limited: bool,
}

/// Memory of the machine below `root` now. None where the system does not tell.
pub(super) fn main_memory(root: &Path) -> Option<MainMemory> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = kibibytes(&text, "MemTotal:")?;
    let available = kibibytes(&text, "MemAvailable:").unwrap_or(total);
    let mut memory = MainMemory { total_bytes: total, available_bytes: available, limited: false };
    for (limit, used) in groups(root) {
        if limit < memory.total_bytes {
            memory.total_bytes = limit;
            memory.limited = true;
        }
        memory.available_bytes = memory.available_bytes.min(limit.saturating_sub(used));
    }
    Some(memory)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Limit and use of every control group this process is in that has a limit.
fn groups(root: &Path) -> Vec<(u64, u64)> {
    let Ok(text) = fs::read_to_string(root.join("proc/self/cgroup")) else { return Vec::new() };
    text.lines().flat_map(|line| limits(root, line)).collect()
}

/// Those of one hierarchy: a line `0::/path` of version 2 or `4:memory:/path` of version 1.
fn limits(root: &Path, line: &str) -> Vec<(u64, u64)> {
    let mut fields = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let (mount, limit, used) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
        list if list.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
        }
        _ => return Vec::new(),
    };
    let mount = root.join(mount);
    let number = |folder: &PathBuf, file: &str| -> Option<u64> {
        // A group without a limit says `max`, which is no number.
        fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    };
    // In a container the path may be the host's while only the group itself is mounted: whatever is missing on the way
    // up is passed over.
    let group = mount.join(path.trim_start_matches('/'));
    group
        .ancestors()
        .take_while(|folder| folder.starts_with(&mount))
        .map(Path::to_owned)
        .filter_map(|folder| Some((number(&folder, limit)?, number(&folder, used).unwrap_or(0))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 64 << 20, 48 << 20);
        for (path, text) in [("proc/meminfo", meminfo.as_str())].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn gib(root: &tempfile::TempDir) -> (u64, u64, bool) {
        let memory = main_memory(root.path()).unwrap();
        (memory.total_bytes / GIB, memory.available_bytes / GIB, memory.limited)
    }

    #[test]
    fn without_a_limit_it_is_the_machines() {
        assert_eq!(gib(&machine(&[])), (64, 48, false));
        let unlimited = [("proc/self/cgroup", "0::/job\n"), ("sys/fs/cgroup/job/memory.max", "max\n")];
        assert_eq!(gib(&machine(&unlimited)), (64, 48, false));
        // "No limit" of version 1 is a number beyond any machine.
        let unlimited = [
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
        ];
        assert_eq!(gib(&machine(&unlimited)), (64, 48, false));
        assert_eq!(main_memory(tempfile::tempdir().unwrap().path()), None);
    }

    #[test]
    fn the_least_limit_on_the_way_up_holds() {
        let nested = [
            ("proc/self/cgroup", "0::/slurm/job_7/step_0\n"),
            ("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n"),
            ("sys/fs/cgroup/slurm/job_7/memory.max", "17179869184\n"),
            ("sys/fs/cgroup/slurm/job_7/memory.current", "4294967296\n"),
            ("sys/fs/cgroup/slurm/memory.max", "34359738368\n"),
        ];
        assert_eq!(gib(&machine(&nested)), (16, 12, true));
    }

    #[test]
    fn a_container_shows_its_group_at_the_mount_under_the_hosts_path() {
        let version_1 = [
            ("proc/self/cgroup", "11:cpuset:/docker/ab\n9:cpu,memory:/docker/ab\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "8589934592\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n"),
        ];
        assert_eq!(gib(&machine(&version_1)), (8, 7, true));
    }
}

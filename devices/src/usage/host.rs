//! Reads the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::process::{Processes, processes};
use crate::inventory::{GpuGauges, gpu_gauges};

/// How long a reading serves whoever asks: a little less than the quarter of a minute between two samples of a run, so
/// that no run is told the same twice.
const FRESH: Duration = Duration::from_secs(14);

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own are.
///
/// # Sources
/// Kernel documentation, admin-guide/iostats.
const SECTOR_BYTES: u64 = 512;

/// The machine at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    /// Logical cores of the machine.
    pub(super) cores: Option<u32>,
    pub(super) memory: Option<Memory>,
    /// Since the machine was started, over all its interfaces.
    pub(super) network: Option<Traffic>,
    /// Since the machine was started, by major and minor number of the device.
    pub(super) disks: BTreeMap<(u32, u32), Disk>,
    pub(super) processes: Processes,
    pub(super) gpus: Vec<GpuGauges>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total_bytes: u64,
    pub(super) available_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// Reads the machine for all runs, at most once in a quarter of a minute.
#[derive(Debug)]
pub struct HostMeter {
    root: PathBuf,
    fresh: Duration,
    last: Mutex<Option<Arc<Reading>>>,
}

impl HostMeter {
    /// Of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::at("/".into(), FRESH)
    }

    pub(super) fn at(root: PathBuf, fresh: Duration) -> Self {
        Self { root, fresh, last: Mutex::new(None) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The machine now, or a moment ago if this process was there then. Waits for drivers.
    pub(super) fn read(&self, pid: Option<u32>) -> Arc<Reading> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = |reading: &&Arc<Reading>| {
            let knows = pid.is_none_or(|pid| reading.processes.contains_key(&pid));
            knows && reading.at.elapsed() < self.fresh
        };
        if let Some(reading) = last.as_ref().filter(serves) {
            return Arc::clone(reading);
        }
        let reading = Arc::new(self.look());
        *last = Some(Arc::clone(&reading));
        reading
    }

    fn look(&self) -> Reading {
        let text = |name: &str| fs::read_to_string(self.root.join("proc").join(name)).unwrap_or_default();
        // Before the processes are read: their times belong to this moment.
        let at = Instant::now();
        Reading {
            at,
            processes: processes(&self.root),
            cores: cores(&text("stat")),
            memory: memory(&text("meminfo")),
            network: network(&text("net/dev")),
            disks: disks(&text("diskstats")),
            gpus: gpu_gauges(),
        }
    }
}

impl Default for HostMeter {
    fn default() -> Self {
        Self::new()
    }
}

/// # Sources
/// proc_stat(5): one line `cpuN` for each core besides the sum.
fn cores(stat: &str) -> Option<u32> {
    let of_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    u32::try_from(stat.lines().filter(of_core).count()).ok().filter(|cores| *cores > 0)
}

/// # Sources
/// proc_meminfo(5), `MemTotal` and `MemAvailable`.
fn memory(meminfo: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let (total_bytes, available_bytes) = (field("MemTotal:")?, field("MemAvailable:")?);
    (total_bytes > 0).then_some(Memory { total_bytes, available_bytes })
}

/// Loopback counts too, as in W&B's own client.
///
/// # Sources
/// proc_pid_net(5), `dev`: bytes are the first field of eight received and of eight sent.
fn network(dev: &str) -> Option<Traffic> {
    let interface = |line: &str| {
        let fields: Vec<&str> = line.split_once(':')?.1.split_whitespace().collect();
        Some((fields.first()?.parse::<u64>().ok()?, fields.get(8)?.parse::<u64>().ok()?))
    };
    dev.lines().filter_map(interface).fold(None, |sum, (received, sent)| {
        let Traffic { sent_bytes, received_bytes } =
            sum.unwrap_or(Traffic { sent_bytes: 0, received_bytes: 0 });
        Some(Traffic {
            sent_bytes: sent_bytes.saturating_add(sent),
            received_bytes: received_bytes.saturating_add(received),
        })
    })
}

/// # Sources
/// Kernel documentation, admin-guide/iostats: major, minor, name, then sectors read as the third and written as the
/// seventh count.
fn disks(diskstats: &str) -> BTreeMap<(u32, u32), Disk> {
    let disk = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let count = |at: usize| fields.get(at)?.parse::<u64>().ok()?.checked_mul(SECTOR_BYTES);
        let number = (fields.first()?.parse().ok()?, fields.get(1)?.parse().ok()?);
        let name = (*fields.get(2)?).to_owned();
        Some((number, Disk { name, read_bytes: count(5)?, written_bytes: count(9)? }))
    };
    diskstats.lines().filter_map(disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_without_their_sum() {
        let stat =
            "cpu  10 20 30 40\ncpu0 1 2 3 4\ncpu1 1 2 3 4\ncpu17 1 2 3 4\nintr 12\nctxt 5\ncpufreq 1\n";
        assert_eq!(cores(stat), Some(3));
        assert_eq!(cores(""), None);
    }

    #[test]
    fn memory_is_known_whole_or_not_at_all() {
        let text = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    250 kB\n";
        assert_eq!(memory(text), Some(Memory { total_bytes: 1_024_000, available_bytes: 256_000 }));
        // Kernels before 3.14 have no MemAvailable.
        for partial in [
            "",
            "MemTotal: 1000 kB\n",
            "MemTotal: x kB\nMemAvailable: 1 kB",
            "MemTotal: 0 kB\nMemAvailable: 0 kB",
        ] {
            assert_eq!(memory(partial), None, "{partial}");
        }
    }

    #[test]
    fn traffic_is_that_of_all_interfaces_and_headings_are_none() {
        let text = "Inter-|   Receive        |  Transmit\n face |bytes    packets errs|bytes packets\n    \
                    lo: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n  eth0:5000 1 0 0 0 0 0 0 70 1 0 0 0 0 0 0\n";
        assert_eq!(network(text), Some(Traffic { sent_bytes: 270, received_bytes: 5100 }));
        assert_eq!(network("Inter-| Receive\n face |bytes\n"), None);
    }

    #[test]
    fn disks_are_found_by_their_numbers() {
        let text =
            " 259       0 nvme0n1 11 0 4 1 22 0 6 2 0 3 3 0 0\n   8 1 sda1 1 0 2 1 1 0 2\n 7 0 loop0\n";
        let found = disks(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[&(259, 0)], Disk { name: "nvme0n1".into(), read_bytes: 2048, written_bytes: 3072 });
    }

    #[test]
    fn a_reading_serves_until_it_is_stale_and_whoever_was_there() {
        let root = tempfile::tempdir().unwrap();
        let host = HostMeter::at(root.path().to_owned(), Duration::from_secs(3600));
        assert!(Arc::ptr_eq(&host.read(None), &host.read(None)));
        let before = host.read(None);
        fs::create_dir_all(root.path().join("proc/10")).unwrap();
        fs::write(root.path().join("proc/10/stat"), "10 (w) R 1 1 1 0 -1 0 1 2 3 4 5 0 0 0 20 0 3 0 9 1 1")
            .unwrap();
        let with = host.read(Some(10));
        assert!(!Arc::ptr_eq(&before, &with), "it began since");
        assert!(Arc::ptr_eq(&with, &host.read(Some(10))));
        let host = HostMeter::at(root.path().to_owned(), Duration::ZERO);
        assert!(!Arc::ptr_eq(&host.read(None), &host.read(None)));
    }
}

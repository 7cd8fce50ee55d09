//! What concerns one run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::host::{Disk, HostMeter, Reading, Traffic};
use super::process::{Processes, TICKS_PER_SEC, tree};
use super::{MIB, real};
use crate::worker::resident_bytes;

/// Times of processes, each named by number and start.
type Ticks = HashMap<(u32, u64), u64>;

/// Measures the machine and one worker, time after time, for one run.
#[derive(Debug)]
pub struct Meter {
    host: Arc<HostMeter>,
    /// File systems whose use is told: the machine's first, and that of the run if it is another.
    paths: Vec<PathBuf>,
    /// Traffic and disks when the run began.
    began: Option<Counters>,
    /// The worker's processes at the sample before.
    before: Option<(Instant, Ticks)>,
}

#[derive(Debug)]
struct Counters {
    network: Option<Traffic>,
    disks: BTreeMap<(u32, u32), Disk>,
}

impl Meter {
    /// For a run that writes into this folder.
    #[must_use]
    pub fn new(host: Arc<HostMeter>, folder: &Path) -> Self {
        let root = PathBuf::from("/");
        let mount = mount_point(folder).filter(|mount| *mount != root);
        Self { host, paths: [root].into_iter().chain(mount).collect(), began: None, before: None }
    }

    /// One sample, by W&B's names without their `system.`; the worker's part for the process `pid` and those that
    /// came from it, the GPUs' for all of the machine and once more for those with these UUIDs.
    ///
    /// `cpu` is told from the second sample on, `network.…` and `disk.….in` count from the first. Waits for drivers.
    ///
    /// # Units
    /// Percent for `cpu` (of all cores of the machine, as W&B's own client tells it: one busy core of four is 25),
    /// `…percent`, `…_percent` and `…Percent`; MiB for `…MB`, `disk.….in` and `disk.….out`, GiB for `…GB`; bytes for
    /// `network.…`; those of the GPUs stand in their names, but for °C (`temp`), MHz (clocks) and percent (`gpu`,
    /// `memory`, `memoryAllocated`, `fanSpeed`).
    ///
    /// # Sources
    /// W&B's charts of system metrics, <https://docs.wandb.ai/guides/models/app/settings-page/system-metrics>.
    pub fn sample(&mut self, pid: Option<u32>, gpus: &[String]) -> BTreeMap<String, f64> {
        let reading = self.host.read(pid);
        let mut sample = BTreeMap::new();
        let mut note = |name: &str, value: Option<f64>| {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                sample.insert(name.to_owned(), value);
            }
        };
        machine(&reading, &mut note);
        self.since_the_start(&reading, &mut note);
        for path in &self.paths {
            used(path, &mut note);
        }
        self.worker(pid, &reading, &mut note);
        for gpu in &reading.gpus {
            for (name, value) in &gpu.values {
                note(&format!("gpu.{}.{name}", gpu.index), Some(*value));
                if gpus.contains(&gpu.uuid) {
                    note(&format!("gpu.process.{}.{name}", gpu.index), Some(*value));
                }
            }
        }
        sample
    }

    fn since_the_start(&mut self, reading: &Reading, note: &mut impl FnMut(&str, Option<f64>)) {
        let began = self
            .began
            .get_or_insert_with(|| Counters { network: reading.network, disks: reading.disks.clone() });
        // A counter that has become smaller began anew: its interface or disk is another.
        let risen = |before: u64, now: u64| now.checked_sub(before).map(real);
        if let (Some(before), Some(now)) = (began.network, reading.network) {
            note("network.sent", risen(before.sent_bytes, now.sent_bytes));
            note("network.recv", risen(before.received_bytes, now.received_bytes));
        }
        for number in self.paths.iter().filter_map(|path| device_of(path)) {
            if let (Some(before), Some(now)) = (began.disks.get(&number), reading.disks.get(&number)) {
                let mib = |before, now| risen(before, now).map(|bytes| bytes / MIB);
                note(&format!("disk.{}.in", now.name), mib(before.read_bytes, now.read_bytes));
                note(&format!("disk.{}.out", now.name), mib(before.written_bytes, now.written_bytes));
            }
        }
    }

    fn worker(&mut self, pid: Option<u32>, reading: &Reading, note: &mut impl FnMut(&str, Option<f64>)) {
        let all = &reading.processes;
        let Some(pid) = pid.filter(|pid| all.contains_key(pid)) else {
            self.before = None;
            return;
        };
        let own: Processes =
            tree(all, pid).into_iter().filter_map(|pid| Some((pid, *all.get(&pid)?))).collect();
        let threads: u64 = own.values().map(|process| u64::from(process.threads)).sum();
        note("proc.cpu.threads", Some(real(threads)));
        let resident = own.keys().filter_map(|pid| resident_bytes(self.host.root(), *pid));
        if let Some(resident) = resident.reduce(u64::saturating_add) {
            note("proc.memory.rssMB", Some(real(resident) / MIB));
            let total = reading.memory.map(|memory| real(memory.total_bytes));
            note("proc.memory.percent", total.map(|total| real(resident) / total * 100.0));
        }
        let now: Ticks = own.iter().map(|(pid, process)| ((*pid, process.started), process.ticks)).collect();
        if let (Some((at, before)), Some(cores)) = (&self.before, reading.cores) {
            let elapsed = reading.at.duration_since(*at).as_secs_f64();
            note(
                "cpu",
                (elapsed > 0.0).then(|| busy_secs(before, &now) / elapsed / f64::from(cores) * 100.0),
            );
        }
        self.before = Some((reading.at, now));
    }
}

/// Time on a core between two looks. A process that was not there before has begun in between.
fn busy_secs(before: &Ticks, now: &Ticks) -> f64 {
    let risen =
        now.iter().map(|(process, ticks)| ticks.saturating_sub(before.get(process).copied().unwrap_or(0)));
    real(risen.fold(0, u64::saturating_add)) / TICKS_PER_SEC
}

fn machine(reading: &Reading, note: &mut impl FnMut(&str, Option<f64>)) {
    if let Some(memory) = reading.memory {
        let (total, available) = (real(memory.total_bytes), real(memory.available_bytes));
        note("memory_percent", Some((total - available) / total * 100.0));
        note("proc.memory.availableMB", Some(available / MIB));
    }
}

/// As `df` tells it: what only root may still fill is no part of the whole.
fn used(path: &Path, note: &mut impl FnMut(&str, Option<f64>)) {
    let Ok(stat) = rustix::fs::statvfs(path) else { return };
    let used = real(stat.f_blocks.saturating_sub(stat.f_bfree));
    let whole = used + real(stat.f_bavail);
    let path = path.display();
    note(&format!("disk.{path}.usagePercent"), (whole > 0.0).then(|| used / whole * 100.0));
    note(&format!("disk.{path}.usageGB"), Some(used * real(stat.f_frsize) / MIB / 1024.0));
}

/// Where the file system of a folder begins; of the nearest one above it that is there already.
fn mount_point(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    let mut place = folder.ancestors().find_map(|folder| folder.canonicalize().ok())?;
    let device = number_of(&place)?;
    while let Some(above) = place.parent().filter(|above| number_of(above) == Some(device)) {
        place = above.to_owned();
    }
    Some(place)
}

fn number_of(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(path.metadata().ok()?.dev())
}

/// Major and minor number of the device behind a file system.
#[cfg(target_os = "linux")]
fn device_of(path: &Path) -> Option<(u32, u32)> {
    let number = number_of(path)?;
    Some((rustix::fs::major(number), rustix::fs::minor(number)))
}

#[cfg(not(target_os = "linux"))]
fn device_of(_path: &Path) -> Option<(u32, u32)> {
    None
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;

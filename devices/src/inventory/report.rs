//! Everything there is, for people and scripts: each device, what it is, who holds it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cores;
use super::device::{Accelerator, DeviceId, DeviceInfo, DeviceKind};
use super::gpu::{ComputeMode, Gpu, GpuProcess, gpu_memory, gpu_processes};
use super::machine::Machine;
use crate::lock::Held;

/// Generations that are looked through for the engine process a worker belongs to.
const GENERATIONS: usize = 16;

/// Somebody on a device: an engine process by its lock, or any other process that computes there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process; none for one that has locked the device this instant and not said so yet.
    pub pid: Option<u32>,
    /// What an engine process holds the device for; the program of another process, where the system tells.
    pub name: Option<String>,
    /// Whether it holds a lock of ours. Others know nothing of our locks and heed none.
    pub has_lock: bool,
    /// Which slot is locked; none for all of the device, and without a lock.
    pub slot: Option<u32>,
    /// Since when it is locked.
    pub since_unix_secs: Option<u64>,
    /// Memory of the device that the process and its workers have, as far as the driver tells.
    pub used_bytes: Option<u64>,
}

/// One device, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeviceRow {
    /// Its name: `cuda:0`; `cpu` for all cores together.
    pub device: String,
    /// What it is.
    pub kind: DeviceKind,
    /// The product.
    pub name: Option<String>,
    /// UUID of a GPU or MIG device.
    pub uuid: Option<String>,
    /// Its memory.
    pub total_bytes: Option<u64>,
    /// Memory in use, everybody's.
    pub used_bytes: Option<u64>,
    /// Memory that can still be had.
    pub free_bytes: Option<u64>,
    /// Cores, of a CPU device.
    pub cores: Vec<usize>,
    /// Threads a run there computes with, of a CPU device: fewer than cores under a quota.
    pub threads: Option<u32>,
    /// Who may compute on a GPU.
    pub compute_mode: Option<ComputeMode>,
    /// UUID of the GPU that it is a MIG device of.
    pub mig_parent: Option<String>,
    /// Whether it is among the devices asked for.
    pub chosen: bool,
    /// Who is on it.
    pub holders: Vec<Holder>,
}

/// Every device, and what should be known besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeviceReport {
    /// GPUs first, by index.
    pub devices: Vec<DeviceRow>,
    /// Why there is no GPU, what is left out, what is limited.
    pub notes: Vec<String>,
}

impl Machine {
    /// Tells of everything of the kind asked for, `auto` being every kind. `taken` are the devices a job would get,
    /// `held` the locks there are.
    #[must_use]
    pub fn report(&self, asked: Accelerator, taken: &[DeviceInfo], held: &[Held]) -> DeviceReport {
        let shown = |accelerator| asked == Accelerator::Auto || asked == accelerator;
        let (mut devices, mut notes) = (Vec::new(), Vec::new());
        if shown(Accelerator::Gpu) {
            let row = |(index, gpu)| gpu_row(index, gpu, held);
            devices.extend((0..).zip(self.gpus()).map(row));
            notes.extend(self.absent().map(ToString::to_string));
            notes.extend_from_slice(self.problems());
        }
        if shown(Accelerator::Mps) && self.has_metal() {
            devices.push(self.main_row(DeviceId::new(DeviceKind::Mps, 0).to_string(), DeviceKind::Mps));
        }
        if shown(Accelerator::Cpu) {
            devices.extend(self.cpu_rows(taken));
            notes.extend(self.cpu_notes());
        }
        for row in &mut devices {
            row.chosen = taken.iter().any(|device| device.id.as_str() == row.device);
        }
        DeviceReport { devices, notes }
    }

    /// The slices that were asked for, or else all cores together.
    fn cpu_rows(&self, taken: &[DeviceInfo]) -> Vec<DeviceRow> {
        let slices = taken.iter().filter(|device| device.kind == DeviceKind::Cpu);
        let mut rows: Vec<DeviceRow> = slices
            .map(|slice| DeviceRow {
                cores: slice.cores.clone(),
                threads: Some(slice.threads),
                ..self.main_row(slice.id.to_string(), DeviceKind::Cpu)
            })
            .collect();
        if rows.is_empty() {
            rows.push(DeviceRow {
                cores: self.cores().to_vec(),
                threads: u32::try_from(self.budget()).ok(),
                ..self.main_row(DeviceKind::Cpu.to_string(), DeviceKind::Cpu)
            });
        }
        for row in &mut rows {
            row.name = cores::model(Path::new("/"));
        }
        rows
    }

    fn cpu_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (cores, budget) = (self.cores().len(), self.budget());
        if budget < cores {
            notes.push(format!(
                "a control group's quota leaves this process the time of {budget} of its {cores} cores"
            ));
        }
        if self.memory().is_some_and(|memory| memory.limited) {
            notes.push("the memory of the CPU is what a control group leaves this process".to_owned());
        }
        notes
    }

    /// A device that computes in the machine's memory.
    fn main_row(&self, device: String, kind: DeviceKind) -> DeviceRow {
        let memory = self.memory();
        DeviceRow {
            device,
            kind,
            name: None,
            uuid: None,
            total_bytes: memory.map(|memory| memory.total_bytes),
            used_bytes: memory.map(|memory| memory.total_bytes.saturating_sub(memory.available_bytes)),
            free_bytes: memory.map(|memory| memory.available_bytes),
            cores: Vec::new(),
            threads: None,
            compute_mode: None,
            mig_parent: None,
            chosen: false,
            holders: Vec::new(),
        }
    }
}

fn gpu_row(index: u32, gpu: &Gpu, held: &[Held]) -> DeviceRow {
    let uuid = gpu.uuid.as_deref();
    let memory = uuid.and_then(gpu_memory);
    let processes = uuid.and_then(gpu_processes).unwrap_or_default();
    let locks: Vec<&Held> = held.iter().filter(|lock| Some(lock.uuid.as_str()) == uuid).collect();
    DeviceRow {
        device: DeviceId::new(DeviceKind::Cuda, index).to_string(),
        kind: DeviceKind::Cuda,
        name: gpu.name.clone(),
        uuid: gpu.uuid.clone(),
        total_bytes: gpu.memory_bytes,
        used_bytes: memory.map(|memory| memory.used_bytes),
        free_bytes: memory.map(|memory| memory.free_bytes),
        cores: Vec::new(),
        threads: None,
        compute_mode: Some(gpu.mode),
        mig_parent: gpu.mig_parent.clone(),
        chosen: false,
        holders: holders(&locks, &processes, parent_of, program_of),
    }
}

/// Who is on a device: its locks, each with the memory of its process and of that process's children, then whoever
/// computes there without one.
fn holders(
    locks: &[&Held],
    processes: &[GpuProcess],
    parent_of: impl Fn(u32) -> Option<u32>,
    program_of: impl Fn(u32) -> Option<String>,
) -> Vec<Holder> {
    let mut holders: Vec<Holder> = locks
        .iter()
        .map(|lock| Holder {
            pid: (lock.pid != 0).then_some(lock.pid),
            name: Some(lock.holder.clone()),
            has_lock: true,
            slot: lock.slot,
            since_unix_secs: Some(lock.since_unix_secs),
            used_bytes: None,
        })
        .collect();
    for process in processes {
        let ancestors = std::iter::successors(Some(process.pid), |pid| parent_of(*pid));
        let line: Vec<u32> = ancestors.take(GENERATIONS).collect();
        let is_of = |holder: &Holder| holder.has_lock && holder.pid.is_some_and(|pid| line.contains(&pid));
        match holders.iter_mut().find(|holder| is_of(holder)) {
            Some(holder) => {
                holder.used_bytes = match (holder.used_bytes, process.used_bytes) {
                    (Some(before), Some(more)) => Some(before + more),
                    (before, more) => before.or(more),
                };
            }
            None => holders.push(Holder {
                pid: Some(process.pid),
                name: program_of(process.pid),
                has_lock: false,
                slot: None,
                since_unix_secs: None,
                used_bytes: process.used_bytes,
            }),
        }
    }
    holders
}

/// A process's parent, where the system tells.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent …`, and a name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A process's program, where the system tells.
fn program_of(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(pid: u32, slot: Option<u32>) -> Held {
        Held {
            uuid: "GPU-1".into(),
            slot,
            pid,
            holder: format!("run-{pid}"),
            since_unix_secs: 7,
            need_bytes: 0,
        }
    }

    fn process(pid: u32, used_bytes: Option<u64>) -> GpuProcess {
        GpuProcess { pid, used_bytes }
    }

    #[test]
    fn a_worker_s_memory_counts_for_the_engine_that_holds_the_lock() {
        let (first, second) = (lock(10, Some(0)), lock(20, Some(1)));
        let parents = |pid: u32| match pid {
            11 | 12 => Some(10),
            21 => Some(19),
            19 => Some(20),
            _ => None,
        };
        let processes = [process(11, Some(5)), process(21, None), process(12, Some(3)), process(30, Some(9))];
        let found = holders(&[&first, &second], &processes, parents, |pid| Some(format!("program-{pid}")));
        let told: Vec<_> =
            found.iter().map(|holder| (holder.name.as_deref().unwrap(), holder.used_bytes)).collect();
        assert_eq!(told, [("run-10", Some(8)), ("run-20", None), ("program-30", Some(9))]);
        assert_eq!(found.iter().map(|holder| holder.has_lock).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((found[1].slot, found[1].since_unix_secs), (Some(1), Some(7)));
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let found = holders(&[&lock(1, None)], &[process(2, None)], |_| Some(2), |_| None);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_lock_without_a_process_yet_is_nobodys_parent() {
        // What the first process of a machine has for a parent.
        let found = holders(&[&lock(0, None)], &[process(2, Some(1))], |_| Some(0), |_| None);
        assert_eq!(found.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [None, Some(2)]);
        assert_eq!(found[0].used_bytes, None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_of_this_process() {
        assert_eq!(parent_of(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert!(program_of(std::process::id()).is_some_and(|name| !name.is_empty()));
        assert_eq!(parent_of(u32::MAX), None);
    }
}

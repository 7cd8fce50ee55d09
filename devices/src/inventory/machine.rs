//! The machine, and from `--accelerator` and `--devices` to devices of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::cores::{self, Slice};
use super::device::{Accelerator, DeviceInfo, DeviceKind};
use super::error::InventoryError;
use super::gpu::{self, ComputeMode, Found, Gpu, NoGpu};
use super::list;
use super::memory::{MainMemory, main_memory};

/// The devices asked for, in the order they were listed.
///
/// `devices` holds `auto` (the first GPU; all cores as one slice), `all` or `-1` (every GPU; one slice for each
/// core), or indices, also as `0,1`, `cpu:0` or `cuda:1`, or UUIDs of GPUs and beginnings of them. Listing `n` CPU
/// devices makes `n` slices; with more slices than cores they share cores, which [`note`] puts into words. A single
/// number is an index, not a count.
///
/// # Errors
/// [`InventoryError`] if the accelerator is not there, or an entry is no device, missing or listed twice.
pub fn select(accelerator: Accelerator, devices: &[String]) -> Result<Vec<DeviceInfo>, InventoryError> {
    select_among(accelerator, devices, &DeviceKind::ALL)
}

/// As [`select`], for a build whose back ends drive only the kinds in `supported`: `auto` passes over the others.
///
/// # Errors
/// As [`select`], and [`InventoryError::Unsupported`] if a kind that is not supported is asked for by name.
pub fn select_among(
    accelerator: Accelerator,
    devices: &[String],
    supported: &[DeviceKind],
) -> Result<Vec<DeviceInfo>, InventoryError> {
    // Whoever asks for the CPU does not wait for drivers.
    let machine = match accelerator {
        Accelerator::Cpu => Machine::without_gpus(),
        _ => Machine::probe(),
    };
    machine.select(accelerator, devices, supported)
}

/// What should be told of a selection: devices that share cores.
#[must_use]
pub fn note(devices: &[DeviceInfo]) -> Option<String> {
    let mut users: BTreeMap<usize, usize> = BTreeMap::new();
    for core in devices.iter().flat_map(|device| &device.cores) {
        *users.entry(*core).or_default() += 1;
    }
    let shared = users.values().any(|users| *users > 1);
    shared.then(|| {
        format!(
            "{} devices share {} cores with one thread each: runs will slow each other",
            devices.len(),
            users.len()
        )
    })
}

/// What this process may use of the machine, as it was when looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    cores: Vec<usize>,
    budget: usize,
    memory: Option<MainMemory>,
    found: Found,
    metal: bool,
}

impl Machine {
    /// Looks at everything. The first call of a process loads the GPUs' driver library, which may take a second.
    #[must_use]
    pub fn probe() -> Self {
        Self { found: gpu::discover(), ..Self::without_gpus() }
    }

    fn without_gpus() -> Self {
        Self {
            cores: cores::allowed(),
            budget: cores::budget(),
            memory: main_memory(Path::new("/")),
            found: Found::default(),
            metal: cfg!(all(target_os = "macos", target_arch = "aarch64")),
        }
    }

    /// Cores this process may use, ascending.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }

    /// How many cores' worth of time it may use: fewer than cores under a quota.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Memory of the machine.
    #[must_use]
    pub fn memory(&self) -> Option<MainMemory> {
        self.memory
    }

    /// GPUs and MIG devices this process may use; their places are their indices.
    #[must_use]
    pub fn gpus(&self) -> &[Gpu] {
        &self.found.gpus
    }

    /// Why there are none.
    #[must_use]
    pub fn absent(&self) -> Option<&NoGpu> {
        self.found.absent.as_ref()
    }

    /// What should be told of GPUs that are left out.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.found.problems
    }

    /// Whether there is a GPU behind Metal, which shares the machine's memory.
    #[must_use]
    pub fn has_metal(&self) -> bool {
        self.metal
    }

    /// As [`select_among`], on this machine.
    ///
    /// # Errors
    /// As [`select_among`].
    pub fn select(
        &self,
        accelerator: Accelerator,
        devices: &[String],
        supported: &[DeviceKind],
    ) -> Result<Vec<DeviceInfo>, InventoryError> {
        let entries = list::entries(devices);
        // Only a GPU has a UUID.
        let accelerator = match accelerator {
            Accelerator::Auto if entries.iter().any(|entry| list::is_uuid(entry)) => Accelerator::Gpu,
            given => given,
        };
        let kind = self.kind(accelerator, supported)?;
        let indices = list::indices(self, kind, &entries)?;
        let slices = cores::slices(&self.cores, self.budget, indices.len());
        Ok(indices.into_iter().zip(slices).map(|(index, slice)| self.device(kind, index, slice)).collect())
    }

    /// A device of this machine, held to a slice of its cores.
    fn device(&self, kind: DeviceKind, index: u32, slice: Slice) -> DeviceInfo {
        let bare = DeviceInfo::bare(kind, index, slice.cores, slice.threads);
        match (kind, self.gpu(index)) {
            (DeviceKind::Cuda, Some(gpu)) => DeviceInfo {
                token: Some(gpu.token.clone()),
                memory_bytes: gpu.memory_bytes,
                uuid: gpu.uuid.clone(),
                name: gpu.name.clone(),
                at_most: gpu.at_most(),
                mig_parent: gpu.mig_parent.clone(),
                ..bare
            },
            _ => DeviceInfo { memory_bytes: self.memory.map(|memory| memory.total_bytes), ..bare },
        }
    }

    pub(super) fn gpu(&self, index: u32) -> Option<&Gpu> {
        self.found.gpus.get(usize::try_from(index).ok()?)
    }

    fn kind(&self, accelerator: Accelerator, supported: &[DeviceKind]) -> Result<DeviceKind, InventoryError> {
        let usable = self.found.gpus.iter().any(|gpu| gpu.mode != ComputeMode::Prohibited);
        let kind = match accelerator {
            Accelerator::Auto if usable && supported.contains(&DeviceKind::Cuda) => DeviceKind::Cuda,
            Accelerator::Auto if self.metal && supported.contains(&DeviceKind::Mps) => DeviceKind::Mps,
            Accelerator::Auto | Accelerator::Cpu => DeviceKind::Cpu,
            Accelerator::Gpu if self.found.gpus.is_empty() => {
                let why = self.found.absent.clone().unwrap_or(NoGpu::NoneThere);
                return Err(InventoryError::NoGpu { why });
            }
            Accelerator::Gpu => DeviceKind::Cuda,
            Accelerator::Mps if !self.metal => return Err(InventoryError::NoMps),
            Accelerator::Mps => DeviceKind::Mps,
            Accelerator::Tpu => return Err(InventoryError::NoTpu),
        };
        if supported.contains(&kind) {
            Ok(kind)
        } else {
            Err(InventoryError::Unsupported { kind, supported: supported.to_vec() })
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

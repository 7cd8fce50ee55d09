//! From `--accelerator` and `--devices` to devices.

use std::collections::BTreeMap;

use super::cores::{self, Slice};
use super::cuda;
use super::device::{Accelerator, DeviceId, DeviceInfo, DeviceKind};
use super::error::InventoryError;

/// The devices asked for, in the order they were listed.
///
/// `devices` holds `auto` (the first GPU; all cores as one slice), `all` or `-1` (every GPU; one slice for each
/// core), or indices, also as `0,1`, `cpu:0` or `cuda:1`. Listing `n` CPU devices makes `n` slices; with more slices
/// than cores they share cores, which [`note`] puts into words. A single number is an index, not a count.
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
    Machine::probe().select(accelerator, devices, supported)
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

/// What the machine has, apart from what was asked of it.
struct Machine {
    cores: Vec<usize>,
    budget: usize,
    memory_bytes: Option<u64>,
    gpus: usize,
    metal: bool,
}

impl Machine {
    fn probe() -> Self {
        Self {
            cores: cores::allowed(),
            budget: cores::budget(),
            memory_bytes: cores::memory_bytes(),
            gpus: cuda::tokens().len(),
            metal: cfg!(all(target_os = "macos", target_arch = "aarch64")),
        }
    }

    fn select(
        &self,
        accelerator: Accelerator,
        devices: &[String],
        supported: &[DeviceKind],
    ) -> Result<Vec<DeviceInfo>, InventoryError> {
        let kind = self.kind(accelerator, supported)?;
        let indices = self.indices(kind, devices)?;
        let slices = cores::slices(&self.cores, self.budget, indices.len());
        Ok(indices.into_iter().zip(slices).map(|(index, slice)| self.device(kind, index, slice)).collect())
    }

    fn device(&self, kind: DeviceKind, index: u32, slice: Slice) -> DeviceInfo {
        let memory_bytes = if kind == DeviceKind::Cuda { None } else { self.memory_bytes };
        let Slice { cores, threads } = slice;
        let token = (kind == DeviceKind::Cuda).then(|| cuda::visible_token(index));
        DeviceInfo { id: DeviceId::new(kind, index), kind, index, token, cores, threads, memory_bytes }
    }

    fn kind(&self, accelerator: Accelerator, supported: &[DeviceKind]) -> Result<DeviceKind, InventoryError> {
        let kind = match accelerator {
            Accelerator::Auto if self.gpus > 0 && supported.contains(&DeviceKind::Cuda) => DeviceKind::Cuda,
            Accelerator::Auto if self.metal && supported.contains(&DeviceKind::Mps) => DeviceKind::Mps,
            Accelerator::Auto | Accelerator::Cpu => DeviceKind::Cpu,
            Accelerator::Gpu if self.gpus == 0 => return Err(InventoryError::NoGpu),
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

    fn indices(&self, kind: DeviceKind, devices: &[String]) -> Result<Vec<u32>, InventoryError> {
        let entries: Vec<&str> = devices.iter().flat_map(|entry| entry.split(',')).map(str::trim).collect();
        match entries.as_slice() {
            [] => Err(InventoryError::Nothing),
            ["auto"] => Ok(vec![0]),
            ["all" | "-1"] => Ok((0..self.count(kind)).collect()),
            listed => self.listed(kind, listed),
        }
    }

    fn listed(&self, kind: DeviceKind, entries: &[&str]) -> Result<Vec<u32>, InventoryError> {
        let there = match kind {
            // More slices than cores may be asked for, as long as they are the first ones.
            DeviceKind::Cpu => self.count(kind).max(count(entries.len())),
            DeviceKind::Cuda | DeviceKind::Mps => self.count(kind),
        };
        let mut indices = Vec::with_capacity(entries.len());
        for entry in entries {
            let index = parse(kind, entry)?;
            if index >= there {
                return Err(InventoryError::Missing { kind, index, there: self.there(kind) });
            }
            if indices.contains(&index) {
                return Err(InventoryError::Duplicate { kind, index });
            }
            indices.push(index);
        }
        Ok(indices)
    }

    fn count(&self, kind: DeviceKind) -> u32 {
        match kind {
            DeviceKind::Cpu => count(self.cores.len()),
            DeviceKind::Cuda => count(self.gpus),
            DeviceKind::Mps => 1,
        }
    }

    fn there(&self, kind: DeviceKind) -> String {
        let have = match self.count(kind) {
            1 => format!("there is only {kind}:0"),
            n => format!("there are {kind}:0 to {kind}:{}", n - 1),
        };
        match kind {
            DeviceKind::Cpu => format!("{have}, one for each core this process may use"),
            DeviceKind::Cuda | DeviceKind::Mps => have,
        }
    }
}

fn parse(kind: DeviceKind, entry: &str) -> Result<u32, InventoryError> {
    if entry == "auto" || entry == "all" || entry == "-1" {
        return Err(InventoryError::NotAlone { given: entry.to_owned() });
    }
    let digits = entry.strip_prefix(&format!("{kind}:")).unwrap_or(entry);
    // `+1` is a number to the standard library, and no index to anyone.
    match digits.parse() {
        Ok(index) if !digits.starts_with('+') => Ok(index),
        _ => Err(InventoryError::NotADevice { given: entry.to_owned() }),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cores: usize, gpus: usize) -> Machine {
        Machine {
            cores: (0..cores).collect(),
            budget: cores,
            memory_bytes: Some(1 << 30),
            gpus,
            metal: false,
        }
    }

    fn ask(machine: &Machine, accelerator: Accelerator, devices: &[&str]) -> Result<Vec<String>, String> {
        let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
        machine
            .select(accelerator, &devices, &DeviceKind::ALL)
            .map(|found| found.iter().map(|device| device.id.to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn auto_is_one_slice_with_all_cores() {
        let found = machine(4, 0).select(Accelerator::Auto, &["auto".to_owned()], &DeviceKind::ALL).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].threads), ("cpu:0", 4));
        assert_eq!(found[0].cores, [0, 1, 2, 3]);
        assert_eq!(note(&found), None);
    }

    #[test]
    fn listed_cpu_devices_are_disjoint_slices() {
        let found = machine(4, 0)
            .select(Accelerator::Cpu, &["0".to_owned(), "1".to_owned()], &DeviceKind::ALL)
            .unwrap();
        assert_eq!(found[0].cores, [0, 1]);
        assert_eq!(found[1].cores, [2, 3]);
        assert_eq!(found[1].place().threads, 2);
    }

    #[test]
    fn more_slices_than_cores_are_noted() {
        let listed: Vec<String> = (0..3).map(|index| index.to_string()).collect();
        let found = machine(2, 0).select(Accelerator::Cpu, &listed, &DeviceKind::ALL).unwrap();
        assert_eq!(found.len(), 3);
        assert!(note(&found).unwrap().starts_with("3 devices share 2 cores"));
    }

    #[test]
    fn auto_prefers_a_gpu_that_the_build_can_drive() {
        assert_eq!(ask(&machine(4, 2), Accelerator::Auto, &["auto"]).unwrap(), ["cuda:0"]);
        let found =
            machine(4, 2).select(Accelerator::Auto, &["auto".to_owned()], &[DeviceKind::Cpu]).unwrap();
        assert_eq!(found[0].id.as_str(), "cpu:0");
        let refused = machine(4, 2).select(Accelerator::Gpu, &["auto".to_owned()], &[DeviceKind::Cpu]);
        assert!(matches!(refused, Err(InventoryError::Unsupported { kind: DeviceKind::Cuda, .. })));
    }

    #[test]
    fn all_lists_every_device() {
        assert_eq!(ask(&machine(4, 2), Accelerator::Gpu, &["-1"]).unwrap(), ["cuda:0", "cuda:1"]);
        assert_eq!(ask(&machine(2, 0), Accelerator::Cpu, &["all"]).unwrap(), ["cpu:0", "cpu:1"]);
    }

    #[test]
    fn indices_are_read_in_every_spelling() {
        assert_eq!(ask(&machine(8, 4), Accelerator::Gpu, &["3,1"]).unwrap(), ["cuda:3", "cuda:1"]);
        assert_eq!(ask(&machine(8, 4), Accelerator::Gpu, &["cuda:2"]).unwrap(), ["cuda:2"]);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let error = ask(&machine(2, 0), Accelerator::Cpu, &["0", "7"]).unwrap_err();
        assert!(error.contains("cpu:7") && error.contains("cpu:0 to cpu:1"), "{error}");
        let error = ask(&machine(2, 1), Accelerator::Gpu, &["1"]).unwrap_err();
        assert!(error.contains("cuda:1") && error.contains("only cuda:0"), "{error}");
        let error = ask(&machine(2, 0), Accelerator::Gpu, &["auto"]).unwrap_err();
        assert!(error.contains("no GPU on this machine") && error.contains("--accelerator cpu"), "{error}");
    }

    #[test]
    fn bad_lists_are_errors_that_say_why() {
        let two = machine(2, 0);
        for (devices, text) in [
            (&[][..], "empty"),
            (&["0", "0"], "cpu:0 is listed twice"),
            (&["-2"], "`-2` is no device"),
            (&["one"], "`one` is no device"),
            (&["cuda:0"], "`cuda:0` is no device"),
            (&["+1"], "`+1` is no device"),
            (&["0", "auto"], "`auto` stands for a whole list"),
            (&["0", "-1"], "`-1` stands for a whole list"),
            (&[""], "`` is no device"),
        ] {
            let error = ask(&two, Accelerator::Cpu, devices).unwrap_err();
            assert!(error.contains(text), "{devices:?}: {error}");
        }
        assert!(ask(&two, Accelerator::Tpu, &["auto"]).unwrap_err().contains("TPU"));
        assert!(ask(&two, Accelerator::Mps, &["auto"]).unwrap_err().contains("Apple"));
    }
}

//! Reading a list of devices: words, indices, UUIDs.

use super::device::{DeviceId, DeviceKind};
use super::error::InventoryError;
use super::gpu::{ComputeMode, Gpu};
use super::machine::Machine;

/// Digits of a UUID that are shown where several GPUs are listed: enough to tell those of a machine apart, and accepted.
const SHOWN_OF_UUID: usize = 12;

/// The entries of a list, commas and all.
pub(super) fn entries(devices: &[String]) -> Vec<&str> {
    devices.iter().flat_map(|entry| entry.split(',')).map(str::trim).collect()
}

/// Whether an entry names a GPU by its UUID.
pub(super) fn is_uuid(entry: &str) -> bool {
    entry.starts_with("GPU-") || entry.starts_with("MIG-")
}

/// Indices of the devices that are listed, in the order of the list.
pub(super) fn indices(
    machine: &Machine,
    kind: DeviceKind,
    entries: &[&str],
) -> Result<Vec<u32>, InventoryError> {
    match entries {
        [] => Err(InventoryError::Nothing),
        ["auto"] => Ok(vec![usable(machine, kind)?[0]]),
        ["all" | "-1"] => usable(machine, kind),
        listed => Listing { machine, kind, entries: listed.len() }.indices(listed),
    }
}

/// Every device that may be computed on; at least one.
fn usable(machine: &Machine, kind: DeviceKind) -> Result<Vec<u32>, InventoryError> {
    let mut usable = Vec::new();
    let mut refused = None;
    for index in 0..there_are(machine, kind) {
        match check(machine, kind, index) {
            Ok(()) => usable.push(index),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if usable.is_empty() => Err(error),
        _ => Ok(usable),
    }
}

fn check(machine: &Machine, kind: DeviceKind, index: u32) -> Result<(), InventoryError> {
    match machine.gpu(index) {
        Some(gpu) if kind == DeviceKind::Cuda && gpu.mode == ComputeMode::Prohibited => {
            let uuid = gpu.mig_parent.as_ref().or(gpu.uuid.as_ref()).unwrap_or(&gpu.token.value).clone();
            Err(InventoryError::Prohibited { device: DeviceId::new(kind, index), uuid })
        }
        _ => Ok(()),
    }
}

fn there_are(machine: &Machine, kind: DeviceKind) -> u32 {
    match kind {
        DeviceKind::Cpu => count(machine.cores().len()),
        DeviceKind::Cuda => count(machine.gpus().len()),
        DeviceKind::Mps => 1,
    }
}

/// A list of indices and UUIDs.
struct Listing<'a> {
    machine: &'a Machine,
    kind: DeviceKind,
    entries: usize,
}

impl Listing<'_> {
    fn indices(&self, entries: &[&str]) -> Result<Vec<u32>, InventoryError> {
        let mut indices = Vec::with_capacity(entries.len());
        for entry in entries {
            let index = self.index(entry)?;
            if indices.contains(&index) {
                return Err(InventoryError::Duplicate { kind: self.kind, index });
            }
            check(self.machine, self.kind, index)?;
            indices.push(index);
        }
        Ok(indices)
    }

    fn index(&self, entry: &str) -> Result<u32, InventoryError> {
        if self.kind == DeviceKind::Cuda && is_uuid(entry) {
            return self.by_uuid(entry);
        }
        let kind = self.kind;
        let index = parse(kind, entry)?;
        let limit = match kind {
            // More slices than cores may be asked for, as long as they are the first ones.
            DeviceKind::Cpu => there_are(self.machine, kind).max(count(self.entries)),
            DeviceKind::Cuda | DeviceKind::Mps => there_are(self.machine, kind),
        };
        if index < limit {
            Ok(index)
        } else {
            Err(InventoryError::Missing { kind, index, there: self.there() })
        }
    }

    fn by_uuid(&self, entry: &str) -> Result<u32, InventoryError> {
        let fits = |gpu: &Gpu| gpu.uuid.as_ref().is_some_and(|uuid| uuid.starts_with(entry));
        let fitting: Vec<(u32, &Gpu)> = (0..).zip(self.machine.gpus()).filter(|(_, gpu)| fits(gpu)).collect();
        match fitting.as_slice() {
            [] => Err(InventoryError::UnknownUuid { given: entry.to_owned(), there: self.there() }),
            [(index, _)] => Ok(*index),
            several => Err(InventoryError::AmbiguousUuid {
                given: entry.to_owned(),
                fitting: several.iter().map(|(index, gpu)| named(*index, gpu)).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// What there is, as a clause.
    fn there(&self) -> String {
        let kind = self.kind;
        let have = match there_are(self.machine, kind) {
            1 => format!("there is only {kind}:0"),
            n => format!("there are {kind}:0 to {kind}:{}", n - 1),
        };
        match kind {
            DeviceKind::Cpu => format!("{have}, one for each core this process may use"),
            DeviceKind::Cuda => {
                let gpus: Vec<String> =
                    (0..).zip(self.machine.gpus()).map(|(index, gpu)| named(index, gpu)).collect();
                format!("{have} ({})", gpus.join(", "))
            }
            DeviceKind::Mps => have,
        }
    }
}

/// `cuda:0 NVIDIA A100-SXM4-80GB GPU-8932f937`, as far as it is known.
fn named(index: u32, gpu: &Gpu) -> String {
    let mut text = DeviceId::new(DeviceKind::Cuda, index).to_string();
    let uuid = gpu.uuid.as_deref().map(|uuid| uuid.get(..SHOWN_OF_UUID).unwrap_or(uuid));
    for known in [gpu.name.as_deref(), uuid].into_iter().flatten() {
        text.push(' ');
        text.push_str(known);
    }
    text
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

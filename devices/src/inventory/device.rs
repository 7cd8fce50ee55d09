//! The names of devices and of what the user may ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InventoryError;
use crate::lease::Place;

/// What the user asks to compute on (`--accelerator`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// A GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// Slices of the cores.
    Cpu,
    /// NVIDIA GPUs.
    Gpu,
    /// The GPU of an Apple computer. Also spelled `mpu`.
    Mps,
    /// Known by name so that asking for one is answered clearly; nothing here drives one.
    Tpu,
}

impl Accelerator {
    /// Every spelling that is offered, in the order of help texts.
    pub const NAMES: [&'static str; 5] = ["auto", "cpu", "gpu", "mps", "tpu"];
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Mps => "mps",
            Self::Tpu => "tpu",
        })
    }
}

impl FromStr for Accelerator {
    type Err = InventoryError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" | "cuda" => Ok(Self::Gpu),
            "mps" | "mpu" => Ok(Self::Mps),
            "tpu" => Ok(Self::Tpu),
            _ => Err(InventoryError::unknown_accelerator(given)),
        }
    }
}

/// What a device is, as a back end needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A slice of cores.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Mps,
}

impl DeviceKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Mps];
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Mps => "mps",
        })
    }
}

/// Name of a device on its machine: `cpu:0`, `cuda:1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(String);

impl DeviceId {
    /// The name of the device of that kind with that index.
    #[must_use]
    pub fn new(kind: DeviceKind, index: u32) -> Self {
        Self(format!("{kind}:{index}"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One device that runs may be placed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Its name.
    pub id: DeviceId,
    /// What it is.
    pub kind: DeviceKind,
    /// Its index among those of its kind that this process may use.
    pub index: u32,
    /// How the driver is told of it alone: an entry of `CUDA_VISIBLE_DEVICES`. None where there is nothing to mask.
    pub token: Option<String>,
    /// Cores a worker on it is pinned to, ascending; shared with other devices only where there are more devices
    /// than cores.
    pub cores: Vec<usize>,
    /// Threads a worker on it may compute with, at least 1.
    pub threads: u32,
    /// Memory of the device, where it is known: the whole machine's for a CPU slice.
    pub memory_bytes: Option<u64>,
}

impl DeviceInfo {
    /// What a worker on this device is told.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            device: self.id.clone(),
            kind: self.kind,
            index: self.index,
            token: self.token.clone(),
            cores: self.cores.clone(),
            threads: self.threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_accelerator_reads_back() {
        for name in Accelerator::NAMES {
            assert_eq!(name.parse::<Accelerator>().unwrap().to_string(), name);
        }
        assert_eq!("mpu".parse::<Accelerator>().unwrap(), Accelerator::Mps);
    }

    #[test]
    fn a_misspelt_accelerator_is_answered_with_the_nearest() {
        let error = "gpuu".parse::<Accelerator>().unwrap_err().to_string();
        assert!(error.contains("`gpuu`") && error.contains("did you mean `gpu`"), "{error}");
        assert!(error.contains("auto, cpu, gpu, mps, tpu"), "{error}");
    }
}

//! The names of devices and of what the user may ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InventoryError;
use crate::lease::Place;

/// What the user asks to compute on (`--accelerator`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// A GPU that the build can drive if there is one, else the GPU of an Apple computer, else the CPU.
    #[default]
    Auto,
    /// Slices of the cores.
    Cpu,
    /// GPUs of NVIDIA and AMD.
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
    /// A GPU that libtorch calls `cuda`: NVIDIA's, and AMD's under ROCm.
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

/// Who made a GPU, and with that which variable masks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA, through CUDA.
    Nvidia,
    /// AMD, through ROCm's HIP.
    Amd,
}

/// How a worker's driver is told of one GPU alone: the one entry of its list of visible devices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Whose driver.
    pub vendor: Vendor,
    /// A UUID (`GPU-…`, `MIG-…`) where the driver gives them, else an index.
    pub value: String,
}

impl Token {
    /// A token for NVIDIA's driver.
    #[must_use]
    pub fn nvidia(value: impl Into<String>) -> Self {
        Self { vendor: Vendor::Nvidia, value: value.into() }
    }

    /// Environment variables with which a process sees this GPU alone, as number 0.
    ///
    /// # Sources
    /// - CUDA Programming Guide, CUDA Environment Variables: `CUDA_VISIBLE_DEVICES`, `CUDA_DEVICE_ORDER`
    /// - ROCm documentation, GPU isolation techniques: `HIP_VISIBLE_DEVICES`, which counts within what an outer
    ///   `ROCR_VISIBLE_DEVICES` leaves, and which wins over `CUDA_VISIBLE_DEVICES`
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, &str)> {
        match self.vendor {
            // Indices count as the inventory does, not fastest first.
            Vendor::Nvidia => {
                vec![("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", &self.value)]
            }
            Vendor::Amd => vec![("HIP_VISIBLE_DEVICES", &self.value)],
        }
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
    /// How the driver is told of it alone. None where there is nothing to mask.
    pub token: Option<Token>,
    /// Cores a worker on it is pinned to, ascending; shared with other devices only where there are more devices
    /// than cores.
    pub cores: Vec<usize>,
    /// Threads a worker on it may compute with, at least 1.
    pub threads: u32,
    /// Memory of the device, where it is known: all this process may use of the machine's for a CPU slice.
    pub memory_bytes: Option<u64>,
    /// What a GPU is, whatever process asks, in whatever order: the name of its locks. None for a CPU slice and where
    /// the driver does not tell.
    pub uuid: Option<String>,
    /// The product, where it is known.
    pub name: Option<String>,
    /// Processes the driver lets on it at once: 1 in compute mode `Exclusive_Process`. None where it sets no limit.
    pub at_most: Option<u32>,
    /// UUID of the GPU that this is a MIG device of. A process can use one MIG device only, and NCCL none together.
    pub mig_parent: Option<String>,
}

impl DeviceInfo {
    /// A device of which nothing is known but what a worker on it is held to.
    #[must_use]
    pub fn bare(kind: DeviceKind, index: u32, cores: Vec<usize>, threads: u32) -> Self {
        Self {
            id: DeviceId::new(kind, index),
            kind,
            index,
            token: None,
            cores,
            threads,
            memory_bytes: None,
            uuid: None,
            name: None,
            at_most: None,
            mig_parent: None,
        }
    }

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
            lock: None,
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

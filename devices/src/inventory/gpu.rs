//! The GPUs this process may use: what the drivers tell, less what the environment hides.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::amd::{self, Card};
use super::device::{Token, Vendor};
use super::nvml::{self, DriverGpu, Unusable};
use super::visible::{self, Listed, Visible};

const CUDA_LIST: &str = "CUDA_VISIBLE_DEVICES";
/// ROCm's own list, applied first.
const ROCR_LIST: &str = "ROCR_VISIBLE_DEVICES";
/// HIP's lists, the first one that is set; each counts within what ROCm's leaves.
const HIP_LISTS: [&str; 2] = ["HIP_VISIBLE_DEVICES", CUDA_LIST];

/// Who may compute on a GPU, as its administrator set it (`nvidia-smi --compute-mode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputeMode {
    /// Any number of processes.
    #[default]
    Default,
    /// One process at a time.
    ExclusiveProcess,
    /// Nobody.
    Prohibited,
}

/// One GPU, or one MIG device of one, that a worker can be masked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// How a worker's driver is told of it alone.
    pub token: Token,
    /// What it is, whoever asks; none where the driver's library could not be asked.
    pub uuid: Option<String>,
    /// The product.
    pub name: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// Who may compute on it.
    pub mode: ComputeMode,
    /// UUID of the GPU that it is a MIG device of.
    pub mig_parent: Option<String>,
}

impl Gpu {
    /// Processes the driver lets on it at once, where it sets a limit.
    #[must_use]
    pub fn at_most(&self) -> Option<u32> {
        match self.mode {
            ComputeMode::Default => None,
            ComputeMode::ExclusiveProcess => Some(1),
            ComputeMode::Prohibited => Some(0),
        }
    }
}

/// Memory of a GPU at one moment, everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuMemory {
    /// All there is.
    pub total_bytes: u64,
    /// In use.
    pub used_bytes: u64,
    /// Not in use. Less than the rest: the driver keeps some for itself.
    pub free_bytes: u64,
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// The process, in the numbering of the driver: inside a container that may be the host's.
    pub pid: u32,
    /// Memory it has there, if the driver tells.
    pub used_bytes: Option<u64>,
}

/// Why there is no GPU to compute on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoGpu {
    /// There is no driver.
    NoDriver,
    /// The driver's library is there and can not be used.
    Driver {
        /// What it says.
        says: String,
    },
    /// There is a driver, and no GPU.
    NoneThere,
    /// There are GPUs, and a list hides them all.
    Hidden {
        /// The list's variable.
        variable: String,
        /// Its value.
        value: String,
        /// GPUs and MIG devices there would be without it.
        hides: usize,
    },
}

impl fmt::Display for NoGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => f.write_str(
                "no GPU on this machine: neither NVIDIA's driver (libnvidia-ml.so.1) nor AMD's (/dev/kfd) is there",
            ),
            Self::Driver { says } => write!(f, "no GPU on this machine can be used: NVIDIA's driver says: {says}"),
            Self::NoneThere => f.write_str("no GPU on this machine: NVIDIA's driver is there and lists none"),
            Self::Hidden { variable, value, hides } => write!(
                f,
                "no GPU on this machine is visible: {variable} is {value:?}, which leaves none of the {hides} there are"
            ),
        }
    }
}

/// What was found out of GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) gpus: Vec<Gpu>,
    /// Why there are none.
    pub(super) absent: Option<NoGpu>,
    /// What should be told of GPUs that are left out.
    pub(super) problems: Vec<String>,
}

/// Memory of a GPU or MIG device now. None where the driver does not tell.
///
/// Cheap enough for every second: the driver's library stays open.
#[must_use]
pub fn gpu_memory(uuid: &str) -> Option<GpuMemory> {
    let from_nvidia = nvml::library().ok().and_then(|nvml| nvml::memory(nvml, uuid));
    from_nvidia.or_else(|| amd::memory(Path::new("/"), uuid))
}

/// Processes that compute on a GPU or MIG device now. None where the driver does not tell, as on AMD's.
#[must_use]
pub fn gpu_processes(uuid: &str) -> Option<Vec<GpuProcess>> {
    nvml::processes(nvml::library().ok()?, uuid)
}

/// Memory that one process has on a GPU or MIG device now. None where the driver does not tell, and in a container that
/// numbers processes by itself.
#[must_use]
pub fn gpu_process_memory(uuid: &str, pid: u32) -> Option<u64> {
    gpu_processes(uuid)?.into_iter().find(|process| process.pid == pid)?.used_bytes
}

/// Asks the drivers and the environment.
pub(super) fn discover() -> Found {
    let environment = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let asked = nvml::library().map_err(Clone::clone).and_then(nvml::gpus);
    let root = Path::new("/");
    match asked {
        Ok((gpus, problems)) if !gpus.is_empty() => {
            Found { problems, ..of_nvidia(&gpus, environment(CUDA_LIST)) }
        }
        Ok((_, problems)) => Found { problems, ..without_nvidia(root, NoGpu::NoneThere, environment) },
        Err(Unusable::Refused(says)) => without_nvidia(root, NoGpu::Driver { says }, environment),
        Err(Unusable::NotFound) => match device_files(root) {
            0 => without_nvidia(root, NoGpu::NoDriver, environment),
            files => of_files(files, environment(CUDA_LIST)),
        },
    }
}

fn of_nvidia(gpus: &[DriverGpu], list: Option<String>) -> Found {
    let known: Vec<Listed> = gpus
        .iter()
        .map(|gpu| Listed {
            index: gpu.index,
            uuid: gpu.uuid.clone(),
            parts: gpu.parts.as_ref().map(|parts| parts.iter().map(|part| part.uuid.clone()).collect()),
        })
        .collect();
    let device = |visible: Visible| {
        let gpu = &gpus[visible.gpu];
        let part = visible.part.and_then(|part| gpu.parts.as_ref()?.get(part));
        let uuid = part.map_or(&gpu.uuid, |part| &part.uuid);
        Gpu {
            token: Token::nvidia(uuid),
            uuid: Some(uuid.clone()),
            name: part.map_or(&gpu.name, |part| &part.name).clone(),
            memory_bytes: part.map_or(gpu.total_bytes, |part| part.total_bytes),
            mode: gpu.mode,
            mig_parent: part.map(|_| gpu.uuid.clone()),
        }
    };
    masked(&known, list.map(|value| (CUDA_LIST, value)), device)
}

/// Device files without a library to ask: a container that was given the one and not the other. Entries of a list that
/// can not be checked are taken as they are.
fn of_files(files: usize, list: Option<String>) -> Found {
    let index = |index: usize| index.to_string();
    let tokens: Vec<String> = match &list {
        None => (0..files).map(index).collect(),
        Some(list) if list.starts_with("GPU-") || list.starts_with("MIG-") => {
            let named = |entry: &&str| entry.starts_with("GPU-") || entry.starts_with("MIG-");
            list.split(',').map(str::trim).take_while(named).map(str::to_owned).collect()
        }
        Some(list) => {
            let known: Vec<Listed> = (0..files)
                .map(|at| Listed {
                    index: u32::try_from(at).unwrap_or(u32::MAX),
                    uuid: String::new(),
                    parts: None,
                })
                .collect();
            visible::read(list, &known).into_iter().map(|visible| index(visible.gpu)).collect()
        }
    };
    let gpu = |value: String| Gpu {
        token: Token::nvidia(value),
        uuid: None,
        name: None,
        memory_bytes: None,
        mode: ComputeMode::Default,
        mig_parent: None,
    };
    let absent = tokens.is_empty().then(|| hidden(CUDA_LIST, list.unwrap_or_default(), files));
    let problems = vec![
        "NVIDIA's library libnvidia-ml.so.1 is not there, only device files: memory, UUIDs and compute modes are unknown"
            .to_owned(),
    ];
    Found { gpus: tokens.into_iter().map(gpu).collect(), absent, problems }
}

/// AMD's GPUs, or why there are none of NVIDIA's where there are none of AMD's either.
fn without_nvidia(root: &Path, why: NoGpu, environment: impl Fn(&str) -> Option<String>) -> Found {
    let cards = amd::cards(root);
    if cards.is_empty() {
        return Found { absent: Some(why), ..Found::default() };
    }
    let hip = HIP_LISTS.iter().find_map(|name| Some((*name, environment(name)?)));
    of_amd(&cards, environment(ROCR_LIST), hip)
}

fn of_amd(cards: &[Card], rocr: Option<String>, hip: Option<(&'static str, String)>) -> Found {
    let listed = |cards: &[Card]| -> Vec<Listed> {
        let known = |(at, card): (usize, &Card)| Listed {
            index: u32::try_from(at).unwrap_or(u32::MAX),
            uuid: card.uuid.clone().unwrap_or_default(),
            parts: None,
        };
        cards.iter().enumerate().map(known).collect()
    };
    let by_rocr: Vec<Card> = match &rocr {
        None => cards.to_vec(),
        Some(list) => visible::read_mixed(list, &listed(cards))
            .iter()
            .map(|visible| cards[visible.gpu].clone())
            .collect(),
    };
    if let (true, Some(list)) = (by_rocr.is_empty(), rocr) {
        return Found { absent: Some(hidden(ROCR_LIST, list, cards.len())), ..Found::default() };
    }
    masked(&listed(&by_rocr), hip, |visible| {
        let card = &by_rocr[visible.gpu];
        Gpu {
            token: Token { vendor: Vendor::Amd, value: visible.gpu.to_string() },
            uuid: card.uuid.clone(),
            name: card.name.clone(),
            memory_bytes: Some(card.total_bytes),
            mode: ComputeMode::Default,
            mig_parent: None,
        }
    })
}

/// What a list leaves of the GPUs that are known.
fn masked(known: &[Listed], list: Option<(&str, String)>, gpu: impl Fn(Visible) -> Gpu) -> Found {
    let all = visible::all(known);
    let left = list.as_ref().map_or_else(|| all.clone(), |(_, list)| visible::read(list, known));
    let absent = match list {
        _ if !left.is_empty() => None,
        Some((variable, value)) if !all.is_empty() => Some(hidden(variable, value, all.len())),
        _ => Some(NoGpu::NoneThere),
    };
    Found { gpus: left.into_iter().map(gpu).collect(), absent, problems: Vec::new() }
}

fn hidden(variable: &str, value: String, hides: usize) -> NoGpu {
    NoGpu::Hidden { variable: variable.to_owned(), value, hides }
}

/// Counts `/dev/nvidia0`, `/dev/nvidia1`, … as the driver makes them.
fn device_files(root: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(root.join("dev")) else { return 0 };
    let is_gpu = |name: &str| {
        name.strip_prefix("nvidia")
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_gpu)).count()
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;

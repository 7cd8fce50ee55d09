//! NVIDIA's GPUs through their driver's management library, loaded when first asked for and then kept.
//!
//! Nothing here links to it: a program with this code starts on a machine without a driver. Drivers from 510 on have
//! every call that is made; of an older one memory and processes stay unknown.
//!
//! # Sources
//! NVML API Reference Guide: Device Queries (`nvmlDeviceGetUUID`, `…Name`, `…MemoryInfo_v2`, `…ComputeMode`,
//! `…ComputeRunningProcesses_v3`), Multi Instance GPU Management (`nvmlDeviceGetMigMode`,
//! `…MigDeviceHandleByIndex`).

use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

use nvml_wrapper::enum_wrappers::device::ComputeMode as DriverMode;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::gpu::{ComputeMode, GpuMemory, GpuProcess};

/// Where the driver's library may be: where the loader finds it under its proper name or that of the development
/// package, and where Windows puts it for Linux.
const LIBRARIES: [&str; 3] = ["libnvidia-ml.so.1", "libnvidia-ml.so", "/usr/lib/wsl/lib/libnvidia-ml.so.1"];

/// Why the library is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not there.
    NotFound,
    /// It is there and says this.
    Refused(String),
}

/// A GPU as the driver tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriverGpu {
    /// Its index with the driver: in the order of the PCI bus.
    pub(super) index: u32,
    pub(super) uuid: String,
    pub(super) name: Option<String>,
    pub(super) total_bytes: Option<u64>,
    pub(super) mode: ComputeMode,
    /// Its MIG devices, if it is in MIG mode.
    pub(super) parts: Option<Vec<DriverPart>>,
}

/// A MIG device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriverPart {
    pub(super) uuid: String,
    pub(super) name: Option<String>,
    pub(super) total_bytes: Option<u64>,
}

/// The library, opened once for the life of the process.
pub(super) fn library() -> Result<&'static Nvml, &'static Unusable> {
    static LIBRARY: OnceLock<Result<Nvml, Unusable>> = OnceLock::new();
    LIBRARY.get_or_init(|| open_first(&LIBRARIES)).as_ref()
}

fn open_first(names: &[impl AsRef<OsStr>]) -> Result<Nvml, Unusable> {
    let mut why = Unusable::NotFound;
    for name in names {
        match Nvml::builder().lib_path(name.as_ref()).init() {
            Ok(nvml) => return Ok(nvml),
            Err(NvmlError::LibloadingError(error)) => {
                tracing::debug!(library = %Path::new(name).display(), %error, "no driver library");
            }
            Err(error) => why = Unusable::Refused(error.to_string()),
        }
    }
    Err(why)
}

/// Every GPU the driver can tell of, and what it says of the others.
pub(super) fn gpus(nvml: &Nvml) -> Result<(Vec<DriverGpu>, Vec<String>), Unusable> {
    let count = nvml.device_count().map_err(|error| Unusable::Refused(error.to_string()))?;
    let (mut gpus, mut problems) = (Vec::new(), Vec::new());
    for index in 0..count {
        match nvml.device_by_index(index).and_then(|device| gpu(index, &device)) {
            Ok(gpu) => gpus.push(gpu),
            Err(error) => problems.push(format!("GPU {index} is left out: {error}")),
        }
    }
    Ok((gpus, problems))
}

fn gpu(index: u32, device: &Device<'_>) -> Result<DriverGpu, NvmlError> {
    Ok(DriverGpu {
        index,
        uuid: device.uuid()?,
        name: device.name().ok(),
        total_bytes: device.memory_info().ok().map(|memory| memory.total),
        mode: match device.compute_mode() {
            Ok(DriverMode::Prohibited) => ComputeMode::Prohibited,
            Ok(DriverMode::ExclusiveProcess | DriverMode::ExclusiveThread) => ComputeMode::ExclusiveProcess,
            // Not every GPU has modes to choose from.
            Ok(DriverMode::Default) | Err(NvmlError::NotSupported) => ComputeMode::Default,
            Err(error) => return Err(error),
        },
        parts: divided(device)?.then(|| parts(device)),
    })
}

/// Whether a GPU is in MIG mode.
fn divided(device: &Device<'_>) -> Result<bool, NvmlError> {
    match device.mig_mode() {
        Ok(mode) => Ok(mode.current != 0),
        Err(NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn parts(device: &Device<'_>) -> Vec<DriverPart> {
    // Their indices may have gaps.
    let places = device.mig_device_count().unwrap_or(0);
    let part = |index| {
        let part = device.mig_device_by_index(index).ok()?;
        Some(DriverPart {
            uuid: part.uuid().ok()?,
            name: part.name().ok(),
            total_bytes: part.memory_info().ok().map(|memory| memory.total),
        })
    };
    (0..places).filter_map(part).collect()
}

/// Memory of a GPU or MIG device now.
pub(super) fn memory(nvml: &Nvml, uuid: &str) -> Option<GpuMemory> {
    let memory = nvml.device_by_uuid(uuid).ok()?.memory_info().ok()?;
    Some(GpuMemory { total_bytes: memory.total, used_bytes: memory.used, free_bytes: memory.free })
}

/// Who computes on a GPU or MIG device now.
pub(super) fn processes(nvml: &Nvml, uuid: &str) -> Option<Vec<GpuProcess>> {
    let listed = nvml.device_by_uuid(uuid).ok()?.running_compute_processes().ok()?;
    let process = |info: nvml_wrapper::struct_wrappers::device::ProcessInfo| GpuProcess {
        pid: info.pid,
        used_bytes: match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
    };
    Some(listed.into_iter().map(process).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_no_error() {
        let missing = open_first(&["/nowhere/libnvidia-ml.so.1", "libno-such-driver.so"]);
        assert_eq!(missing.unwrap_err(), Unusable::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_library_under_its_name_is_refused_by_name() {
        // Every program here has libc loaded, and libc knows no `nvmlInit_v2`.
        match open_first(&["libc.so.6"]) {
            Err(Unusable::Refused(why)) => assert!(why.contains("nvmlInit_v2"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

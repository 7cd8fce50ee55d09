//! Where predictions are computed: chosen as a job's first device is, and kept from other engines meanwhile.

use burn::tensor::Device;
use engine_devices::lock::{DeviceLock, DeviceLocks};
use engine_devices::{Accelerator, DeviceKind, Share, select_among};

use super::super::jobs::{chosen_backend, supported};
use super::error::PredictError;
use crate::backend::{BackendName, ComputeDevice};
use crate::config::DeviceConfig;

/// A device that is this process's.
pub(super) struct Place {
    pub(super) device: Device,
    /// In words.
    pub(super) text: String,
    /// Kept until the end.
    _lock: Option<DeviceLock>,
}

impl Place {
    /// Takes the first of the devices asked for.
    pub(super) fn take(config: &DeviceConfig, backend: Option<&str>) -> Result<Self, PredictError> {
        let asked: Accelerator = config.accelerator.parse()?;
        let chosen = chosen_backend(backend.filter(|name| *name != "auto"))?;
        let devices = select_among(asked, &config.devices, &supported(chosen))?;
        let Some(info) = devices.into_iter().next() else {
            return Err(PredictError::Impossible {
                option: "devices",
                value: config.devices.join(" "),
                remedy: "name a device, or auto",
            });
        };
        let compute = match info.kind {
            DeviceKind::Cpu => ComputeDevice::Cpu,
            DeviceKind::Mps => ComputeDevice::Mps,
            DeviceKind::Cuda => ComputeDevice::Gpu(info.index as usize),
        };
        let lock = match &info.uuid {
            Some(uuid) => Some(locked(config, uuid, info.id.as_str())?),
            None => None,
        };
        let backend = chosen.map_or_else(|| BackendName::best(compute), Ok)?;
        if let Err(error) = backend.set_threads(info.threads.max(1) as usize) {
            tracing::warn!(%error, "predictions are computed with another thread count than there are cores");
        }
        Ok(Self { device: backend.device(compute)?, text: backend.describe(compute), _lock: lock })
    }
}

fn locked(config: &DeviceConfig, uuid: &str, device: &str) -> Result<DeviceLock, PredictError> {
    let locks = DeviceLocks::open(&config.lock_dir)?;
    if let Some(lock) = locks.try_lock(uuid, Share::Alone, "predict")? {
        return Ok(lock);
    }
    let held = locks.holder(uuid);
    let (pid, holder) = held.map_or((0, "a run".to_owned()), |held| (held.pid, held.holder));
    Err(PredictError::Busy { device: device.to_owned(), pid, holder })
}

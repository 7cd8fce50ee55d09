//! What NVIDIA's GPUs do at the moment: how busy, how warm, how fast.

use std::collections::BTreeMap;

use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, MemoryLocation, TemperatureSensor,
};
use nvml_wrapper::{Device, Nvml};

use super::nvml::library;

/// One GPU, as its driver reads it now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GpuGauges {
    /// Its index with the driver.
    pub(crate) index: u32,
    pub(crate) uuid: String,
    /// By the last part of W&B's name. What the driver does not tell is not there.
    ///
    /// # Units
    /// Those of the names; percent for `gpu`, `memory`, `memoryAllocated`, `fanSpeed`; °C for `temp`; MHz for clocks.
    pub(crate) values: BTreeMap<&'static str, f64>,
}

/// Every GPU of the machine that the driver tells of; none without a driver, and of another vendor's.
///
/// # Sources
/// NVML API Reference Guide, Device Queries: `nvmlDeviceGetUtilizationRates`, `…MemoryInfo_v2`, `…Temperature`,
/// `…PowerUsage`, `…EnforcedPowerLimit`, `…ClockInfo`, `…FanSpeed_v2`, `…MemoryErrorCounter`. None of them is needed:
/// of an older driver the value stays unknown.
pub(crate) fn gpu_gauges() -> Vec<GpuGauges> {
    let Ok(nvml) = library() else { return Vec::new() };
    let count = nvml.device_count().unwrap_or(0);
    (0..count).filter_map(|index| gauges(nvml, index)).collect()
}

fn gauges(nvml: &Nvml, index: u32) -> Option<GpuGauges> {
    let device = nvml.device_by_index(index).ok()?;
    Some(GpuGauges { index, uuid: device.uuid().ok()?, values: values(&device) })
}

fn values(device: &Device<'_>) -> BTreeMap<&'static str, f64> {
    let mut values = BTreeMap::new();
    let mut note = |name, value: Option<f64>| {
        if let Some(value) = value {
            values.insert(name, value);
        }
    };
    let utilization = device.utilization_rates().ok();
    note("gpu", utilization.as_ref().map(|rates| rates.gpu.into()));
    note("memory", utilization.as_ref().map(|rates| rates.memory.into()));
    let memory = device.memory_info().ok().map(|memory| (real(memory.used), real(memory.total)));
    note("memoryAllocatedBytes", memory.map(|(used, _)| used));
    note(
        "memoryAllocated",
        memory.filter(|(_, total)| *total > 0.0).map(|(used, total)| used / total * 100.0),
    );
    note("temp", device.temperature(TemperatureSensor::Gpu).ok().map(f64::from));
    // The driver counts in milliwatts.
    let watts = device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0);
    let limit = device.enforced_power_limit().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0);
    note("powerWatts", watts);
    note("enforcedPowerLimitWatts", limit);
    let share = watts.zip(limit.filter(|limit| *limit > 0.0));
    note("powerPercent", share.map(|(watts, limit)| watts / limit * 100.0));
    note("smClock", device.clock_info(Clock::SM).ok().map(f64::from));
    note("memoryClock", device.clock_info(Clock::Memory).ok().map(f64::from));
    note("fanSpeed", device.fan_speed(0).ok().map(f64::from));
    let errors = |kind| {
        device.memory_error_counter(kind, EccCounter::Aggregate, MemoryLocation::Device).ok().map(real)
    };
    note("correctedMemoryErrors", errors(MemoryError::Corrected));
    note("uncorrectedMemoryErrors", errors(MemoryError::Uncorrected));
    values
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts of a GPU stay far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

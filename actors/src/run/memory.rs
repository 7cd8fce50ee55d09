//! What is known of the memory of a run that ran out of it, in words.

use std::collections::BTreeMap;

use engine_devices::{DeviceInfo, ExitReport};

use super::effects::Room;
use crate::outcome::Failure;

/// Memory of every device by its name, where it is known.
#[derive(Debug, Default)]
pub(crate) struct DeviceMemory(BTreeMap<String, u64>);

impl DeviceMemory {
    pub(crate) fn of(devices: &[DeviceInfo]) -> Self {
        let known = devices.iter().filter_map(|info| Some((info.id.as_str().to_owned(), info.memory_bytes?)));
        Self(known.collect())
    }
}

/// Says with a failure for want of memory what was measured of the attempt, and of what there is.
///
/// Peaks are those the worker told itself, else the largest seen at one look a second: there may have been more.
pub(super) fn with_measured(
    mut failure: Failure,
    report: &ExitReport,
    device: Option<&str>,
    memory: &DeviceMemory,
    room: Room,
) -> Failure {
    let device = device.unwrap_or("its device");
    let host = report.peak_memory_bytes.map(|peak| format!("{} of the machine's memory", gibibytes(peak)));
    let own = report.peak_device_memory_bytes.map(|peak| format!("{} of {device}", gibibytes(peak)));
    let peaks: Vec<String> = host.into_iter().chain(own).collect();
    let mut known = Vec::new();
    if !peaks.is_empty() {
        known.push(format!("the worker was seen with {}", peaks.join(" and ")));
    }
    if let Some(total) = memory.0.get(device) {
        known.push(format!("{device} has {}", gibibytes(*total)));
    }
    if room == Room::Alone {
        known.push("nothing else of this engine was on the device".to_owned());
    }
    if !known.is_empty() {
        failure.message = format!("{}; {}", failure.message, known.join(", "));
    }
    failure
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use engine_devices::Exit;

    use super::*;
    use crate::outcome::Cause;

    const GIB: u64 = 1 << 30;

    fn message(host: Option<u64>, own: Option<u64>, device: &str, room: Room) -> String {
        let message = "CUDA out of memory".to_owned();
        let failure = Failure { cause: Cause::DeviceOutOfMemory, message, stderr_tail: Vec::new() };
        let report = ExitReport {
            peak_memory_bytes: host,
            peak_device_memory_bytes: own,
            ..ExitReport::bare(Exit::Code(101))
        };
        let memory = DeviceMemory([("cuda:0".to_owned(), 24 * GIB)].into());
        with_measured(failure, &report, Some(device), &memory, room).message
    }

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        assert_eq!(
            message(Some(GIB * 3), Some(GIB * 23 + GIB / 2), "cuda:0", Room::Alone),
            "CUDA out of memory; the worker was seen with 3.0 GiB of the machine's memory and 23.5 GiB of cuda:0, cuda:0 \
             has 24.0 GiB, nothing else of this engine was on the device"
        );
        assert_eq!(
            message(Some(GIB), None, "cpu:0", Room::Usual),
            "CUDA out of memory; the worker was seen with 1.0 GiB of the machine's memory"
        );
        assert_eq!(message(None, None, "cuda:0", Room::Usual), "CUDA out of memory; cuda:0 has 24.0 GiB");
        assert_eq!(message(None, None, "mps:0", Room::Usual), "CUDA out of memory");
    }
}

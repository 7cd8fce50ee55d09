//! How busy GPUs are, as the driver's library tells it; on a machine that this program is started on.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends at the first thing that is not as it should be, and its other process is read"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use engine_devices::usage::{HostMeter, Meter};
use engine_tests::nvml::{FakeNvml, Gauges, Gpu};

/// Set for the process that measures: the driver's library is found once, at a program's start.
const MEASURES: &str = "ENGINE_TEST_MEASURES";

/// UUIDs of the run's own GPUs, as the process that measures is told them.
fn measure(own: &str) {
    let own: Vec<String> = own.split(',').filter(|uuid| !uuid.is_empty()).map(str::to_owned).collect();
    let mut meter = Meter::new(Arc::new(HostMeter::new()), Path::new("/"));
    let sample = meter.sample(Some(std::process::id()), &own);
    let sample = serde_json::to_string(&sample).unwrap();
    println!("\nsample {sample}");
}

#[test]
fn gpus_are_told_by_index_and_those_of_the_run_once_more_without_what_is_not_known() {
    if let Ok(own) = std::env::var(MEASURES) {
        return measure(&own);
    }
    let mut gpus = Gpu::row(3);
    gpus[1].used_mib = 20_480;
    let mut machine = FakeNvml::new(&gpus);
    let busy = Gauges { gpu: 97, memory: 41, temp: 66, power: [350_000, 700_000], clocks: [1755, 2619] };
    machine.set_gauges(1, busy);
    machine.set_gauges(2, Gauges { gpu: 3, ..busy });
    let mut command = Command::new(std::env::current_exe().unwrap());
    machine.give(&mut command);
    let name = "gpus_are_told_by_index_and_those_of_the_run_once_more_without_what_is_not_known";
    command.args([name, "--exact", "--nocapture"]).env(MEASURES, &gpus[1].uuid);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.strip_prefix("sample ")).unwrap();
    let sample: BTreeMap<String, f64> = serde_json::from_str(line).unwrap();

    let of = |prefix: &str| -> BTreeMap<&str, f64> {
        sample.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, *value))).collect()
    };
    let bytes = 20_480.0 * 1024.0 * 1024.0;
    let expected: BTreeMap<&str, f64> = [
        ("gpu", 97.0),
        ("memory", 41.0),
        ("memoryAllocated", 25.0),
        ("memoryAllocatedBytes", bytes),
        ("temp", 66.0),
        ("powerWatts", 350.0),
        ("enforcedPowerLimitWatts", 700.0),
        ("powerPercent", 50.0),
        ("smClock", 1755.0),
        ("memoryClock", 2619.0),
    ]
    .into();
    assert_eq!(of("gpu.1."), expected);
    assert_eq!(of("gpu.process.1."), expected, "the run's own");
    assert_eq!(of("gpu.2.")["gpu"], 3.0);
    assert_eq!((of("gpu.process.0."), of("gpu.process.2.")), (BTreeMap::new(), BTreeMap::new()));
    // A GPU without gauges tells of its memory only: no zeros.
    let known = [("memoryAllocated", 0.0), ("memoryAllocatedBytes", 0.0)];
    assert_eq!(of("gpu.0."), known.into());
    assert!(sample["proc.memory.rssMB"] > 0.0);
}

use std::fs;
use std::time::Duration;

use super::*;

/// A machine out of files, with four cores, 1000 MiB and this worker.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("stat", "cpu 1 1\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n");
        machine.write("meminfo", "MemTotal: 1024000 kB\nMemAvailable: 768000 kB\n");
        machine.traffic(1000, 5000);
        machine
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join("proc").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn traffic(&self, received: u64, sent: u64) {
        self.write("net/dev", &format!("eth0: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"));
    }

    fn process(&self, pid: u32, parent: u32, ticks: u64, resident_mib: u64) {
        let stat = format!("{pid} (w) R {parent} 1 1 0 -1 0 1 2 3 4 {ticks} 0 0 0 20 0 3 0 9{pid} 1 1");
        self.write(&format!("{pid}/stat"), &stat);
        self.write(&format!("{pid}/status"), &format!("Name: w\nVmRSS: {} kB\n", resident_mib * 1024));
    }

    fn meter(&self) -> Meter {
        let host = HostMeter::at(self.0.path().to_owned(), Duration::ZERO);
        Meter::new(Arc::new(host), self.0.path())
    }
}

#[track_caller]
fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
}

#[test]
fn a_worker_is_measured_with_its_children_and_as_a_share_of_the_machine() {
    let machine = Machine::new();
    machine.process(10, 1, 100, 60);
    machine.process(11, 10, 0, 40);
    machine.process(12, 1, 0, 500);
    let sample = machine.meter().sample(Some(10), &[]);
    close(sample["proc.memory.rssMB"], 100.0);
    close(sample["proc.memory.percent"], 10.0);
    close(sample["proc.cpu.threads"], 6.0);
    close(sample["memory_percent"], 25.0);
    close(sample["proc.memory.availableMB"], 750.0);
}

#[test]
fn processor_time_is_counted_between_two_samples_and_of_all_cores() {
    let machine = Machine::new();
    machine.process(10, 1, 5000, 1);
    let mut meter = machine.meter();
    assert!(!meter.sample(Some(10), &[]).contains_key("cpu"), "nothing to compare with");
    machine.process(10, 1, 5150, 1);
    // It has begun in between.
    machine.process(11, 10, 50, 1);
    let at = meter.before.as_ref().unwrap().0;
    let share = meter.sample(Some(10), &[])["cpu"];
    let elapsed = meter.before.as_ref().unwrap().0.duration_since(at).as_secs_f64();
    close(share, 2.0 / elapsed / 4.0 * 100.0);
}

#[test]
fn a_number_that_is_another_processes_now_is_a_new_process() {
    let before = Ticks::from([((10, 1), 500), ((11, 1), 7)]);
    let now = Ticks::from([((10, 2), 30), ((11, 1), 77)]);
    close(busy_secs(&before, &now), 1.0);
}

#[test]
fn traffic_counts_from_the_first_sample_and_a_counter_that_began_anew_is_left_out() {
    let machine = Machine::new();
    let mut meter = machine.meter();
    let sample = meter.sample(None, &[]);
    assert_eq!((sample["network.recv"], sample["network.sent"]), (0.0, 0.0));
    machine.traffic(1500, 4000);
    let sample = meter.sample(None, &[]);
    assert_eq!((sample["network.recv"], sample.get("network.sent")), (500.0, None));
}

#[test]
fn what_can_not_be_read_is_left_out_and_never_zero() {
    let nothing = tempfile::tempdir().unwrap();
    let host = HostMeter::at(nothing.path().to_owned(), Duration::ZERO);
    let mut meter = Meter::new(Arc::new(host), nothing.path());
    let sample = meter.sample(Some(1), &[]);
    assert!(sample.keys().all(|name| name.starts_with("disk.") || name.starts_with("gpu.")), "{sample:?}");
    let machine = Machine::new();
    let sample = machine.meter().sample(Some(4711), &[]);
    assert!(
        !sample.keys().any(|name| name.starts_with("proc.cpu") || name == "proc.memory.rssMB"),
        "{sample:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn this_process_on_this_machine_shows_the_core_it_keeps_busy() {
    let host = HostMeter::at("/".into(), Duration::ZERO);
    let mut meter = Meter::new(Arc::new(host), Path::new("not/there/yet"));
    let block = std::hint::black_box(vec![1_u8; 64 << 20]);
    meter.sample(Some(std::process::id()), &[]);
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        std::hint::black_box(fs::metadata("/").unwrap());
    }
    let sample = meter.sample(Some(std::process::id()), &[]);
    assert!(sample["cpu"] > 0.0 && sample["cpu"] <= 101.0, "{sample:?}");
    assert!(sample["proc.memory.rssMB"] > 64.0, "{sample:?}");
    assert!(sample["proc.memory.percent"] < 100.0 && sample["memory_percent"] < 100.0, "{sample:?}");
    assert!(sample["disk./.usagePercent"] > 0.0 && sample["disk./.usagePercent"] <= 100.0, "{sample:?}");
    drop(block);
}

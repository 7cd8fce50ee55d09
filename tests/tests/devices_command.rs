//! `engine devices`, on machines with GPUs that a stand-in for the driver's library plays.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use engine_tests::cli::Workplace;
use engine_tests::nvml::{DRIVER_NOT_LOADED, FakeNvml, Gpu, GpuProcess, Mig, MigDevice, Mode};
use serde_json::Value;

const DEVICE: i32 = 5;
const MIB: u64 = 1 << 20;

/// What `engine devices` says on a machine.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    fn rows(&self) -> Vec<Value> {
        self.report()["devices"].as_array().unwrap().clone()
    }

    /// One field of the GPUs' rows.
    fn gpus(&self, field: &str) -> Vec<Value> {
        let rows = self.rows();
        rows.iter().filter(|row| row["kind"] == "cuda").map(|row| row[field].clone()).collect()
    }

    fn uuids(&self) -> Vec<String> {
        self.gpus("uuid").iter().map(|uuid| uuid.as_str().unwrap().to_owned()).collect()
    }

    /// Names of the devices that were asked for, in the order of the rows.
    fn chosen(&self) -> Vec<String> {
        let rows = self.rows();
        let chosen = rows.iter().filter(|row| row["chosen"] == true);
        chosen.map(|row| row["device"].as_str().unwrap().to_owned()).collect()
    }

    /// That the devices are there, whether or not this build can compute on them.
    fn assert_there(&self) {
        let only_the_build = self.code == Some(DEVICE) && self.stderr.contains("this build computes on");
        assert!(self.code == Some(0) || only_the_build, "{:?}: {}", self.code, self.stderr);
    }
}

/// Runs it with these arguments; `list` is `CUDA_VISIBLE_DEVICES`.
fn ask(machine: &FakeNvml, list: Option<&str>, arguments: &[&str]) -> Said {
    let place = Workplace::new();
    let mut command = place.command(&["devices"]);
    command.args(arguments);
    machine.give(&mut command);
    if let Some(list) = list {
        command.env("CUDA_VISIBLE_DEVICES", list);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn json(machine: &FakeNvml, list: Option<&str>, arguments: &[&str]) -> Said {
    ask(machine, list, &[&["--json"], arguments].concat())
}

#[test]
fn eight_gpus_are_told_with_name_uuid_and_memory_as_it_is() {
    let mut gpus = Gpu::row(8);
    gpus[7].name = "NVIDIA H200".into();
    gpus[7].total_mib = 143_771;
    let mut machine = FakeNvml::new(&gpus);
    let first = json(&machine, None, &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let names: Vec<String> = (0..8).map(|index| format!("cuda:{index}")).collect();
    assert_eq!(first.gpus("device"), names);
    assert_eq!(first.uuids(), gpus.iter().map(|gpu| gpu.uuid.clone()).collect::<Vec<_>>());
    assert_eq!(first.gpus("name")[6..], ["NVIDIA A100-SXM4-80GB", "NVIDIA H200"]);
    assert_eq!(first.gpus("total_bytes")[6..], [81_920 * MIB, 143_771 * MIB]);
    assert_eq!(first.gpus("used_bytes"), [0; 8]);
    // Behind the GPUs stands the CPU.
    assert_eq!(first.rows()[8]["kind"], "cpu");

    machine.set_used(3, 80_000);
    let then = json(&machine, None, &["--accelerator", "gpu"]);
    assert_eq!(then.gpus("used_bytes")[3], 80_000 * MIB);
    assert_eq!(then.gpus("free_bytes")[2..4], [81_920 * MIB, 1_920 * MIB]);
    assert_eq!(then.rows().len(), 8, "the CPU was not asked for");
}

#[test]
fn the_outer_list_is_read_as_cuda_reads_it() {
    let gpus = Gpu::row(8);
    let machine = FakeNvml::new(&gpus);
    for (list, expected) in [
        ("2,0,5", &[2, 0, 5][..]),
        ("GPU-031f52c8-9d3e-4b6a-8c07-5e2a914bd36f,GPU-01", &[3, 1]),
        ("0,2,99,1", &[0, 2]),
        ("6,GPU-01", &[6]),
    ] {
        let said = json(&machine, Some(list), &[]);
        let expected: Vec<String> = expected.iter().map(|index| gpus[*index].uuid.clone()).collect();
        assert_eq!(said.uuids(), expected, "{list}");
        // Our indices are places in the list.
        assert_eq!(said.gpus("device")[0], "cuda:0", "{list}");
    }
}

#[test]
fn a_list_that_hides_everything_is_told_and_refused() {
    let machine = FakeNvml::new(&Gpu::row(8));
    for list in ["", "-1", "1,1", "GPU-05,GPU-051f"] {
        let said = json(&machine, Some(list), &[]);
        assert_eq!((said.code, said.uuids().len()), (Some(0), 0), "{list:?}: {}", said.stderr);
        assert_eq!(said.chosen(), ["cpu:0"], "{list:?}");
        let note = said.report()["notes"][0].as_str().unwrap().to_owned();
        assert!(
            note.contains(&format!("CUDA_VISIBLE_DEVICES is {list:?}")) && note.contains("the 8"),
            "{note}"
        );
    }
    let refused = ask(&machine, Some("MIG-1"), &["--accelerator", "gpu"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(DEVICE), ""));
    assert_eq!(refused.stderr.matches("CUDA_VISIBLE_DEVICES").count(), 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("use --accelerator cpu"), "{}", refused.stderr);
}

#[test]
fn gpus_are_chosen_by_index_and_by_uuid() {
    let machine = FakeNvml::new(&Gpu::row(8));
    for (devices, expected) in [
        (&["GPU-06"][..], &["cuda:6"][..]),
        (&["cuda:1", "GPU-021f52c8-9d3e-4b6a-8c07-5e2a914bd36f"], &["cuda:1", "cuda:2"]),
        (&["3,5"], &["cuda:3", "cuda:5"]),
    ] {
        let said = json(&machine, None, &[&["--accelerator", "gpu", "--devices"], devices].concat());
        said.assert_there();
        assert_eq!(said.chosen(), expected, "{devices:?}");
    }
    // Only a GPU has a UUID: it needs no --accelerator. Under an outer list its index is its place there.
    let said = json(&machine, Some("4,6"), &["--devices", "GPU-06"]);
    said.assert_there();
    assert_eq!(said.chosen(), ["cuda:1"]);
}

#[test]
fn a_device_that_is_not_there_is_refused_with_those_that_are() {
    let machine = FakeNvml::new(&Gpu::row(2));
    for (devices, needles) in [
        (&["2"][..], &["no device cuda:2", "cuda:0 to cuda:1", "NVIDIA A100-SXM4-80GB GPU-011f52c8"][..]),
        (&["GPU-ff"], &["no GPU `GPU-ff`", "GPU-001f52c8"]),
        (&["GPU-0"], &["`GPU-0`", "several GPUs", "GPU-001f52c8", "GPU-011f52c8"]),
        (&["0", "GPU-00"], &["cuda:0 is listed twice"]),
    ] {
        let said = ask(&machine, None, &[&["--accelerator", "gpu", "--devices"], devices].concat());
        assert_eq!(said.code, Some(DEVICE), "{devices:?}: {}", said.stderr);
        let error = said.stderr.lines().find(|line| line.starts_with("error:")).unwrap();
        for needle in needles {
            assert!(error.contains(needle), "{devices:?} does not say {needle:?}: {error}");
        }
        assert!(said.stdout.contains("cuda:1"), "the table is shown all the same: {}", said.stdout);
    }
}

#[test]
fn a_gpu_nobody_may_compute_on_is_passed_over_and_refused_by_name() {
    let mut gpus = Gpu::row(3);
    gpus[0].mode = Mode::Prohibited;
    gpus[2].mode = Mode::ExclusiveProcess;
    let machine = FakeNvml::new(&gpus);
    let said = json(&machine, None, &["--accelerator", "gpu"]);
    said.assert_there();
    assert_eq!(said.gpus("compute_mode"), ["prohibited", "default", "exclusive-process"]);
    assert_eq!(said.chosen(), ["cuda:1"]);
    let all = json(&machine, None, &["--accelerator", "gpu", "--devices", "all"]);
    assert_eq!(all.chosen(), ["cuda:1", "cuda:2"]);
    let refused = ask(&machine, None, &["--accelerator", "gpu", "--devices", "0"]);
    assert_eq!(refused.code, Some(DEVICE));
    let command = format!("nvidia-smi -i {} -c DEFAULT", gpus[0].uuid);
    assert!(refused.stderr.contains("Prohibited") && refused.stderr.contains(&command), "{}", refused.stderr);
}

fn parts(uuids: &[&str]) -> Mig {
    let part = |uuid: &&str| MigDevice { uuid: (*uuid).to_owned(), total_mib: 9_984, used_mib: 84 };
    Mig::On(uuids.iter().map(part).collect())
}

#[test]
fn each_mig_device_is_a_device_and_can_be_named() {
    let mut gpus = Gpu::row(3);
    gpus[0].mig = Mig::Off;
    gpus[1].mig = parts(&["MIG-aaaa1111-0000", "MIG-bbbb2222-0000"]);
    gpus[2].mig = parts(&[]);
    let machine = FakeNvml::new(&gpus);
    let said = json(&machine, None, &[]);
    assert_eq!(said.uuids(), [&gpus[0].uuid, "MIG-aaaa1111-0000", "MIG-bbbb2222-0000"]);
    assert_eq!(said.gpus("mig_parent")[1], *gpus[1].uuid);
    assert_eq!(said.gpus("total_bytes")[1..], [9_984 * MIB; 2]);
    assert_eq!(said.gpus("free_bytes")[2], 9_900 * MIB);
    assert_eq!(json(&machine, None, &["--devices", "MIG-b"]).chosen(), ["cuda:2"]);

    for (list, expected) in [
        ("MIG-bbbb2222-0000,MIG-aaaa1111-0000", &["MIG-bbbb2222-0000", "MIG-aaaa1111-0000"][..]),
        // A divided GPU named as a whole is its first part; one that is divided into nothing ends the list.
        ("1,2,0", &["MIG-aaaa1111-0000"]),
    ] {
        assert_eq!(json(&machine, Some(list), &[]).uuids(), expected, "{list}");
    }
}

#[test]
fn who_computes_on_a_gpu_is_told_by_name_and_memory() {
    let gpus = Gpu::row(2);
    let mut machine = FakeNvml::new(&gpus);
    let pid = std::process::id();
    let uuid = gpus[1].uuid.clone();
    machine.set_processes(&[
        GpuProcess { uuid: uuid.clone(), pid, used_mib: Some(12 * 1024) },
        GpuProcess { uuid, pid: u32::MAX, used_mib: None },
    ]);
    let holders = json(&machine, None, &[]).gpus("holders");
    assert_eq!(holders[0].as_array().unwrap().len(), 0);
    assert_eq!((&holders[1][0]["pid"], &holders[1][0]["has_lock"]), (&pid.into(), &false.into()));
    assert_eq!(holders[1][0]["used_bytes"], 12 * 1024 * MIB);
    assert_eq!((&holders[1][1]["name"], &holders[1][1]["used_bytes"]), (&Value::Null, &Value::Null));
    let table = ask(&machine, None, &[]).stdout;
    assert!(table.contains(&format!("(pid {pid}, 12.0 GiB)")), "{table}");
    assert!(table.contains(&format!("a process (pid {})", u32::MAX)), "{table}");
}

#[test]
fn a_driver_that_does_not_work_is_no_gpu_and_says_why() {
    let said = ask(&FakeNvml::broken(DRIVER_NOT_LOADED), None, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("note: no GPU") && said.stderr.contains("driver is not loaded"),
        "{}",
        said.stderr
    );
    assert!(said.stdout.contains("cpu:0"), "{}", said.stdout);
    let said = ask(&FakeNvml::new(&[]), None, &["--accelerator", "gpu"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(DEVICE), ""));
    assert!(
        said.stderr.contains("error: no GPU on this machine") && said.stderr.contains("lists none"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_table_says_what_each_device_is() {
    let mut gpus = Gpu::row(2);
    gpus[1].mode = Mode::ExclusiveProcess;
    gpus[1].used_mib = 1_024;
    let said = ask(&FakeNvml::new(&gpus), None, &[]);
    assert_eq!(said.code, Some(0));
    let row = |device: &str| said.stdout.lines().find(|line| line.contains(device)).unwrap().to_owned();
    for (device, needles) in [
        ("cuda:0", &["NVIDIA A100-SXM4-80GB", "80.0 GiB", "GPU-001f52c8"][..]),
        ("cuda:1", &["79.0 GiB", "one process at a time", "GPU-011f52c8"]),
        ("cpu", &["GiB", "core", "thread"]),
    ] {
        for needle in needles {
            assert!(row(device).contains(needle), "{device} does not say {needle:?}:\n{}", said.stdout);
        }
    }
}

#[test]
fn cpu_devices_are_slices_of_the_cores_within_the_memory_there_is() {
    let machine = FakeNvml::new(&Gpu::row(1));
    let whole = json(&machine, None, &["--accelerator", "cpu"]);
    assert_eq!((whole.code, whole.chosen()), (Some(0), vec!["cpu:0".to_owned()]));
    let rows = whole.rows();
    assert_eq!(rows.len(), 1, "GPUs were not asked for");
    assert_eq!(rows[0]["threads"], std::thread::available_parallelism().unwrap().get());
    let memory = |field: &str| rows[0][field].as_u64().unwrap();
    assert!(memory("free_bytes") > 0 && memory("free_bytes") <= memory("total_bytes"));

    let cores = rows[0]["cores"].as_array().unwrap().len();
    let slices = json(&machine, None, &["--accelerator", "cpu", "--devices", "0", "1"]);
    assert_eq!(slices.chosen(), ["cpu:0", "cpu:1"]);
    let shared: usize = slices.rows().iter().map(|row| row["cores"].as_array().unwrap().len()).sum();
    assert_eq!(shared, cores.max(2));
}

#[test]
fn options_come_from_the_environment_and_the_file_too() {
    let place = Workplace::new();
    let machine = FakeNvml::new(&Gpu::row(4));
    place.write("config.toml", "[engine]\naccelerator = \"gpu\"\ndevices = [\"GPU-03\", 1]\n");
    let mut command = place.command(&["devices", "--json"]);
    machine.give(&mut command);
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let chosen: Vec<bool> =
        report["devices"].as_array().unwrap().iter().map(|row| row["chosen"].as_bool().unwrap()).collect();
    assert_eq!(chosen, [false, true, false, true]);
}

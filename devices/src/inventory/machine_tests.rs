use super::super::device::Token;
use super::*;

/// A GPU whose UUID begins with its number.
fn gpu(number: usize) -> Gpu {
    let uuid = format!("GPU-{number:02x}1f52c8-9d3e-4b6a-8c07-5e2a914bd36f");
    Gpu {
        token: Token::nvidia(&uuid),
        uuid: Some(uuid),
        name: Some("NVIDIA A100".into()),
        memory_bytes: Some(80 << 30),
        mode: ComputeMode::Default,
        mig_parent: None,
    }
}

fn machine(cores: usize, gpus: usize) -> Machine {
    Machine {
        cores: (0..cores).collect(),
        budget: cores,
        memory: Some(MainMemory { total_bytes: 1 << 30, available_bytes: 1 << 29, limited: false }),
        found: Found { gpus: (0..gpus).map(gpu).collect(), ..Found::default() },
        metal: false,
    }
}

fn ask(machine: &Machine, accelerator: Accelerator, devices: &[&str]) -> Result<Vec<String>, String> {
    let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
    machine
        .select(accelerator, &devices, &DeviceKind::ALL)
        .map(|found| found.iter().map(|device| device.id.to_string()).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn auto_is_one_slice_with_all_cores() {
    let found = machine(4, 0).select(Accelerator::Auto, &["auto".to_owned()], &DeviceKind::ALL).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.as_str(), found[0].threads), ("cpu:0", 4));
    assert_eq!(found[0].cores, [0, 1, 2, 3]);
    assert_eq!(note(&found), None);
}

#[test]
fn listed_cpu_devices_are_disjoint_slices() {
    let found =
        machine(4, 0).select(Accelerator::Cpu, &["0".to_owned(), "1".to_owned()], &DeviceKind::ALL).unwrap();
    assert_eq!(found[0].cores, [0, 1]);
    assert_eq!(found[1].cores, [2, 3]);
    assert_eq!(found[1].place().threads, 2);
}

#[test]
fn more_slices_than_cores_are_noted() {
    let listed: Vec<String> = (0..3).map(|index| index.to_string()).collect();
    let found = machine(2, 0).select(Accelerator::Cpu, &listed, &DeviceKind::ALL).unwrap();
    assert_eq!(found.len(), 3);
    assert!(note(&found).unwrap().starts_with("3 devices share 2 cores"));
}

#[test]
fn auto_prefers_a_gpu_that_the_build_can_drive() {
    assert_eq!(ask(&machine(4, 2), Accelerator::Auto, &["auto"]).unwrap(), ["cuda:0"]);
    let found = machine(4, 2).select(Accelerator::Auto, &["auto".to_owned()], &[DeviceKind::Cpu]).unwrap();
    assert_eq!(found[0].id.as_str(), "cpu:0");
    let refused = machine(4, 2).select(Accelerator::Gpu, &["auto".to_owned()], &[DeviceKind::Cpu]);
    assert!(matches!(refused, Err(InventoryError::Unsupported { kind: DeviceKind::Cuda, .. })));
}

#[test]
fn all_lists_every_device() {
    assert_eq!(ask(&machine(4, 2), Accelerator::Gpu, &["-1"]).unwrap(), ["cuda:0", "cuda:1"]);
    assert_eq!(ask(&machine(2, 0), Accelerator::Cpu, &["all"]).unwrap(), ["cpu:0", "cpu:1"]);
}

#[test]
fn indices_are_read_in_every_spelling() {
    assert_eq!(ask(&machine(8, 4), Accelerator::Gpu, &["3,1"]).unwrap(), ["cuda:3", "cuda:1"]);
    assert_eq!(ask(&machine(8, 4), Accelerator::Gpu, &["cuda:2"]).unwrap(), ["cuda:2"]);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let error = ask(&machine(2, 0), Accelerator::Cpu, &["0", "7"]).unwrap_err();
    assert!(error.contains("cpu:7") && error.contains("cpu:0 to cpu:1"), "{error}");
    let error = ask(&machine(2, 1), Accelerator::Gpu, &["1"]).unwrap_err();
    assert!(error.contains("cuda:1") && error.contains("only cuda:0"), "{error}");
    let error = ask(&machine(2, 0), Accelerator::Gpu, &["auto"]).unwrap_err();
    assert!(error.contains("no GPU on this machine") && error.contains("--accelerator cpu"), "{error}");
}

#[test]
fn bad_lists_are_errors_that_say_why() {
    let two = machine(2, 0);
    for (devices, text) in [
        (&[][..], "empty"),
        (&["0", "0"], "cpu:0 is listed twice"),
        (&["-2"], "`-2` is no device"),
        (&["one"], "`one` is no device"),
        (&["cuda:0"], "`cuda:0` is no device"),
        (&["+1"], "`+1` is no device"),
        (&["0", "auto"], "`auto` stands for a whole list"),
        (&["0", "-1"], "`-1` stands for a whole list"),
        (&[""], "`` is no device"),
    ] {
        let error = ask(&two, Accelerator::Cpu, devices).unwrap_err();
        assert!(error.contains(text), "{devices:?}: {error}");
    }
    assert!(ask(&two, Accelerator::Tpu, &["auto"]).unwrap_err().contains("TPU"));
    assert!(ask(&two, Accelerator::Mps, &["auto"]).unwrap_err().contains("Apple"));
}

fn prohibit(machine: &mut Machine, index: usize) {
    machine.found.gpus[index].mode = ComputeMode::Prohibited;
}

#[test]
fn a_gpu_is_named_by_its_uuid_or_an_unambiguous_beginning_of_it() {
    let four = machine(8, 4);
    assert_eq!(ask(&four, Accelerator::Gpu, &["GPU-02", "GPU-001f52c8"]).unwrap(), ["cuda:2", "cuda:0"]);
    assert_eq!(ask(&four, Accelerator::Gpu, &["1", "GPU-00"]).unwrap(), ["cuda:1", "cuda:0"]);
    // Only a GPU has a UUID.
    assert_eq!(ask(&four, Accelerator::Auto, &["GPU-03"]).unwrap(), ["cuda:3"]);
    let error = ask(&four, Accelerator::Gpu, &["GPU-0"]).unwrap_err();
    assert!(error.contains("several GPUs") && error.contains("cuda:3 NVIDIA A100 GPU-031f52c8"), "{error}");
    let error = ask(&four, Accelerator::Gpu, &["GPU-ff"]).unwrap_err();
    assert!(
        error.contains("no GPU `GPU-ff`") && error.contains("cuda:0 NVIDIA A100 GPU-001f52c8"),
        "{error}"
    );
    let error = ask(&four, Accelerator::Gpu, &["0", "GPU-00"]).unwrap_err();
    assert!(error.contains("cuda:0 is listed twice"), "{error}");
    let error = ask(&four, Accelerator::Cpu, &["GPU-00"]).unwrap_err();
    assert!(error.contains("`GPU-00` is no device"), "{error}");
}

#[test]
fn a_uuid_on_a_build_without_a_back_end_for_gpus_says_so() {
    let refused = machine(4, 2).select(Accelerator::Auto, &["GPU-00".to_owned()], &[DeviceKind::Cpu]);
    assert!(matches!(refused, Err(InventoryError::Unsupported { kind: DeviceKind::Cuda, .. })));
}

#[test]
fn a_gpu_comes_with_what_its_driver_says() {
    let mut two = machine(4, 2);
    two.found.gpus[1].mode = ComputeMode::ExclusiveProcess;
    two.found.gpus[1].mig_parent = Some("GPU-99".into());
    let found = two.select(Accelerator::Gpu, &["all".to_owned()], &DeviceKind::ALL).unwrap();
    assert_eq!(found[0].memory_bytes, Some(80 << 30));
    assert_eq!((found[0].name.as_deref(), found[0].at_most), (Some("NVIDIA A100"), None));
    assert_eq!((found[1].at_most, found[1].mig_parent.as_deref()), (Some(1), Some("GPU-99")));
    assert_eq!(found[1].token.as_ref().unwrap().value, found[1].uuid.clone().unwrap());
    assert_eq!((found[1].cores.as_slice(), found[1].threads), ([2, 3].as_slice(), 2));
}

#[test]
fn a_prohibited_gpu_is_passed_over_and_refused_by_name() {
    let mut three = machine(4, 3);
    prohibit(&mut three, 0);
    assert_eq!(ask(&three, Accelerator::Auto, &["auto"]).unwrap(), ["cuda:1"]);
    assert_eq!(ask(&three, Accelerator::Gpu, &["all"]).unwrap(), ["cuda:1", "cuda:2"]);
    let error = ask(&three, Accelerator::Gpu, &["1", "0"]).unwrap_err();
    assert!(
        error.contains("cuda:0") && error.contains("Prohibited") && error.contains("-c DEFAULT"),
        "{error}"
    );
    prohibit(&mut three, 1);
    prohibit(&mut three, 2);
    assert_eq!(ask(&three, Accelerator::Auto, &["auto"]).unwrap(), ["cpu:0"]);
    for list in [["auto"], ["all"]] {
        assert!(ask(&three, Accelerator::Gpu, &list).unwrap_err().contains("Prohibited"));
    }
}

#[test]
fn a_machine_without_gpus_says_why() {
    let mut hidden = machine(4, 0);
    hidden.found.absent =
        Some(NoGpu::Hidden { variable: "CUDA_VISIBLE_DEVICES".into(), value: "9".into(), hides: 8 });
    let error = ask(&hidden, Accelerator::Gpu, &["auto"]).unwrap_err();
    assert!(error.contains("CUDA_VISIBLE_DEVICES is \"9\"") && error.contains("the 8 there are"), "{error}");
}

use std::collections::HashMap;

use super::super::nvml::DriverPart;
use super::*;

fn driver_gpu(index: u32) -> DriverGpu {
    DriverGpu {
        index,
        uuid: format!("GPU-{index:02x}1f52c8"),
        name: Some("NVIDIA H100".into()),
        total_bytes: Some(80 << 30),
        mode: ComputeMode::Default,
        parts: None,
    }
}

fn part(uuid: &str) -> DriverPart {
    DriverPart {
        uuid: uuid.into(),
        name: Some("NVIDIA H100 MIG 1g.10gb".into()),
        total_bytes: Some(10 << 30),
    }
}

fn tokens(found: &Found) -> Vec<&str> {
    found.gpus.iter().map(|gpu| gpu.token.value.as_str()).collect()
}

fn card(id: &str) -> Card {
    let root = tempfile::tempdir().unwrap();
    let device = root.path().join("sys/class/drm/card0/device");
    std::fs::create_dir_all(&device).unwrap();
    std::fs::create_dir_all(root.path().join("dev")).unwrap();
    std::fs::write(root.path().join("dev/kfd"), "").unwrap();
    for (name, text) in [("vendor", "0x1002"), ("unique_id", id), ("mem_info_vram_total", "1024")] {
        std::fs::write(device.join(name), text).unwrap();
    }
    amd::cards(root.path()).remove(0)
}

#[test]
fn a_gpu_is_told_to_workers_by_its_uuid_whatever_the_list_called_it() {
    let gpus: Vec<DriverGpu> = (0..4).map(driver_gpu).collect();
    for list in ["2,0", "GPU-02,GPU-00", "2,0,17"] {
        let found = of_nvidia(&gpus, Some(list.into()));
        assert_eq!(tokens(&found), ["GPU-021f52c8", "GPU-001f52c8"], "{list}");
        assert_eq!(found.absent, None);
    }
    assert_eq!(of_nvidia(&gpus, None).gpus.len(), 4);
}

#[test]
fn the_driver_s_index_counts_where_a_gpu_could_not_be_asked() {
    // GPU 1 fell off the bus.
    let gpus = [driver_gpu(0), driver_gpu(2)];
    assert_eq!(tokens(&of_nvidia(&gpus, Some("2".into()))), ["GPU-021f52c8"]);
    assert_eq!(tokens(&of_nvidia(&gpus, Some("0,1,2".into()))), ["GPU-001f52c8"]);
}

#[test]
fn what_a_list_hides_is_told_with_its_value() {
    let gpus: Vec<DriverGpu> = (0..4).map(driver_gpu).collect();
    for value in ["", "-1", "0,0", "GPU-ff"] {
        let why = of_nvidia(&gpus, Some(value.into())).absent.unwrap();
        let expected =
            NoGpu::Hidden { variable: "CUDA_VISIBLE_DEVICES".into(), value: value.into(), hides: 4 };
        assert_eq!(why, expected);
        assert!(why.to_string().contains(&format!("CUDA_VISIBLE_DEVICES is {value:?}")));
    }
}

#[test]
fn a_mig_device_has_its_own_memory_and_its_gpus_mode() {
    let mut gpu = driver_gpu(1);
    gpu.mode = ComputeMode::ExclusiveProcess;
    gpu.parts = Some(vec![part("MIG-a"), part("MIG-b")]);
    let found = of_nvidia(&[driver_gpu(0), gpu.clone()], None);
    assert_eq!(tokens(&found), ["GPU-001f52c8", "MIG-a", "MIG-b"]);
    let last = &found.gpus[2];
    assert_eq!((last.memory_bytes, last.at_most()), (Some(10 << 30), Some(1)));
    assert_eq!(last.mig_parent.as_ref(), Some(&gpu.uuid));
    gpu.parts = Some(Vec::new());
    assert_eq!(of_nvidia(&[gpu], None).absent, Some(NoGpu::NoneThere));
}

#[test]
fn without_a_library_device_files_are_counted_and_lists_taken_at_their_word() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("dev")).unwrap();
    for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia"] {
        std::fs::write(root.path().join("dev").join(name), "").unwrap();
    }
    assert_eq!(device_files(root.path()), 2);
    assert_eq!(device_files(&root.path().join("missing")), 0);

    assert_eq!(tokens(&of_files(2, None)), ["0", "1"]);
    assert_eq!(tokens(&of_files(2, Some("1,0".into()))), ["1", "0"]);
    assert_eq!(tokens(&of_files(2, Some("GPU-8932f937, MIG-1,oops".into()))), ["GPU-8932f937", "MIG-1"]);
    let hidden = of_files(2, Some("-1".into()));
    assert!(hidden.gpus.is_empty() && hidden.absent.is_some());
    assert!(hidden.problems[0].contains("libnvidia-ml.so.1"));
    assert!(of_files(1, None).gpus[0].uuid.is_none());
}

#[test]
fn a_card_of_amd_is_counted_within_what_rocm_leaves() {
    let cards = [card("aa"), card("bb"), card("cc")];
    let all = of_amd(&cards, None, None);
    assert_eq!(tokens(&all), ["0", "1", "2"]);
    assert_eq!(all.gpus[2].uuid.as_deref(), Some("GPU-cc"));
    assert_eq!(all.gpus[0].token.environment(), [("HIP_VISIBLE_DEVICES", "0")]);

    let some = of_amd(&cards, Some("2,GPU-aa".into()), Some(("HIP_VISIBLE_DEVICES", "1".into())));
    assert_eq!((tokens(&some), some.gpus[0].uuid.as_deref()), (vec!["1"], Some("GPU-aa")));
    let hidden = |found: Found| match found.absent {
        Some(NoGpu::Hidden { variable, .. }) => variable,
        other => panic!("{other:?}"),
    };
    assert_eq!(hidden(of_amd(&cards, Some(String::new()), None)), "ROCR_VISIBLE_DEVICES");
    let hip = Some(("HIP_VISIBLE_DEVICES", "5".to_owned()));
    assert_eq!(hidden(of_amd(&cards, None, hip)), "HIP_VISIBLE_DEVICES");
}

#[test]
fn amd_is_asked_where_nvidia_has_nothing() {
    let root = tempfile::tempdir().unwrap();
    let environment = HashMap::<&str, String>::new();
    let found = without_nvidia(root.path(), NoGpu::NoDriver, |name| environment.get(name).cloned());
    assert_eq!(found.absent, Some(NoGpu::NoDriver));
    assert!(NoGpu::NoDriver.to_string().starts_with("no GPU on this machine"));
}

#[test]
fn what_nobody_has_is_unknown() {
    assert_eq!(gpu_memory("GPU-nobody-has-this"), None);
    assert_eq!(gpu_process_memory("GPU-nobody-has-this", std::process::id()), None);
}

//! Eight GPUs that only the driver's library pretends to have: who gets which, alone, packed, and beside another
//! engine process.
//!
//! The runs are worker processes of the program `probe`; each claims its device by a lock that the kernel frees when
//! the process ends, so that two runs on one device can not go unnoticed, however they ended.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use engine_devices::RunsPerDevice;
use engine_tests::cli::{Running, Workplace};
use engine_tests::nvml::{FakeNvml, Gpu, GpuProcess, Mig, MigDevice};
use engine_tests::probe::{Job, Level, Mark, Moment, marks};
use rustix::process::Signal;
use serde_json::{Value, json};

const PROBE: &str = env!("CARGO_BIN_EXE_probe");
/// Whatever is waited for has happened by then, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

fn start(place: &Workplace, job: &Job, machine: &FakeNvml, visible: Option<&str>) -> Running {
    let mut command = place.probe_command(PROBE, job);
    machine.give(&mut command);
    if let Some(visible) = visible {
        command.env("CUDA_VISIBLE_DEVICES", visible);
    }
    place.start_command(command)
}

/// A job over GPUs: every device there is, `strategy`, each run with this script.
fn job(
    place: &Workplace,
    level: Level,
    configurations: usize,
    folds: u32,
    strategy: &str,
    script: &str,
) -> Job {
    let configurations: Vec<Value> =
        (0..configurations).map(|number| json!({"script": script, "number": number})).collect();
    Job {
        accelerator: "gpu".into(),
        devices: vec!["-1".into()],
        strategy: strategy.into(),
        ..Job::new(&place.path(""), level, &configurations, folds)
    }
}

/// Begins of runs so far.
fn begun(path: &Path) -> Vec<Mark> {
    marks(path).into_iter().filter(|mark| mark.moment == Moment::Begin).collect()
}

fn until_begun(path: &Path, count: usize) -> Vec<Mark> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let begun = begun(path);
        if begun.len() >= count {
            return begun;
        }
        assert!(Instant::now() < deadline, "{} of {count} runs began", begun.len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The most runs that were under way at once, on each device.
fn most_at_once(marks: &[Mark]) -> BTreeMap<String, usize> {
    let mut ordered = marks.to_vec();
    ordered.sort_by_key(|mark| (mark.at_nanos, mark.moment == Moment::Begin));
    let (mut now, mut most) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for mark in ordered {
        let under_way = now.entry(mark.device.clone()).or_default();
        match mark.moment {
            Moment::Begin => *under_way += 1,
            Moment::End => *under_way -= 1,
        }
        let most = most.entry(mark.device).or_default();
        *most = (*most).max(*under_way);
    }
    most
}

/// Every run of a cv or a tune completed.
fn assert_all_complete(outcome: &Value) {
    let cvs = outcome["cvs"].as_array().cloned().unwrap_or_else(|| vec![outcome.clone()]);
    for run in cvs.iter().flat_map(|cv| cv["runs"].as_array().unwrap()) {
        assert_eq!(run["status"], "complete", "{run}");
    }
}

fn devices(marks: &[Mark]) -> BTreeSet<String> {
    marks.iter().map(|mark| mark.device.clone()).collect()
}

#[test]
fn the_cells_of_a_cv_spread_over_all_eight() {
    let place = Workplace::new();
    let machine = FakeNvml::new(&Gpu::row(8));
    let script = "marker:marks;claim:claims;wait-file:go";
    let job = job(&place, Level::Cv, 1, 16, "cv-parallel", script);
    let running = start(&place, &job, &machine, None);
    let first = until_begun(&place.path("marks"), 8);
    assert_eq!(devices(&first).len(), 8, "one run on each");
    place.write("go", "");
    assert_all_complete(&running.end().outcome());
    let all = marks(&place.path("marks"));
    assert!(most_at_once(&all).values().all(|most| *most == 1), "{all:?}");
    place.assert_left_by_all();
}

#[test]
fn each_cv_of_a_tune_keeps_to_one_gpu() {
    let place = Workplace::new();
    let machine = FakeNvml::new(&Gpu::row(8));
    let job = job(&place, Level::Tune, 8, 2, "tune-parallel", "marker:marks;claim:claims;wait-file:go");
    let running = start(&place, &job, &machine, None);
    assert_eq!(devices(&until_begun(&place.path("marks"), 8)).len(), 8);
    place.write("go", "");
    assert_all_complete(&running.end().outcome());
    let mut of_cv: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mark in marks(&place.path("marks")) {
        let cv = mark.run.split("-run-").next().unwrap().to_owned();
        of_cv.entry(cv).or_default().insert(mark.device);
    }
    assert_eq!(of_cv.len(), 8);
    assert!(of_cv.values().all(|devices| devices.len() == 1), "{of_cv:?}");
}

#[test]
fn ddp_puts_a_rank_on_each_listed_gpu_and_one_run_has_them_all() {
    let place = Workplace::new();
    let gpus = Gpu::row(8);
    let machine = FakeNvml::new(&gpus);
    let listed = [0, 2, 5, 6];
    let mut job = job(&place, Level::Cv, 1, 2, "ddp_fork", "");
    job.devices = listed.iter().map(ToString::to_string).collect();
    job.configurations[0]["script"] =
        json!({"f0s42": "env:first;marker:marks;step:3", "*": "env:second;marker:marks;step:3"});
    assert_all_complete(&start(&place, &job, &machine, None).end().outcome());
    for run in ["first", "second"] {
        for (rank, index) in listed.into_iter().enumerate() {
            let text = std::fs::read_to_string(place.path(&format!("{run}.{rank}"))).unwrap();
            let environment: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(environment["CUDA_VISIBLE_DEVICES"], gpus[index].uuid.as_str(), "rank {rank}");
            assert_eq!(environment["WORLD_SIZE"], "4");
        }
        assert!(!place.path(&format!("{run}.4")).exists());
    }
    // Each rank leaves two marks; the second run begins after every rank of the first has ended.
    let all = marks(&place.path("marks"));
    assert_eq!(all.len(), 16);
    let (first, second): (Vec<&Mark>, Vec<&Mark>) = all.iter().partition(|mark| mark.run.ends_with("f0s42"));
    let times = |of: &[&Mark]| of.iter().map(|mark| mark.at_nanos).collect::<Vec<_>>();
    assert!(times(&first).into_iter().max() < times(&second).into_iter().min());
    assert!(all.iter().all(|mark| mark.device == "cuda:0,cuda:2,cuda:5,cuda:6"), "{all:?}");
    place.assert_left_by_all();
}

#[test]
fn strategy_auto_uses_one_gpu_at_a_time() {
    let place = Workplace::new();
    let machine = FakeNvml::new(&Gpu::row(8));
    let job = job(&place, Level::Cv, 1, 3, "auto", "marker:marks;claim:claims;step:5");
    assert_all_complete(&start(&place, &job, &machine, None).end().outcome());
    let mut all = marks(&place.path("marks"));
    all.iter_mut().for_each(|mark| mark.device = "any".into());
    assert_eq!(most_at_once(&all)["any"], 1);
}

#[test]
fn a_worker_sees_its_own_gpu_alone_whatever_is_visible_to_the_engine() {
    let eight = Gpu::row(8);
    let parts: Vec<MigDevice> = (0..2)
        .map(|part| MigDevice {
            uuid: format!("MIG-{part}b2e9c40-5d1f-5a77-9c3e-0f8a6d2c1b5e"),
            total_mib: 20_096,
            used_mib: 0,
        })
        .collect();
    let divided = vec![Gpu { mig: Mig::On(parts.clone()), ..Gpu::numbered(0) }];
    let table: [(&[Gpu], Option<&str>, Vec<String>); 4] = [
        (&eight, None, (0..8).map(|index| eight[index].uuid.clone()).collect()),
        (&eight, Some("5,3"), vec![eight[5].uuid.clone(), eight[3].uuid.clone()]),
        (&divided, None, parts.iter().map(|part| part.uuid.clone()).collect()),
        (&divided, Some(&parts[1].uuid), vec![parts[1].uuid.clone()]),
    ];
    for (gpus, visible, expected) in table {
        let place = Workplace::new();
        let machine = FakeNvml::new(gpus);
        let script = "marker:marks;wait-file:go";
        let cells = u32::try_from(expected.len()).unwrap();
        let mut job = job(&place, Level::Cv, 1, cells, "cv-parallel", script);
        let scripts: serde_json::Map<String, Value> = (0..cells)
            .map(|fold| (format!("f{fold}s42"), json!(format!("env:env{fold};{script}"))))
            .collect();
        job.configurations[0]["script"] = Value::Object(scripts);
        let running = start(&place, &job, &machine, visible);
        until_begun(&place.path("marks"), expected.len());
        place.write("go", "");
        assert_all_complete(&running.end().outcome());
        let seen: BTreeSet<String> = (0..cells)
            .map(|fold| {
                let text = std::fs::read_to_string(place.path(&format!("env{fold}"))).unwrap();
                let environment: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(environment["CUDA_DEVICE_ORDER"], "PCI_BUS_ID");
                let token = environment["CUDA_VISIBLE_DEVICES"].as_str().unwrap();
                // By index or by UUID: both name one device of the machine.
                token.parse::<usize>().map_or_else(|_| token.to_owned(), |index| gpus[index].uuid.clone())
            })
            .collect();
        assert_eq!(seen, expected.into_iter().collect(), "visible: {visible:?}");
    }
}

#[test]
fn two_runs_a_device_are_two_and_no_more() {
    let place = Workplace::new();
    let machine = FakeNvml::new(&Gpu::row(2));
    let mut job = job(&place, Level::Cv, 1, 10, "cv-parallel", "marker:marks;wait-file:go");
    job.runs_per_device = RunsPerDevice::Fixed(2);
    let running = start(&place, &job, &machine, None);
    until_begun(&place.path("marks"), 4);
    place.write("go", "");
    assert_all_complete(&running.end().outcome());
    let most = most_at_once(&marks(&place.path("marks")));
    assert_eq!(most, BTreeMap::from([("cuda:0".into(), 2), ("cuda:1".into(), 2)]));
}

/// The first run of the configuration is alone and is measured: 2,000 MiB. With 15 % more and the driver's own 600 MB
/// three of its kind fit 10,000 MiB.
#[test]
fn runs_are_packed_by_the_memory_that_the_first_was_measured_to_need() {
    let place = Workplace::new();
    let gpu = Gpu { total_mib: 10_000, ..Gpu::numbered(0) };
    let mut machine = FakeNvml::new(std::slice::from_ref(&gpu));
    let mut job = job(&place, Level::Cv, 1, 7, "cv-parallel", "");
    job.runs_per_device = RunsPerDevice::ByMemory;
    // Three seconds of steps: the memory is looked at once a second.
    job.configurations[0]["script"] =
        json!({"f0s42": "marker:marks;step:3000", "*": "marker:marks;wait-file:go"});
    let running = start(&place, &job, &machine, None);
    let process = |mark: &Mark| GpuProcess { uuid: gpu.uuid.clone(), pid: mark.pid, used_mib: Some(2_000) };
    let first = until_begun(&place.path("marks"), 1);
    machine.set_processes(&[process(&first[0])]);
    let four = until_begun(&place.path("marks"), 4);
    machine.set_processes(&four[1..].iter().map(process).collect::<Vec<_>>());
    place.write("go", "");
    assert_all_complete(&running.end().outcome());
    let all = marks(&place.path("marks"));
    assert_eq!(most_at_once(&all)["cuda:0"], 3);
    let first_ends =
        all.iter().find(|mark| mark.pid == first[0].pid && mark.moment == Moment::End).unwrap().at_nanos;
    assert!(four[1..].iter().all(|mark| mark.at_nanos > first_ends), "the first run was alone");
}

#[test]
fn two_engines_never_meet_on_a_gpu_and_a_killed_one_gives_all_its_gpus_back() {
    let machine = FakeNvml::new(&Gpu::row(8));
    let (killed, other) = (Workplace::new(), Workplace::new());
    let shared = Workplace::new();
    let claims = shared.path("claims");
    let marker = shared.path("marks");
    let script = format!("marker:{};claim:{};step:30", marker.display(), claims.display());
    let on_shared_locks = |place: &Workplace, folds: u32| Job {
        lock_dir: shared.path("locks"),
        ..job(place, Level::Cv, 1, folds, "cv-parallel", &script)
    };
    let first = start(&killed, &on_shared_locks(&killed, 200), &machine, None);
    until_begun(&marker, 8);
    let second = start(&other, &on_shared_locks(&other, 24), &machine, None);
    // Both have had devices by then: the second begins only where the first let go.
    let workers_of_first = || killed.processes().len();
    assert!(workers_of_first() > 1);
    let deadline = Instant::now() + PATIENCE;
    while !other.path("artifacts/_cross_validations").exists() || begun(&marker).len() < 24 {
        assert!(Instant::now() < deadline, "the second engine got no device");
        std::thread::sleep(Duration::from_millis(5));
    }
    first.signal(Signal::KILL);
    let ended = second.end();
    assert_all_complete(&ended.outcome());
    killed.assert_left_by_all();
    other.assert_left_by_all();
    let told = std::fs::read_to_string(killed.path("artifacts/events.jsonl")).unwrap();
    assert!(told.contains("run-finished") && !told.contains("another run is on"), "{told}");
    // A third engine finds every GPU free.
    let third = Workplace::new();
    let job = Job {
        lock_dir: shared.path("locks"),
        ..job(&third, Level::Cv, 1, 8, "cv-parallel", "marker:marks;wait-file:go")
    };
    let running = start(&third, &job, &machine, None);
    assert_eq!(devices(&until_begun(&third.path("marks"), 8)).len(), 8);
    third.write("go", "");
    assert_all_complete(&running.end().outcome());
}

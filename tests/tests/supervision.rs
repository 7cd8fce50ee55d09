//! Runs in real worker processes that die, hang, flood and panic: what the other runs, the leases, the processes and
//! the tables have of it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be had fails the test")]
#![expect(clippy::print_stdout, reason = "the harness shows it where a test fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use engine_tests::cli::{Ended, Workplace, kill};
use engine_tests::probe::{Job, Level, Mark, Moment, marks};
use engine_tracking::run_info::{RunInfo, read_run_infos};
use rustix::process::Signal;
use serde_json::{Value, json};

const PROBE: &str = env!("CARGO_BIN_EXE_probe");

/// A cv with one fold for each of the cells, whose runs do what the scripts of their folds say.
fn cv(place: &Workplace, scripts: &Value, folds: u32) -> Job {
    Job::new(&place.path(""), Level::Cv, &[json!({ "script": scripts })], folds)
}

/// What a job left: its events, and that it gave back whatever it took.
struct Left {
    events: Vec<Value>,
    outcome: Value,
}

impl Left {
    fn of(place: &Workplace, job: &Job, ended: &Ended) -> Self {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let text = std::fs::read_to_string(job.artifact_dir.join("events.jsonl")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let left = Self { events, outcome: ended.outcome() };
        left.assert_leases_are_back();
        place.assert_left_by_all();
        left
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    fn assert_leases_are_back(&self) {
        let leases = |name| {
            let mut ids: Vec<u64> = self.named(name).map(|event| event["lease"].as_u64().unwrap()).collect();
            ids.sort_unstable();
            ids
        };
        assert!(!leases("lease-granted").is_empty());
        assert_eq!(leases("lease-granted"), leases("lease-returned"), "every lease comes back, once");
    }

    /// Causes of the attempts that were repeated.
    fn retried(&self) -> Vec<&str> {
        self.named("run-retried").map(|event| event["failure"]["cause"].as_str().unwrap()).collect()
    }
}

fn carry_out(place: &Workplace, job: &Job) -> Left {
    Left::of(place, job, &place.probe(PROBE, job).end())
}

/// The rows of a cv's table, by fold.
fn table(job: &Job) -> Vec<RunInfo> {
    let mut rows: Vec<RunInfo> = read_run_infos(&job.cv_dir().join("run_infos.parquet"))
        .unwrap()
        .into_iter()
        .map(|row| row.run)
        .collect();
    rows.sort_by_key(|run| run.fold);
    rows
}

/// The word before the colon of the column `failure`.
fn cause(run: &RunInfo) -> &str {
    run.failure.as_deref().map_or("", |failure| failure.split_once(':').unwrap().0)
}

fn assert_complete<'a>(runs: impl IntoIterator<Item = &'a RunInfo>) {
    for run in runs {
        assert_eq!((run.status.as_str(), run.attempts), ("complete", 1), "{run:?}");
    }
}

#[test]
fn every_cause_stands_in_the_table_and_the_other_runs_finish() {
    let place = Workplace::new();
    let scripts = json!({
        "f0s42": "exit:3", "f1s42": "kill-self", "f2s42": "panic", "f3s42": "diverge", "f4s42": "data",
        "f5s42": ["kill-self", "exit:3", "step:2"], "f6s42": "warn:look here; step:1", "*": "step:3"
    });
    let job = cv(&place, &scripts, 8).on(2, "cv-parallel");
    let left = carry_out(&place, &job);
    let rows = table(&job);
    let told: Vec<(&str, u32)> = rows[..5].iter().map(|run| (cause(run), run.attempts)).collect();
    assert_eq!(told, [("lost", 3), ("killed", 3), ("panic", 1), ("diverged", 1), ("data", 1)]);
    assert!(rows[0].failure.as_ref().unwrap().contains("exit code 3"), "{:?}", rows[0]);
    assert!(rows[1].failure.as_ref().unwrap().contains("killed by SIGKILL (9)"), "{:?}", rows[1]);
    assert!(rows[2].failure.as_ref().unwrap().contains("the script panics"), "{:?}", rows[2]);
    assert_eq!((rows[5].status.as_str(), rows[5].attempts), ("complete", 3), "two losses are borne");
    assert_complete(&rows[6..]);
    assert!(rows[6].peak_memory_bytes.unwrap() > 1 << 20);
    assert_eq!(left.outcome["runs"][6]["peak_memory_bytes"], rows[6].peak_memory_bytes.unwrap());
    let warnings: Vec<&str> = left.named("warned").map(|event| event["message"].as_str().unwrap()).collect();
    assert!(warnings.contains(&"run `probed-run-f6s42`: look here"), "{warnings:?}");
}

#[test]
fn a_worker_that_stops_is_killed_for_its_silence_and_not_started_again() {
    let place = Workplace::new();
    let mut job = cv(&place, &json!({"f0s42": "step:3; stop-self", "*": "step:5"}), 3).on(2, "cv-parallel");
    // Longer than a worker takes to say its first word on a busy machine.
    job.progress_timeout_secs = 6.0;
    carry_out(&place, &job);
    let rows = table(&job);
    assert_eq!((cause(&rows[0]), rows[0].attempts), ("hang", 1), "{:?}", rows[0]);
    assert_complete(&rows[1..]);
}

#[test]
fn a_worker_that_allocates_until_it_dies_is_out_of_memory_and_tried_once_more() {
    let place = Workplace::new();
    let job = cv(&place, &json!({"f0s42": "allocate", "*": "step:5"}), 3).on(2, "cv-parallel");
    let left = carry_out(&place, &job);
    let rows = table(&job);
    assert_eq!((cause(&rows[0]), rows[0].attempts), ("out-of-memory-host", 2), "{:?}", rows[0]);
    assert_eq!(left.retried(), ["out-of-memory-host"]);
    assert_complete(&rows[1..]);
}

#[test]
fn a_panic_within_a_model_is_told_with_its_message_and_not_repeated() {
    let place = Workplace::new();
    let job = cv(&place, &json!({"f0s42": "step:2; panic-in-model", "*": "step:5"}), 3).on(2, "cv-parallel");
    let left = carry_out(&place, &job);
    let rows = table(&job);
    assert_eq!((cause(&rows[0]), rows[0].attempts), ("panic", 1), "{:?}", rows[0]);
    let tail = left.outcome["runs"][0]["failure"]["stderr_tail"].to_string();
    assert!(tail.contains("panicked at"), "{tail}");
    assert!(rows[0].failure.as_ref().unwrap().contains("index"), "{:?}", rows[0]);
    assert_complete(&rows[1..]);
}

#[test]
fn a_hundred_megabytes_on_stderr_hold_up_nobody_and_their_end_is_kept() {
    let place = Workplace::new();
    let scripts = json!({"f0s42": "stderr:100; step:2", "f1s42": "stderr:100; data", "*": "step:5"});
    let job = cv(&place, &scripts, 3).on(2, "cv-parallel");
    let left = carry_out(&place, &job);
    let rows = table(&job);
    assert_complete([&rows[0], &rows[2]]);
    assert_eq!(cause(&rows[1]), "data");
    let tail = left.outcome["runs"][1]["failure"]["stderr_tail"].as_array().unwrap();
    assert_eq!((tail.len(), tail[39].as_str()), (40, Some("the last line")));
    // Of 200 MB on standard error nothing found its way into the files.
    let size: u64 = place.files().values().map(|(size, _)| size).sum();
    assert!(size < 1 << 20, "{size} bytes");
}

#[test]
fn nothing_that_a_worker_started_outlives_it() {
    let place = Workplace::new();
    let marker = place.path("marks");
    let begin = format!("marker:{}; spawn-child; step:2", marker.display());
    let scripts =
        json!({"f0s42": begin, "f1s42": [format!("{begin}; kill-self"), begin.clone()], "*": "step:2"});
    let job = cv(&place, &scripts, 3);
    carry_out(&place, &job);
    let rows = table(&job);
    assert_eq!((cause(&rows[1]), rows[1].attempts), ("", 2));
    assert_complete([&rows[0], &rows[2]]);
    let pids: Vec<u32> =
        marks(&marker).iter().filter(|mark| mark.moment == Moment::Begin).map(|mark| mark.pid).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids[0] != pids[1], "a worker that leaves a process behind does not go on");
}

/// Numbers that look random, the same again for a seed.
struct Random(u64);

impl Random {
    /// Of `ENGINE_TEST_SEED`, or else another every time; printed, so that a failure can be repeated.
    fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let given = std::env::var("ENGINE_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or(u64::from(since.subsec_nanos()));
        println!("ENGINE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Steele et al. 2014, Fast Splittable Pseudorandom Number Generators (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// Kills workers of the program at random moments until it has killed so many or the program has ended.
fn kill_at_random(place: &Workplace, engine: i32, kills: u32) -> u32 {
    let mut random = Random::new();
    let mut killed = 0;
    while killed < kills {
        std::thread::sleep(Duration::from_millis(random.below(100)));
        let processes = place.processes();
        if !processes.iter().any(|(id, _)| *id == engine) {
            break;
        }
        let workers: Vec<i32> =
            processes.iter().filter(|(_, parent)| *parent == engine).map(|(id, _)| *id).collect();
        if let Some(count) = u64::try_from(workers.len()).ok().filter(|count| *count > 0) {
            let chosen = workers[usize::try_from(random.below(count)).unwrap()];
            let id = rustix::process::Pid::from_raw(chosen).unwrap();
            // It may have ended by itself since it was seen.
            killed += u32::from(rustix::process::kill_process(id, Signal::KILL).is_ok());
        }
    }
    killed
}

#[test]
fn workers_killed_at_twenty_random_moments_cost_no_lease_no_process_and_no_other_run() {
    const KILLS: u32 = 20;
    const CELLS: u32 = 40;
    let place = Workplace::new();
    let job = cv(&place, &json!("step:100"), CELLS).on(2, "cv-parallel");
    let mut running = place.probe(PROBE, &job);
    running.until_event("run-started");
    let killed = kill_at_random(&place, running.id(), KILLS);
    let left = Left::of(&place, &job, &running.end());
    assert_eq!(killed, KILLS, "the cv was over too soon");
    let rows = table(&job);
    assert_eq!(rows.len(), CELLS as usize);
    let failed: Vec<&RunInfo> = rows.iter().filter(|run| run.status != "complete").collect();
    for run in &failed {
        assert_eq!((run.status.as_str(), cause(run), run.attempts), ("failed", "killed", 3), "{run:?}");
    }
    assert!(left.retried().iter().all(|cause| *cause == "killed"), "{:?}", left.retried());
    // A kill may meet a worker that has given its last word, and then costs nothing.
    let felt = left.retried().len() + failed.len();
    assert!((1..=KILLS as usize).contains(&felt), "{felt} of {KILLS} kills were felt");
}

#[test]
fn the_device_of_a_killed_worker_is_used_again() {
    let place = Workplace::new();
    let marker = place.path("marks");
    let script = |rest: &str| format!("marker:{}; {rest}", marker.display());
    let waits = script(&format!("wait-file:{}", place.path("never").display()));
    let job = cv(&place, &json!({"f0s42": [waits, script("step:1")], "*": script("step:1")}), 2);
    let running = place.probe(PROBE, &job);
    place.wait_until("the first run is under way", || marks(&marker).len() == 1);
    kill(i32::try_from(marks(&marker)[0].pid).unwrap(), Signal::KILL);
    Left::of(&place, &job, &running.end());
    let rows = table(&job);
    assert_eq!((rows[0].status.as_str(), rows[0].attempts), ("complete", 2));
    assert_complete(&rows[1..]);
    assert!(marks(&marker).iter().all(|mark| mark.device == "cpu:0"));
    assert_eq!(marks(&marker).len(), 5, "a killed run leaves no end");
}

/// The runs that were on each device, in the order they began there, as spans of time.
fn spans(marks: &[Mark]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut spans: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for begin in marks.iter().filter(|mark| mark.moment == Moment::Begin) {
        let end = marks
            .iter()
            .find(|mark| {
                mark.moment == Moment::End && (&mark.run, mark.attempt) == (&begin.run, begin.attempt)
            })
            .unwrap_or_else(|| panic!("{} did not end", begin.run));
        spans.entry(begin.device.clone()).or_default().push((begin.at_nanos, end.at_nanos));
    }
    spans.values_mut().for_each(|of_device| of_device.sort_unstable());
    spans
}

fn assert_no_overlap(marker: &Path, runs: usize) {
    let spans = spans(&marks(marker));
    assert_eq!(spans.values().map(Vec::len).sum::<usize>(), runs);
    assert_eq!(spans.len(), 2, "both devices are used: {spans:?}");
    for (device, of_device) in &spans {
        assert!(of_device.is_sorted_by(|a, b| a.1 <= b.0), "two runs at once on {device}: {of_device:?}");
    }
}

#[test]
fn the_cvs_of_a_tune_never_put_two_runs_on_one_device() {
    for strategy in ["cv-parallel", "tune-parallel"] {
        let place = Workplace::new();
        let marker = place.path("marks");
        let script = json!({"script": format!("marker:{}; step:20", marker.display())});
        let job = Job::new(&place.path(""), Level::Tune, &[script.clone(), script.clone(), script], 3);
        carry_out(&place, &job.on(2, strategy));
        assert_no_overlap(&marker, 9);
    }
}

#[test]
fn a_worker_finds_its_own_device_and_no_secret_in_its_environment() {
    let place = Workplace::new();
    let seen = place.path("environment.json");
    let job = cv(&place, &json!(format!("env:{}", seen.display())), 1);
    let mut command = place.probe_command(PROBE, &job);
    command.envs([
        ("WANDB_API_KEY", "secret"),
        ("CUDA_VISIBLE_DEVICES", "3"),
        ("HIP_VISIBLE_DEVICES", "3"),
        ("RANK", "5"),
        ("MASTER_ADDR", "elsewhere"),
        ("TORCHELASTIC_RUN_ID", "7"),
    ]);
    let ended = place.start_command(command).end();
    Left::of(&place, &job, &ended);
    let seen: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(seen).unwrap()).unwrap();
    for name in ["WANDB_API_KEY", "RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"] {
        assert_eq!(seen.get(name), None, "{name}");
    }
    assert_eq!(seen["CUDA_VISIBLE_DEVICES"], "");
    assert_eq!(seen["HIP_VISIBLE_DEVICES"], "-1");
}

#[test]
fn workers_die_with_an_engine_that_is_killed() {
    let place = Workplace::new();
    let marker = place.path("marks");
    let go = place.path("never");
    let script = format!("marker:{}; wait-file:{}", marker.display(), go.display());
    let job = cv(&place, &json!(script), 2).on(2, "cv-parallel");
    let running = place.probe(PROBE, &job);
    place.wait_until("both runs are under way", || marks(&marker).len() == 2);
    kill(running.id(), Signal::KILL);
    drop(running);
    place.assert_left_by_all();
}

/// A memory cgroup of its own for a test; none, and said so, where this process may not make one.
struct MemoryCgroup {
    folder: PathBuf,
}

impl MemoryCgroup {
    fn new(limit_bytes: u64) -> Option<Self> {
        let name = format!("engine-supervision-{}", std::process::id());
        let at = |mount: &str, path: &str, limit: &str| {
            let folder = Path::new(mount).join(path.trim_start_matches('/')).join(&name);
            std::fs::create_dir(&folder).ok()?;
            let group = Self { folder };
            std::fs::write(group.folder.join(limit), limit_bytes.to_string()).ok()?;
            Some(group)
        };
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let of_version_1 = own.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
        let of_version_2 = own.lines().find_map(|line| line.strip_prefix("0::"));
        let group = of_version_1
            .and_then(|path| at("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
            .or_else(|| at("/sys/fs/cgroup", of_version_2?, "memory.max"));
        if group.is_none() {
            engine_tests::skipped("an end by the kernel's OOM killer: no cgroup can be made here");
        }
        group
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // Empty by now; where it is not, the test has failed already.
        drop(std::fs::remove_dir(&self.folder));
    }
}

#[test]
fn a_worker_that_the_kernel_ends_for_want_of_memory_is_told_from_one_that_is_killed() {
    let Some(group) = MemoryCgroup::new(512 << 20) else { return };
    let place = Workplace::new();
    let scripts = json!({"f0s42": "step:3; hog:1000", "f1s42": ["kill-self", "step:1"], "*": "step:3"});
    let job = cv(&place, &scripts, 3);
    let probe = place.probe_command(PROBE, &job);
    // A shell joins the cgroup and becomes the program.
    let mut command = place.program(Path::new("sh"));
    let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.folder.display());
    command.args(["-c", &join, "sh"]).arg(probe.get_program()).args(probe.get_args());
    let left = Left::of(&place, &job, &place.start_command(command).end());
    let rows = table(&job);
    assert_eq!((cause(&rows[0]), rows[0].attempts), ("out-of-memory-host", 2), "{:?}", rows[0]);
    assert_eq!(left.retried(), ["out-of-memory-host", "killed"]);
    assert_eq!((rows[1].status.as_str(), rows[1].attempts), ("complete", 2));
    assert_complete(&rows[2..]);
}

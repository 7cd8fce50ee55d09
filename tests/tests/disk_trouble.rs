//! The program on a disk that fills up, that it may not write to, and that things stand in the way of: what becomes of the
//! training, what it says, and that nothing written before is damaged. And how soon a worker is gone whose engine was killed.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use engine::artifacts::ArtifactLayout;
use engine::training::checkpoint::{Checkpoint, LAST};
use engine_tests::cli::{Ended, Running, Workplace};
use engine_tests::disk::{SmallDisk, names};
use engine_tests::{note, skipped};
use engine_tracking::run_info::read_run_infos;
use rustix::process::Signal;
use serde_json::Value;

/// Small networks on small samples; a checkpoint of one has about 165 MiB.
const SMALL: &str = "--json --train-data-dir data --fold-method region-stratified --total-folds 2 \
                     --check-val-every-n-epoch 1 --log-every-n-steps 1 --accelerator cpu --save-top-k 0 \
                     --early-stopping-patience 0 --model-encoder resnet18 --batch-size 4";
/// Room for one checkpoint, and for a part of the next.
const FOR_ONE: &str = "300m";
/// Room for one and the next.
const FOR_TWO: &str = "600m";
/// Longest life of a worker after its engine, on a busy machine. Where it is not killed at once, it looks after five seconds.
const ORPHAN_LIFE: Duration = Duration::from_secs(4);

/// The program with these words, those of small runs behind them.
fn command(place: &Workplace, words: &str, out: &Path) -> Command {
    let mut command = place.command(&[words, SMALL].join(" ").split_whitespace().collect::<Vec<_>>());
    command.arg("--artifact-dir").arg(out);
    command
}

/// As [`command`], as a user whom permissions bind, the superuser too.
fn bound_by_permissions(place: &Workplace, words: &str, out: &Path) -> Option<Command> {
    let able = Command::new("unshare").args(["--user", "true"]).output();
    if !able.is_ok_and(|tried| tried.status.success()) {
        skipped("a folder without write permission: this user may make no name space");
        return None;
    }
    let plain = command(place, words, out);
    let mut bound = place.program("unshare".as_ref());
    bound.arg("--user").arg(plain.get_program()).args(plain.get_args());
    Some(bound)
}

/// The folder of the only run alone.
fn only_run(out: &Path) -> PathBuf {
    let runs = names(&out.join("_runs"));
    assert_eq!(runs.len(), 1, "{runs:?}");
    out.join("_runs").join(&runs[0])
}

/// That what a run wrote is whole: its files of lines, its last checkpoint, and nothing aside.
fn assert_whole(run: &Path) -> Checkpoint {
    let metrics = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let columns = |row: &str| row.split(',').count();
    let wide = columns(metrics.lines().next().unwrap());
    assert!(metrics.ends_with('\n') && metrics.lines().all(|row| columns(row) == wide), "{metrics}");
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(events.ends_with('\n'));
    for line in events.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    let checkpoints = run.join("checkpoints");
    assert_eq!(names(&checkpoints), [LAST]);
    assert!(names(run).iter().all(|name| !name.starts_with('.')), "{:?}", names(run));
    Checkpoint::read(&checkpoints.join(LAST)).unwrap()
}

/// That a failure says that it is the disk's, where, and what to do.
fn assert_told(failure: &Value, reason: &str) {
    assert_eq!(failure["cause"], "io", "{failure}");
    let message = failure["message"].as_str().unwrap();
    for part in [
        "checkpoints/.writing-last",
        "has free space",
        "may be written to",
        "the checkpoints before stay",
        reason,
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// What the program warned of that holds this text.
fn warnings(ended: &Ended, text: &str) -> Vec<String> {
    let warned = ended.json().into_iter().filter(|event| event["event"] == "warned");
    let messages = warned.map(|event| event["message"].as_str().unwrap().to_owned());
    messages.filter(|message| message.contains(text)).collect()
}

#[test]
fn a_disk_that_fills_up_fails_the_run_and_with_space_the_same_command_works() {
    let place = Workplace::with_data();
    let Some(mut disk) = SmallDisk::mount(&place.path("out"), FOR_ONE) else { return };
    let out = disk.path();
    let ended = place.start_command(command(&place, "train --name r --max-epochs 3", &out)).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_told(&ended.outcome()["failure"], "No space left on device");
    let run = only_run(&out);
    let last = assert_whole(&run);
    assert_eq!(last.state.epoch, 0, "the checkpoint before the one that found no space");
    place.assert_left_by_all();
    disk.resize(FOR_TWO);
    goes_on_with_space(&place, &run, &out);
}

/// A run that failed for want of space goes on from its `last`, in its own folder, once there is some.
fn goes_on_with_space(place: &Workplace, run: &Path, out: &Path) {
    let again = |resume| {
        place.start_command(command(place, &format!("train --name r --max-epochs 3 {resume}"), out)).end()
    };
    let ended = again("--resume");
    assert_eq!(ended.code, Some(1), "what failed is over, unless it is asked for: {ended:?}");
    let ended = again("--resume=failed");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.outcome()["run_dir"].as_str().map(Path::new), Some(run));
    assert_eq!(assert_whole(run).state.epoch, 2);
}

#[test]
fn a_cv_on_a_disk_that_fills_up_keeps_its_runs_and_tells_of_the_failed_one_in_its_table() {
    let place = Workplace::with_data();
    let Some(disk) = SmallDisk::mount(&place.path("out"), FOR_ONE) else { return };
    let out = disk.path();
    let ended = place.start_command(command(&place, "cv --name c --max-epochs 1 --n-randoms 1", &out)).end();
    assert_eq!(ended.code, Some(1), "a cell failed, and so did the cv: {ended:?}");
    let table = read_run_infos(&out.join("_cross_validations/c/run_infos.parquet")).unwrap();
    let told: Vec<_> = table.iter().map(|row| (row.run.status.as_str(), row.run.attempts)).collect();
    assert_eq!(told, [("complete", 1), ("failed", 1)]);
    let failure = table[1].run.failure.as_deref().unwrap();
    assert!(failure.starts_with("io: ") && failure.contains("No space left on device"), "{failure}");
    let runs = ended.outcome()["runs"].as_array().unwrap().clone();
    assert_eq!(assert_whole(Path::new(runs[0]["run_dir"].as_str().unwrap())).state.epoch, 0);
    let failed = Path::new(runs[1]["run_dir"].as_str().unwrap());
    assert_eq!(names(&failed.join("checkpoints")), Vec::<String>::new(), "no half of a checkpoint");
    place.assert_left_by_all();
}

#[test]
fn a_full_disk_refuses_the_job_before_it_begins() {
    let place = Workplace::with_data();
    let Some(disk) = SmallDisk::mount(&place.path("out"), "64k") else { return };
    disk.fill_but(0);
    let ended = place.start_command(command(&place, "train --name r --max-epochs 1", &disk.path())).end();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.stderr.contains("free some of it") && ended.stderr.contains("--artifact-dir"), "{ended:?}");
    assert_eq!(names(&disk.path()), Vec::<String>::new());
}

#[test]
fn a_folder_without_write_permission_refuses_the_job_before_it_begins() {
    let place = Workplace::with_data();
    let out = place.path("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o555)).unwrap();
    let Some(bound) = bound_by_permissions(&place, "train --name r --max-epochs 1", &out) else { return };
    let ended = place.start_command(bound).end();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.stderr.contains("give its user write access"), "{ended:?}");
    assert!(ended.stderr.contains("Permission denied"), "{ended:?}");
    assert_eq!(names(&out), Vec::<String>::new());
}

#[test]
fn a_permission_taken_away_while_training_fails_the_run_and_its_last_checkpoint_stays() {
    let place = Workplace::with_data();
    let out = place.path("out");
    let words = "train --name r --max-epochs 100000";
    let Some(bound) = bound_by_permissions(&place, words, &out) else { return };
    let mut running = place.start_command(bound);
    running.until_event("checkpoint-written");
    let run = only_run(&out);
    fs::set_permissions(run.join("checkpoints"), Permissions::from_mode(0o555)).unwrap();
    let ended = running.end();
    fs::set_permissions(run.join("checkpoints"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_told(&ended.outcome()["failure"], "Permission denied");
    assert_whole(&run);
    place.assert_left_by_all();
}

#[test]
fn what_stands_in_the_way_of_tables_and_figures_is_a_warning_and_the_runs_finish() {
    let place = Workplace::with_data();
    let out = place.path("out");
    let words = "cv --name c --max-epochs 1 --n-randoms 1 --plot-every-n-val-epochs 1";
    let mut running = place.start_command(command(&place, words, &out));
    let started = running.until_event("run-prepared");
    let cv = out.join("_cross_validations/c");
    let table = cv.join("run_infos.parquet");
    // A folder in place of a table, and one in place of a figure's data.
    fs::create_dir_all(table.join("in-the-way")).unwrap();
    let first = names(&cv).into_iter().find(|name| name.starts_with("c-run-")).unwrap();
    let in_the_way = cv.join(&first).join("figures/val_curves.json/in-the-way");
    fs::create_dir_all(&in_the_way).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{started} {ended:?}");
    let told = warnings(&ended, "run_infos.parquet");
    assert!(!told.is_empty() && told.iter().all(|told| told.contains("check what stands there")), "{told:?}");
    let told = warnings(&ended, &format!("{first}/figures/val_curves.json"));
    assert!(
        !told.is_empty() && told.iter().all(|told| told.contains("a figure's data can not be written")),
        "{told:?}"
    );
    for run in ended.outcome()["runs"].as_array().unwrap() {
        assert_eq!(run["status"], "complete", "{run}");
        assert_whole(Path::new(run["run_dir"].as_str().unwrap()));
    }
    assert!(in_the_way.is_dir());
    assert!(names(&cv).iter().all(|name| !name.starts_with('.')), "{:?}", names(&cv));
    place.assert_left_by_all();
}

/// The last change of any file below.
fn last_change(folder: &Path) -> SystemTime {
    Workplace::files_below(folder).values().map(|(_, changed)| *changed).max().unwrap()
}

fn kill_while_it_writes(mut running: Running, place: &Workplace) -> (Duration, SystemTime) {
    running.until_event("checkpoint-written");
    // The engine alone: its workers have groups of their own.
    running.signal(Signal::KILL);
    running.end();
    let (ended, ended_at) = (Instant::now(), SystemTime::now());
    place.assert_left_by_all();
    (ended.elapsed(), ended_at)
}

#[test]
fn no_worker_writes_on_after_its_engine_was_killed() {
    const KILLS: u32 = 2;
    let place = Workplace::with_data();
    let out = place.path("out");
    let mut longest = Duration::ZERO;
    for number in 0..KILLS {
        let words = format!("train --name k{number} --max-epochs 100000");
        let running = place.start_command(command(&place, &words, &out));
        let (outlived, ended_at) = kill_while_it_writes(running, &place);
        longest = longest.max(outlived);
        let written_after = last_change(&out).duration_since(ended_at).unwrap_or_default();
        assert!(outlived < ORPHAN_LIFE && written_after < ORPHAN_LIFE, "{outlived:?}, {written_after:?}");
        // As a start does: what was being written goes, what was whole stays.
        let run = out.join("_runs").join(
            names(&out.join("_runs"))
                .into_iter()
                .find(|run| run.starts_with(&format!("k{number}-")))
                .unwrap(),
        );
        ArtifactLayout::clear_leftovers(&run).unwrap();
        assert_eq!(names(&run.join("checkpoints")), [LAST]);
        Checkpoint::read(&run.join("checkpoints").join(LAST)).unwrap();
    }
    note(&format!("workers outlived their killed engine by {longest:?} at most, of {KILLS}"));
}

//! `--resume` at the command line: what is refused and what is allowed, what it does to a job that is done, that failed, that was
//! moved, that is not there, and that another process works on.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::path::Path;

use engine_tests::cli::{Ended, Running, kill};
use engine_tests::damage::edit_json;
use engine_tests::resume::compare::{assert_same, assert_same_outcome, rows};
use engine_tests::resume::{Job, SPACE, Told};
use rustix::process::Signal;

/// A configuration on one of two folds: one run of one epoch.
const TUNE: &str = "tune --name t --hpconfig space.toml --devices 0 --n-trials 1 --n-folds 1 --max-epochs 1";

fn resumed<'a>(more: &[&'a str]) -> Vec<&'a str> {
    more.iter().copied().chain(["--resume"]).collect()
}

fn told(ended: &Ended) -> Told {
    let mut told = Told::default();
    told.hear(ended);
    told
}

/// That a process was refused with this code, for reasons that stand in its message, and changed nothing below a folder.
fn assert_refused(job: &Job, out: &str, more: &[&str], code: i32, reasons: &[&str]) {
    let before = contents(&job.path(out));
    let ended = job.run(out, more);
    assert_eq!(ended.code, Some(code), "{more:?}: {}", ended.stderr);
    for reason in reasons {
        assert!(ended.stderr.contains(reason), "{more:?}: no `{reason}` in: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(contents(&job.path(out)) == before, "{more:?}: something was changed");
}

/// Every file below a folder with its time and bytes.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.clone(), path.metadata().unwrap().modified().unwrap(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_tune_that_is_done_is_refused_changed_and_resumed_unchanged_or_larger() {
    let job = Job::small(TUNE);
    let done = job.done("out", &[]);

    // Changed: refused, the difference shown, nothing touched.
    assert_refused(&job, "out", &[], 2, &["there is a tune called t already", "--resume"]);
    for (more, reasons) in [
        (&["--total-folds", "3"][..], &["total_folds: 2 before, 3 now"][..]),
        (&["--random-seed", "7"], &["search.seed: 42 before, 7 now"]),
        (&["--save-top-k", "2"], &["save_top_k: 1 before, 2 now"]),
        (&["--data-split-method", "random", "--data-split-by", "0.2"], &["before, ", "random"]),
        (&["--scoring-metric", "val/Recall"], &["scoring"]),
    ] {
        let reasons = [&["`t` is not what it was", "--resume=force"], reasons].concat();
        assert_refused(&job, "out", &resumed(more), 2, &reasons);
    }
    job.place.write("space.toml", &SPACE.replace("low = 1e-4", "low = 2e-4"));
    assert_refused(&job, "out", &resumed(&[]), 2, &["search", "0.0001", "0.0002"]);
    job.place.write("space.toml", SPACE);
    fs::rename(job.path("data"), job.path("their-data")).unwrap();
    engine_tests::resume::copy_folder(&job.path("their-data"), &job.path("data"));
    let unchanged = job.done("out", &resumed(&[]));
    edit_json(&job.path("data/data.zarr/y/zarr.json"), |meta| {
        meta["attributes"] = serde_json::json!({ "note": "other" });
    });
    assert_refused(&job, "out", &resumed(&[]), 2, &["data.arrays"]);
    fs::remove_dir_all(job.path("data")).unwrap();
    fs::rename(job.path("their-data"), job.path("data")).unwrap();

    // Unchanged: nothing is trained, and the result is told again. The data lie elsewhere since.
    assert_eq!(told(&unchanged).count("run-started"), 0);
    assert_same_outcome(&done.outcome(), &unchanged.outcome());

    // Moved: as if it had not been.
    let table = rows(&job.path("out/t/t.parquet"));
    fs::rename(job.path("out"), job.path("moved")).unwrap();
    let moved = job.done("moved", &resumed(&[]));
    assert_eq!(told(&moved).count("run-started"), 0);
    assert_same_outcome(&done.outcome(), &moved.outcome());
    let checkpoint = moved.outcome()["cvs"][0]["runs"][0]["checkpoint"].as_str().unwrap().to_owned();
    assert!(checkpoint.contains("moved/t/") && job.path(&checkpoint).is_dir(), "{checkpoint}");
    assert_eq!(rows(&job.path("moved/t/t.parquet")), table);

    // Larger: what is done stays, what is new comes to it, and all is as if it had been asked for at once.
    for (number, more) in
        [&["--n-trials", "2"][..], &["--n-folds", "2", "--n-randoms", "2"], &["--max-epochs", "2"]]
            .into_iter()
            .enumerate()
    {
        let (larger, whole) = (format!("larger{number}"), format!("whole{number}"));
        job.copy("moved", &larger);
        let ended = job.done(&larger, &resumed(more));
        let expected = job.done(&whole, more);
        assert_same(&job.path(&whole).join("t"), &job.path(&larger).join("t"));
        assert_same_outcome(&expected.outcome(), &ended.outcome());
        let (begun, validated) = (told(&ended).count("run-started"), told(&ended).count("run-validated"));
        let expected = [(1, 1), (3, 3), (1, 1)][number];
        assert_eq!((begun, validated), expected, "{more:?}: trained more than what is new");
        // Less than that again is another job.
        assert_refused(&job, &larger, &resumed(&[]), 2, &["`t` is not what it was"]);
    }

    // Forced: it goes on whatever changed, with what is done as it is.
    let forced = job.done("moved", &["--n-trials", "2", "--random-seed", "7", "--resume=force"]);
    assert_eq!(told(&forced).count("run-started"), 1);
    assert_eq!(forced.outcome()["cvs"].as_array().unwrap().len(), 2);
    job.place.assert_left_by_all();
}

/// Kills the worker of a run as often as it is started, until the run is given up.
fn kill_workers(mut running: Running) -> Ended {
    for _ in 0..3 {
        let worker = running.until_event("worker-ready")["pid"].as_i64().unwrap();
        kill(i32::try_from(worker).unwrap(), Signal::KILL);
    }
    running.end()
}

#[test]
fn runs_that_failed_are_tried_again_when_that_is_asked_for() {
    let job = Job::small(TUNE);
    let expected = job.done("undisturbed", &["--n-folds", "2"]);
    let failed = kill_workers(job.start("out", &["--n-folds", "2"]));
    assert_eq!(failed.code, Some(6), "{}", failed.stderr);
    let outcome = failed.outcome();
    let run = &outcome["cvs"][0]["runs"][0];
    assert_eq!((run["status"].as_str(), run["attempts"].as_u64()), (Some("failed"), Some(3)), "{outcome}");

    let left = job.run("out", &resumed(&["--n-folds", "2"]));
    assert_eq!((left.code, told(&left).count("run-started")), (Some(6), 0), "{}", left.stderr);
    assert_same_outcome(&outcome, &left.outcome());

    let again = job.done("out", &["--n-folds", "2", "--resume=failed"]);
    assert_eq!(told(&again).count("run-started"), 1, "the run that did not fail is left alone");
    assert_same(&job.path("undisturbed/t"), &job.path("out/t"));
    assert_same_outcome(&expected.outcome(), &again.outcome());
    job.place.assert_left_by_all();
}

#[test]
fn a_cv_and_a_run_alone_go_on_where_they_were_killed() {
    for (words, folder) in [
        (
            "cv --name c --n-folds 1 --max-epochs 3 --devices 0 --model-encoder resnet18 --batch-size 4",
            "_cross_validations/c",
        ),
        ("train --name r --max-epochs 3 --devices 0 --model-encoder resnet18 --batch-size 4", "_runs"),
    ] {
        let job = Job::small(words);
        let expected = job.done("undisturbed", &[]);
        let mut running = job.start("out", &[]);
        running.until_event("checkpoint-written");
        // It holds its job as long as it lives, and here does not come to its end before it is killed.
        running.signal(Signal::STOP);

        // Another engine keeps off it.
        assert_eq!(job.run("out", &[]).code, Some(2), "it is there already");
        let second = job.run("out", &["--resume"]);
        assert_eq!(second.code, Some(1), "{}", second.stderr);
        assert!(second.stderr.contains("another process works on this job"), "{}", second.stderr);

        running.signal(Signal::KILL);
        let mut told = Told::default();
        told.hear(&running.end());
        let ended = job.done("out", &["--resume"]);
        told.hear(&ended);
        assert_same(&job.path("undisturbed").join(folder), &job.path("out").join(folder));
        assert_same_outcome(&expected.outcome(), &ended.outcome());
        let (validated, twice) = told.assert_trained_once();
        assert!(validated == 3 && twice <= 2, "{validated} epochs, {twice} of them twice");
        job.place.assert_left_by_all();
    }
}

#[test]
fn without_a_name_the_newest_is_resumed_and_what_is_not_there_begins() {
    let words = "train --max-epochs 1 --devices 0 --model-encoder resnet18 --batch-size 4";
    let job = Job::small(words);
    let warned = |ended: &Ended, text: &str| {
        ended
            .json()
            .iter()
            .any(|event| event["message"].as_str().is_some_and(|message| message.contains(text)))
    };
    let begun = job.done("out", &["--resume"]);
    assert!(warned(&begun, "there is no run to go on with"), "{}", begun.stdout);
    let second = job.done("out", &["--resume", "--name", "second"]);
    assert!(warned(&second, "there is no run called second to go on with"), "{}", second.stdout);
    let newest = job.done("out", &["--resume"]);
    assert_eq!((&newest.outcome()["run_name"], told(&newest).count("run-started")), (&"second".into(), 0));
    let runs = fs::read_dir(job.path("out/_runs")).unwrap().count();
    assert_eq!(runs, 2);

    // A folder of the name, and no journal in it.
    fs::create_dir_all(job.path("out/_runs/third-aaaaaaaa/checkpoints")).unwrap();
    fs::write(job.path("out/_runs/third-aaaaaaaa/metrics.csv"), "epoch,step\n").unwrap();
    assert_refused(
        &job,
        "out",
        &["--resume", "--name", "third"],
        4,
        &["there is no journal to go on from", "third-aaaaaaaa"],
    );
}

/// Without the right to read its journal nothing is begun. The superuser has every right, and gives them up here.
#[test]
fn a_journal_that_can_not_be_read_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let job = Job::small("train --name r --max-epochs 1 --devices 0 --model-encoder resnet18 --batch-size 4");
    job.done("out", &[]);
    let folder = fs::read_dir(job.path("out/_runs")).unwrap().next().unwrap().unwrap().path();
    let journal = folder.join("engine.journal");
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o000)).unwrap();
    let plain = job.command("out", &["--resume"]);
    let command = if rustix::process::geteuid().is_root() {
        let without = ["--bounding-set=-dac_override,-dac_read_search", "--"];
        let able = job.place.program("setpriv".as_ref()).args(without).arg("true").output();
        if !able.is_ok_and(|tried| tried.status.success()) {
            engine_tests::skipped("access rights: the superuser can not give up its own here");
            return;
        }
        let mut command = job.place.program("setpriv".as_ref());
        command.args(without).arg(plain.get_program()).args(plain.get_args());
        command
    } else {
        plain
    };
    let ended = job.place.start_command(command).end();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the journal can not be opened; check the access rights"),
        "{}",
        ended.stderr
    );
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(told(&job.done("out", &["--resume"])).count("run-started"), 0);
}

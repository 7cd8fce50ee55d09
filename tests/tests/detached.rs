//! Jobs without a terminal, with the real program: left behind, found, looked at, stopped.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;

use engine::training::checkpoint::Checkpoint;
use engine_tests::cli::{Ended, Workplace, kill};
use rustix::process::Signal;
use serde_json::Value;

const SMALL: [&str; 18] = [
    "--train-data-dir",
    "data",
    "--artifact-dir",
    "out",
    "--total-folds",
    "2",
    "--check-val-every-n-epoch",
    "1",
    "--accelerator",
    "cpu",
    "--devices",
    "0",
    "--early-stopping-patience",
    "0",
    "--model-encoder",
    "resnet18",
    "--batch-size",
    "4",
];
const CV: [&str; 6] = ["cv", "--detach", "--name", "c", "--n-randoms", "1"];
const ENDLESS: [&str; 2] = ["--max-epochs", "100000"];

/// A workplace whose processes end with the test, however that ends.
struct Place(Workplace);

impl Place {
    fn with_data() -> Self {
        Self(Workplace::with_data())
    }

    fn run(&self, own: &[&str]) -> Ended {
        self.0.run(&[own, &SMALL].concat())
    }

    /// A command about a job.
    fn on_job(&self, words: &[&str]) -> Ended {
        self.0.run(&[words, &["--artifact-dir", "out"]].concat())
    }

    fn status(&self, name: &str) -> Value {
        let ended = self.on_job(&["status", name, "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.json().remove(0)
    }

    fn until(&self, name: &str, state: &str) -> Value {
        self.0.wait_until(state, || self.status(name)["state"] == state);
        self.status(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for (process, _) in self.0.processes() {
            if let Some(process) = rustix::process::Pid::from_raw(process) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(process, Signal::KILL);
            }
        }
    }
}

/// Session and parent of a process.
fn session(process: &Value) -> String {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // `id (name) state parent group session …`
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn a_detached_job_is_found_attached_to_and_ends_as_any_other() {
    let place = Place::with_data();
    let ended = place.run(&[&CV[..], &["--json", "--max-epochs", "2"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = ended.json().pop().unwrap();
    assert_eq!(
        (&told["event"], &told["name"], &told["level"]),
        (&"detached".into(), &"c".into(), &"cv".into())
    );
    assert_eq!(told["folder"], "out/_cross_validations/c");
    assert_eq!(told["commands"][1], "engine attach 'c' --artifact-dir 'out'");
    assert_eq!(session(&told["pid"]), told["pid"].to_string(), "it leads a session of its own");

    let status = place.status("c");
    assert_eq!((&status["state"], &status["pid"]), (&"running".into(), &told["pid"]));
    assert_eq!((&status["runs_planned"], &status["level"]), (&2.into(), &"cv".into()));

    // From the beginning, to the end, with the end's code; once as events and once in short.
    let lines = place.0.start(&["attach", "c", "--artifact-dir", "out"]);
    let attached = place.on_job(&["attach", "c", "--json"]);
    assert_eq!(attached.code, Some(0), "{}", attached.stderr);
    let events: Vec<String> =
        attached.json().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    let first = events.iter().position(|event| event == "cv-started").unwrap();
    assert!(first < events.iter().position(|event| event == "run-finished").unwrap());
    assert_eq!(attached.outcome()["status"], "complete");
    let lines = lines.end();
    assert_eq!(lines.code, Some(0));
    assert!(lines.stderr.contains("cv c: complete, score 0."), "{}", lines.stderr);
    assert!(lines.stdout.contains("tables of cv c are in out/_cross_validations/c"), "{}", lines.stdout);

    place.0.assert_left_by_all();
    let status = place.status("c");
    assert_eq!((&status["state"], &status["runs_done"]), (&"finished".into(), &2.into()));
    let score = attached.outcome()["score"].as_f64().unwrap();
    assert_eq!(status["best_score"].as_f64(), Some(score));
    let log = fs::read_to_string(place.0.path("out/_cross_validations/c/engine.log")).unwrap();
    assert!(log.lines().last().unwrap().contains("\"event\":\"result\""), "{log}");
    // Afterwards it is told once more.
    let again = place.on_job(&["attach", "c"]);
    assert_eq!((again.code, again.stdout), (Some(0), lines.stdout));
}

#[test]
fn what_is_refused_is_refused_as_without_detach() {
    let place = Place::with_data();
    let taken = place.run(&["train", "--quiet", "--name", "taken", "--max-epochs", "1"]);
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    let wrong = [
        ("--name", "taken"),
        ("--total-folds", "1"),
        ("--model-encoder", "resnet19"),
        ("--train-data-dir", "nowhere"),
    ];
    for own in wrong {
        let arguments = |more: &[&'static str]| {
            let mut words = [&["train"], more, &["--name", "r"], &SMALL].concat();
            let option = words.iter().position(|word| *word == own.0).unwrap();
            words[option + 1] = own.1;
            words
        };
        let here = place.0.run(&arguments(&[]));
        let detached = place.0.run(&arguments(&["--detach"]));
        assert!(here.code.is_some_and(|code| code > 1), "{own:?}: {here:?}");
        assert_eq!(
            (detached.code, &detached.stderr, &detached.stdout),
            (here.code, &here.stderr, &here.stdout),
            "{own:?}"
        );
    }
    place.0.assert_left_by_all();
    let names = fs::read_dir(place.0.path("out/_runs")).unwrap().count();
    assert_eq!(names, 1, "nothing is left of what was refused");
}

#[test]
fn a_job_is_cancelled_by_name_and_goes_on_with_the_command_that_status_shows() {
    let place = Place::with_data();
    let ended = place.run(&[&CV[..], &ENDLESS].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for word in ["cv c goes on without this terminal", "engine status 'c'", "engine cancel 'c'", "engine.log"]
    {
        assert!(ended.stdout.contains(word), "{word} is missing in:\n{}", ended.stdout);
    }
    // Whoever looks leaves it running.
    let mut looking = place.0.start(&["attach", "c", "--json", "--artifact-dir", "out"]);
    looking.until_event("run-validated");
    looking.signal(Signal::INT);
    looking.end();
    assert_eq!(place.status("c")["state"], "running");

    let cancelled = place.on_job(&["cancel", "c"]);
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
    assert!(cancelled.stdout.contains("cv c: cancelled"), "{}", cancelled.stdout);
    place.0.assert_left_by_all();
    let attached = place.on_job(&["attach", "c"]);
    assert_eq!(attached.code, Some(130), "{attached:?}");
    let folder = place.0.path("out/_cross_validations/c");
    let runs = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let run = runs.filter(|path| path.join("checkpoints/last").is_dir()).last().unwrap();
    Checkpoint::read(&run.join("checkpoints/last")).unwrap();

    let twice = place.on_job(&["cancel", "c"]);
    assert_eq!(twice.code, Some(1));
    assert!(twice.stderr.contains("c is not under way, it is cancelled"), "{}", twice.stderr);
    let nobody = place.on_job(&["cancel", "d"]);
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("no job is called d here"), "{}", nobody.stderr);

    let resume = place.status("c")["resume"].as_str().unwrap().to_owned();
    assert!(resume.contains(" --max-epochs 100000 ") && resume.ends_with(" --resume"), "{resume}");
    assert!(place.on_job(&["status"]).stdout.contains(&resume));
}

#[test]
fn a_job_whose_workers_do_not_hear_is_cancelled_at_once() {
    let place = Place::with_data();
    let own = ["train", "--detach", "--quiet"];
    let ended = place.run(&[&own[..], &ENDLESS].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let name = ended.stdout.trim().to_owned();
    assert!(name.ends_with("-1"), "a generated name is told: {name}");
    let pid = place.status(&name)["pid"].as_i64().unwrap();
    let mut looking = place.0.start(&["attach", &name, "--json", "--artifact-dir", "out"]);
    looking.until_event("run-prepared");
    for (worker, _) in place.0.processes().into_iter().filter(|(_, parent)| i64::from(*parent) == pid) {
        kill(worker, Signal::STOP);
    }
    let cancelled = place.on_job(&["cancel", &name, "--now", "--json"]);
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
    assert_eq!(cancelled.json()[0]["state"], "cancelled");
    assert_eq!(looking.end().code, Some(130));
    place.0.assert_left_by_all();
}

#[test]
fn a_job_that_was_killed_is_interrupted() {
    let place = Place::with_data();
    let ended = place.run(&[&CV[..], &ENDLESS].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let pid = place.status("c")["pid"].as_i64().unwrap();
    let looking = place.0.start(&["attach", "c", "--artifact-dir", "out"]);
    kill(i32::try_from(pid).unwrap(), Signal::KILL);
    let status = place.until("c", "interrupted");
    assert!(status["resume"].as_str().unwrap().ends_with(" --resume"), "{status}");
    let looking = looking.end();
    assert_eq!(looking.code, Some(1));
    assert!(
        looking.stderr.contains("cv c: interrupted") && looking.stderr.contains("--resume"),
        "{}",
        looking.stderr
    );
    place.0.assert_left_by_all();
}

//! `engine journal check` and `engine journal show`.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use engine_tests::cli::Ended;
use engine_tests::resume::Job;
use rustix::process::Signal;
use serde_json::Value;

/// Bytes of a record before its content.
const HEAD: u64 = 24;

fn job() -> Job {
    Job::small("train --name r --devices 0 --model-encoder resnet18 --batch-size 4")
}

fn journal(job: &Job) -> PathBuf {
    let folder = fs::read_dir(job.path("out/_runs")).unwrap().next().unwrap().unwrap().path();
    folder.join("engine.journal")
}

fn ask(job: &Job, words: &[&str], place: &Path) -> Ended {
    let words: Vec<&str> =
        ["journal"].iter().chain(words).copied().chain([place.to_str().unwrap()]).collect();
    job.place.run(&words)
}

/// The verdict of `check --json`, which `show --json` ends with too.
fn verdict(job: &Job, place: &Path) -> (Option<i32>, Value) {
    let checked = ask(job, &["check", "--json"], place);
    let shown = ask(job, &["show", "--json"], place);
    assert_eq!((shown.code, shown.json().pop()), (checked.code, checked.json().pop()));
    (checked.code, checked.json().pop().unwrap())
}

#[test]
fn a_journal_is_checked_and_shown_whole_torn_damaged_and_while_it_is_written() {
    let job = job();
    let mut running = job.start("out", &["--max-epochs", "100000"]);
    running.until_event("run-validated");
    let path = journal(&job);

    let (code, held) = verdict(&job, &path);
    assert_eq!((code, &held["state"], &held["job"]["more_to_do"]), (Some(0), &"sound".into(), &Value::Null));
    assert_eq!(held["held_by"]["pid"], running.id());
    let text = ask(&job, &["check"], path.parent().unwrap());
    assert!(text.stdout.contains(&format!("process {} on ", running.id())), "{text:?}");
    assert!(
        text.stdout.contains("run r: 0 of 1 planned run over") && text.stdout.contains("it is under way"),
        "{text:?}"
    );

    running.signal(Signal::INT);
    let stopped = running.end();
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    let (_, left) = verdict(&job, &path);
    assert_eq!(
        (&left["state"], &left["job"]["more_to_do"], &left["held_by"]),
        (&"sound".into(), &true.into(), &Value::Null)
    );

    // Every record, with its place; the last one ends the file.
    let records: Vec<Value> = ask(&job, &["show", "--json"], &path).json();
    let kinds: Vec<&str> = records.iter().filter_map(|record| record["kind"].as_str()).collect();
    assert_eq!(kinds, ["job", "opened", "ended"]);
    assert_eq!(records[0]["record"]["plan"]["run"]["run_name"], "r");
    assert_eq!(records[2]["record"]["cancelled"], true);
    let shown = ask(&job, &["show"], &path).stdout;
    assert_eq!(shown.lines().count(), kinds.len(), "{shown}");
    for (line, record) in shown.lines().zip(&records) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next().unwrap(), record["at"].to_string(), "{shown}");
        assert_eq!(words.next(), record["kind"].as_str(), "{shown}");
    }

    // Torn in the last record: harmless, and said.
    let bytes = fs::read(&path).unwrap();
    let damaged = job.path("damaged.journal");
    fs::write(&damaged, &bytes[..bytes.len() - 1]).unwrap();
    let (code, torn) = verdict(&job, &damaged);
    assert_eq!((code, &torn["state"], &torn["at"]), (Some(0), &"torn".into(), &records[2]["at"]));
    assert!(ask(&job, &["check"], &damaged).stdout.contains("--resume drops them"));

    // Damaged in the first: where, what is behind, what to do.
    let mut flipped = bytes.clone();
    let at = records[0]["at"].as_u64().unwrap();
    flipped[(at + HEAD + 5) as usize] ^= 1;
    fs::write(&damaged, &flipped).unwrap();
    let (code, found) = verdict(&job, &damaged);
    assert_eq!((code, &found["state"], &found["at"]), (Some(4), &"damaged".into(), &at.into()));
    assert_eq!((&found["records"], &found["whole_behind"]), (&0.into(), &2.into()));
    let text = ask(&job, &["check"], &damaged);
    assert_eq!(text.code, Some(4));
    for told in [format!("damaged at byte {at}"), "truncate --size".into(), "damaged.journal".into()] {
        assert!(text.stderr.contains(&told), "{text:?}");
    }

    // Not there, and something else.
    for (place, told) in [
        ("nowhere", "no journal is there"),
        ("data", "no journal is there"),
        ("space.toml", "this is no journal"),
    ] {
        let refused = ask(&job, &["check"], &job.path(place));
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), bytes, "looking changes nothing");
    job.place.assert_left_by_all();
}

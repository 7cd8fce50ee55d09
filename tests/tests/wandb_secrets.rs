//! The key of W&B is nowhere but in the requests: no file, event, log line, argument, and no child's environment.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine_tests::wandb::faults::{FakeServer, Faults};
use engine_tests::wandb::local::assert_complete;
use engine_tests::wandb::server::Server;
use engine_tests::wandb::tracked::{TUNE, Tracked};

/// Between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// No other test has this one, so that what is found is of here.
const MARKER: &str = "5ec2e7a11ce0b0b5ec2e7a11ce0b0b5ec2e7a11ce";

/// The key, and how it stands in the header of a request.
fn forms() -> [Vec<u8>; 2] {
    [MARKER.as_bytes().to_vec(), STANDARD.encode(format!("api:{MARKER}")).into_bytes()]
}

fn holds(text: &[u8]) -> bool {
    forms().iter().any(|form| text.windows(form.len()).any(|part| part == form))
}

/// Files below a folder that hold it, and how many were looked at.
fn files_with_it(folder: &Path, found: &mut Vec<String>) -> usize {
    let mut looked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.to_string_lossy().contains(MARKER), "{}", path.display());
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            looked += files_with_it(&path, found);
        } else {
            looked += 1;
            if holds(&fs::read(&path).unwrap()) {
                found.push(path.display().to_string());
            }
        }
    }
    looked
}

/// Looks at every process of a workplace while something runs; gives the children it saw and where it found the key.
fn watch(tracked: &Tracked, engine: i32, over: &AtomicBool) -> (BTreeSet<i32>, BTreeSet<String>) {
    let (mut children, mut found) = (BTreeSet::new(), BTreeSet::new());
    while !over.load(Ordering::Acquire) {
        for (id, _) in tracked.place.processes() {
            // One that is gone by now has nothing to look at.
            let part = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
            if holds(&part("cmdline")) {
                found.insert(format!("the arguments of {id}"));
            }
            if id != engine {
                children.insert(id);
                if holds(&part("environ")) {
                    found.insert(format!("the environment of {id}"));
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    (children, found)
}

fn tunes_without_a_trace(netrc: Option<&Path>) {
    let server = Server::start(None, &Faults { require_key: Some(MARKER), ..Faults::default() });
    let tracked = Tracked::new(&server.url());
    let mut command = tracked.command(&format!("{TUNE} -v"));
    command.env("ENGINE_LOG", "trace");
    match netrc {
        Some(path) => command.env_remove("WANDB_API_KEY").env("NETRC", path),
        None => command.env("WANDB_API_KEY", MARKER),
    };
    let running = tracked.place.start_command(command);
    let (engine, over) = (running.id(), AtomicBool::new(false));
    let (ended, (children, found)) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&tracked, engine, &over));
        let ended = running.end();
        over.store(true, Ordering::Release);
        (ended, watcher.join().unwrap())
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!holds(ended.stdout.as_bytes()), "the events hold the key");
    assert!(!holds(ended.stderr.as_bytes()), "the log holds the key");
    assert!(!children.is_empty(), "workers were seen: {children:?}");
    assert_eq!(found, BTreeSet::new());
    let mut files = Vec::new();
    let looked = files_with_it(&tracked.place.path(""), &mut files);
    assert!(looked > 50, "{looked} files");
    assert_eq!(files, Vec::<String>::new());
    // It was used, or none of this would say anything.
    let (seen, runs) = (server.seen(), tracked.runs());
    assert_eq!(runs.len(), 4);
    runs.iter().for_each(|run| assert_complete(run, &seen, 0));
}

#[test]
fn a_key_of_the_environment_leaves_no_trace() {
    tunes_without_a_trace(None);
}

#[test]
fn a_key_of_a_netrc_leaves_no_trace() {
    let elsewhere = tempfile::tempdir().unwrap();
    let netrc = elsewhere.path().join("netrc");
    fs::write(&netrc, format!("machine 127.0.0.1\n  login user\n  password {MARKER}\n")).unwrap();
    tunes_without_a_trace(Some(&netrc));
}

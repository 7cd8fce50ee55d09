//! An application of the engine whose runs do what a script says: the program that tests of supervision run.
//!
//! `probe JOB.json` does the job and prints one JSON object a line: every event, and at last
//! `{"event": "result", "outcome": …}`. See [`engine_tests::probe`].

use std::path::PathBuf;
use std::process::ExitCode;

use engine::worker;
use engine_tests::probe::{Scripted, carry_out};

#[expect(clippy::print_stderr, reason = "a program tells what is wrong with how it was called")]
fn main() -> ExitCode {
    if let Some(code) = worker::run_if_worker(Scripted) {
        return code;
    }
    let Some(job) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: probe JOB.json");
        return ExitCode::from(2);
    };
    match carry_out(&job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

//! A burn model of a user's own, trained by the engine: on threads and in processes, stopped, gone on with, spoilt.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's own main"
)]

mod example;
#[path = "../../../devices/tests/support/mod.rs"]
mod harness;
mod jobs;
mod learner;
mod runs;

use std::process::ExitCode;

use engine::worker;

fn main() -> ExitCode {
    match worker::run_if_worker(learner::learning()) {
        Some(code) => code,
        None => harness::run(&[runs::TESTS, jobs::TESTS, example::TESTS], 1),
    }
}

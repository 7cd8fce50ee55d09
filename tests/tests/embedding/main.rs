//! The engine within an application: several jobs on one pool, handles that are dropped, workloads that panic or do not listen, and
//! every kind of runtime. Each ends as `docs/embedding.md` says, and leaves no thread and no process behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's own main"
)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod deeds;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
#[path = "../../../devices/tests/support/mod.rs"]
mod harness;
#[cfg(target_os = "linux")]
mod left;
#[cfg(target_os = "linux")]
mod runtimes;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    if let Some(code) = engine::worker::run_if_worker(deeds::Deeds) {
        return code;
    }
    // One after another: each counts the threads of the process.
    harness::run(&[ends::TESTS, runtimes::TESTS], 1)
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    engine_tests::skipped("threads and processes are counted in /proc");
    ExitCode::SUCCESS
}

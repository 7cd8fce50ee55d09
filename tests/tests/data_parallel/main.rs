//! Several processes that train one model, as real processes: this binary is the launcher of the ranks and each rank.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's own main"
)]

use std::process::ExitCode;

#[cfg(feature = "tch")]
mod exchange;
#[cfg(feature = "tch")]
#[path = "../../../devices/tests/support/mod.rs"]
mod harness;
#[cfg(feature = "tch")]
mod launch;
#[cfg(feature = "tch")]
mod net;
#[cfg(feature = "tch")]
mod workload;

#[cfg(feature = "tch")]
fn main() -> ExitCode {
    match launch::Part::of_this_process() {
        Some(launch::Part::Exchange(part)) => exchange::play(&part),
        Some(launch::Part::Net(part)) => net::play(&part),
        Some(launch::Part::Workload(part)) => workload::play(&part),
        None => return harness::run(&[exchange::TESTS, net::TESTS, workload::TESTS], 1),
    }
    ExitCode::SUCCESS
}

#[cfg(not(feature = "tch"))]
fn main() -> ExitCode {
    engine_tests::skipped("data-parallel training needs libtorch: build with --features engine-tests/tch");
    ExitCode::SUCCESS
}

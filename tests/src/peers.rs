//! Programs of others that the tests compare with: official clients and readers, installed by `scripts/python-peers.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::skipped;

/// A program of one of the environments: `("readers", "python")`. `None`, and said so, where a test is to be skipped.
///
/// # Panics
/// If `ENGINE_REQUIRE_PEERS` is 1 and it is not there.
pub fn peer(environment: &str, program: &str) -> Option<PathBuf> {
    find(environment, program, "ENGINE_REQUIRE_PEERS", "scripts/python-peers.sh")
}

/// A program of the environment with PyTorch, which has some GB and is not asked for with the others. `None`, and said so, where a
/// test is to be skipped.
///
/// # Panics
/// If `ENGINE_REQUIRE_BENCH_PEERS` is 1 and it is not there.
pub fn heavy_peer(program: &str) -> Option<PathBuf> {
    find("bench", program, "ENGINE_REQUIRE_BENCH_PEERS", "scripts/python-peers.sh bench")
}

fn find(environment: &str, program: &str, variable: &str, remedy: &str) -> Option<PathBuf> {
    let peers = match std::env::var_os("ENGINE_PEERS") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    };
    // Written last: without it the environment is half a one.
    let whole = peers.join(environment).join("complete").is_file();
    let path = peers.join(environment).join("bin").join(program);
    let found = (whole && path.is_file()).then(|| std::path::absolute(path).unwrap());
    let required = std::env::var_os(variable).is_some_and(|value| value == "1");
    assert!(found.is_some() || !required, "{variable}=1, but {environment} is not installed");
    if found.is_none() {
        skipped(&format!("{program} of {environment} is not here; {remedy} installs it"));
    }
    found
}

/// A script of `tests/python`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// Runs a command that must end well, and gives what it printed.
///
/// # Panics
/// If it does not.
pub fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

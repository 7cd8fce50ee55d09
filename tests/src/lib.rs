//! What the tests share: where they find what they compare with, how they run the program, how data are damaged.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

pub mod cli;
pub mod damage;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod ground;
pub mod nvml;
pub mod peers;
pub mod probe;
#[cfg(target_os = "linux")]
pub mod resume;
pub mod same;
pub mod table;
pub mod text;
pub mod wandb;

/// The code of the documentation, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/extending.md")]
mod extending {}

/// The same of models.
#[cfg(doctest)]
#[doc = include_str!("../../docs/models.md")]
mod models {}

use std::io::Write;
use std::path::{Path, PathBuf};

/// The blocks of the guides that are code, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
pub struct Embedding;

/// Says that something was not tested. Written past the test harness, which shows what a test prints only when it
/// fails.
pub fn skipped(what: &str) {
    note(&format!("skipped: {what}"));
}

/// Says something past the test harness.
pub fn note(what: &str) {
    std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}

/// The folder with golden values: `ENGINE_FIXTURES`, or else the copy in `tests/data/fixtures`.
pub fn fixtures_dir() -> PathBuf {
    match std::env::var_os("ENGINE_FIXTURES") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fixtures"),
    }
}

/// A file of golden values: `distributions.json`, `models/Unet-resnet18-3.json`.
pub fn fixture(name: &str) -> PathBuf {
    fixtures_dir().join(name)
}

/// The folder with real data, which is not part of the repository: `ENGINE_SHARED`, or else `shared` beside it.
/// `None` where it is not there.
fn shared_dir() -> Option<PathBuf> {
    let folder = match std::env::var_os("ENGINE_SHARED") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    folder.is_dir().then_some(folder)
}

/// The folder of real data, absolute; `None`, and said so, where a test is to be skipped.
///
/// # Panics
/// If `ENGINE_REQUIRE_SHARED` is 1 and the data are not there.
pub fn real_data() -> Option<String> {
    let folder = shared_dir().map(|shared| shared.join("data/rts")).filter(|folder| folder.is_dir());
    let required = std::env::var_os("ENGINE_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(folder.is_some() || !required, "ENGINE_REQUIRE_SHARED=1, but ENGINE_SHARED holds no data/rts");
    match folder {
        Some(folder) => Some(std::path::absolute(folder).unwrap().to_str().unwrap().to_owned()),
        None => {
            skipped("the real data are not here; ENGINE_SHARED names the folder with data/rts");
            None
        }
    }
}

/// A tool of the shared folder, by its path below `tools`; `None`, and said so, where a test is to be skipped.
///
/// # Panics
/// If `ENGINE_REQUIRE_SHARED` is 1 and it is not there.
pub fn shared_tool(name: &str) -> Option<PathBuf> {
    let tool = shared_dir().map(|shared| shared.join("tools").join(name)).filter(|tool| tool.is_file());
    let required = std::env::var_os("ENGINE_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(tool.is_some() || !required, "ENGINE_REQUIRE_SHARED=1, but ENGINE_SHARED holds no tools/{name}");
    if tool.is_none() {
        skipped(&format!("{name} is not here; ENGINE_SHARED names the folder with tools/{name}"));
    }
    tool.map(|tool| std::path::absolute(tool).unwrap())
}

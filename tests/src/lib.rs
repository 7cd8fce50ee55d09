//! What the tests share: where they find what they compare with, how they run the program, how data are damaged.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

pub mod cli;
pub mod damage;
pub mod table;

use std::path::{Path, PathBuf};

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
pub fn shared_dir() -> Option<PathBuf> {
    let folder = match std::env::var_os("ENGINE_SHARED") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    folder.is_dir().then_some(folder)
}

//! What is known of a program's checkpoints when it is begun again.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use engine_tracking::atomic::{self, AtomicError, Durability};
use engine_tracking::{Metrics, RunPlace};
use serde::{Deserialize, Serialize};

/// File in the run's folder.
const FILE: &str = "command.json";

/// Version of the file's form; raised with every change.
const VERSION: u32 = 1;

/// The last checkpoint that the program told of, and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Memory {
    pub(super) checkpoint: PathBuf,
    pub(super) best: Option<PathBuf>,
    /// Where the run was.
    pub(super) place: RunPlace,
    /// Metrics last logged there.
    pub(super) metrics: Metrics,
}

/// As it is written: paths in the run's folder are relative to it, so that the folder may be moved, and numbers are texts, because JSON
/// has no NaN.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    checkpoint: PathBuf,
    best: Option<PathBuf>,
    epoch: u32,
    step: u64,
    metrics: Vec<(String, String)>,
}

impl Memory {
    /// What an earlier attempt left; none if it told of no checkpoint.
    ///
    /// # Errors
    /// Why it can not be gone on from, as a fragment: the file can not be read, or the checkpoint is gone.
    pub(super) fn read(run_dir: &Path) -> Result<Option<Self>, String> {
        let path = run_dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{error}: {}", path.display())),
        };
        let damaged = |reason: String| format!("{reason}: {}", path.display());
        let written: Written = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if written.version != VERSION {
            return Err(damaged(format!("version {} of the file is not known", written.version)));
        }
        let number = |(name, text): (String, String)| Some((name, text.parse().ok()?));
        let metrics: Option<Metrics> = written.metrics.into_iter().map(number).collect();
        let checkpoint = run_dir.join(written.checkpoint);
        if !checkpoint.exists() {
            return Err(format!("the checkpoint it told of is gone: {}", checkpoint.display()));
        }
        Ok(Some(Self {
            checkpoint,
            best: written.best.map(|best| run_dir.join(best)).filter(|best| best.exists()),
            place: RunPlace { epoch: written.epoch, step: written.step },
            metrics: metrics.ok_or_else(|| damaged("a metric is no number".to_owned()))?,
        }))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`AtomicError`] if the disk refuses; what was there stays.
    pub(super) fn write(&self, run_dir: &Path) -> Result<(), AtomicError> {
        let within =
            |path: &PathBuf| path.strip_prefix(run_dir).map_or_else(|_| path.clone(), Path::to_owned);
        let written = Written {
            version: VERSION,
            checkpoint: within(&self.checkpoint),
            best: self.best.as_ref().map(within),
            epoch: self.place.epoch,
            step: self.place.step,
            metrics: self.metrics.iter().map(|(name, value)| (name.clone(), format!("{value:?}"))).collect(),
        };
        atomic::put(&run_dir.join(FILE), Durability::Synced, |file| {
            serde_json::to_writer(&mut *file, &written)?;
            file.write_all(b"\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(run_dir: &Path) -> Memory {
        Memory {
            checkpoint: run_dir.join("program/last.json"),
            best: None,
            place: RunPlace { epoch: 2, step: 30 },
            metrics: [("a".to_owned(), f64::INFINITY), ("b".to_owned(), 0.1)].into(),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_where_the_folder_was_moved_to() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
        fs::create_dir_all(here.join("program")).unwrap();
        assert_eq!(Memory::read(&here).unwrap(), None);
        fs::write(here.join("program/last.json"), "").unwrap();
        let mut metrics = memory(&here);
        metrics.metrics.insert("nan".to_owned(), f64::NAN);
        metrics.write(&here).unwrap();
        fs::rename(&here, &there).unwrap();
        let mut read = Memory::read(&there).unwrap().unwrap();
        assert!(read.metrics.remove("nan").unwrap().is_nan());
        assert_eq!(read, memory(&there));
    }

    #[test]
    fn a_checkpoint_that_is_gone_and_a_damaged_file_are_told() {
        let folder = tempfile::tempdir().unwrap();
        memory(folder.path()).write(folder.path()).unwrap();
        assert!(Memory::read(folder.path()).unwrap_err().contains("is gone"));
        for text in ["{", r#"{"version": 2}"#, ""] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert!(Memory::read(folder.path()).unwrap_err().contains(FILE), "{text}");
        }
        let other =
            r#"{"version": 2, "checkpoint": "a", "best": null, "epoch": 0, "step": 0, "metrics": []}"#;
        fs::write(folder.path().join(FILE), other).unwrap();
        assert!(Memory::read(folder.path()).unwrap_err().contains("version 2"));
    }
}

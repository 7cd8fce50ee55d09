//! What runs leave in marker files, so that a test sees which of them ran where, and when.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Where a marker line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// The step `marker` was reached.
    Begin,
    /// The run's script is over. Missing where the process was ended.
    End,
}

/// One line of a marker file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Name of the run.
    pub run: String,
    /// Its device: `cpu:0`.
    pub device: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Id of the worker process.
    pub pid: u32,
    /// Which end of the run.
    pub moment: Moment,
    /// Nanoseconds since the epoch of the machine's clock, comparable among processes.
    pub at_nanos: u64,
}

impl Mark {
    /// Appends the line at once, so that lines of several processes do not mix.
    pub(super) fn write(&mut self, path: &Path, moment: Moment) {
        self.moment = moment;
        self.at_nanos = now_nanos();
        let mut line = serde_json::to_vec(self).unwrap();
        line.push(b'\n');
        let mut file: File = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(&line).unwrap();
    }
}

pub(super) fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// The lines of a marker file, in the order they were written; none if there is no file yet.
pub fn marks(path: &Path) -> Vec<Mark> {
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

//! What a run is told with, and what it tells.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Map, Value};

/// What a run is to be filed under.
#[derive(Debug, Clone, PartialEq)]
pub struct RunHeader {
    /// Id of the run.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Owner of the project; the user's default if not set.
    pub entity: Option<String>,
    /// The project.
    pub project: String,
    /// Runs of one group stand together.
    pub group: Option<String>,
    /// Kind of the run within its group.
    pub job_type: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Notes.
    pub notes: Option<String>,
    /// Configuration; plain values.
    pub config: Map<String, Value>,
    /// When it began.
    pub started: SystemTime,
}

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Info,
    /// Something to look after.
    Warn,
    /// Something is lost.
    Error,
}

/// Files to keep under a name, with versions.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactFiles {
    /// Its name.
    pub name: String,
    /// `model` and the like.
    pub kind: String,
    /// Further names of this version: `latest`, `best`.
    pub aliases: Vec<String>,
    /// Path within the artifact, and the file; linked into the run's folder, so that it may be removed afterwards.
    pub files: Vec<(String, PathBuf)>,
    /// What else is to be known of it.
    pub metadata: Map<String, Value>,
}

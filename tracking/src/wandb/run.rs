//! One tracked run, written to its journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::folder::RunFolder;
use super::settings::Mode;
use crate::figure::Figure;
use crate::metric::{MetricPoint, Metrics};

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

/// Bytes in the journal that are whole records, told on with every write; `None` of a run that is not under way.
pub type Growth = watch::Receiver<u64>;

/// Why a run can not be tracked, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {}

/// The journal of one run, written by one writer. Every call appends whole records with one `write` each and returns: nothing
/// waits for a disk or a network.
#[derive(Debug)]
pub struct RunJournal {
    folder: RunFolder,
    grown: Arc<watch::Sender<u64>>,
}

impl RunJournal {
    /// Opens the journal of a run below `parent` (`{run_dir}/wandb`), made where there is none. One that is there
    /// goes on: rows are numbered on, a torn last record is cut off.
    ///
    /// # Errors
    /// [`JournalError`] if the folder can not be made or written to, or the journal there is another run's.
    pub fn open(parent: &Path, header: &RunHeader, mode: Mode) -> Result<Self, JournalError> {
        let _ = (parent, header, mode);
        todo!()
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// What tells an uploader of further records.
    #[must_use]
    pub fn growth(&self) -> Growth {
        self.grown.subscribe()
    }

    /// One row for each (epoch, step) among the points, as `metrics.csv` has them: the values, `epoch`,
    /// `trainer/global_step`, `_step`, `_timestamp`, `_runtime`. A metric seen for the first time is defined over
    /// `trainer/global_step`. The summary follows.
    ///
    /// # Errors
    /// [`JournalError`] if it can not be written; what was whole stays.
    pub fn rows(&mut self, points: &[MetricPoint], at: SystemTime) -> Result<(), JournalError> {
        let _ = (points, at);
        todo!()
    }

    /// Pictures and charts, one row each.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn figures(&mut self, figures: &[Figure], at: SystemTime) -> Result<(), JournalError> {
        let _ = (figures, at);
        todo!()
    }

    /// System metrics by name, without `system.`: `cpu`, `gpu.0.temp`.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn system(&mut self, sample: &Metrics, at: SystemTime) -> Result<(), JournalError> {
        let _ = (sample, at);
        todo!()
    }

    /// Lines the run printed, without their ends.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn printed(&mut self, stream: Stream, lines: &[String], at: SystemTime) -> Result<(), JournalError> {
        let _ = (stream, lines, at);
        todo!()
    }

    /// Values to set in the summary, over what rows left there.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn summary(&mut self, values: &Map<String, Value>) -> Result<(), JournalError> {
        let _ = values;
        todo!()
    }

    /// Values to set in the configuration.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn config(&mut self, values: &Map<String, Value>) -> Result<(), JournalError> {
        let _ = values;
        todo!()
    }

    /// An alert to the user.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn alert(&mut self, title: &str, text: &str, severity: Severity) -> Result<(), JournalError> {
        let _ = (title, text, severity);
        todo!()
    }

    /// An artifact. Its files are linked (copied across file systems) first.
    ///
    /// # Errors
    /// As [`RunJournal::rows`], and if a file can not be read.
    pub fn artifact(&mut self, artifact: &ArtifactFiles) -> Result<(), JournalError> {
        let _ = artifact;
        todo!()
    }

    /// The machine may be taken away soon.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn preempting(&mut self) -> Result<(), JournalError> {
        todo!()
    }

    /// The end of the run; brings the journal to the disk.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn finish(self, exit_code: i32, at: SystemTime) -> Result<(), JournalError> {
        let _ = (exit_code, at);
        todo!()
    }
}

//! The one uploader of a process: reads behind the journals of all its runs and sends them.

use std::path::PathBuf;
use std::time::Duration;

use super::folder::RunFolder;
use super::key::Key;
use super::run::Growth;
use super::settings::Settings;

/// What an uploader tells of a run, on a thread of its own; the hearer must not block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadEvent {
    /// The server knows the run, and shows it there.
    Started {
        /// Address of the run's page.
        url: String,
    },
    /// The user pressed Stop. Told once.
    StopAsked,
    /// Something the user should know; the upload goes on as far as it can.
    Warned(String),
}

/// Hears of one run.
pub type Hearer = Box<dyn Fn(UploadEvent) + Send + Sync>;

/// How far a run is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Id of the run.
    pub run_id: String,
    /// Bytes of its journal that are not sent yet.
    pub bytes_behind: u64,
    /// Rows read from the journal and not acknowledged.
    pub rows_behind: u64,
    /// What is wrong at the moment.
    pub trouble: Option<String>,
}

/// A run that is not sent to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its folder, under the name it has now: `offline-run-…`.
    pub folder: PathBuf,
    /// Rows of its journal that the server has not acknowledged.
    pub rows_left: u64,
    /// Why.
    pub reason: String,
}

/// Why there is no uploader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploaderError {}

/// Sends the runs of a process, on a thread of its own. All of them share one limiter and one set of connections. Nothing here
/// ever waits for the network but [`Uploader::finish`], which has a deadline.
///
/// Dropped, it stops where it is; the journals hold the rest.
#[derive(Debug)]
pub struct Uploader {}

impl Uploader {
    /// Starts the thread. Nothing is sent before the first run.
    ///
    /// # Errors
    /// [`UploaderError`] without a thread or a usable address.
    pub fn start(settings: &Settings, key: Key) -> Result<Self, UploaderError> {
        let _ = (settings, key);
        todo!()
    }

    /// Sends a run while it grows. Returns at once.
    pub fn follow(&self, folder: RunFolder, growth: Growth, hearer: Hearer) {
        let _ = (folder, growth, hearer);
        todo!()
    }

    /// How far each run is that is not sent to its end.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        todo!()
    }

    /// Waits until every run is sent, at the most until the deadline, and gives those that are not; their folders are
    /// renamed to `offline-run-…`. `tell` is called with every change, and at least once a second.
    pub fn finish(self, deadline: Duration, tell: &mut dyn FnMut(&[Progress])) -> Vec<Unfinished> {
        let _ = (deadline, tell);
        todo!()
    }
}

//! What a job leaves for those who look at it from outside: its events, and where it is now.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use engine_actors::protocol::Progress;
use engine_tracking::events::{EventLog, EventLogError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::find::{JobPlace, of_event};
use super::{BEAT, EVENTS, NOW, host_name, unix_secs};
use crate::artifacts::ArtifactLayout;
use crate::{Event, EventLine};

/// Events that may come before it is known which job they are of: notes on devices and tracking. Further ones are not kept.
const BEFORE_THE_JOB: usize = 64;

/// Why a job's diary is not continued. The job is not touched by it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiaryError {
    /// The events.
    #[error("what happens can not be shown by `engine attach` from here on")]
    Events(#[from] EventLogError),
    /// Where the job is now.
    #[error("where the runs are can not be shown by `engine attach` and `engine status` from here on: {}", path.display())]
    Now {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Who works on a job, and by which command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobOpening {
    /// Process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// When, in seconds since 1970.
    pub at_unix_secs: u64,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its arguments, without the program.
    pub command: Vec<String>,
}

impl JobOpening {
    /// This process, called with these arguments.
    #[must_use]
    pub fn of_this_process(command: Vec<String>) -> Self {
        Self {
            pid: std::process::id(),
            host: host_name(),
            at_unix_secs: unix_secs(SystemTime::now()),
            // Only shown.
            directory: std::env::current_dir().unwrap_or_default(),
            command,
        }
    }
}

/// How a process of a job ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobEnd {
    /// Exit code of its program.
    pub exit_code: u8,
    /// What it said last.
    pub text: String,
    /// The outcome, as `--json` gives it.
    pub outcome: Value,
}

/// Where a job is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Now {
    /// Who works on it.
    pub opening: JobOpening,
    /// Time of this, in seconds since 1970.
    pub at_unix_secs: u64,
    /// Runs under way, by id.
    pub runs: BTreeMap<String, Progress>,
}

/// A line of [`EVENTS`] that is no event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Mark {
    JobOpened(JobOpening),
    JobEnded(JobEnd),
}

/// Writes the files of a job that other processes look at. Dropped, it writes no more.
///
/// The first event that names the job's folder opens them. The first error is told, then nothing more is written to that file.
#[derive(Debug)]
pub struct Diary {
    pages: Arc<Mutex<Pages>>,
    beat: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Pages {
    layout: ArtifactLayout,
    now: Now,
    place: Option<JobPlace>,
    waiting: Vec<Event>,
    events: Option<EventLog>,
    now_is_lost: bool,
}

impl Diary {
    /// A diary of the next job of this process in the artifact folder.
    ///
    /// # Errors
    /// What the system says if there is no thread to be had.
    pub fn begin(layout: ArtifactLayout, opening: JobOpening) -> io::Result<Self> {
        let now = Now { opening, ..Now::default() };
        let pages = Pages { layout, now, place: None, waiting: Vec::new(), events: None, now_is_lost: false };
        let pages = Arc::new(Mutex::new(pages));
        let (alive, ended) = bounded::<()>(0);
        let beating = Arc::clone(&pages);
        let thread = std::thread::Builder::new().name("engine-diary".into()).spawn(move || {
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = lock(&beating).beat() {
                    tracing::warn!(%error, "diary");
                }
            }
        })?;
        Ok(Self { pages, beat: Some((alive, thread)) })
    }

    /// Takes note of an event. Gives the job's place with the event that tells it.
    ///
    /// # Errors
    /// [`DiaryError`], once for each file.
    pub fn note(&self, event: &Event) -> Result<Option<JobPlace>, DiaryError> {
        lock(&self.pages).note(event)
    }

    /// The job whose beginning this event tells, if it does.
    #[must_use]
    pub fn place_of(&self, event: &Event) -> Option<JobPlace> {
        of_event(&lock(&self.pages).layout, event)
    }

    /// Takes note of the end of this process's part in the job.
    ///
    /// # Errors
    /// [`DiaryError`].
    pub fn end(mut self, end: JobEnd) -> Result<(), DiaryError> {
        self.stop_beating();
        let mut pages = lock(&self.pages);
        pages.now.runs.clear();
        pages.beat()?;
        if let Some(mut events) = pages.events.take() {
            events.append(&Mark::JobEnded(end))?;
            events.close()?;
        }
        Ok(())
    }

    fn stop_beating(&mut self) {
        if let Some((alive, thread)) = self.beat.take() {
            drop(alive);
            // It writes one file; what it panicked of is on standard error.
            drop(thread.join());
        }
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        self.stop_beating();
    }
}

impl Pages {
    fn note(&mut self, event: &Event) -> Result<Option<JobPlace>, DiaryError> {
        if self.place.is_some() {
            self.keep(event)?;
            return Ok(None);
        }
        let Some(place) = of_event(&self.layout, event) else {
            if self.waiting.len() < BEFORE_THE_JOB {
                self.waiting.push(event.clone());
            }
            return Ok(None);
        };
        self.place = Some(place.clone());
        self.open(&place.dir)?;
        for earlier in std::mem::take(&mut self.waiting) {
            self.keep(&earlier)?;
        }
        self.keep(event)?;
        self.beat()?;
        Ok(Some(place))
    }

    fn open(&mut self, dir: &Path) -> Result<(), DiaryError> {
        // What keeps it from being made keeps the file from being opened, and that says so.
        drop(fs::create_dir_all(dir));
        let mut events = EventLog::open(&dir.join(EVENTS))?;
        events.append(&Mark::JobOpened(self.now.opening.clone()))?;
        self.events = Some(events);
        Ok(())
    }

    fn keep(&mut self, event: &Event) -> Result<(), DiaryError> {
        match event {
            Event::RunProgressed { run_id, progress, .. } => {
                self.now.runs.insert(run_id.clone(), *progress);
                return Ok(());
            }
            Event::RunFinished { run_id, .. } => drop(self.now.runs.remove(run_id)),
            _ => {}
        }
        let Some(events) = &mut self.events else { return Ok(()) };
        let kept = events.append(&EventLine::of(event));
        if kept.is_err() {
            self.events = None;
        }
        Ok(kept?)
    }

    /// Says that the job is alive, and where its runs are.
    fn beat(&mut self) -> Result<(), DiaryError> {
        let Some(place) = self.place.as_ref().filter(|_| !self.now_is_lost) else { return Ok(()) };
        self.now.at_unix_secs = unix_secs(SystemTime::now());
        let (path, aside) = (place.dir.join(NOW), place.dir.join(format!(".{NOW}.part")));
        // Not brought to the disk: it is worth nothing after a power cut.
        let written = serde_json::to_vec(&self.now)
            .map_err(io::Error::other)
            .and_then(|text| fs::write(&aside, text))
            .and_then(|()| fs::rename(&aside, &path));
        self.now_is_lost = written.is_err();
        written.map_err(|source| DiaryError::Now { path, source })
    }
}

fn lock(pages: &Mutex<Pages>) -> MutexGuard<'_, Pages> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

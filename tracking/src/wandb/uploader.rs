//! The one uploader of a process: reads behind the journals of all its runs and sends them.
//!
//! - UPLOAD-1: what is sent is a function of the journal's beginning; the cursor holds places, never state.
//! - UPLOAD-2: a request is read when it is due: a run holds nothing but its summary, its configuration and at most one
//!   request, and only so many runs hold one at once.
//! - UPLOAD-3: rows never wait for files, and files never for artifacts.
//! - UPLOAD-4: of what was printed, only the newest line is ever sent again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::{Id, JoinSet};

use super::api::{Api, ApiError};
use super::board::{Board, Entry, Place, State};
use super::cursor::Cursor;
use super::folder::RunFolder;
use super::follower::{Gates, Outcome, Target, WithoutEnd, Work, follow};
use super::key::Key;
use super::log::{Found, LogReader};
use super::record::Kind;
use super::run::Growth;
use super::settings::Settings;
use crate::upload::{Progress, Unfinished};

/// Runs that grow and hold a request in memory at once.
const LIVE_AT_ONCE: usize = 64;
/// Runs that have ended and hold a request in memory at once: theirs are the large ones.
const ENDED_AT_ONCE: usize = 8;
/// Longest time between two calls of `tell`.
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// How long the thread may take to stop, until its folders are renamed under it: it may hang in a read of a dead disk.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);
/// Most time by which the first request of a run is put off, so that many runs do not begin in one instant.
const JITTER: Duration = Duration::from_millis(200);

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

/// Why there is no uploader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploaderError {
    /// The server can not be spoken to.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no thread.
    #[error("can not start the thread that sends runs to W&B")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

/// A run to be sent.
struct Asked {
    folder: RunFolder,
    growth: Growth,
    hearer: Hearer,
    api: Api,
}

/// What the thread and its owner share.
struct Shared {
    board: Arc<Board>,
    /// Runs to begin with; folders and handles only, so that it may be long.
    asked: Mutex<VecDeque<Asked>>,
    wake: Notify,
    stop: Notify,
}

impl Shared {
    /// Each write leaves a whole queue, so a panic elsewhere does no harm to it.
    fn asked(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the runs of a process, on a thread of its own. All of them share one limiter and one set of connections. Nothing here
/// ever waits for the network but [`Uploader::finish`], which has a deadline.
///
/// Dropped, it stops where it is, within two seconds; the journals hold the rest.
pub struct Uploader {
    shared: Arc<Shared>,
    api: Api,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Uploader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Uploader")
            .field("runs", &self.shared.board.progress().len())
            .finish_non_exhaustive()
    }
}

impl Uploader {
    /// Starts the thread. Nothing is sent before the first run.
    ///
    /// # Errors
    /// [`UploaderError`] without a thread or a usable address.
    pub fn start(settings: &Settings, key: Key) -> Result<Self, UploaderError> {
        let api = Api::new(&settings.base_url, key, settings.pace)?;
        let shared = Arc::new(Shared {
            board: Arc::default(),
            asked: Mutex::default(),
            wake: Notify::new(),
            stop: Notify::new(),
        });
        let failed = |source| UploaderError::Thread { source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (theirs, target) = (Arc::clone(&shared), Target::of(settings));
        let thread = thread::Builder::new()
            .name("engine-wandb".to_owned())
            .spawn(move || {
                runtime.block_on(serve(&theirs, target));
                // Reads that hang are left behind.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Self { shared, api, thread: Some(thread) })
    }

    /// Sends a run while it grows. Returns at once. A folder that is followed already is followed again once its first
    /// part is done with.
    pub fn follow(&self, folder: RunFolder, growth: Growth, hearer: Hearer) {
        let api = self.api.for_run();
        self.shared.board.open(&folder, &api, Some(growth.clone()));
        self.shared.asked().push_back(Asked { folder, growth, hearer, api });
        self.shared.wake.notify_one();
    }

    /// How far each run is that is not sent to its end. Those with which nothing more can be done for now are not among them.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.shared.board.progress()
    }

    /// Waits until every run is sent, at the most until the deadline, and gives those that are not; their folders are
    /// renamed to `offline-run-…`. `tell` is called with every change, and at least five times a second; with `Break` it ends
    /// the wait, as if the deadline had come.
    ///
    /// Runs whose journals still grow count too: whoever calls this has finished or dropped them.
    pub fn finish(
        mut self,
        deadline: Duration,
        tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>,
    ) -> Vec<Unfinished> {
        let until = Instant::now() + deadline;
        loop {
            let progress = self.shared.board.progress();
            let is_over = progress.is_empty();
            let asked_to_end = tell(&progress).is_break();
            let left = until.saturating_duration_since(Instant::now());
            if is_over || asked_to_end || left.is_zero() {
                break;
            }
            self.shared.board.wait(left.min(TOLD_EVERY));
        }
        // A request that is dropped tells its trouble no more.
        let troubles: HashMap<PathBuf, Option<String>> = self
            .shared
            .board
            .unsent()
            .into_iter()
            .map(|entry| (entry.folder.path.clone(), entry.trouble()))
            .collect();
        self.shared.stop.notify_one();
        self.join();
        let trouble_of = |entry: &Entry| troubles.get(&entry.folder.path).cloned().flatten();
        let unsent = self.shared.board.unsent().into_iter();
        unsent.map(|entry| left_behind(trouble_of(&entry), entry)).collect()
    }

    /// Waits for the thread, unless it hangs.
    fn join(&mut self) {
        let until = Instant::now() + STOPPED_WITHIN;
        let Some(thread) = self.thread.take() else {
            return;
        };
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("the thread that sends runs to W&B panicked; the runs stand in their folders");
        }
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        self.join();
    }
}

impl Target {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            base_url: settings.base_url.clone(),
            entity: settings.entity.clone(),
            project: settings.project.clone(),
            resume: settings.resume,
            pace: settings.pace,
        }
    }
}

impl Gates {
    pub(super) fn new() -> Self {
        Self { live: Arc::new(Semaphore::new(LIVE_AT_ONCE)), ended: Arc::new(Semaphore::new(ENDED_AT_ONCE)) }
    }
}

/// Follows the runs that are asked for until it is stopped.
async fn serve(shared: &Shared, target: Target) {
    let gates = Gates::new();
    let mut runs: JoinSet<Outcome> = JoinSet::new();
    let (mut under_way, mut names) = (HashSet::<PathBuf>::new(), HashMap::<Id, PathBuf>::new());
    loop {
        begin(shared, &target, &gates, &mut runs, &mut under_way, &mut names);
        tokio::select! {
            biased;
            () = shared.stop.notified() => return,
            () = shared.wake.notified() => {}
            Some(ended) = runs.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok(ended) => ended,
                    Err(error) => {
                        let id = error.id();
                        (id, Outcome::Left(format!("its upload broke down: {error}")))
                    }
                };
                let Some(path) = names.remove(&id) else {
                    continue;
                };
                under_way.remove(&path);
                if !shared.asked().iter().any(|asked| asked.folder.path == path) {
                    shared.board.change(&path, |entry| entry.state = state_of(outcome));
                }
            }
        }
    }
}

/// Begins with every run that is asked for and not under way.
fn begin(
    shared: &Shared,
    target: &Target,
    gates: &Gates,
    runs: &mut JoinSet<Outcome>,
    under_way: &mut HashSet<PathBuf>,
    names: &mut HashMap<Id, PathBuf>,
) {
    let mut asked = shared.asked();
    let mut later = VecDeque::new();
    while let Some(next) = asked.pop_front() {
        let path = next.folder.path.clone();
        if !under_way.insert(path.clone()) {
            later.push_back(next);
            continue;
        }
        let jitter =
            JITTER.min(target.pace.gather).mul_f64(if under_way.len() > 1 { rand::random() } else { 0.0 });
        let work = Work {
            api: next.api,
            folder: next.folder,
            target: target.clone(),
            hearer: next.hearer,
            entry: Place { board: Arc::clone(&shared.board), path: path.clone() },
            gates: gates.clone(),
            growth: Some(next.growth),
            without_end: WithoutEnd::LeftOpen,
        };
        let handle = runs.spawn(async move {
            tokio::time::sleep(jitter).await;
            follow(work).await
        });
        names.insert(handle.id(), path);
    }
    *asked = later;
}

fn state_of(outcome: Outcome) -> State {
    match outcome {
        Outcome::Sent => State::Sent,
        Outcome::Left(why) | Outcome::KeyRefused(why) | Outcome::Unreadable(why) => State::Left(why),
    }
}

/// Gives the folder of a run that is not sent the name of one that is to be sent later.
fn left_behind(trouble: Option<String>, entry: Entry) -> Unfinished {
    let reason = match &entry.state {
        State::Left(why) => why.clone(),
        State::Open | State::Sent => trouble.unwrap_or_else(|| "the time for sending it was over".to_owned()),
    };
    let rows_left = rows_left(&entry.folder);
    match rename(&entry.folder.path) {
        Ok(folder) => Unfinished { folder, rows_left, reason },
        Err(error) => Unfinished {
            reason: format!("{reason}; the folder can not be renamed ({error})"),
            folder: entry.folder.path,
            rows_left,
        },
    }
}

/// Rows behind the cursor.
fn rows_left(folder: &RunFolder) -> u64 {
    let at = Cursor::load(&folder.cursor()).ok().flatten().map_or(0, |cursor| cursor.position);
    let Ok(mut reader) = LogReader::open(&folder.journal(), at) else {
        return 0;
    };
    let mut rows = 0;
    loop {
        match reader.next() {
            Ok(Found::Record(record, _)) => rows += u64::from(matches!(record.kind, Some(Kind::History(_)))),
            Ok(Found::Damage { .. }) => {}
            Ok(Found::End) | Err(_) => return rows,
        }
    }
}

/// `run-…` becomes `offline-run-…`; `latest-run` beside it follows.
fn rename(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.starts_with("run-") {
        return Ok(path.to_owned());
    }
    let renamed = path.with_file_name(format!("offline-{name}"));
    if renamed.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is one of that name"));
    }
    fs::rename(path, &renamed)?;
    point_latest(path, &renamed);
    Ok(renamed)
}

/// A convenience for people: where it can not be kept up, it is left as it is.
#[cfg(unix)]
fn point_latest(from: &Path, to: &Path) {
    let link = from.with_file_name("latest-run");
    if fs::read_link(&link).is_ok_and(|target| target.file_name() == from.file_name())
        && let Some(name) = to.file_name()
        && fs::remove_file(&link).is_ok()
    {
        drop(std::os::unix::fs::symlink(name, link));
    }
}

/// There is none here.
#[cfg(not(unix))]
fn point_latest(_: &Path, _: &Path) {}

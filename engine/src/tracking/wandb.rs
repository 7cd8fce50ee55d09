//! Weights & Biases as an engine uses it: what is asked for, and what is made of it once per engine.

mod artifacts;
mod header;
mod online;
mod repeats;
mod tracker;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engine_actors::bus::EventBus;
use engine_actors::events::Event;
use engine_actors::ports::RunLine;
use engine_tracking::upload::{Progress, Unfinished};
use engine_tracking::wandb::key::{Key, find_key};
use engine_tracking::wandb::run::RunJournal;
use engine_tracking::wandb::settings::{Mode, Settings};
use engine_tracking::wandb::uploader::{Hearer, UploadEvent, Uploader};

use super::LogModel;
use super::live::{LiveLock, Mark};
pub(super) use header::EntryLabel;
use header::Filing;
pub(super) use online::Online;
use repeats::Repeats;
use tracker::WandbTracker;
pub(super) use tracker::exit_code;

/// Time to send what is left when the work is done, unless told otherwise.
const FINISH_WITHIN: Duration = Duration::from_secs(60);
/// Back ends of runs that were killed are given so long to close their journals: they write to a disk, nothing else.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The back end, in events and warnings.
pub(super) const NAME: &str = "wandb";

/// Tracking on Weights & Biases, for [`EngineBuilder::wandb`](crate::EngineBuilder::wandb).
///
/// `WANDB_API_KEY` or a netrc file gives the key; `WANDB_TAGS`, `WANDB_NOTES` and `WANDB_DIR` are honoured as the official
/// client does.
#[derive(Debug, Clone, PartialEq)]
pub struct Wandb {
    settings: Settings,
    tags: Vec<String>,
    log_model: LogModel,
    finish_within: Duration,
}

impl Wandb {
    /// Tracks every run there.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, tags: Vec::new(), log_model: LogModel::None, finish_within: FINISH_WITHIN }
    }

    /// Tags of every run, besides its data folder, cv and tune.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Checkpoints to keep there; none if not set.
    #[must_use]
    pub fn log_model(mut self, which: LogModel) -> Self {
        self.log_model = which;
        self
    }

    /// How long [`Engine::close`](crate::Engine::close) waits for what is not sent yet; a minute if not set.
    #[must_use]
    pub fn finish_within(mut self, within: Duration) -> Self {
        self.finish_within = within;
        self
    }
}

/// The way of one engine's runs to W&B, and back.
pub(super) struct Link {
    settings: Settings,
    filing: Filing,
    dir: Option<PathBuf>,
    log_model: LogModel,
    finish_within: Duration,
    uploader: Mutex<Option<Uploader>>,
    /// Held until the engine is closed: as long as somebody can publish, event streams do not end.
    bus: Mutex<Option<Arc<EventBus>>>,
    /// Ways back to the runs, for what their uploads tell; held until an upload is over, and no longer than the bus.
    lines: Mutex<Lines>,
    /// What the uploads have told: hundreds of runs meet the same server.
    repeats: Mutex<Repeats>,
    lock: LiveLock,
    open: Gate,
}

impl Link {
    /// What an engine tracks with, and what its user should know of it. `None` where tracking is turned off.
    ///
    /// No key, one that can not be read, or an uploader that does not start makes the runs offline.
    pub(super) fn start(
        asked: Wandb,
        artifact_dir: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> (Option<Arc<Self>>, Option<String>) {
        let Wandb { mut settings, tags, log_model, finish_within } = asked;
        let (uploader, note) = match settings.mode {
            Mode::Disabled => return (None, None),
            Mode::Online => match uploader(&settings, lookup) {
                Ok(uploader) => (Some(uploader), None),
                Err(why) => {
                    let note = format!("{why}; runs are written offline, `engine sync` sends them");
                    (None, Some(note))
                }
            },
            _ => (None, None),
        };
        if uploader.is_none() {
            settings.mode = Mode::Offline;
        }
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let named = set("WANDB_TAGS").unwrap_or_default();
        let named = named.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned);
        let filing = Filing {
            entity: settings.entity.clone(),
            project: settings.project.clone(),
            tags: tags.into_iter().chain(named).collect(),
            notes: set("WANDB_NOTES"),
        };
        let link = Self {
            settings,
            filing,
            dir: set("WANDB_DIR").map(|dir| PathBuf::from(dir).join("wandb")),
            log_model,
            finish_within,
            uploader: Mutex::new(uploader),
            bus: Mutex::new(None),
            lines: Mutex::new(Lines::default()),
            repeats: Mutex::new(Repeats::default()),
            lock: LiveLock::new(artifact_dir.to_owned()),
            open: Gate::default(),
        };
        (Some(Arc::new(link)), note)
    }

    /// Where events are published until the engine is closed.
    pub(super) fn publish_on(&self, bus: EventBus) {
        *lock(&self.bus) = Some(Arc::new(bus));
    }

    /// Whether runs are sent while they run.
    pub(super) fn mode(&self) -> Mode {
        self.settings.mode
    }

    pub(super) fn filing(&self) -> &Filing {
        &self.filing
    }

    /// Folder for the journals of a run in this folder.
    pub(super) fn parent(&self, run_dir: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| run_dir.join("wandb"))
    }

    /// Tells the user something, as long as the engine is not closed.
    pub(super) fn warn(&self, message: String) {
        match &*lock(&self.bus) {
            Some(bus) => bus.publish(Event::Warned { message }),
            None => tracing::warn!("{message}"),
        }
    }

    /// Sends a run's journal while it grows, and tells its run what is heard of it. What is returned is to be held as long
    /// as the journal is written to.
    pub(super) fn follow_run(
        self: &Arc<Self>,
        run_id: &str,
        run_name: &str,
        line: &RunLine,
        journal: &RunJournal,
    ) -> Open {
        let line = Arc::new(line.clone());
        let weak = Arc::downgrade(&line);
        let held = HeldLine { number: lock(&self.lines).hold(line), link: Arc::downgrade(self) };
        let (id, name) = (run_id.to_owned(), run_name.to_owned());
        let link = Arc::downgrade(self);
        self.follow(run_id, journal, move |event| {
            let _held = &held;
            let (Some(line), Some(link)) = (weak.upgrade(), link.upgrade()) else { return };
            if event == UploadEvent::StopAsked {
                line.stop();
            }
            if let Some(event) = link.told(&id, &name, event) {
                line.publish(event);
            }
        })
    }

    /// As [`Link::follow_run`] of something that is no run; `url` is where it is shown.
    pub(super) fn follow_entry(
        self: &Arc<Self>,
        id: &str,
        name: &str,
        shown: Shown,
        journal: &RunJournal,
    ) -> Open {
        let weak: Weak<EventBus> = lock(&self.bus).as_ref().map(Arc::downgrade).unwrap_or_default();
        let (id_told, name) = (id.to_owned(), name.to_owned());
        let link = Arc::downgrade(self);
        self.follow(id, journal, move |event| match event {
            // There is nothing to stop but its runs, each of which has a button of its own.
            UploadEvent::StopAsked => {}
            UploadEvent::Started { .. } if shown == Shown::Never => {}
            event => {
                let (Some(bus), Some(link)) = (weak.upgrade(), link.upgrade()) else { return };
                if let Some(event) = link.told(&id_told, &name, event) {
                    bus.publish(event);
                }
            }
        })
    }

    /// What an upload tells, as an event; `None` if others have told it often enough.
    fn told(&self, id: &str, name: &str, event: UploadEvent) -> Option<Event> {
        let message = match event {
            UploadEvent::Started { url } => {
                return Some(Event::RunTracked { run_id: id.to_owned(), tracker: NAME.to_owned(), url });
            }
            UploadEvent::StopAsked => format!("run {name} is stopped: its Stop button on W&B was pressed"),
            UploadEvent::Warned(message) => {
                format!("W&B, {name}: {}", lock(&self.repeats).hear(message)?)
            }
            // What is added there later is for others to hear.
            other => format!("W&B, {name}: {other:?}"),
        };
        Some(Event::Warned { message })
    }

    fn follow(
        self: &Arc<Self>,
        id: &str,
        journal: &RunJournal,
        hear: impl Fn(UploadEvent) + Send + Sync + 'static,
    ) -> Open {
        let mark = match self.lock.mark(journal.folder()) {
            Ok(mark) => Some(mark),
            Err(error) => {
                let why =
                    "can not be marked as under way: do not call `engine sync` before its engine has ended";
                self.warn(format!("run {id} {why} ({error})"));
                None
            }
        };
        let passage = self.open.enter();
        match &*lock(&self.uploader) {
            None => Open { _passage: passage, _mark: mark },
            Some(uploader) => {
                // The run is the uploader's until it lets go of its hearer.
                let hearer: Hearer = Box::new(move |event| {
                    let _mark = &mark;
                    hear(event);
                });
                uploader.follow(journal.folder().clone(), journal.growth(), hearer);
                Open { _passage: passage, _mark: None }
            }
        }
    }

    /// Sends what is left, within the time there is for it, and gives what could not be sent. No journal is written to any
    /// more. A second call gives nothing.
    pub(super) fn close(&self, tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>) -> Vec<Unfinished> {
        if !self.open.wait_empty(CLOSE_WITHIN) {
            self.warn("some journals of W&B are still being written: their disk does not answer".to_owned());
        }
        let uploader = lock(&self.uploader).take();
        let left = uploader.map(|uploader| uploader.finish(self.finish_within, tell)).unwrap_or_default();
        lock(&self.lines).held.clear();
        lock(&self.bus).take();
        left
    }
}

/// Ways back to runs whose uploads are under way, by number.
#[derive(Default)]
struct Lines {
    held: BTreeMap<u64, Arc<RunLine>>,
    next: u64,
}

impl Lines {
    fn hold(&mut self, line: Arc<RunLine>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.held.insert(number, line);
        number
    }
}

/// A held line; let go with the upload's hearer, so that an engine that lives for long does not keep the lines of all its runs.
struct HeldLine {
    number: u64,
    link: Weak<Link>,
}

impl Drop for HeldLine {
    fn drop(&mut self) {
        if let Some(link) = self.link.upgrade() {
            lock(&link.lines).held.remove(&self.number);
        }
    }
}

/// Whether the address of an entry is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It is what the user called.
    Once,
    /// It is one of many; who looks at the whole finds it there.
    Never,
}

/// A journal that is written to. Dropped once it no longer is.
pub(super) struct Open {
    _passage: Passage,
    _mark: Option<Mark>,
}

/// An uploader, or why there is none.
fn uploader(settings: &Settings, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Uploader, String> {
    let key = key(settings, lookup)?;
    Uploader::start(settings, key).map_err(|error| format!("W&B can not be spoken to: {error}"))
}

/// The key for a server, or why there is none.
pub(super) fn key(settings: &Settings, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Key, String> {
    match find_key(&settings.base_url, lookup) {
        Ok(Some((key, _source))) => Ok(key),
        Ok(None) => {
            Err(format!("no W&B key for {}: set WANDB_API_KEY, or log in by netrc", settings.base_url))
        }
        Err(error) => Err(format!("no W&B key: {error}")),
    }
}

/// Counts those inside.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<(Mutex<usize>, Condvar)>);

/// One of those inside a [`Gate`].
#[derive(Debug)]
struct Passage(Gate);

impl Gate {
    fn enter(&self) -> Passage {
        *lock(&self.0.0) += 1;
        Passage(self.clone())
    }

    /// Whether all have left in time.
    fn wait_empty(&self, within: Duration) -> bool {
        let (inside, left) = &*self.0;
        let waited = left.wait_timeout_while(lock(inside), within, |inside| *inside > 0);
        let (inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *inside == 0
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let (inside, left) = &*self.0.0;
        *lock(inside) -= 1;
        left.notify_all();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_gate_waits_for_those_inside_and_no_longer_than_it_may() {
        let gate = Gate::default();
        assert!(gate.wait_empty(Duration::ZERO));
        let passage = gate.enter();
        assert!(!gate.wait_empty(Duration::from_millis(1)));
        let leaves = thread::spawn(move || drop(passage));
        assert!(gate.wait_empty(Duration::from_secs(60)));
        leaves.join().unwrap();
    }

    #[test]
    fn what_an_upload_tells_becomes_events() {
        let wandb = Wandb::new(Settings::from_env(Some("e"), Some("p"), &|_| None).unwrap());
        let (link, note) = Link::start(wandb, Path::new("nowhere"), &|_| None);
        let (link, note) = (link.unwrap(), note.unwrap());
        assert!(note.contains("no W&B key") && note.contains("`engine sync`"), "{note}");
        assert_eq!(link.mode(), Mode::Offline);
        let told = |event| link.told("abcd1234", "r", event);
        let started = told(UploadEvent::Started { url: "https://w/e/p/runs/abcd1234".into() }).unwrap();
        assert!(
            matches!(&started, Event::RunTracked { run_id, tracker, url }
            if run_id == "abcd1234" && tracker == "wandb" && url.ends_with("/runs/abcd1234")),
            "{started:?}"
        );
        let stop = told(UploadEvent::StopAsked).unwrap();
        assert!(matches!(&stop, Event::Warned { message } if message.contains("Stop button")), "{stop:?}");
        let warned = told(UploadEvent::Warned("key refused".into())).unwrap();
        assert_eq!(warned, Event::Warned { message: "W&B, r: key refused".into() });
    }

    #[test]
    fn disabled_is_nothing_at_all() {
        let mut settings = Settings::from_env(Some("e"), Some("p"), &|_| None).unwrap();
        settings.mode = Mode::Disabled;
        let (link, note) = Link::start(Wandb::new(settings), Path::new("nowhere"), &|_| None);
        assert!(link.is_none() && note.is_none());
    }

    #[test]
    fn a_key_file_that_can_not_be_read_makes_runs_offline_and_is_told() {
        let settings = Settings::from_env(Some("e"), Some("p"), &|_| None).unwrap();
        let lookup = |name: &str| (name == "WANDB_API_KEY").then(|| "too-short".to_owned());
        let (link, note) = Link::start(Wandb::new(settings), Path::new("nowhere"), &lookup);
        assert_eq!(link.unwrap().mode(), Mode::Offline);
        let note = note.unwrap();
        assert!(note.contains("WANDB_API_KEY") && !note.contains("too-short"), "{note}");
    }

    #[test]
    fn the_variables_of_the_official_client_are_honoured() {
        let settings = Settings::from_env(Some("e"), Some("p"), &|_| None).unwrap();
        let lookup = |name: &str| {
            let value = match name {
                "WANDB_TAGS" => " a, b ,,",
                "WANDB_NOTES" => "why",
                "WANDB_DIR" => "/scratch",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let (link, _) = Link::start(Wandb::new(settings).tags(["given"]), Path::new("nowhere"), &lookup);
        let link = link.unwrap();
        assert_eq!(link.parent(Path::new("run")), Path::new("/scratch/wandb"));
        assert_eq!(link.filing().tags, ["given", "a", "b"]);
        assert_eq!(link.filing().notes.as_deref(), Some("why"));
    }
}

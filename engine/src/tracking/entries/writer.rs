//! The thread that writes the entries of cvs and tunes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use engine_actors::bus::EventStream;
use engine_tracking::MetricPoint;
use engine_tracking::wandb::run::{JournalError, Past, RunJournal};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::fold::{Begun, Entries, Entry, EntryRecord, identity};
use super::{FOLDER, entry_id};
use crate::tracking::job_book::JobBook;
use crate::tracking::wandb::{EntryLabel, Link, Open, Shown};

/// Name of the thread.
const THREAD: &str = "engine-entries";

/// Writes the entries of an engine's cvs and tunes. Dropped, it ends as by [`EntryWriter::end`].
pub(in crate::tracking) struct EntryWriter {
    /// Dropped to end the thread: the stream of events may go on, as long as somebody can publish.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EntryWriter {
    pub(in crate::tracking) fn start(
        link: Arc<Link>,
        jobs: JobBook,
        events: EventStream,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let desk = Desk { link, jobs, entries: Entries::default(), open: BTreeMap::new() };
        let thread = thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || runtime.block_on(desk.work(events, stopped)))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Writes what has happened so far, closes what is open, and waits for it. False if the thread had panicked.
    pub(in crate::tracking) fn end(mut self) -> bool {
        self.join()
    }

    fn join(&mut self) -> bool {
        drop(self.stop.take());
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for EntryWriter {
    fn drop(&mut self) {
        if !self.join() {
            tracing::error!("the thread that writes the entries of cvs and tunes panicked");
        }
    }
}

/// The thread's own.
struct Desk {
    link: Arc<Link>,
    jobs: JobBook,
    entries: Entries,
    open: BTreeMap<Entry, Sheet>,
}

/// An entry under way.
struct Sheet {
    state: SheetState,
    /// Identities of the rows an earlier process wrote, as bits.
    past: BTreeSet<Vec<u64>>,
}

enum SheetState {
    Open {
        journal: Box<RunJournal>,
        _open: Open,
    },
    /// It came to its end in an earlier process, and nothing new has happened: nobody is to hear of it again.
    Ended(Box<Left>),
}

/// What an entry is opened with, and what is to be written then.
struct Left {
    id: String,
    dir: PathBuf,
    tune_name: Option<String>,
    config: Map<String, Value>,
    summary: Map<String, Value>,
}

impl Desk {
    async fn work(mut self, mut events: EventStream, mut stop: oneshot::Receiver<()>) {
        loop {
            // Events first: what was published before the stop is written.
            let heard = tokio::select! {
                biased;
                heard = events.next() => heard,
                _ = &mut stop => break,
            };
            let Some(event) = heard else { break };
            let jobs = self.jobs.clone();
            let records = self.entries.apply(&event, &|name| jobs.of(name));
            self.write(records);
        }
        let records = self.entries.abandon();
        self.write(records);
    }

    fn write(&mut self, records: Vec<EntryRecord>) {
        for record in records {
            let (entry, written) = self.write_one(record);
            if let Err(error) = written {
                self.open.remove(&entry);
                let (kind, name) = kind_and_name(&entry);
                self.link.warn(format!("the entry of {kind} {name} on W&B is not continued: {error}"));
            }
        }
    }

    fn write_one(&mut self, record: EntryRecord) -> (Entry, Result<(), JournalError>) {
        let now = SystemTime::now();
        match record {
            EntryRecord::Open { entry, dir, tune_name, config, begun } => {
                let (job_type, name) = kind_and_name(&entry);
                let mark = if job_type == "cv" { 'c' } else { 't' };
                let id = entry_id(mark, name, &dir, now);
                let left = Left { id, dir, tune_name, config, summary: Map::new() };
                let opened = self.begin(&entry, left, begun, now);
                (entry, opened)
            }
            EntryRecord::Stirs { entry } => {
                let opened = self.open(&entry, now);
                (entry, opened)
            }
            EntryRecord::Row { entry, number, values } => {
                let point = MetricPoint { epoch: 0, step: number, values };
                let opened = self.open(&entry, now);
                let written = opened.and_then(|()| self.on(&entry, |journal| journal.rows(&[point], now)));
                (entry, written)
            }
            EntryRecord::Recalled { entry, number, values } => {
                let own: Vec<u64> =
                    identity(&entry).iter().filter_map(|name| Some(values.get(*name)?.to_bits())).collect();
                let is_there = self.open.get(&entry).is_some_and(|sheet| sheet.past.contains(&own));
                if is_there {
                    return (entry, Ok(()));
                }
                self.write_one(EntryRecord::Row { entry, number, values })
            }
            EntryRecord::Summary { entry, values } => {
                let written = match self.open.get_mut(&entry).map(|sheet| &mut sheet.state) {
                    Some(SheetState::Open { journal, .. }) => journal.summary(&values),
                    Some(SheetState::Ended(left)) => {
                        left.summary.extend(values);
                        Ok(())
                    }
                    None => Ok(()),
                };
                (entry, written)
            }
            EntryRecord::Close { entry, exit_code } => {
                let closed = match self.open.remove(&entry).map(|sheet| sheet.state) {
                    Some(SheetState::Open { journal, .. }) => journal.finish(exit_code, now),
                    Some(SheetState::Ended(_)) | None => Ok(()),
                };
                (entry, closed)
            }
        }
    }

    /// Opens an entry; one that had come to its end as soon as something new happens to it.
    fn begin(
        &mut self,
        entry: &Entry,
        left: Left,
        begun: Begun,
        now: SystemTime,
    ) -> Result<(), JournalError> {
        let past = match begun {
            Begun::Now => None,
            Begun::Before => Past::read(&left.dir.join(FOLDER), &left.id, identity(entry))?,
        };
        let past = past.unwrap_or_default();
        let bits = |row: Vec<f64>| row.into_iter().map(f64::to_bits).collect();
        let state = SheetState::Ended(Box::new(left));
        self.open.insert(entry.clone(), Sheet { state, past: past.rows.into_iter().map(bits).collect() });
        if past.has_ended { Ok(()) } else { self.open(entry, now) }
    }

    /// Opens the journal of an entry, unless it is open.
    fn open(&mut self, entry: &Entry, now: SystemTime) -> Result<(), JournalError> {
        let Some(sheet) = self.open.get_mut(entry) else { return Ok(()) };
        let SheetState::Ended(left) = &sheet.state else { return Ok(()) };
        let Left { id, dir, tune_name, config, summary } = left.as_ref();
        let (job_type, name) = kind_and_name(entry);
        let label = EntryLabel { id, name, tune_name: tune_name.as_deref(), job_type };
        let facts = self.jobs.of(tune_name.as_deref().unwrap_or(name));
        let settings = facts.as_ref().map_or(&Value::Null, |facts| &facts.settings);
        let header = self.link.filing().entry(&label, config, settings, now);
        let mut journal = RunJournal::open(&dir.join(FOLDER), &header, self.link.mode())?;
        let shown = match entry {
            Entry::Cv(_) if tune_name.is_some() => Shown::Never,
            _ => Shown::Once,
        };
        let open = self.link.follow_entry(id, name, shown, &journal);
        journal.summary(summary)?;
        sheet.state = SheetState::Open { journal: Box::new(journal), _open: open };
        Ok(())
    }

    /// Writes to an entry that is open; one that could not be written to is closed already, and told of.
    fn on(
        &mut self,
        entry: &Entry,
        write: impl FnOnce(&mut RunJournal) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        match self.open.get_mut(entry).map(|sheet| &mut sheet.state) {
            Some(SheetState::Open { journal, .. }) => write(journal),
            Some(SheetState::Ended(_)) | None => Ok(()),
        }
    }
}

/// Job type and name of an entry.
fn kind_and_name(entry: &Entry) -> (&'static str, &str) {
    match entry {
        Entry::Cv(name) => ("cv", name),
        Entry::Tune(name) => ("tune", name),
    }
}

#[cfg(test)]
mod tests;

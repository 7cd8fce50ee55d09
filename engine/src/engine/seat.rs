//! Where a job is kept: its name, its folder and its journal, new or gone on with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine_actors::bus::EventBus;
use engine_actors::events::Event;
use engine_actors::journal::{
    HistoryError, JOURNAL, JobPlan, JobRecord, JournalLine, Ledger, Opened, Past, Record, Reopened, encode,
    history,
};
use engine_actors::outcome::Status;
use engine_tracking::journal::{Durability, JournalError, JournalWriter, TornTail};

use super::builder::Engine;
use super::error::EngineError;
use crate::artifacts::{ArtifactLayout, Level};
use crate::names::check_name;
use crate::resume::{Comparison, Keeping, Resume, ResumeError, code, compare};

/// A job that has a name.
pub(super) struct Seat {
    pub(super) name: String,
    /// What there is of it.
    known: Option<Known>,
}

/// A job that was begun before.
struct Known {
    journal: JournalWriter,
    past: Past,
}

impl Seat {
    /// The id of a run alone that was begun before.
    pub(super) fn run_id(&self) -> Option<&str> {
        match &self.known.as_ref()?.past.job().plan {
            JobPlan::Run(plan) => Some(&plan.run_id),
            JobPlan::Tune(_) | JobPlan::Cv(_) => None,
        }
    }
}

impl Engine {
    /// A name and what is known of the job that has it. A name that is given is free at its level, unless its job is to be
    /// resumed; without one the newest job is resumed, or a fresh name made.
    pub(super) fn seat(
        &self,
        level: Level,
        given: Option<String>,
        keeping: &Keeping,
        bus: &EventBus,
    ) -> Result<Seat, EngineError> {
        let layout = &self.inner.layout;
        if let Some(name) = &given {
            check_name(name).map_err(|source| EngineError::Name { name: name.clone(), source })?;
        }
        // What is taken is found out before anything is written for a try.
        let found = match (&given, keeping.resume) {
            (Some(name), Resume::No) => {
                layout.ensure_absent(level, name)?;
                None
            }
            (Some(name), _) => layout.find(level, name)?.map(|folder| (name.clone(), folder)),
            (None, Resume::No) => None,
            (None, _) => layout.newest_job(level, JOURNAL)?,
        };
        layout.ensure_writable()?;
        if let Some((name, folder)) = found
            && let Some(known) = go_on(level, &name, &folder, bus)?
        {
            return Ok(Seat { name, known: Some(known) });
        }
        if keeping.resume != Resume::No {
            let what = given
                .as_ref()
                .map_or_else(|| format!("no {level}"), |name| format!("no {level} called {name}"));
            warn(bus, format!("there is {what} to go on with: it begins now"));
        }
        let name = match given {
            Some(name) => name,
            None => self.inner.names().generate(level)?,
        };
        Ok(Seat { name, known: None })
    }

    /// Opens the ledger of a job that is to do `plan`: makes its journal, or compares it with what it was and goes on with that.
    pub(super) fn ledger(&self, seat: Seat, plan: JobPlan, keeping: &Keeping) -> Result<Ledger, EngineError> {
        let folder = folder_of(&plan);
        let mut identity = keeping.facts.clone();
        identity.insert("code".to_owned(), code());
        let job = JobRecord { plan, identity };
        let (mut journal, past) = match seat.known {
            None => {
                std::fs::create_dir_all(&folder)
                    .map_err(|source| EngineError::Folder { path: folder.clone(), source })?;
                let first = encoded(&Record::Job(Box::new(job)))?;
                (JournalWriter::create(&folder.join(JOURNAL), &first).map_err(HistoryError::from)?, None)
            }
            Some(Known { mut journal, mut past }) => {
                if let Some(changed) = changed(&seat.name, &past, job, keeping)? {
                    let record = encoded(&changed)?;
                    journal.append([record.as_slice()], Durability::Power).map_err(HistoryError::from)?;
                    let order =
                        |reason| HistoryError::Order { path: journal.path().to_owned(), at: 0, reason };
                    past.hear(changed).map_err(order)?;
                }
                (journal, Some(Arc::new(past)))
            }
        };
        let opened = encoded(&Record::Opened(this_process()))?;
        journal.append([opened.as_slice()], Durability::Process).map_err(HistoryError::from)?;
        let line = JournalLine::start(journal).map_err(EngineError::Thread)?;
        Ok(Ledger { line, past })
    }
}

/// Opens the journal of a job; `None` for a folder that was made and nothing else.
fn go_on(level: Level, name: &str, folder: &Path, bus: &EventBus) -> Result<Option<Known>, EngineError> {
    let path = folder.join(JOURNAL);
    let (journal, contents) = match JournalWriter::open(&path) {
        Ok(opened) => opened,
        Err(JournalError::Absent { .. }) if is_bare(folder) => return Ok(None),
        Err(JournalError::Absent { .. }) => {
            return Err(ResumeError::NoJournal { path: folder.to_owned() }.into());
        }
        Err(error) => return Err(HistoryError::from(error).into()),
    };
    let past = history(&path, &contents)?;
    // Nobody else works on the job: the journal is held.
    if let Err(error) = ArtifactLayout::clear_leftovers(folder) {
        warn(bus, error.to_string());
    }
    let found = level_of(&past.job().plan);
    if found != level {
        let (name, found, asked) = (name.to_owned(), found.word(), level.word());
        return Err(ResumeError::OtherLevel { name, found, asked, path }.into());
    }
    if let Some(TornTail { at, bytes, reason }) = contents.torn {
        warn(
            bus,
            format!(
                "the last {bytes} bytes of the journal are dropped, from byte {at} on ({reason}): what was being written when the \
                 engine ended; it is done again: {}",
                path.display()
            ),
        );
    }
    Ok(Some(Known { journal, past }))
}

fn warn(bus: &EventBus, message: String) {
    bus.publish(Event::Warned { message });
}

/// The record of what changed since the job was begun, if something did.
fn changed(
    name: &str,
    past: &Past,
    job: JobRecord,
    keeping: &Keeping,
) -> Result<Option<Record>, ResumeError> {
    let Comparison { refused, allowed, mut reopened } = compare(past.job(), &job, keeping);
    if !refused.is_empty() && keeping.resume != Resume::Force {
        return Err(ResumeError::Changed { name: name.to_owned(), differences: refused });
    }
    let has_failed =
        past.runs().filter_map(|run| run.outcome.as_ref()).any(|outcome| outcome.status == Status::Failed);
    reopened.failed = keeping.resume == Resume::Failed && has_failed;
    let is_same = refused.is_empty() && allowed.is_empty() && reopened == Reopened::default();
    Ok((!is_same).then(|| Record::Changed { job: Box::new(job), reopened }))
}

fn this_process() -> Opened {
    Opened {
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        at_unix_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    }
}

fn encoded(record: &Record) -> Result<Vec<u8>, EngineError> {
    encode(record).map_err(|reason| EngineError::Unkeepable { reason })
}

fn level_of(plan: &JobPlan) -> Level {
    match plan {
        JobPlan::Tune(_) => Level::Tune,
        JobPlan::Cv(_) => Level::Cv,
        JobPlan::Run(_) => Level::Run,
    }
}

fn folder_of(plan: &JobPlan) -> PathBuf {
    match plan {
        JobPlan::Tune(tune) => tune.tune_dir.clone(),
        JobPlan::Cv(cv) => cv.cv_dir.clone(),
        JobPlan::Run(run) => run.run_dir.clone(),
    }
}

/// Whether a folder holds nothing but what a writer that was killed left aside.
fn is_bare(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    })
}

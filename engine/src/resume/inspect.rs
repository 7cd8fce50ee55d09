//! What a journal says of its job, and whether it is whole.

use std::path::{Path, PathBuf};

use engine_actors::journal::{
    HistoryError, JOURNAL, JobPlan, Opened, Past, Record, as_json, decode, history,
};
use engine_tracking::journal::{Contents, JournalError, TornTail, is_held, parse};
use serde_json::Value;

/// A journal, looked at. Nothing of it is changed, and a process that writes to it is not disturbed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Its records, in order, as far as they are whole and can be understood.
    pub records: Vec<Inspected>,
    /// How it ends.
    pub soundness: Soundness,
    /// What became of its job so far; `None` where the records do not tell.
    pub job: Option<JobState>,
    /// The process that works on the job now: the last one that took it up.
    pub held_by: Option<Opened>,
}

/// A record and its place.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Inspected {
    /// Where it begins in the file.
    pub at: u64,
    /// What it says.
    pub record: Record,
    /// The same as JSON, with all that stands in the file.
    pub json: Value,
}

/// How a journal ends.
#[derive(Debug)]
#[non_exhaustive]
pub enum Soundness {
    /// With a whole record.
    Whole,
    /// With what an interrupted append left; it is dropped when the job is resumed, and done again.
    Torn(TornTail),
    /// Something in it is not what was written, or can not follow: its job is not resumed.
    Damaged(HistoryError),
}

/// What became of a job so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobState {
    /// `tune`, `cv` or `run`.
    pub level: &'static str,
    /// Its name.
    pub name: String,
    /// Runs that have ids.
    pub planned: usize,
    /// Runs that are over.
    pub ended: usize,
    /// Whether the process that took it up last came to an end of its own, and if so, whether there was more to do.
    pub more_to_do: Option<bool>,
}

/// Looks at a journal, by its path or that of the folder it lies in.
///
/// # Errors
/// [`JournalError`] for what is no journal, or can not be read. A damaged one is no error: see [`Soundness`].
pub fn inspect(place: &Path) -> Result<Inspection, JournalError> {
    let path = if place.is_dir() { place.join(JOURNAL) } else { place.to_owned() };
    let is_held = is_held(&path)?;
    let bytes = std::fs::read(&path).map_err(|source| JournalError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let (contents, damage) = match parse(&path, &bytes) {
        Ok(contents) => (contents, None),
        Err(error @ JournalError::Damaged { at, .. }) => {
            let whole = usize::try_from(at).ok().and_then(|at| bytes.get(..at)).unwrap_or_default();
            (parse(&path, whole)?, Some(HistoryError::Journal(error)))
        }
        Err(error) => return Err(error),
    };
    let (past, untold) = match history(&path, &contents) {
        Ok(past) => (Some(past), None),
        Err(error) => (None, Some(error)),
    };
    let soundness = match (damage.or(untold), contents.torn) {
        (Some(damage), _) => Soundness::Damaged(damage),
        (None, Some(torn)) => Soundness::Torn(torn),
        (None, None) => Soundness::Whole,
    };
    let held_by = past.as_ref().filter(|_| is_held).and_then(|past| past.opened().last()).cloned();
    let job = past.as_ref().map(state);
    Ok(Inspection { path, records: understood(&contents), soundness, job, held_by })
}

fn understood(contents: &Contents) -> Vec<Inspected> {
    let one = |(at, content): (u64, &[u8])| {
        Some(Inspected { at, record: decode(content).ok()?, json: as_json(content).ok()? })
    };
    contents.entries.iter().map_while(|entry| one((entry.at, &entry.content))).collect()
}

fn state(past: &Past) -> JobState {
    let (level, name) = match &past.job().plan {
        JobPlan::Tune(tune) => ("tune", &tune.tune_name),
        JobPlan::Cv(cv) => ("cv", &cv.cv_name),
        JobPlan::Run(run) => ("run", &run.run_name),
    };
    // The one run of a run alone has its id from the beginning.
    let alone = usize::from(level == "run" && past.runs().next().is_none());
    JobState {
        level,
        name: name.clone(),
        planned: past.runs().count() + alone,
        ended: past.runs().filter(|run| run.outcome.is_some()).count(),
        more_to_do: past.ended(),
    }
}

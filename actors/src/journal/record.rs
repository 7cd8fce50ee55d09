//! The facts of a job.

use std::path::Path;

use engine_tracking::journal::Contents;
use serde::{Deserialize, Serialize};

use super::error::HistoryError;
use super::past::Past;
use crate::outcome::{Failure, RunOutcome, Status};
use crate::plan::{Cell, CvPlan, Hyperparameters, RunPlan, TunePlan};

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobPlan {
    /// Many configurations.
    Tune(TunePlan),
    /// One configuration over its cells.
    Cv(CvPlan),
    /// One run.
    Run(RunPlan),
}

/// A job, and what its results hang on besides its plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// What is to be done.
    pub plan: JobPlan,
    /// Code, data and search by name, to be compared when the job is resumed.
    pub identity: serde_json::Map<String, serde_json::Value>,
}

/// A process that took a job up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Its id.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// When, in seconds since 1970.
    pub at_unix_secs: u64,
}

/// A run as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// Fold and seed.
    pub cell: Cell,
    /// Id of the run.
    pub run_id: String,
}

/// Which ended runs are taken up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// Those that came to their end: they have more to do now.
    pub ended: bool,
    /// Those that failed.
    pub failed: bool,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Record {
    /// What the job is. The first record, once.
    Job(Box<JobRecord>),
    /// A process took the job up.
    Opened(Opened),
    /// From here on the job is another.
    Changed {
        /// What it is now.
        job: Box<JobRecord>,
        /// Which ended runs are taken up again.
        reopened: Reopened,
    },
    /// The search proposed the configuration of a trial.
    Proposed {
        /// The trial, from 0.
        trial: u32,
        /// The configuration.
        hyperparameters: Hyperparameters,
    },
    /// Runs of a cv have ids. A cv that gets more cells is planned again.
    CvPlanned {
        /// Index of the configuration; 0 for a cv alone.
        hp_index: u32,
        /// Its runs, in the order of its cells.
        runs: Vec<PlannedRun>,
    },
    /// The run that trains the best configuration has an id.
    RetrainPlanned {
        /// Index of the configuration.
        hp_index: u32,
        /// Id of the run.
        run_id: String,
    },
    /// An attempt failed, and the run is tried again.
    RunRetried {
        /// Id of the run.
        run_id: String,
        /// Why.
        failure: Failure,
    },
    /// A run is over for good: no stop of the job ended it.
    RunEnded(Box<RunOutcome>),
    /// A cv is over, its tables written. For order, and for readers: the score follows from the runs.
    CvEnded {
        /// Index of the configuration.
        hp_index: u32,
        /// How it ended.
        status: Status,
        /// Its score.
        score: Option<f64>,
    },
    /// A process is through with the job.
    Ended {
        /// Whether there is more to do.
        cancelled: bool,
    },
}

/// What is kept of the end of a run: nothing of one that is not over. The stop of its job ended it, or there was never a device
/// for it; when the job is resumed it is gone on with.
pub(crate) fn end_of(run: &RunOutcome, stopping: bool) -> Option<Record> {
    let is_cut = run.status == Status::Cancelled && stopping;
    let had_no_device = run.status == Status::Failed && run.attempts == 0;
    (!is_cut && !had_no_device).then(|| Record::RunEnded(Box::new(run.clone())))
}

/// A record as a journal keeps it: MessagePack with names, in which floats that are not finite survive.
///
/// # Errors
/// If it can not be written, as a plan of some exotic value.
pub fn encode(record: &Record) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(record).map_err(|error| error.to_string())
}

/// A record as it was encoded.
///
/// # Errors
/// If the bytes are none.
pub fn decode(content: &[u8]) -> Result<Record, String> {
    rmp_serde::from_slice(content).map_err(|error| error.to_string())
}

/// The history that a journal tells.
///
/// # Errors
/// [`HistoryError::Record`] and [`HistoryError::Order`], with the place of the record.
pub fn history(path: &Path, contents: &Contents) -> Result<Past, HistoryError> {
    let mut past: Option<Past> = None;
    for entry in &contents.entries {
        let (path, at) = (|| path.to_owned(), entry.at);
        let record =
            decode(&entry.content).map_err(|reason| HistoryError::Record { path: path(), at, reason })?;
        let told = match (&mut past, record) {
            (None, Record::Job(job)) => {
                past = Some(Past::new(*job));
                Ok(())
            }
            (None, _) => Err("the first record is to say what the job is"),
            (Some(past), record) => past.hear(record),
        };
        told.map_err(|reason| HistoryError::Order { path: path(), at, reason })?;
    }
    past.ok_or_else(|| HistoryError::Order {
        path: path.to_owned(),
        at: contents.whole_bytes,
        reason: "it does not say what the job is",
    })
}

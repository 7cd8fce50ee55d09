//! What the ParquetSink hears and answers.

use std::path::PathBuf;
use std::sync::Arc;

use actix::{MailboxError, Message};
use engine_tracking::run_info::RunInfoError;
use thiserror::Error;

use crate::outcome::{CvOutcome, RunOutcome, TuneOutcome};

/// The runs of a cv so far. Sent by its CvActor after a run ended, never while another is unanswered.
///
/// Writes `run_infos.parquet` of the cv anew, without score; where runs end faster than that is worth doing, answers at once and
/// writes it later. Twice writes it twice. If it never comes, the table appears with
/// the score.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), SinkError>")]
pub struct RunInfoReady {
    /// Folder of the cv.
    pub cv_dir: PathBuf,
    /// Every run that ended, in the order of the plan's cells.
    pub runs: Vec<RunOutcome>,
}

/// A cv is over. Sent once by its CvActor, as its last message.
///
/// Writes `run_infos.parquet` of the cv, and adds its rows to the tune's table, at once or, where cvs end faster than that is
/// worth doing, later. Twice is once.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), SinkError>")]
pub struct CvScored {
    /// Everything there is to write.
    pub outcome: Box<CvOutcome>,
    /// The tune's table, if the cv belongs to a tune.
    pub tune_table: Option<PathBuf>,
}

/// A tune is over. Sent once by its TuneActor, before it tells its caller.
///
/// Puts the rows of the tune's table into the order of the configurations, and adds what could not be written before, so that the
/// table is the same in whatever order the cvs ended. Twice is once.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), SinkError>")]
pub struct TuneClosed {
    /// Everything there is to write.
    pub outcome: Arc<TuneOutcome>,
    /// The tune's table.
    pub tune_table: PathBuf,
    /// Whether other processes wrote to it too.
    pub resumed: bool,
}

const _: () =
    assert!(size_of::<RunInfoReady>() <= 64 && size_of::<CvScored>() <= 64 && size_of::<TuneClosed>() <= 64);

/// Why tables were not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A table can not be read or written; the error names it.
    #[error(transparent)]
    Table(#[from] RunInfoError),
    /// The folder of a table can not be made.
    #[error("the folder of a table can not be made ({source}): {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The thread that writes tables is gone.
    #[error("tables are not written any more: their thread ended, see the log")]
    Gone,
}

/// What an answer of the sink says went wrong, for people.
pub(crate) fn failure(answer: Result<Result<(), SinkError>, MailboxError>) -> Option<String> {
    answer.unwrap_or(Err(SinkError::Gone)).err().map(|error| error.to_string())
}

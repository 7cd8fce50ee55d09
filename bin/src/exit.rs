//! The one table from errors to exit codes.

use std::error::Error;
use std::process::ExitCode;

use engine::config::ConfigError;
use engine::data::{BuildError, DataError, RasterError};
use engine::export::ExportError;
use engine::jobs::{CancelError, JobsError};
use engine::learn::LearnError;
use engine::resume::{HistoryError, JournalError, ResumeError};
use engine::segmentation::jobs::PlanError;
use engine::segmentation::predict::PredictError;
use engine::segmentation::{RunError, TrainedError};
use engine::tracking::SyncAllError;
use engine::{Cause, EngineError, JobError};

use crate::commands::PagesError;
use crate::detach::DetachError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Everything asked for was done.
    Done,
    /// A run, cv or tune did not reach its end.
    NotFinished,
    /// Arguments or configuration are wrong.
    Usage,
    /// The data can not be used.
    Data,
    /// A file can not be read or written.
    File,
    /// The device or backend is not there.
    Device,
    /// A cv without a score, a tune without a stable configuration.
    NothingStable,
    /// Stopped by Ctrl-C: 128 + SIGINT.
    Interrupted,
    /// Stopped by a request to terminate: 128 + SIGTERM.
    Terminated,
    /// What another process of the job ended with.
    Its(u8),
}

impl Code {
    /// As the number that a shell sees.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotFinished => 1,
            Self::Usage => 2,
            Self::Data => 3,
            Self::File => 4,
            Self::Device => 5,
            Self::NothingStable => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Its(code) => code,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// Whatever keeps a command from doing what it is for.
#[derive(Debug)]
pub enum Failure {
    Config(ConfigError),
    Plan(PlanError),
    Engine(EngineError),
    Job(JobError),
    Data(DataError),
    Export(ExportError),
    Build(BuildError),
    Predict(PredictError),
    Sync(SyncAllError),
    Jobs(JobsError),
    Cancel(CancelError),
    Detach(DetachError),
    System(std::io::Error),
    Journal(JournalError),
    Pages(PagesError),
}

impl Failure {
    /// The exit code for this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Config(_) => Code::Usage,
            Self::Plan(error) => plan_code(error),
            Self::Engine(error) => engine_code(error),
            Self::Job(_) | Self::System(_) | Self::Detach(_) => Code::NotFinished,
            Self::Jobs(error) => jobs_code(error),
            Self::Cancel(CancelError::Jobs(error)) => jobs_code(error),
            Self::Cancel(_) => Code::NotFinished,
            Self::Data(_) => Code::Data,
            Self::Export(ExportError::Exists { .. } | ExportError::Model(_)) => Code::Usage,
            Self::Export(ExportError::Backend(_)) => Code::Device,
            Self::Export(_) => Code::File,
            Self::Build(error) => build_code(error),
            Self::Predict(error) => predict_code(error),
            Self::Sync(SyncAllError::NoFolder { .. }) | Self::Journal(_) | Self::Pages(_) => Code::File,
            Self::Sync(_) => Code::Usage,
        }
    }
}

fn jobs_code(error: &JobsError) -> Code {
    match error {
        JobsError::Absent { .. } | JobsError::Several { .. } => Code::Usage,
        _ => Code::File,
    }
}

fn raster_code(error: &RasterError) -> Code {
    if matches!(error, RasterError::Io { .. }) { Code::File } else { Code::Data }
}

fn build_code(error: &BuildError) -> Code {
    match error {
        BuildError::Impossible { .. } => Code::Usage,
        BuildError::Unreadable { .. } => Code::File,
        BuildError::Raster(error) => raster_code(error),
        _ => Code::Data,
    }
}

fn trained_code(error: &TrainedError) -> Code {
    match error {
        TrainedError::Table(_) | TrainedError::Checkpoint(_) => Code::File,
        _ => Code::Usage,
    }
}

fn predict_code(error: &PredictError) -> Code {
    match error {
        PredictError::Trained(error) => trained_code(error),
        PredictError::Checkpoint(_) | PredictError::Write(_) | PredictError::Folder { .. } => Code::File,
        PredictError::Run(error) => run_code(error),
        PredictError::Raster(error) => raster_code(error),
        PredictError::Data(_) | PredictError::Bands { .. } => Code::Data,
        PredictError::Devices(_)
        | PredictError::Backend(_)
        | PredictError::Lock(_)
        | PredictError::Busy { .. } => Code::Device,
        _ => Code::Usage,
    }
}

fn plan_code(error: &PlanError) -> Code {
    match error {
        PlanError::Run(error) => run_code(error),
        PlanError::Checkpoint(_) => Code::File,
        PlanError::Trained(error) => trained_code(error),
        PlanError::Backend(_) | PlanError::Devices(_) | PlanError::Exchange(_) => Code::Device,
        _ => Code::Usage,
    }
}

fn run_code(error: &RunError) -> Code {
    match error.cause() {
        Cause::Data => Code::Data,
        Cause::Io => Code::File,
        _ => match error {
            RunError::Learn(LearnError::Backend(_)) => Code::Device,
            RunError::Learn(LearnError::Checkpoint(_) | LearnError::Weights { .. }) => Code::File,
            RunError::WeightsFile(_) => Code::File,
            RunError::NotAtHand { .. } => Code::File,
            _ => Code::Usage,
        },
    }
}

fn engine_code(error: &EngineError) -> Code {
    match error {
        EngineError::Devices(_) => Code::Device,
        EngineError::Artifacts(engine::artifacts::ArtifactError::Exists { .. }) => Code::Usage,
        EngineError::History(HistoryError::Journal(JournalError::Held { .. })) => Code::NotFinished,
        EngineError::Artifacts(_)
        | EngineError::Session(_)
        | EngineError::History(_)
        | EngineError::Folder { .. }
        | EngineError::Resume(ResumeError::NoJournal { .. }) => Code::File,
        EngineError::Thread(_) => Code::NotFinished,
        EngineError::Follow(_) | EngineError::Launch(_) | EngineError::Start(_) | EngineError::Job(_) => {
            Code::NotFinished
        }
        _ => Code::Usage,
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

from! {
    Config(ConfigError),
    Plan(PlanError),
    Engine(EngineError),
    Job(JobError),
    Data(DataError),
    Export(ExportError),
    Build(BuildError),
    Predict(PredictError),
    Sync(SyncAllError),
    Jobs(JobsError),
    Cancel(CancelError),
    Detach(DetachError),
    System(std::io::Error),
    Journal(JournalError),
}

/// An error and its sources on one line. A source that the text before it tells already is left out.
pub fn chain(failure: &Failure) -> String {
    let first: &dyn Error = match failure {
        Failure::Config(error) => error,
        Failure::Plan(error) => error,
        Failure::Engine(error) => error,
        Failure::Job(error) => error,
        Failure::Data(error) => error,
        Failure::Export(error) => error,
        Failure::Build(error) => error,
        Failure::Predict(error) => error,
        Failure::Sync(error) => error,
        Failure::Jobs(error) => error,
        Failure::Cancel(error) => error,
        Failure::Detach(error) => error,
        Failure::System(error) => error,
        Failure::Journal(error) => error,
        Failure::Pages(error) => error,
    };
    let mut text = first.to_string();
    let mut source = first.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

//! The one table from errors to exit codes.

use std::error::Error;
use std::process::ExitCode;

use engine::config::ConfigError;
use engine::data::DataError;
use engine::resume::{HistoryError, JournalError, ResumeError};
use engine::segmentation::RunError;
use engine::segmentation::jobs::PlanError;
use engine::tracking::SyncAllError;
use engine::{Cause, EngineError, JobError};

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
    /// Stopped by Ctrl-C or a request to terminate: 128 + SIGINT.
    Interrupted,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(match code {
            Code::Done => 0,
            Code::NotFinished => 1,
            Code::Usage => 2,
            Code::Data => 3,
            Code::File => 4,
            Code::Device => 5,
            Code::NothingStable => 6,
            Code::Interrupted => 130,
        })
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
    Sync(SyncAllError),
    Signals(std::io::Error),
}

impl Failure {
    /// The exit code for this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Config(_) => Code::Usage,
            Self::Plan(error) => plan_code(error),
            Self::Engine(error) => engine_code(error),
            Self::Job(_) | Self::Signals(_) => Code::NotFinished,
            Self::Data(_) => Code::Data,
            Self::Sync(SyncAllError::NoFolder { .. }) => Code::File,
            Self::Sync(_) => Code::Usage,
        }
    }
}

fn plan_code(error: &PlanError) -> Code {
    match error {
        PlanError::Run(error) => run_code(error),
        PlanError::Checkpoint(_) => Code::File,
        PlanError::Backend(_) | PlanError::Devices(_) | PlanError::Exchange(_) => Code::Device,
        _ => Code::Usage,
    }
}

fn run_code(error: &RunError) -> Code {
    match error.cause() {
        Cause::Data => Code::Data,
        Cause::Io => Code::File,
        _ => match error {
            RunError::Backend(_) => Code::Device,
            RunError::Checkpoint(_) | RunError::Weights { .. } => Code::File,
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
    Sync(SyncAllError),
    Signals(std::io::Error),
}

/// An error and its sources on one line. A source that the text before it tells already is left out.
pub fn chain(failure: &Failure) -> String {
    let first: &dyn Error = match failure {
        Failure::Config(error) => error,
        Failure::Plan(error) => error,
        Failure::Engine(error) => error,
        Failure::Job(error) => error,
        Failure::Data(error) => error,
        Failure::Sync(error) => error,
        Failure::Signals(error) => error,
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

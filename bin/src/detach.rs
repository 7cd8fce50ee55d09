//! Jobs without a terminal: the process that is left behind, and the one that goes on.
//!
//! The second is this program with the same arguments. Until the engine has taken its job it is as the first would be: what it
//! complains of stands in the terminal, and its exit code is passed on. Then it writes to a log in the job's folder, and tells
//! the first, which waits at the other end of a pipe (the second's standard input), that it may leave.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use engine::config::EngineConfig;
use engine::jobs::{JobPlace, LOG};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};

/// Process id of the process that is left behind, for the one that goes on.
const PARENT: &str = "ENGINE_DETACHED_BY";

/// A signal that ended a process, as shells show it.
const BY_SIGNAL: i32 = 128;

/// Why a job can not do without its terminal.
#[derive(Debug, thiserror::Error)]
#[error("the job can not leave this terminal ({step}); call it without --detach")]
pub struct DetachError {
    step: &'static str,
    source: io::Error,
}

fn failed<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> DetachError {
    move |error| DetachError { step, source: error.into() }
}

/// What is told of a job that was taken.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    level: String,
    name: String,
    pid: u32,
    folder: PathBuf,
    log: PathBuf,
}

/// Starts this program again, waits until its job is taken, and says how to find it. Or passes on what became of it.
pub fn start(config: &EngineConfig, style: Style) -> Result<Code, Failure> {
    let (mut told, tells) = io::pipe().map_err(failed("making a pipe"))?;
    let program = std::env::current_exe().map_err(failed("finding its program"))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(PARENT, std::process::id().to_string());
    command.stdin(Stdio::from(OwnedFd::from(tells)));
    let mut child = command.spawn().map_err(failed("starting its process"))?;
    // With it the pipe's other end: only the child has that now.
    drop(command);
    let mut text = String::new();
    told.read_to_string(&mut text).map_err(failed("waiting for its process"))?;
    match serde_json::from_str::<Taken>(&text) {
        Ok(taken) => {
            say(&taken, config, style);
            Ok(Code::Done)
        }
        // It ended before, and has said why.
        Err(_) => Ok(exit_code(child.wait().map_err(failed("waiting for its process"))?)),
    }
}

fn exit_code(status: ExitStatus) -> Code {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(Code::NotFinished, Code::Its)
}

fn say(taken: &Taken, config: &EngineConfig, style: Style) {
    let Taken { level, name, pid, folder, log } = taken;
    let commands =
        ["status", "attach", "cancel"].map(|command| super::commands::on_job(command, name, config));
    match style {
        Style::Quiet => outln!("{name}"),
        Style::Json => outln!(
            "{}",
            json!({ "event": "detached", "level": level, "name": name, "pid": pid, "folder": folder, "log": log,
                    "commands": commands })
        ),
        Style::Lines | Style::Bars => {
            outln!("{level} {name} goes on without this terminal, as process {pid}");
            outln!("folder: {}", folder.display());
            outln!("log:    {}", log.display());
            commands.iter().for_each(|command| outln!("  {command}"));
        }
    }
}

/// The process that goes on.
#[derive(Debug)]
pub struct Detached {
    parent: File,
}

impl Detached {
    /// This process's part, if it was started as one.
    ///
    /// # Errors
    /// [`DetachError`].
    pub fn from_environment() -> Result<Option<Self>, DetachError> {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if parent.is_none() || std::env::var(PARENT).ok() != parent {
            return Ok(None);
        }
        let pipe = io::stdin().as_fd().try_clone_to_owned().map_err(failed("setting its pipe aside"))?;
        let nothing = File::open("/dev/null").map_err(failed("opening /dev/null"))?;
        rustix::stdio::dup2_stdin(&nothing).map_err(failed("emptying standard input"))?;
        Ok(Some(Self { parent: File::from(pipe) }))
    }

    /// From here on nothing that happens to the terminal happens to this process. Call it before anything starts.
    ///
    /// # Errors
    /// [`DetachError`].
    pub fn leave_session(&self) -> Result<(), DetachError> {
        rustix::process::setsid().map(drop).map_err(failed("leaving its session"))
    }

    /// The job is this process's: what it says goes to the log, and who waits may leave.
    pub fn job_is_taken(mut self, place: &JobPlace) {
        let log = place.dir.join(LOG);
        if let Err(error) = write_to(&log) {
            errln!("warning: there will be no log ({error}): {}", log.display());
        }
        let taken = Taken {
            level: place.level.to_string(),
            name: place.name.clone(),
            pid: std::process::id(),
            folder: place.dir.clone(),
            log,
        };
        if let Err(error) = self.parent.write_all(json!(taken).to_string().as_bytes()) {
            // It was ended meanwhile; the job was taken all the same.
            errln!("warning: nobody waited to hear that the job is under way ({error})");
        }
    }
}

/// Has everything that is printed from now on added to a file.
fn write_to(log: &std::path::Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(log)?;
    rustix::stdio::dup2_stdout(&file)?;
    rustix::stdio::dup2_stderr(&file)?;
    Ok(())
}

//! What a run of a program does.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use engine_actors::outcome::{Cause, Failure};
use engine_actors::plan::RunTask;
use engine_actors::protocol::{RunOrder, RunSummary};
use engine_devices::{Place, Program, ProgramError};
use engine_tracking::RunPlace;

use super::PROGRAM_DIR;
use super::call::Call;
use super::course::{Course, Folders};
use super::error::CommandError;
use super::follow::{Following, failure, failure_of, listen};
use super::memory::Memory;
use super::settings::CommandWorkload;
use super::tail::Tail;
#[cfg(feature = "segmentation")]
use crate::segmentation::SegmentationWorkload;
use crate::workload::{RunContext, Workload};

/// What the program `engine` does: a run whose settings describe a program is that program's, any other is segmentation's.
#[cfg(feature = "segmentation")]
#[derive(Debug, Clone, Copy, Default)]
pub struct BundledWorkload;

#[cfg(feature = "segmentation")]
impl Workload for BundledWorkload {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        match CommandWorkload::from_settings(&order.plan.settings).map_err(refused)? {
            Some(command) => command.run(order, context),
            None => SegmentationWorkload.run(order, context),
        }
    }
}

impl Workload for CommandWorkload {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let [place] = order.grant.places.as_slice() else {
            let message =
                "a program runs on one device: use strategy cv-parallel or tune-parallel for several";
            return Err(failure(Cause::Configuration, message.to_owned()));
        };
        let run_dir = std::path::absolute(&order.plan.run_dir).map_err(unwritable(&order.plan.run_dir))?;
        let folder = run_dir.join(PROGRAM_DIR);
        fs::create_dir_all(&folder).map_err(unwritable(&folder))?;
        let memory = if order.goes_on { recall(&run_dir, context) } else { None };
        let checkpoint = match &order.plan.task {
            RunTask::Test { checkpoint } => Some(checkpoint.clone()),
            RunTask::Fit | RunTask::FitAndTest => memory.as_ref().map(|memory| memory.checkpoint.clone()),
        };
        let call = Call { order, place, folder: &folder, checkpoint };
        let command = call.command(self).map_err(refused)?;
        call.write_parameters().map_err(|error| failure(Cause::Io, error.to_string()))?;
        let metrics_file = self.metrics_file.as_ref().map(|path| folder.join(path));
        let tail =
            metrics_file.map(|path| Tail::begin(path.clone()).map_err(unwritable(&path))).transpose()?;
        self.prepared(place, memory.as_ref(), context);
        let [stdout_log, stderr_log] = ["stdout.log", "stderr.log"].map(|name| log(&run_dir.join(name)));
        let (program, stdout) =
            Program::start(&order.plan.run_name, command, place, stderr_log?).map_err(not_started)?;
        let no_thread = |error| failure(Cause::Lost, format!("nobody can listen to the program: {error}"));
        let lines = listen(stdout, stdout_log?).map_err(no_thread)?;
        let stop_within = Duration::try_from_secs_f64(self.stop_within_secs).unwrap_or(Duration::MAX);
        let following = Following { context, program, lines, tail, stop_within };
        let folders = Folders { run_dir: &run_dir, working_dir: &self.working_dir };
        let mut course = Course::begin(context, folders, memory);
        let ended = following.to_the_end(&mut course)?;
        match failure_of(&ended) {
            // How a program ends that was told to is its own.
            _ if ended.was_stopped => Ok(course.summary(true)),
            Some(failure) => Err(failure),
            None => {
                if !course.has_metrics() {
                    context.warn(
                        "the program ended well and told of no metric: docs/command.md says how it does",
                    );
                }
                Ok(course.summary(false))
            }
        }
    }
}

impl CommandWorkload {
    fn prepared(&self, place: &Place, memory: Option<&Memory>, context: &RunContext) {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        let plural = if place.threads == 1 { "" } else { "s" };
        let device = format!("{program} on {}, {} thread{plural}", place.device.as_str(), place.threads);
        // What it trains on is the program's own.
        match memory {
            None => context.prepared(0, 0, 0, device),
            Some(memory) => {
                let RunPlace { epoch, step } = memory.place;
                let from = RunPlace { epoch, step: step.saturating_add(1) };
                context.goes_on((from, memory.metrics.clone()), 0, 0, 0, device);
            }
        }
    }
}

/// What an earlier attempt left. Where it can not be gone on from, the run begins anew and says why.
fn recall(run_dir: &Path, context: &RunContext) -> Option<Memory> {
    Memory::read(run_dir).unwrap_or_else(|reason| {
        context.warn(format!("the program begins anew: {reason}"));
        None
    })
}

/// A file for all that is printed, behind what earlier attempts printed.
fn log(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().create(true).append(true).open(path).map_err(unwritable(path))
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| failure(Cause::Io, format!("the run's folder can not be written to ({error}): {path}"))
}

fn refused(error: CommandError) -> Failure {
    failure(Cause::Configuration, error.to_string())
}

fn not_started(error: ProgramError) -> Failure {
    let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
    failure(Cause::Configuration, format!("{error}{source}"))
}

//! The call of a program: its arguments, its environment, and the file of its parameters.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine_actors::plan::RunTask;
use engine_actors::protocol::RunOrder;
use engine_devices::{Place, Program};
use engine_tracking::atomic::{self, AtomicError, Durability};
use serde_json::json;

use super::error::CommandError;
use super::settings::CommandWorkload;
use super::words::{OF_RUN, fill};

/// File in the program's folder.
const PARAMETERS: &str = "parameters.json";

/// Version of that file's form; raised with every change.
const VERSION: u32 = 1;

/// What the run is to a program that is called.
pub(super) struct Call<'a> {
    pub(super) order: &'a RunOrder,
    pub(super) place: &'a Place,
    /// The program's own folder of the run, absolute.
    pub(super) folder: &'a Path,
    /// What it goes on from, or what it is to test.
    pub(super) checkpoint: Option<PathBuf>,
}

impl Call<'_> {
    /// The command, ready to be started.
    ///
    /// # Errors
    /// [`CommandError`] for what can not be handed over.
    pub(super) fn command(&self, workload: &CommandWorkload) -> Result<Command, CommandError> {
        let values = self.values();
        let filled = |text: &String| fill(text, &OF_RUN, |name| values.get(name).cloned());
        let handed = workload.parameters.hand(&self.order.plan.hyperparameters)?;
        let mut command = Program::command(&workload.program, self.place);
        command.current_dir(&workload.working_dir);
        for argument in &workload.args {
            command.arg(filled(argument)?);
        }
        command.args(handed.arguments);
        if self.checkpoint.is_some() {
            for argument in &workload.resume_args {
                command.arg(filled(argument)?);
            }
        }
        // What Python prints into a pipe would wait there for more.
        command.env("PYTHONUNBUFFERED", "1");
        for (name, value) in &values {
            let variable = format!("ENGINE_RUN_{}", name.strip_prefix("run_").unwrap_or(name).to_uppercase());
            if *name == "checkpoint" && self.checkpoint.is_none() {
                // One of an engine that this engine is a program of.
                command.env_remove(variable);
            } else {
                command.env(variable, value);
            }
        }
        command.envs(handed.environment);
        for (name, value) in &workload.environment {
            command.env(name, filled(value)?);
        }
        Ok(command)
    }

    /// Writes the file of parameters.
    ///
    /// # Errors
    /// [`AtomicError`] if the disk refuses.
    pub(super) fn write_parameters(&self) -> Result<(), AtomicError> {
        let plan = &self.order.plan;
        let content = json!({
            "version": VERSION,
            "hyperparameters": plan.hyperparameters,
            "fold": plan.cell.fold,
            "seed": plan.cell.seed,
            "run_dir": self.folder,
            "run_name": plan.run_name,
            "device": self.place.device.as_str(),
            "threads": self.place.threads,
            "checkpoint": self.checkpoint,
            "attempt": self.order.attempt,
            "task": self.task(),
        });
        atomic::put(&self.parameters(), Durability::Unsynced, |file| {
            serde_json::to_writer_pretty(&mut *file, &content)?;
            file.write_all(b"\n")
        })
    }

    fn parameters(&self) -> PathBuf {
        self.folder.join(PARAMETERS)
    }

    fn task(&self) -> &'static str {
        match self.order.plan.task {
            RunTask::Fit => "fit",
            RunTask::FitAndTest => "fit-and-test",
            RunTask::Test { .. } => "test",
        }
    }

    /// What each word stands for.
    fn values(&self) -> BTreeMap<&'static str, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let plan = &self.order.plan;
        OF_RUN
            .into_iter()
            .map(|name| {
                let value = match name {
                    "attempt" => self.order.attempt.to_string(),
                    "checkpoint" => self.checkpoint.as_deref().map(text).unwrap_or_default(),
                    "device" => self.place.device.as_str().to_owned(),
                    "fold" => plan.cell.fold.to_string(),
                    "parameters" => text(&self.parameters()),
                    "run_dir" => text(self.folder),
                    "run_name" => plan.run_name.clone(),
                    "seed" => plan.cell.seed.to_string(),
                    "task" => self.task().to_owned(),
                    _ => self.place.threads.to_string(),
                };
                (name, value)
            })
            .collect()
    }
}

//! The options of a program that does the runs in place of segmentation.

use std::time::Duration;

use engine_actors::plan::Hyperparameters;
use engine_devices::Strategy;
use serde_json::Value;

use super::engine_config::ProgramConfig;
use super::error::ConfigError;
use super::options::{Command, Group};
use super::reader::Reader;
use super::resolve::{Origin, ResolvedOption};
use super::value::OptionValue;
use crate::command::{CommandError, CommandWorkload, Handover};

/// Options beside those of data, training and hyperparameters that mean nothing to a program.
const OF_SEGMENTATION: [&str; 4] =
    ["backend", "log-every-n-steps", "check-val-every-n-epoch", "plot-every-n-val-epochs"];

/// Of the time a run has to stop the engine keeps so much for what comes after the program's end, or half if that is less.
const KEPT_OF_STOP: Duration = Duration::from_secs(5);

impl Reader<'_> {
    /// The program of a command that trains, if there is one.
    pub(super) fn program(&self, command: Command) -> Result<Option<ProgramConfig>, ConfigError> {
        if !matches!(command, Command::Train | Command::Cv | Command::Tune) {
            return Ok(None);
        }
        let given = self.option("program")?;
        let OptionValue::List(words) = &given.value else {
            return match self.from_command_line(|option| option.spec.group == Group::Program) {
                Some(alone) => Err(given.missing(format!(", but {} needs one", alone.spec.key))),
                None => Ok(None),
            };
        };
        self.check_others(given, command)?;
        let stop_within = Duration::from_secs(self.count("stop-secs")?);
        let stop_within = stop_within.saturating_sub(KEPT_OF_STOP).max(stop_within / 2);
        let mut builder = match words.split_first() {
            Some((program, arguments)) => CommandWorkload::builder(program).args(arguments),
            None => return Err(given.missing("")),
        };
        builder = builder.stop_within(stop_within).parameters(self.handover()?);
        if let Some(folder) = self.path("program-dir") {
            builder = builder.working_dir(folder);
        }
        if let Some(words) = self.text("program-resume-args") {
            builder = builder.resume_args(words.split_whitespace());
        }
        if let Some(path) = self.path("program-metrics-file") {
            builder = builder.metrics_file(path);
        }
        let command = builder.build()?;
        let parameters = self.parameters()?;
        command.check(&parameters)?;
        Ok(Some(ProgramConfig { command, parameters }))
    }

    fn handover(&self) -> Result<Handover, ConfigError> {
        let how = self.needed("program-parameters", self.text("program-parameters"), "")?;
        Ok(match how.as_str() {
            "environment" => {
                Handover::Environment(self.needed("program-prefix", self.text("program-prefix"), "")?)
            }
            "file" => Handover::File,
            _ => Handover::template(&self.needed("program-template", self.text("program-template"), "")?),
        })
    }

    fn parameters(&self) -> Result<Hyperparameters, ConfigError> {
        let mut parameters = Hyperparameters::new();
        for text in self.list("param").unwrap_or_default() {
            let named = text.split_once('=').filter(|(name, _)| !name.trim().is_empty());
            let (name, value) = named.ok_or_else(|| CommandError::Parameter { text: text.clone() })?;
            let name = name.trim().replace('-', "_");
            if parameters.insert(name.clone(), value_of(value)).is_some() {
                return Err(CommandError::GivenTwice { name }.into());
            }
        }
        Ok(parameters)
    }

    /// That nothing is asked for that a program can not do. What stands in the file or the environment may be meant for other jobs.
    fn check_others(&self, program: &ResolvedOption, command: Command) -> Result<(), ConfigError> {
        let is_segmentation = |option: &ResolvedOption| {
            let of_group =
                matches!(option.spec.group, Group::Data | Group::Training | Group::Hyperparameters);
            of_group || OF_SEGMENTATION.contains(&option.spec.key)
        };
        if let Some(other) = self.from_command_line(is_segmentation) {
            let rule = "a program has its own data and training: hand it over by --param NAME=VALUE";
            return Err(other.refused_with(program, rule));
        }
        let metric = self.option("scoring-metric")?;
        if matches!(command, Command::Cv | Command::Tune) && metric.origin == Origin::Default {
            return Err(metric.missing(", and what a program measures is not known beforehand"));
        }
        let strategy = self.option("strategy")?;
        let is_parallel = self
            .text("strategy")
            .and_then(|name| name.parse::<Strategy>().ok())
            .is_some_and(Strategy::is_data_parallel);
        if is_parallel {
            let rule = "a program runs on one device: use cv-parallel or tune-parallel for several";
            return Err(strategy.refused_with(program, rule));
        }
        if self.count::<u32>("num-nodes")? > 1 {
            return Err(self.option("num-nodes")?.refused_with(program, "a program runs on one machine"));
        }
        if self.text("runs-per-device").is_some() {
            let rule = "what memory a program takes is not measured: give a number";
            return Err(self.option("runs-per-device")?.refused_with(program, rule));
        }
        Ok(())
    }

    fn from_command_line(&self, is_it: impl Fn(&ResolvedOption) -> bool) -> Option<&ResolvedOption> {
        let mut options = self.resolved.options().iter();
        options.find(|option| option.origin == Origin::CommandLine && is_it(option))
    }
}

/// A value as JSON has it; what is none is a text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::super::{EngineConfig, Sources};
    use super::*;
    use serde_json::json;

    fn config(command: Command, options: &[(&str, &[&str])]) -> Result<EngineConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::new().in_directory(folder.path());
        for (key, values) in options {
            sources = sources.with_option(key, values.iter().copied()).unwrap();
        }
        EngineConfig::new(&sources.resolve().unwrap(), command)
    }

    const PROGRAM: (&str, &[&str]) = ("program", &["sh", "-c", "exit 0"]);

    #[test]
    fn a_program_needs_no_data_and_takes_any_parameter() {
        let params: (&str, &[&str]) = ("param", &["lr=1e-3", "model=resnet18", "deep=true", "batch-size=4"]);
        let config = config(Command::Train, &[PROGRAM, params]).unwrap();
        assert_eq!(config.folds_used(), 1);
        let program = config.program.unwrap();
        let expected = json!({ "lr": 1e-3, "model": "resnet18", "deep": true, "batch_size": 4 });
        assert_eq!(Value::Object(program.parameters), expected);
        assert_eq!(program.command.settings()["command"]["args"], json!(["-c", "exit 0"]));
        assert_eq!(program.command.settings()["command"]["stop_within_secs"], json!(55.0));
    }

    #[test]
    fn what_a_program_can_not_do_is_refused_before_anything_starts() {
        let metric: (&str, &[&str]) = ("scoring-metric", &["loss:lower"]);
        for (options, needle) in [
            (&[PROGRAM, metric, ("learning-rate", &["0.1"])][..], "--param NAME=VALUE"),
            (&[PROGRAM, metric, ("backend", &["flex"])], "--param NAME=VALUE"),
            (&[PROGRAM, metric, ("strategy", &["ddp"])], "cv-parallel or tune-parallel"),
            (&[PROGRAM, metric, ("num-nodes", &["2"])], "one machine"),
            (&[PROGRAM, metric, ("runs-per-device", &["auto"])], "not measured"),
            (&[PROGRAM], "scoring-metric is not set, and what a program measures"),
            (&[PROGRAM, metric, ("param", &["a=1", "a=2"])], "a is given twice"),
            (&[PROGRAM, metric, ("param", &["a"])], "NAME=VALUE"),
            (&[PROGRAM, metric, ("program-template", &["--{nam} {value}"])], "template"),
            (&[PROGRAM, metric, ("program-dir", &["/nowhere/at-all"])], "folder is not there"),
            (&[("program", &["no-such-program"]), metric], "no-such-program is not there"),
            (&[("program", &["sh", "--lr=3"]), metric, ("param", &["lr=1"])], "--lr is handed over twice"),
            (&[metric, ("param", &["a=1"])], "program is not set, but param needs one"),
        ] {
            let error = config(Command::Cv, options).unwrap_err().to_string();
            assert!(error.contains(needle), "{needle}: {error}");
        }
    }

    #[test]
    fn options_say_how_parameters_are_handed_over() {
        let described = |options: &[(&str, &[&str])]| {
            let all = [&[PROGRAM], options].concat();
            config(Command::Train, &all).unwrap().program.unwrap().command.settings()["command"].clone()
        };
        let variables = described(&[("program-parameters", &["environment"]), ("program-prefix", &["HP_"])]);
        assert_eq!(variables["parameters"], json!({ "environment": "HP_" }));
        assert_eq!(described(&[("program-parameters", &["file"])])["parameters"], json!("file"));
        let hydra = described(&[
            ("program-template", &["{name}={value}"]),
            ("program-resume-args", &["--ckpt_path {checkpoint}"]),
            ("program-metrics-file", &["metrics.csv"]),
        ]);
        assert_eq!(hydra["parameters"], json!({ "arguments": ["{name}={value}"] }));
        assert_eq!(hydra["resume_args"], json!(["--ckpt_path", "{checkpoint}"]));
        assert_eq!(hydra["metrics_file"], json!("metrics.csv"));
    }
}

//! What a program is, checked before anything starts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use engine_actors::plan::Hyperparameters;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::CommandError;
use super::handover::{Handover, check_variable};
use super::words::{OF_RUN, fill};

/// Name of a program's description among the settings of a run.
pub(super) const KEY: &str = "command";

/// A program that is told to stop has so long, where the builder says nothing else. Less than the engine gives a worker, so that its end
/// is told.
const STOP_WITHIN: Duration = Duration::from_secs(50);

/// Files among the arguments up to this length belong to the program, to its last byte: scripts and their configurations.
const SHORT_BYTES: u64 = 4 << 20;

/// A workload that starts a program for each run.
///
/// Its description is plain data: give [`CommandWorkload::settings`] to the request of a job, so that the job's journal has it, and a job
/// that is resumed with another program is refused.
///
/// # Example
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use engine::Engine;
/// use engine::command::CommandWorkload;
///
/// let script = CommandWorkload::builder("python3").args(["train.py", "--data", "digits"]).build()?;
/// let settings = script.settings();
/// let engine = Engine::builder(script).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandWorkload {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) working_dir: PathBuf,
    pub(super) parameters: Handover,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) resume_args: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metrics_file: Option<PathBuf>,
    pub(super) stop_within_secs: f64,
}

/// What makes a [`CommandWorkload`].
#[derive(Debug, Clone)]
#[must_use = "nothing is checked before it is built"]
pub struct CommandBuilder {
    made: CommandWorkload,
}

impl CommandWorkload {
    /// A program: a path, or a name that is on `PATH`.
    pub fn builder(program: impl Into<PathBuf>) -> CommandBuilder {
        CommandBuilder {
            made: Self {
                program: program.into(),
                args: Vec::new(),
                working_dir: PathBuf::new(),
                parameters: Handover::default(),
                resume_args: Vec::new(),
                environment: BTreeMap::new(),
                metrics_file: None,
                stop_within_secs: STOP_WITHIN.as_secs_f64(),
            },
        }
    }

    /// The description, as settings of a request: `{"command": …}`.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({ KEY: self })
    }

    /// The program that settings describe; none if they describe something else.
    ///
    /// # Errors
    /// [`CommandError::Settings`] for a description that can not be read.
    pub fn from_settings(settings: &Value) -> Result<Option<Self>, CommandError> {
        let read = |described: &Value| {
            Self::deserialize(described).map_err(|error| CommandError::Settings { reason: error.to_string() })
        };
        settings.get(KEY).map(read).transpose()
    }

    /// Whether hyperparameters can be handed over to the program.
    ///
    /// # Errors
    /// [`CommandError`] for two things of one name, and values that no program can be given.
    pub fn check(&self, hyperparameters: &Hyperparameters) -> Result<(), CommandError> {
        let handed = self.parameters.hand(hyperparameters)?;
        for name in hyperparameters.keys() {
            let twice = |called: String, other: &str| CommandError::Twice {
                name: called,
                parameter: name.clone(),
                other: other.to_owned(),
            };
            let introduced = self.parameters.introduces(name);
            let is_it = |arg: &&String| {
                introduced.as_ref().is_some_and(|introduced| {
                    let bare = introduced.trim_end_matches('=');
                    arg.as_str() == bare || arg.strip_prefix(bare).is_some_and(|rest| rest.starts_with('='))
                })
            };
            if let (Some(introduced), Some(_)) = (&introduced, self.args.iter().find(is_it)) {
                return Err(twice(introduced.clone(), "as a fixed argument"));
            }
        }
        let set_twice = handed.environment.keys().find(|name| self.environment.contains_key(*name));
        match set_twice {
            None => Ok(()),
            Some(variable) => Err(CommandError::Twice {
                name: variable.clone(),
                parameter: variable.clone(),
                other: "as a fixed variable".to_owned(),
            }),
        }
    }

    /// What tells the program from another of the same command line: the files among its arguments, with length and, where they are no
    /// longer than a script is, checksum.
    ///
    /// # Errors
    /// [`CommandError::Unreadable`] for a file that can not be read.
    pub fn fingerprint(&self) -> Result<Value, CommandError> {
        let mut files = Map::new();
        let program = self.program.to_str().filter(|program| program.contains('/'));
        for name in program.into_iter().chain(self.args.iter().map(String::as_str)) {
            let path = self.working_dir.join(name);
            let Some(about) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
            let mut described = Map::from_iter([("bytes".to_owned(), json!(about.len()))]);
            if about.len() <= SHORT_BYTES {
                let unreadable = |source| CommandError::Unreadable { path: path.clone(), source };
                let content = fs::read(&path).map_err(unreadable)?;
                described.insert("crc32c".to_owned(), json!(format!("{:08x}", crc32c::crc32c(&content))));
            }
            files.insert(name.to_owned(), Value::Object(described));
        }
        Ok(Value::Object(files))
    }
}

impl CommandBuilder {
    /// One more fixed argument. `{fold}`, `{seed}`, `{run_dir}` (the program's own folder of the run), `{run_name}`, `{device}`,
    /// `{threads}`, `{parameters}` (the JSON file), `{checkpoint}` (empty where there is none), `{attempt}` and `{task}` stand for the run's.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.made.args.push(argument.into());
        self
    }

    /// More fixed arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.made.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Folder the program is started in; this process's own if not set.
    pub fn working_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.made.working_dir = folder.into();
        self
    }

    /// How hyperparameters are handed over; as `--name value` if not set.
    pub fn parameters(mut self, handover: Handover) -> Self {
        self.made.parameters = handover;
        self
    }

    /// Arguments behind all others of a run that goes on from a checkpoint: `--resume {checkpoint}`.
    pub fn resume_args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.made.resume_args = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// One more variable of its environment. The value may have the words of [`CommandBuilder::arg`].
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.made.environment.insert(name.into(), value.into());
        self
    }

    /// A file in the program's own folder of the run that it writes metrics to: `.csv` as Lightning's `CSVLogger` writes it, or `.jsonl`
    /// with the lines that are read from standard output too.
    pub fn metrics_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.made.metrics_file = Some(path.into());
        self
    }

    /// Time the program has after SIGTERM before it is killed; 50 seconds if not set. Give it less than the engine gives a run.
    pub fn stop_within(mut self, deadline: Duration) -> Self {
        self.made.stop_within_secs = deadline.as_secs_f64();
        self
    }

    /// Checks everything that can be known before the program is started.
    ///
    /// # Errors
    /// [`CommandError`] for a program or folder that is not there, and texts that can not be handed over.
    pub fn build(self) -> Result<CommandWorkload, CommandError> {
        let mut made = self.made;
        let here = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        made.working_dir = if made.working_dir.as_os_str().is_empty() {
            here(Path::new("."))
        } else {
            here(&made.working_dir)
        };
        if !made.working_dir.is_dir() {
            return Err(CommandError::NoFolder { path: made.working_dir });
        }
        // A path is one from here, whatever folder the program is started in.
        if made.program.components().count() > 1 {
            made.program = here(&made.program);
        }
        check_program(&made.program)?;
        made.parameters.check()?;
        for text in made.args.iter().chain(&made.resume_args).chain(made.environment.values()) {
            if text.contains('\0') {
                return Err(CommandError::Nul { text: text.clone() });
            }
            fill(text, &OF_RUN, |name| OF_RUN.contains(&name).then(String::new))?;
        }
        made.environment.keys().try_for_each(|name| check_variable(name))?;
        if let Some(path) = &made.metrics_file {
            let is_within = path.components().all(|part| matches!(part, Component::Normal(_)));
            let kind = path.extension().and_then(|extension| extension.to_str());
            if !is_within || !matches!(kind, Some("csv" | "jsonl")) {
                return Err(CommandError::MetricsFile { path: path.clone() });
            }
        }
        Ok(made)
    }
}

/// Finds the program as the system will.
fn check_program(program: &Path) -> Result<(), CommandError> {
    let candidates: Vec<PathBuf> = if program.components().count() > 1 {
        vec![program.to_owned()]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(program)).collect()
    };
    let files: Vec<(PathBuf, u32)> = candidates
        .into_iter()
        .filter_map(|path| Some((fs::metadata(&path).ok().filter(fs::Metadata::is_file)?, path)))
        .map(|(about, path)| (path, about.permissions().mode()))
        .collect();
    match files.first() {
        _ if files.iter().any(|(_, mode)| mode & 0o111 != 0) => Ok(()),
        Some((path, _)) => Err(CommandError::NotExecutable { path: path.clone() }),
        None => Err(CommandError::NotFound { program: program.display().to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh() -> CommandBuilder {
        CommandWorkload::builder("sh")
    }

    fn error(builder: CommandBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    fn map(value: &Value) -> Hyperparameters {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_program_is_found_on_the_path_or_by_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("train.py");
        assert!(error(CommandWorkload::builder("no-such-program")).contains("no-such-program is not there"));
        assert!(error(CommandWorkload::builder(&script)).contains("is not there"));
        fs::write(&script, "#!/usr/bin/env python3\n").unwrap();
        let text = error(CommandWorkload::builder(&script));
        assert!(text.contains("chmod +x") && text.ends_with("train.py"), "{text}");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(CommandWorkload::builder(&script).build().is_ok());
        assert!(error(CommandWorkload::builder(folder.path())).contains("is not there"), "a folder is none");
        assert!(error(sh().working_dir(folder.path().join("gone"))).contains("folder is not there"));
        assert_eq!(sh().build().unwrap().program, Path::new("sh"));
    }

    #[test]
    fn what_can_not_be_handed_over_is_refused_when_it_is_built() {
        assert!(error(sh().arg("{flod}")).contains("mean fold?"));
        assert!(error(sh().env("A", "{sed}")).contains("mean seed?"));
        assert!(error(sh().arg("a\0b")).contains("NUL"));
        assert!(error(sh().env("a b", "1")).contains("a b can not be the name"));
        assert!(error(sh().resume_args(["{name}"])).contains("stands for nothing"));
        assert!(error(sh().parameters(Handover::template("--{name}"))).contains("{value}"));
        for path in ["/tmp/metrics.csv", "../metrics.csv", "metrics.txt", "metrics"] {
            assert!(error(sh().metrics_file(path)).contains(".csv or .jsonl"), "{path}");
        }
        assert!(sh().metrics_file("logs/metrics.csv").arg(r#"{"a": 1}"#).build().is_ok());
    }

    #[test]
    fn a_parameter_that_is_a_fixed_argument_too_is_refused() {
        let check =
            |builder: CommandBuilder| builder.build().unwrap().check(&map(&json!({ "batch_size": 1 })));
        for arguments in [["--batch_size", "4"], ["x", "--batch_size=4"]] {
            let error = check(sh().args(arguments)).unwrap_err().to_string();
            assert!(error.contains("--batch_size is handed over twice"), "{error}");
        }
        assert!(check(sh().args(["--batch_size_of_test", "4"])).is_ok());
        assert!(check(sh().args(["--batch-size", "4"])).is_ok());
        let hydra = || sh().parameters(Handover::template("{name}={value}"));
        assert!(check(hydra().arg("batch_size=4")).is_err());
        assert!(check(hydra().arg("batch_size_of_test=4")).is_ok());
        let variables = || sh().parameters(Handover::Environment("P_".into()));
        assert!(check(variables().env("P_BATCH_SIZE", "4")).is_err());
        assert!(check(variables().arg("--batch_size")).is_ok());
    }

    #[test]
    fn the_description_survives_as_settings() {
        let made = sh().args(["a", "{fold}"]).env("B", "1").metrics_file("m.jsonl").build().unwrap();
        assert_eq!(CommandWorkload::from_settings(&made.settings()).unwrap(), Some(made));
        assert_eq!(CommandWorkload::from_settings(&json!({ "max_epochs": 1 })).unwrap(), None);
        assert!(CommandWorkload::from_settings(&json!({ KEY: 1 })).is_err());
    }

    #[test]
    fn a_script_that_was_edited_is_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.py"), "print(1)").unwrap();
        let made = sh().args(["train.py", "--data", "nowhere"]).working_dir(folder.path()).build().unwrap();
        let before = made.fingerprint().unwrap();
        assert_eq!(before.as_object().unwrap().keys().collect::<Vec<_>>(), ["train.py"]);
        fs::write(folder.path().join("train.py"), "print(2)").unwrap();
        assert_ne!(made.fingerprint().unwrap(), before);
    }
}

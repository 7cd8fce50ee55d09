//! One value and one origin for every option.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::document::{Document, place};
use super::error::{ConfigError, Setting};
use super::file::{self, Found, FoundOptions};
use super::nearest;
use super::options::{Group, OptionSpec, option, options};
use super::value::{self, OptionValue};

/// Read without being asked for if it is in the working directory.
const DEFAULT_CONFIG_FILE: &str = "config.toml";

/// Where a value came from; says how it was set, to stand after "set".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An argument.
    CommandLine,
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// The config file.
    File {
        /// The file.
        path: PathBuf,
        /// Line from 1, where the parser knows it.
        line: Option<usize>,
    },
    /// The table of options.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => formatter.write_str("on the command line"),
            Self::Environment { name } => write!(formatter, "by the environment variable {name}"),
            Self::File { path, line } => write!(formatter, "in {}", place(path, *line)),
            Self::Default => formatter.write_str("by default"),
        }
    }
}

/// Where settings are looked for, in the order of precedence: command line, environment, file, default.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    arguments: BTreeMap<&'static str, Vec<String>>,
    environment: BTreeMap<String, String>,
    directory: PathBuf,
}

impl Sources {
    /// Sources with nothing given: `config.toml` in the process's working directory, if it is there, and defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With an option given on the command line: no argument for a flag, one or more else.
    ///
    /// # Errors
    /// [`ConfigError::UnknownOption`] if there is no such option.
    pub fn with_option(
        mut self,
        key: &str,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ConfigError> {
        let spec = option(key).ok_or_else(|| ConfigError::UnknownOption {
            key: key.to_owned(),
            hint: nearest::hint(key, options().iter().map(|spec| spec.key)),
        })?;
        self.arguments.insert(spec.key, arguments.into_iter().map(Into::into).collect());
        Ok(self)
    }

    /// With environment variables, as from [`std::env::vars`]. An empty one counts as not set; others than ours are
    /// not looked at.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours =
            variables.into_iter().filter(|(name, text)| name.starts_with("ENGINE_") && !text.is_empty());
        self.environment.extend(ours);
        self
    }

    /// With this folder, instead of the working directory, to look for `config.toml` in.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Reads the file and settles every option's value.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that can not be read or parsed, a key that is set twice or is no option, a value that
    /// its option does not take.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        let document = self.document()?;
        let found = match &document {
            Some(document) => self.found(document)?,
            None => BTreeMap::new(),
        };
        let path = document.as_ref().map(|document| document.path.as_path());
        let mut resolved = Vec::with_capacity(options().len());
        for spec in options() {
            let mut option = self.option(spec, found.get(spec.key), path)?;
            if let (Group::Config, Some(read)) = (spec.group, path) {
                // Also where nobody asked for it.
                option.value = OptionValue::Text(read.display().to_string());
            }
            resolved.push(option);
        }
        Ok(Resolved { options: resolved, config_file: document.map(|document| document.path) })
    }

    fn document(&self) -> Result<Option<Document>, ConfigError> {
        let implicit = self.directory.join(DEFAULT_CONFIG_FILE);
        let asked = option("config-file").map(|spec| self.option(spec, None, None)).transpose()?;
        let path = match asked.map(|asked| asked.value) {
            Some(OptionValue::Text(path)) => PathBuf::from(path),
            _ if implicit.is_file() => implicit,
            _ => return Ok(None),
        };
        Ok(Some(Document::load(&path)?))
    }

    fn found<'a>(&self, document: &'a Document) -> Result<FoundOptions<'a>, ConfigError> {
        match file::look_up(document)? {
            Some(found) => Ok(found),
            // A search space alone may be the config file, and a config.toml that happens to be here may be anyone's.
            None if document.root.get("hyperparameters").is_some() || !self.asks_for_file() => {
                Ok(BTreeMap::new())
            }
            None => Err(ConfigError::NoTable { path: document.path.clone() }),
        }
    }

    fn asks_for_file(&self) -> bool {
        self.arguments.contains_key("config-file") || self.environment.contains_key("ENGINE_CONFIG_FILE")
    }

    fn option(
        &self,
        spec: &'static OptionSpec,
        found: Option<&Found<'_>>,
        file: Option<&Path>,
    ) -> Result<ResolvedOption, ConfigError> {
        let (origin, shown, parsed) = if let Some(arguments) = self.arguments.get(spec.key) {
            (Origin::CommandLine, arguments.join(" "), value::from_arguments(spec, arguments))
        } else if let Some((name, text)) = self.environment.get_key_value(&spec.environment()) {
            (Origin::Environment { name: name.clone() }, text.clone(), value::from_text(spec, text))
        } else if let (Some(found), Some(path)) = (found, file) {
            let origin = Origin::File { path: path.to_owned(), line: found.line };
            (origin, value::shown(found.node), value::from_node(spec, found.node))
        } else {
            let parsed = spec.default.map_or(Ok(OptionValue::Absent), |text| value::from_text(spec, text));
            (Origin::Default, spec.default.unwrap_or_default().to_owned(), parsed)
        };
        match parsed {
            Ok(value) => Ok(ResolvedOption { spec, value, origin }),
            Err(expected) => {
                let shown = if shown.is_empty() { "empty".to_owned() } else { shown };
                Err(ConfigError::Value { option: spec.key, value: shown, expected, origin })
            }
        }
    }
}

/// One option's value.
#[derive(Debug, Clone)]
pub struct ResolvedOption {
    /// The option.
    pub spec: &'static OptionSpec,
    /// Its value.
    pub value: OptionValue,
    /// Where the value came from.
    pub origin: Origin,
}

impl ResolvedOption {
    /// The value for a reader: a default that is decided elsewhere is named by its word.
    pub fn shown(&self) -> String {
        match (&self.value, self.spec.absent) {
            (OptionValue::Absent, Some(word)) => word.to_owned(),
            (OptionValue::Absent, None) => "not set".to_owned(),
            (value, _) => value.to_string(),
        }
    }

    /// An error about this value.
    pub(super) fn refused(&self, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            option: self.spec.key,
            value: self.shown(),
            expected: expected.into(),
            origin: self.origin.clone(),
        }
    }

    /// An error about this value next to another one.
    pub(super) fn refused_with(&self, other: &Self, rule: impl Into<String>) -> ConfigError {
        let (one, other) = (Box::new(self.setting()), Box::new(other.setting()));
        ConfigError::Conflict { one, other, rule: rule.into() }
    }

    fn setting(&self) -> Setting {
        Setting { option: self.spec.key, value: self.shown(), origin: self.origin.clone() }
    }

    /// An error about this value not being there.
    pub(super) fn missing(&self, why: impl Into<String>) -> ConfigError {
        ConfigError::Missing { option: self.spec.key, why: why.into(), environment: self.spec.environment() }
    }
}

/// Every option with its value and origin: what `engine config show` shows.
#[derive(Debug, Clone)]
pub struct Resolved {
    options: Vec<ResolvedOption>,
    config_file: Option<PathBuf>,
}

impl Resolved {
    /// In the order of [`options`].
    pub fn options(&self) -> &[ResolvedOption] {
        &self.options
    }

    /// One option by its kebab-case key.
    pub fn get(&self, key: &str) -> Option<&ResolvedOption> {
        self.options.iter().find(|option| option.spec.key == key)
    }

    /// The file that was read.
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        folder: tempfile::TempDir,
        sources: Sources,
    }

    fn case(toml: &str) -> Case {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), toml).unwrap();
        let sources = Sources::new().in_directory(folder.path());
        Case { folder, sources }
    }

    fn environment(name: &str, text: &str) -> [(String, String); 1] {
        [(name.to_owned(), text.to_owned())]
    }

    fn value(resolved: &Resolved, key: &str) -> OptionValue {
        resolved.get(key).unwrap().value.clone()
    }

    fn message(toml: &str) -> String {
        case(toml).sources.resolve().unwrap_err().to_string()
    }

    #[test]
    fn command_line_beats_environment_beats_file_beats_default() {
        let Case { folder, sources } = case("[darts.training]\nmax-epochs = 6\n");
        let epochs = |sources: &Sources| {
            let resolved = sources.resolve().unwrap();
            let option = resolved.get("max-epochs").unwrap();
            (option.value.clone(), option.origin.clone())
        };
        let file = Origin::File { path: folder.path().join("config.toml"), line: Some(2) };
        assert_eq!(epochs(&sources), (OptionValue::Int(6), file));
        let read = sources.resolve().unwrap().get("config-file").unwrap().shown();
        assert!(read.ends_with("config.toml\""), "{read}");
        let sources = sources.with_environment(environment("ENGINE_MAX_EPOCHS", "7"));
        let name = "ENGINE_MAX_EPOCHS".to_owned();
        assert_eq!(epochs(&sources), (OptionValue::Int(7), Origin::Environment { name }));
        let sources = sources.with_option("max-epochs", ["8"]).unwrap();
        assert_eq!(epochs(&sources), (OptionValue::Int(8), Origin::CommandLine));
        let empty = tempfile::tempdir().unwrap();
        let sources = Sources::new().in_directory(empty.path());
        assert_eq!(epochs(&sources), (OptionValue::Int(100), Origin::Default));
    }

    #[test]
    fn tables_only_group_and_both_spellings_are_read() {
        let toml = "[darts]\nfold_method = \"region_stratified\"\n[darts.foo]\nmax_epochs = 6\n\
                    [darts.data.deep]\ntrain-data-dir = \"x\"\n[darts.training.hyperparameters]\nbatch_size = 4\n\
                    [other]\nmax-epochs = \"never read\"\n";
        let resolved = case(toml).sources.resolve().unwrap();
        assert_eq!(value(&resolved, "max-epochs"), OptionValue::Int(6));
        assert_eq!(value(&resolved, "train-data-dir"), OptionValue::Text("x".into()));
        assert_eq!(value(&resolved, "fold-method"), OptionValue::Text("region-stratified".into()));
        assert_eq!(value(&resolved, "batch-size"), OptionValue::Int(4));
    }

    #[test]
    fn a_key_under_two_tables_names_both_places() {
        let error = message("[darts.training]\nmax-epochs = 6\n\n[darts.foo]\nmax_epochs = 6\n");
        assert!(error.contains("[darts.training]") && error.contains("config.toml:2"), "{error}");
        assert!(error.contains("[darts.foo]") && error.contains("config.toml:5"), "{error}");
    }

    #[test]
    fn engine_is_read_like_darts_but_holds_only_options() {
        let resolved = case("[engine.x]\nfold = 2\n").sources.resolve().unwrap();
        assert_eq!(value(&resolved, "fold"), OptionValue::Int(2));
        let error = message("[engine.x]\nmax-epoch = 2\n");
        assert!(error.contains("did you mean max-epochs?") && error.contains("config.toml:2"), "{error}");
        let both = case("[darts]\nfold = 1\n[engine]\nfold = 2\nwhat = 1\n").sources.resolve().unwrap();
        assert_eq!(value(&both, "fold"), OptionValue::Int(1));
    }

    #[test]
    fn other_programs_keys_are_let_be_but_hyperparameters_are_ours() {
        let toml = "[darts.inference]\noverlap = 16\nsave = {a = 1}\n[[darts.areas]]\nname = \"x\"\n";
        case(toml).sources.resolve().unwrap();
        let error = message("[darts.training.hyperparameters]\nlearning_rte = 0.1\n");
        assert!(error.contains("did you mean learning-rate?"), "{error}");
    }

    #[test]
    fn the_search_space_in_the_same_file_is_not_looked_at() {
        let toml = "[hyperparameters]\nlearning_rate = {low = 0.1, high = 0.2}\nbatch_size = [1, 2]\n\
                    [darts.training.hyperparameters]\nbatch_size = 3\n";
        let resolved = case(toml).sources.resolve().unwrap();
        assert_eq!(value(&resolved, "batch-size"), OptionValue::Int(3));
        assert_eq!(value(&resolved, "learning-rate"), OptionValue::Float(1e-3));
    }

    #[test]
    fn wrong_values_say_option_value_place_and_what_is_allowed() {
        for (toml, needles) in [
            ("[darts]\nmax-epochs = 0\n", ["max-epochs is 0", "at least 1", "config.toml:2"]),
            ("[darts]\nmax-epochs = \"6\"\n", ["max-epochs is \"6\"", "not a text", "config.toml:2"]),
            ("[darts]\nfold = -1\n", ["fold is -1", "at least 0", "config.toml:2"]),
            ("[darts]\nin-memory = 1\n", ["in-memory is 1", "true or false", "config.toml:2"]),
            ("[darts]\nfold-method = \"strtified\"\n", ["one of kfold", "mean stratified?", "config.toml:2"]),
            ("[darts]\nn-trials = 0\n", ["n-trials is 0", "\"grid\"", "config.toml:2"]),
            ("[darts]\nlearning-rate = inf\n", ["learning-rate is inf", "finite", "config.toml:2"]),
            ("[darts]\ndevices = []\n", ["devices is []", "at least one", "config.toml:2"]),
            ("[darts]\nbands = [[1]]\n", ["bands is [[1]]", "\"all\"", "config.toml:2"]),
        ] {
            let error = message(toml);
            assert!(needles.iter().all(|needle| error.contains(needle)), "{error} lacks one of {needles:?}");
        }
        let sources = Sources::new().with_environment(environment("ENGINE_FOLD", "two"));
        let error = sources.resolve().unwrap_err().to_string();
        assert!(error.contains("ENGINE_FOLD") && error.contains("is two"), "{error}");
    }

    #[test]
    fn lists_are_read_from_every_source() {
        let list = |items: &[&str]| OptionValue::List(items.iter().map(|item| (*item).to_owned()).collect());
        let file = case("[darts]\ndevices = [0, 1]\ndata-split-by = 0.2\nbands = \"all\"\naugment = []\n");
        let resolved = file.sources.resolve().unwrap();
        assert_eq!(value(&resolved, "devices"), list(&["0", "1"]));
        assert_eq!(value(&resolved, "data-split-by"), list(&["0.2"]));
        assert_eq!(value(&resolved, "bands"), OptionValue::Absent);
        assert_eq!(value(&resolved, "augment"), OptionValue::Absent);
        assert_eq!(value(&resolved, "scoring-metric"), list(&["val/JaccardIndex", "val/Recall"]));
        let sources = file.sources.with_environment(environment("ENGINE_DEVICES", "2,3"));
        assert_eq!(value(&sources.resolve().unwrap(), "devices"), list(&["2", "3"]));
        let sources = sources.with_option("devices", ["4", "5"]).unwrap();
        let sources = sources.with_option("data-split-by", ["Banks Island, Canada"]).unwrap();
        let resolved = sources.resolve().unwrap();
        assert_eq!(value(&resolved, "devices"), list(&["4", "5"]));
        assert_eq!(value(&resolved, "data-split-by"), list(&["Banks Island, Canada"]));
    }

    #[test]
    fn flags_words_and_other_spellings() {
        let sources = Sources::new().with_option("in-memory", [] as [&str; 0]).unwrap();
        let sources = sources.with_option("accelerator", ["mpu"]).unwrap();
        let sources = sources.with_option("n-trials", ["grid"]).unwrap();
        let sources = sources.with_option("strategy", ["DDP-spawn"]).unwrap();
        let resolved = sources.in_directory(tempfile::tempdir().unwrap().path()).resolve().unwrap();
        assert_eq!(value(&resolved, "in-memory"), OptionValue::Bool(true));
        assert_eq!(value(&resolved, "accelerator"), OptionValue::Text("mps".into()));
        assert_eq!(value(&resolved, "strategy"), OptionValue::Text("ddp_fork".into()));
        assert_eq!(value(&resolved, "n-trials"), OptionValue::Text("grid".into()));
    }

    #[test]
    fn parallel_runs_and_data_parallel_exclude_each_other() {
        for arguments in [vec!["cv-parallel", "ddp"], vec!["ddp+cv_parallel"]] {
            let sources = Sources::new().with_option("strategy", arguments).unwrap();
            let error = sources.resolve().unwrap_err().to_string();
            assert!(error.contains("cv-parallel gives every run one device"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_asked_for_must_be_there_and_hold_settings() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |name: &str| {
            let path = folder.path().join(name);
            Sources::new().with_option("config-file", [path.to_str().unwrap()]).unwrap().resolve()
        };
        assert!(matches!(ask("none.toml"), Err(ConfigError::Document(_))));
        std::fs::write(folder.path().join("a.toml"), "[drats]\nfold = 1\n").unwrap();
        assert!(matches!(ask("a.toml"), Err(ConfigError::NoTable { .. })));
        std::fs::write(folder.path().join("b.yaml"), "darts:\n  run:\n    fold: 3\n    subsample: ~\n")
            .unwrap();
        let resolved = ask("b.yaml").unwrap();
        let fold = resolved.get("fold").unwrap();
        assert_eq!(fold.value, OptionValue::Int(3));
        assert!(matches!(fold.origin, Origin::File { line: Some(3), .. }));
        std::fs::write(folder.path().join("c.toml"), "darts = 1\n").unwrap();
        assert!(matches!(ask("c.toml"), Err(ConfigError::NotATable { .. })));
        std::fs::write(folder.path().join("d.json"), "{}").unwrap();
        assert!(matches!(ask("d.json"), Err(ConfigError::Document(DocumentError::Format { .. }))));
    }

    use super::super::document::DocumentError;
}

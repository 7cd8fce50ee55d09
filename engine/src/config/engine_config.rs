//! The settings of one command, typed and checked.

use std::path::PathBuf;
use std::time::Duration;

use engine_actors::plan::{FailedCells, Hyperparameters};
use engine_devices::RunsPerDevice;
use serde_json::Value;

use super::error::ConfigError;
use super::hyperparameters::{check_hyperparameters, check_range, check_words};
use super::options::{Command, Group};
use super::reader::{Reader, without_repetition};
use super::resolve::{Origin, Resolved, ResolvedOption};
use super::value::OptionValue;
use crate::command::CommandWorkload;
use crate::folds::FoldMethod;
use crate::loss::LossFormula;
use crate::names::check_name;
use crate::resume::Resume;
use crate::segmentation::settings::{
    SegmentationHyperparameters, SegmentationSettings, TestSplit, by_region,
};
use crate::space::Trials;
use crate::tracking::{LogModel, Mode};
use crate::training::Clipping;

/// Everything a command was told, checked as far as it can be without looking at data or devices.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EngineConfig {
    /// The program that does the runs of `train`, `cv` and `tune`, if there is one. Nothing is segmented then, and what follows up to
    /// the artifact folder is not used.
    pub program: Option<ProgramConfig>,
    /// What every run needs besides its hyperparameters.
    pub settings: SegmentationSettings,
    /// Hyperparameters of a single run or cv.
    pub hyperparameters: SegmentationHyperparameters,
    /// Those of them that were given and are not defaults: they hold in a tune where its space does not name them.
    pub given_hyperparameters: Hyperparameters,
    /// Folder for everything that is written.
    pub artifact_dir: PathBuf,
    /// Name of the run, cv or tune; generated if there is none.
    pub name: Option<String>,
    /// Whether to go on with a job that is there already.
    pub resume: Resume,
    /// Checkpoint to test; there is one whenever the command is `test`.
    pub checkpoint: Option<PathBuf>,
    /// Fold of a single run.
    pub fold: u32,
    /// Seed of a single run and of a tune's search.
    pub random_seed: u64,
    /// Whether the job runs on without the terminal it was called from.
    pub detach: bool,
    /// Where to compute.
    pub device: DeviceConfig,
    /// Where runs are tracked on W&B.
    pub wandb: WandbConfig,
    /// Whether TensorBoard event files are written.
    pub tensorboard: bool,
    /// Cross-validation.
    pub cv: CvConfig,
    /// Tuning.
    pub tune: TuneConfig,
}

/// A program in place of segmentation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProgramConfig {
    /// What is started.
    pub command: CommandWorkload,
    /// Hyperparameters of a single run or cv; in a tune those that its space does not name.
    pub parameters: Hyperparameters,
}

/// Where to compute, in the words of the options; the devices crate knows what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceConfig {
    /// `auto`, `cpu`, `gpu`, `mps`, `tpu`.
    pub accelerator: String,
    /// `auto`, `cv-parallel`, `tune-parallel`, `ddp`, `ddp_fork`.
    pub strategy: String,
    /// `auto` or what to use, none of it twice.
    pub devices: Vec<String>,
    /// Machines that take part.
    pub num_nodes: u32,
    /// Runs that share a device.
    pub runs_per_device: RunsPerDevice,
    /// Folder of the locks on devices.
    pub lock_dir: PathBuf,
    /// Time without progress after which a run has failed.
    pub progress_timeout: Duration,
    /// Time a run has to write its `last` checkpoint when it is told to stop.
    pub stop_within: Duration,
}

/// The artifact folder alone, for a command that looks at jobs.
///
/// # Errors
/// [`ConfigError`] if there is no value for it.
pub fn artifact_dir(resolved: &Resolved) -> Result<PathBuf, ConfigError> {
    let read = Reader::new(resolved);
    read.needed("artifact-dir", read.path("artifact-dir"), "")
}

impl DeviceConfig {
    /// These settings alone, for a command that needs no data.
    ///
    /// # Errors
    /// [`ConfigError`] for values that do not go together.
    pub fn new(resolved: &Resolved) -> Result<Self, ConfigError> {
        Reader::new(resolved).device()
    }
}

/// Where runs are tracked on W&B. What is not set here may be in the `WANDB_…` variables.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WandbConfig {
    /// Entity.
    pub entity: Option<String>,
    /// Project.
    pub project: Option<String>,
    /// Whether runs are sent while they run.
    pub mode: Option<Mode>,
    /// Checkpoints kept there.
    pub log_model: LogModel,
    /// How long the end waits for what is not sent yet.
    pub finish_within: Duration,
}

/// What a cross-validation does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CvConfig {
    /// Folds that are used; `None` = all.
    pub n_folds: Option<u32>,
    /// Seeds per fold.
    pub n_randoms: u32,
    /// Metrics of the score, with their directions.
    pub scoring_metrics: Vec<String>,
    /// How they become one score.
    pub multi_score_strategy: String,
    /// What a cell that did not complete does to the score.
    pub failed_cells: FailedCells,
    /// Failed runs after which nothing new starts; `None` = any number.
    pub max_failures: Option<u32>,
}

/// What a tune does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TuneConfig {
    /// How many configurations.
    pub n_trials: Trials,
    /// File of the search space: as given, else the config file.
    pub hpconfig: Option<PathBuf>,
    /// Whether the best configuration is trained on all train data and tested.
    pub retrain_and_test: bool,
}

impl EngineConfig {
    /// The settings of a command from the values of its options.
    ///
    /// # Errors
    /// [`ConfigError`] for a value that is needed and not there, a value out of its range, and two values that do not
    /// go together. Values of options that the command does not use are not held against each other.
    pub fn new(resolved: &Resolved, command: Command) -> Result<Self, ConfigError> {
        let read = Reader::new(resolved);
        let program = read.program(command)?;
        let settings = read.settings(program.as_ref())?;
        if matches!(command, Command::Train) && program.is_none() {
            read.fold(&settings)?;
        }
        let cv = read.cv()?;
        if matches!(command, Command::Cv | Command::Tune) && program.is_none() {
            read.n_folds(&settings)?;
        }
        read.detach()?;
        let (hyperparameters, given_hyperparameters) = read.hyperparameters()?;
        if matches!(command, Command::Train | Command::Cv) {
            read.words()?;
        }
        Ok(Self {
            program,
            settings,
            hyperparameters,
            given_hyperparameters,
            artifact_dir: read.needed("artifact-dir", read.path("artifact-dir"), "")?,
            name: read.name()?,
            resume: read.choice("resume")?,
            checkpoint: match command {
                Command::Test => Some(read.needed(
                    "checkpoint",
                    read.path("checkpoint"),
                    ", and there is nothing to test",
                )?),
                _ => None,
            },
            fold: read.count("fold")?,
            random_seed: read.whole("random-seed")?,
            detach: read.flag("detach"),
            device: read.device()?,
            wandb: read.wandb()?,
            tensorboard: read.flag("tensorboard"),
            cv,
            tune: read.tune()?,
        })
    }

    /// Folds a cross-validation uses: those asked for, or all there are. How many a program makes of its data is not known: one.
    pub fn folds_used(&self) -> u32 {
        let there_are = || if self.program.is_some() { 1 } else { folds_there_are(&self.settings) };
        self.cv.n_folds.unwrap_or_else(there_are)
    }
}

fn folds_there_are(settings: &SegmentationSettings) -> u32 {
    // Without folds everything is trained and validated on: once.
    settings.fold_method.total_folds(settings.total_folds)
}

impl Reader<'_> {
    fn settings(&self, program: Option<&ProgramConfig>) -> Result<SegmentationSettings, ConfigError> {
        let train_data_dir = match (self.path("train-data-dir"), program) {
            // A program has its data from elsewhere.
            (given, Some(_)) => given.unwrap_or_default(),
            (given, None) => {
                self.needed("train-data-dir", given, ", and there is nothing to train on without")?
            }
        };
        let settings = SegmentationSettings {
            train_data_dir,
            test_split: self.test_split()?,
            fold_method: self.fold_method()?,
            total_folds: self.count("total-folds")?,
            subsample: self.optional_count("subsample")?,
            in_memory: self.flag("in-memory"),
            max_epochs: self.count("max-epochs")?,
            early_stopping_patience: self.count("early-stopping-patience")?,
            num_workers: self.count("num-workers")?,
            save_top_k: self.whole("save-top-k")?,
            log_every_n_steps: self.count("log-every-n-steps")?,
            accumulate_grad_batches: self.count("accumulate-grad-batches")?,
            gradient_clip: self.gradient_clip()?,
            precision: self.choice("precision")?,
            check_val_every_n_epoch: self.count("check-val-every-n-epoch")?,
            plot_every_n_val_epochs: self.count("plot-every-n-val-epochs")?,
            checkpoint_every_n_steps: self.optional_count("checkpoint-every-n-steps")?,
            weights_from_checkpoint: self.path("weights-from-checkpoint"),
            continue_from_checkpoint: self.path("continue-from-checkpoint"),
            backend: self.text("backend").filter(|backend| backend != "auto"),
        };
        if settings.total_folds < settings.fold_method.least_folds() {
            let rule = "this method divides into at least 2; use fold-method none for no folds";
            return Err(self.option("total-folds")?.refused_with(self.option("fold-method")?, rule));
        }
        if settings.weights_from_checkpoint.is_some() && settings.continue_from_checkpoint.is_some() {
            let rule = "a run goes on from a whole state or starts from weights: give one of them";
            let weights = self.option("weights-from-checkpoint")?;
            return Err(weights.refused_with(self.option("continue-from-checkpoint")?, rule));
        }
        Ok(settings)
    }

    fn fold_method(&self) -> Result<FoldMethod, ConfigError> {
        let name = self.needed("fold-method", self.text("fold-method"), "")?;
        let option = self.option("fold-method")?;
        by_region::deserialize(Value::String(name)).map_err(|error| option.refused(error.to_string()))
    }

    fn gradient_clip(&self) -> Result<Option<Clipping>, ConfigError> {
        let Some(OptionValue::Float(at)) = self.value("gradient-clip-val") else { return Ok(None) };
        if *at <= 0.0 {
            return Err(self.option("gradient-clip-val")?.refused("a finite number above 0, or none"));
        }
        Ok(Some(match self.text("gradient-clip-algorithm").as_deref() {
            Some("value") => Clipping::Value(*at),
            _ => Clipping::Norm(*at),
        }))
    }

    fn test_split(&self) -> Result<Option<TestSplit>, ConfigError> {
        let (method, by) = (self.option("data-split-method")?, self.option("data-split-by")?);
        let split = match (self.text("data-split-method"), self.list("data-split-by")) {
            (None, None) => return Ok(None),
            (Some(name), None) => {
                let what = match name.as_str() {
                    "random" => "a fraction",
                    "region" => "names of regions",
                    _ => "sample ids",
                };
                return Err(by.missing(format!(
                    ", but data-split-method {name} (set {}) needs {what}",
                    method.origin
                )));
            }
            (None, Some(_)) => {
                let why =
                    format!(", but data-split-by (set {}) needs one of random, region, sample", by.origin);
                return Err(method.missing(why));
            }
            (Some(name), Some(items)) => match name.as_str() {
                "random" => TestSplit::Random(test_fraction(by, &items)?),
                "region" => TestSplit::Region(items),
                _ => TestSplit::Sample(items),
            },
        };
        Ok(Some(split))
    }

    fn fold(&self, settings: &SegmentationSettings) -> Result<(), ConfigError> {
        let there_are = folds_there_are(settings);
        if self.count::<u32>("fold")? < there_are {
            return Ok(());
        }
        self.refuse_beyond(
            "fold",
            settings,
            format!("folds count from 0, so the last one is {}", there_are - 1),
        )
    }

    fn n_folds(&self, settings: &SegmentationSettings) -> Result<(), ConfigError> {
        let there_are = folds_there_are(settings);
        if self.optional_count("n-folds")?.is_none_or(|used| used <= there_are) {
            return Ok(());
        }
        self.refuse_beyond("n-folds", settings, format!("at most {there_are} can be used"))
    }

    fn refuse_beyond(
        &self,
        key: &str,
        settings: &SegmentationSettings,
        rule: String,
    ) -> Result<(), ConfigError> {
        let none = settings.fold_method == FoldMethod::None;
        let limit = self.option(if none { "fold-method" } else { "total-folds" })?;
        Err(self.option(key)?.refused_with(limit, rule))
    }

    fn cv(&self) -> Result<CvConfig, ConfigError> {
        Ok(CvConfig {
            n_folds: self.optional_count("n-folds")?,
            n_randoms: self.count("n-randoms")?,
            scoring_metrics: self.different("scoring-metric")?,
            multi_score_strategy: self.needed(
                "multi-score-strategy",
                self.text("multi-score-strategy"),
                "",
            )?,
            failed_cells: self.choice("failed-cells")?,
            max_failures: self.optional_count("max-failures")?,
        })
    }

    fn tune(&self) -> Result<TuneConfig, ConfigError> {
        let n_trials = match self.text("n-trials") {
            Some(_) => Trials::Grid,
            None => Trials::Count(self.count("n-trials")?),
        };
        let config_file = || self.resolved.config_file().map(PathBuf::from);
        Ok(TuneConfig {
            n_trials,
            hpconfig: self.path("hpconfig").or_else(config_file),
            retrain_and_test: self.flag("retrain-and-test"),
        })
    }

    /// The processes of several machines end with what started them.
    fn detach(&self) -> Result<(), ConfigError> {
        if self.flag("detach") && self.count::<u32>("num-nodes")? > 1 {
            let rule = "what started the processes of several machines waits for them: leave one of them out";
            return Err(self.option("detach")?.refused_with(self.option("num-nodes")?, rule));
        }
        Ok(())
    }

    fn wandb(&self) -> Result<WandbConfig, ConfigError> {
        let mode = self.text("wandb-mode").map(|mode| match mode.as_str() {
            "offline" => Mode::Offline,
            "disabled" => Mode::Disabled,
            _ => Mode::Online,
        });
        Ok(WandbConfig {
            entity: self.text("wandb-entity"),
            project: self.text("wandb-project"),
            mode,
            log_model: match self.text("wandb-log-model").as_deref() {
                Some("best") => LogModel::Best,
                Some("all") => LogModel::All,
                _ => LogModel::None,
            },
            finish_within: Duration::from_secs(self.count("wandb-finish-secs")?),
        })
    }

    fn device(&self) -> Result<DeviceConfig, ConfigError> {
        let word = |key| self.needed(key, self.text(key), "");
        let option = self.option("devices")?;
        // `ENGINE_DEVICES="0 1"`: no device has a blank in its name.
        let devices: Vec<String> = self
            .different("devices")?
            .iter()
            .flat_map(|item| item.split_whitespace().map(str::to_owned))
            .collect();
        without_repetition(option, &devices)?;
        if devices.len() > 1 && devices.iter().any(|device| device == "auto") {
            return Err(option.refused("auto alone, or a list of devices"));
        }
        Ok(DeviceConfig {
            accelerator: word("accelerator")?,
            strategy: word("strategy")?,
            devices,
            num_nodes: self.count("num-nodes")?,
            runs_per_device: match self.text("runs-per-device") {
                Some(_) => RunsPerDevice::ByMemory,
                None => RunsPerDevice::Fixed(self.count("runs-per-device")?),
            },
            lock_dir: self.needed("lock-dir", self.path("lock-dir"), "")?,
            progress_timeout: Duration::from_secs(self.count("progress-timeout")?),
            stop_within: Duration::from_secs(self.count("stop-secs")?),
        })
    }

    fn hyperparameters(&self) -> Result<(SegmentationHyperparameters, Hyperparameters), ConfigError> {
        let (mut all, mut given) = (Hyperparameters::new(), Hyperparameters::new());
        for option in self.resolved.options() {
            if option.spec.group != Group::Hyperparameters && option.spec.key != "bands" {
                continue;
            }
            let name = option.spec.key.replace('-', "_");
            if let OptionValue::Float(number) = option.value {
                check_range(&name, number).map_err(|expected| option.refused(expected))?;
            }
            if let ("loss", OptionValue::Text(text)) = (option.spec.key, &option.value) {
                text.parse::<LossFormula>().map_err(|error| option.refused(error.to_string()))?;
            }
            if option.spec.key == "bands" && option.value != OptionValue::Absent {
                self.different("bands")?;
            }
            let value = json(&option.value);
            all.insert(name.clone(), value.clone());
            if option.origin != Origin::Default {
                given.insert(name, value);
            }
        }
        Ok((check_hyperparameters(&all)?, given))
    }

    /// That names of architecture, encoder and augmentations are known. A tune looks at those of its space instead.
    fn words(&self) -> Result<(), ConfigError> {
        for key in ["model-arch", "model-encoder", "augment"] {
            let option = self.option(key)?;
            check_words(&key.replace('-', "_"), &json(&option.value))
                .map_err(|expected| option.refused(expected))?;
        }
        Ok(())
    }

    fn name(&self) -> Result<Option<String>, ConfigError> {
        let Some(name) = self.text("name") else { return Ok(None) };
        match check_name(&name) {
            Ok(()) => Ok(Some(name)),
            Err(error) => {
                Err(self.option("name")?.refused(format!("a name that can be a folder's: it {error}")))
            }
        }
    }
}

fn test_fraction(option: &ResolvedOption, items: &[String]) -> Result<f64, ConfigError> {
    let fraction = match items {
        [one] => one.parse::<f64>().ok(),
        _ => None,
    };
    let inside = fraction.filter(|fraction| *fraction > 0.0 && *fraction < 1.0);
    inside.ok_or_else(|| {
        option.refused("one number between 0 and 1, the test fraction, for data-split-method random")
    })
}

fn json(value: &OptionValue) -> Value {
    match value {
        OptionValue::Absent => Value::Null,
        OptionValue::Bool(value) => Value::from(*value),
        OptionValue::Int(value) => Value::from(*value),
        OptionValue::Float(value) => Value::from(*value),
        OptionValue::Text(value) => Value::from(value.as_str()),
        OptionValue::List(items) => Value::from(items.as_slice()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::Sources;
    use super::*;
    use crate::nn::Precision;
    use serde_json::json;

    fn resolved(toml: &str) -> Resolved {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{toml}\n[darts.where]\ntrain-data-dir = \"data\"\n");
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Sources::new().in_directory(folder.path()).resolve().unwrap()
    }

    fn config(toml: &str) -> EngineConfig {
        EngineConfig::new(&resolved(toml), Command::Tune).unwrap()
    }

    #[test]
    fn a_reference_file_gives_its_values_and_defaults_elsewhere() {
        let config = config(
            "[darts.training]\nmax-epochs = 6\ndata-split-method = \"random\"\ndata-split-by = [0.2]\n\
             fold-method = \"region-stratified\"\n\
             [darts.wandb]\nwandb-project = \"p\"\nwandb-entity = \"e\"\n\
             wandb-mode = \"offline\"\nwandb-log-model = \"best\"\nwandb-finish-secs = 5\ntensorboard = true\n\
             [darts.cross-validation]\nn-folds = 3\nn-randoms = 2\nscoring-metric = [\"val/Recall:lower\"]\n\
             [darts.tuning]\nn-trials = \"grid\"\nretrain-and-test = true\nfailed-cells = \"worst\"\nmax-failures = 4\n\
             [darts.training.hyperparameters]\nlearning-rate = 1\nbands = [\"red\", \"nir\"]\n",
        );
        assert_eq!(config.settings.max_epochs, 6);
        assert_eq!(config.settings.test_split, Some(TestSplit::Random(0.2)));
        assert_eq!(config.settings.fold_method, FoldMethod::GroupStratified);
        assert_eq!((config.settings.total_folds, config.settings.subsample), (5, None));
        let wandb = WandbConfig {
            entity: Some("e".into()),
            project: Some("p".into()),
            mode: Some(Mode::Offline),
            log_model: LogModel::Best,
            finish_within: Duration::from_secs(5),
        };
        assert_eq!((&config.wandb, config.tensorboard), (&wandb, true));
        assert_eq!((config.cv.n_folds, config.folds_used(), config.cv.n_randoms), (Some(3), 3, 2));
        assert_eq!((config.cv.failed_cells, config.cv.max_failures), (FailedCells::Worst, Some(4)));
        assert_eq!((config.tune.n_trials, config.tune.retrain_and_test), (Trials::Grid, true));
        assert!(config.tune.hpconfig.is_some_and(|path| path.ends_with("config.toml")));
        let given = json!({"bands": ["red", "nir"], "learning_rate": 1.0});
        assert_eq!(Value::Object(config.given_hyperparameters), given);
        let expected = SegmentationHyperparameters {
            learning_rate: 1.0,
            bands: Some(vec!["red".into(), "nir".into()]),
            ..SegmentationHyperparameters::default()
        };
        assert_eq!(config.hyperparameters, expected);
    }

    #[test]
    fn gradients_are_clipped_by_norm_or_by_value_and_above_0_alone() {
        let clip = |toml: &str| config(&format!("[darts.training]\n{toml}")).settings.gradient_clip;
        assert_eq!(clip(""), None);
        assert_eq!(clip("gradient-clip-val = 1"), Some(Clipping::Norm(1.0)));
        let by_value = "gradient-clip-val = 0.5\ngradient-clip-algorithm = \"value\"";
        assert_eq!(clip(by_value), Some(Clipping::Value(0.5)));
        assert_eq!(clip("gradient-clip-val = \"none\"\ngradient-clip-algorithm = \"value\""), None);
        for refused in ["0", "-1.5"] {
            let resolved = resolved(&format!("[darts.training]\ngradient-clip-val = {refused}"));
            let error = EngineConfig::new(&resolved, Command::Tune).unwrap_err().to_string();
            assert!(error.contains("gradient-clip-val") && error.contains("above 0"), "{error}");
        }
    }

    #[test]
    fn a_precision_is_named_as_lightning_names_it_and_what_is_not_set_is_no_setting() {
        let settings = |toml: &str| config(&format!("[darts.training]\n{toml}")).settings;
        for (name, precision) in
            [("32", Precision::Single), ("32-true", Precision::Single), ("bf16-mixed", Precision::Bf16Mixed)]
        {
            assert_eq!(settings(&format!("precision = {name:?}")).precision, precision);
        }
        assert_eq!(settings("precision = 32").precision, Precision::Single);
        // So that jobs from before there was a choice go on.
        let written = serde_json::to_value(settings("")).unwrap();
        assert_eq!((written.get("precision"), written.get("gradient_clip")), (None, None));
    }

    #[test]
    fn defaults_are_those_of_the_types() {
        let config = config("");
        assert_eq!(config.hyperparameters, SegmentationHyperparameters::default());
        assert!(config.given_hyperparameters.is_empty());
        assert_eq!((config.random_seed, config.fold, config.folds_used()), (42, 0, 5));
        assert_eq!(config.device.progress_timeout, Duration::from_secs(600));
        assert_eq!((config.tune.n_trials, config.cv.failed_cells), (Trials::Count(100), FailedCells::FailCv));
        assert_eq!(config.cv.max_failures, None);
        assert_eq!((config.settings.backend, config.name, config.tensorboard), (None, None, false));
        let WandbConfig { entity, project, mode, log_model, finish_within } = config.wandb;
        assert_eq!((entity, project, mode, log_model), (None, None, None, LogModel::None));
        assert_eq!(finish_within, Duration::from_secs(60));
    }

    #[test]
    fn impossible_values_name_option_origin_and_remedy() {
        for (toml, command, needles) in [
            (
                "[darts]\nn-folds = 6",
                Command::Cv,
                ["n-folds is 6", "total-folds is 5 (set by default)", "at most 5"],
            ),
            ("[darts]\nfold = 5", Command::Train, ["fold is 5", "config.toml:2", "the last one is 4"]),
            (
                "[darts]\nfold = 1\nfold-method = \"none\"",
                Command::Train,
                ["fold is 1", "fold-method is", "is 0"],
            ),
            ("[darts]\ntotal-folds = 1", Command::Cv, ["total-folds is 1", "fold-method is", "at least 2"]),
            (
                "[darts]\ndata-split-method = \"region\"",
                Command::Cv,
                ["data-split-by is not set", "2)", "regions"],
            ),
            ("[darts]\ndata-split-by = [0.2]", Command::Cv, ["data-split-method is not set", "2)", "sample"]),
            (
                "[darts]\ndata-split-method = \"random\"\ndata-split-by = [1.0]",
                Command::Cv,
                ["data-split-by is [\"1\"]", "between 0 and 1", "config.toml:3"],
            ),
            ("[darts]\ndevices = [0, 0]", Command::Cv, ["devices is", "0 is there twice", "config.toml:2"]),
            ("[darts]\ndevices = [\"auto\", 1]", Command::Cv, ["devices is", "auto alone", "config.toml:2"]),
            (
                "[darts]\nlearning-rate = 0.0",
                Command::Cv,
                ["learning-rate is 0.0", "greater than 0", "toml:2"],
            ),
            ("[darts]\ngamma = 1.5", Command::Cv, ["gamma is 1.5", "at most 1", "config.toml:2"]),
            ("[darts]\nname = \"a/b\"", Command::Cv, ["name is \"a/b\"", "folder", "config.toml:2"]),
            ("[darts]\nbands = [\"a\", \"a\"]", Command::Cv, ["bands is", "twice", "config.toml:2"]),
            (
                "[darts]\nweights-from-checkpoint = \"a\"\ncontinue-from-checkpoint = \"b\"",
                Command::Train,
                ["weights-from-checkpoint is", "config.toml:3", "one of them"],
            ),
        ] {
            let error = EngineConfig::new(&resolved(toml), command).unwrap_err().to_string();
            assert!(needles.iter().all(|needle| error.contains(needle)), "{error} lacks one of {needles:?}");
        }
    }

    #[test]
    fn options_of_other_commands_are_not_held_against_this_one() {
        let resolved = resolved("[darts]\nfold = 7\nn-folds = 9\n");
        assert!(EngineConfig::new(&resolved, Command::DataValidate).is_ok());
        assert!(EngineConfig::new(&resolved, Command::Train).is_err());
    }

    #[test]
    fn there_is_no_training_without_data() {
        let folder = tempfile::tempdir().unwrap();
        let resolved = Sources::new().in_directory(folder.path()).resolve().unwrap();
        let error = EngineConfig::new(&resolved, Command::Train).unwrap_err().to_string();
        let needles = ["--train-data-dir", "ENGINE_TRAIN_DATA_DIR", "train-data-dir in the config file"];
        assert!(needles.iter().all(|needle| error.contains(needle)), "{error}");
    }
}

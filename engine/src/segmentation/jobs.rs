//! From a configuration to jobs of an engine: what the commands `train`, `cv`, `tune` and `test` ask for.

use std::path::{Path, PathBuf};

use engine_actors::plan::{AfterTune, Cell, Hyperparameters, RunTask};
use engine_actors::ports::Sampler;
use engine_actors::score::{Scoring, ScoringError};
use engine_devices::suggest::did_you_mean;
use engine_devices::{
    Accelerator, Allocation, AllocationError, DeviceKind, InventoryError, PlacementError, Strategy,
    select_among,
};
use serde_json::{Map, Value};
use thiserror::Error;

use super::error::RunError;
use super::preflight::{Scope, preflight};
use super::settings::{SegmentationHyperparameters, SegmentationSettings, TestSplit};
use super::trained::TrainedError;
use super::workload::SegmentationWorkload;
use crate::backend::{BackendError, BackendName, ComputeDevice};
use crate::command::CommandError;
use crate::config::{
    Command, ConfigError, EngineConfig, HyperparameterError, WandbConfig, check_hyperparameters, check_space,
};
use crate::data::fingerprint;
use crate::engine::{CvRequest, Engine, EngineBuilder, RunRequest, TuneRequest};
use crate::metrics::{ConfusionCounts, EvaluationCounts};
use crate::resume::Keeping;
use crate::seeds;
use crate::space::{Search, SearchSpace, SpaceError};
#[cfg(feature = "wandb")]
use crate::tracking::{Settings, SettingsError, Wandb};
use crate::training::checkpoint::{Checkpoint, CheckpointError, State};
use crate::training::parallel::{self, ExchangeError};
use crate::workload::Workload;

/// Why a configuration does not make a job.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An option.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The search space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A hyperparameter.
    #[error(transparent)]
    Hyperparameters(#[from] HyperparameterError),
    /// How the score is made.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// A score of something no run measures.
    #[error("scoring-metric {name} is not measured{hint}; there are {known}")]
    UnknownMetric {
        /// The name as given.
        name: String,
        /// The nearest known name, as a fragment.
        hint: String,
        /// Names there are.
        known: String,
    },
    /// What the runs would end with.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The checkpoint to test.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What to test is not there.
    #[error(transparent)]
    Trained(#[from] TrainedError),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The devices.
    #[error(transparent)]
    Devices(#[from] InventoryError),
    /// The strategy.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// What the launcher of a job on several machines says.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// Several devices for one run with a backend or build that can not.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A program that can not do the runs.
    #[error(transparent)]
    Program(#[from] CommandError),
    /// A `WANDB_…` variable.
    #[cfg(feature = "wandb")]
    #[error(transparent)]
    Tracking(#[from] SettingsError),
    /// Tracking that this build does not have.
    #[error(
        "{option} is set, but this build has no tracking on {service}: leave it out, or build with feature {feature}"
    )]
    NoTracking {
        /// The option.
        option: &'static str,
        /// What it asks for.
        service: &'static str,
        /// What brings it.
        feature: &'static str,
    },
    /// There is no search space.
    #[error("there is no search space: give a file with a table `hyperparameters` by --hpconfig")]
    NoSearchSpace,
    /// There is nothing to test.
    #[error("there is no checkpoint to test: give the folder of one by --checkpoint")]
    NoCheckpoint,
    /// Settings that can not be handed to a worker.
    #[error("the settings can not be written as JSON for the worker")]
    Settings(#[source] serde_json::Error),
}

/// A tune that is ready to start.
pub struct TuneJob {
    /// What is asked of the engine.
    pub request: TuneRequest,
    /// Where configurations come from.
    pub sampler: Box<dyn Sampler>,
    /// What the user should know beforehand: fewer trials than asked for.
    pub warning: Option<String>,
}

/// An engine for segmentation runs as a configuration wants it, with worker processes.
///
/// # Errors
/// [`PlanError`] for a backend that is not in this build, devices and strategies that are not there.
pub fn builder(config: &EngineConfig) -> Result<EngineBuilder, PlanError> {
    let strategy: Strategy = config.device.strategy.parse()?;
    let nodes = config.device.num_nodes;
    if nodes > 1 && Allocation::from_env()?.is_none() {
        return Err(PlacementError::NoRanks { nodes }.into());
    }
    let backend = chosen_backend(config.settings.backend.as_deref())?;
    if trains_together(config, strategy) {
        parallel::available(backend.unwrap_or(BackendName::Tch))?;
    }
    builder_for(config, SegmentationWorkload, &supported(backend))
}

/// An engine for a workload that computes on these kinds of device, with all else as a configuration wants it.
pub(crate) fn builder_for(
    config: &EngineConfig,
    workload: impl Workload,
    supported: &[DeviceKind],
) -> Result<EngineBuilder, PlanError> {
    let accelerator: Accelerator = config.device.accelerator.parse()?;
    let strategy: Strategy = config.device.strategy.parse()?;
    let nodes = config.device.num_nodes;
    let builder = Engine::builder(workload)
        .process_workers()
        .artifact_dir(&config.artifact_dir)
        .accelerator(accelerator)
        .devices(config.device.devices.iter().cloned())
        .supported(supported.iter().copied())
        .strategy(strategy)
        .num_nodes(nodes)
        .runs_per_device(config.device.runs_per_device)
        .lock_dir(&config.device.lock_dir)
        .progress_timeout(config.device.progress_timeout)
        .stop_within(config.device.stop_within);
    with_wandb(with_tensorboard(builder, config)?, config)
}

#[cfg(feature = "tensorboard")]
#[expect(clippy::unnecessary_wraps, reason = "a build without has an error to tell")]
fn with_tensorboard(builder: EngineBuilder, config: &EngineConfig) -> Result<EngineBuilder, PlanError> {
    Ok(if config.tensorboard { builder.tensorboard() } else { builder })
}

#[cfg(not(feature = "tensorboard"))]
fn with_tensorboard(builder: EngineBuilder, config: &EngineConfig) -> Result<EngineBuilder, PlanError> {
    if config.tensorboard {
        let (option, feature) = ("tensorboard", "tensorboard");
        return Err(PlanError::NoTracking { option, service: "TensorBoard", feature });
    }
    Ok(builder)
}

#[cfg(feature = "wandb")]
fn with_wandb(builder: EngineBuilder, config: &EngineConfig) -> Result<EngineBuilder, PlanError> {
    Ok(match wandb(&config.wandb, &|name| std::env::var(name).ok())? {
        Some(wandb) => builder.wandb(wandb),
        None => builder,
    })
}

#[cfg(not(feature = "wandb"))]
fn with_wandb(builder: EngineBuilder, config: &EngineConfig) -> Result<EngineBuilder, PlanError> {
    if is_tracked(&config.wandb, &|name| std::env::var(name).ok()) {
        return Err(PlanError::NoTracking { option: "wandb-project", service: "W&B", feature: "wandb" });
    }
    Ok(builder)
}

/// W&B as a configuration wants it, if it names entity or project and the other is known too. An option goes before its
/// `WANDB_…` variable.
#[cfg(feature = "wandb")]
fn wandb(
    config: &WandbConfig,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Wandb>, SettingsError> {
    if !is_tracked(config, lookup) {
        return Ok(None);
    }
    // What an option says is not looked up, be it as wrong as it may.
    let lookup = |name: &str| if name == "WANDB_MODE" && config.mode.is_some() { None } else { lookup(name) };
    let mut settings = Settings::from_env(config.entity.as_deref(), config.project.as_deref(), &lookup)?;
    settings.mode = config.mode.unwrap_or(settings.mode);
    Ok(Some(Wandb::new(settings).log_model(config.log_model).finish_within(config.finish_within)))
}

fn is_tracked(config: &WandbConfig, lookup: &dyn Fn(&str) -> Option<String>) -> bool {
    let known = |option: &Option<String>, name| {
        option.is_some() || lookup(name).is_some_and(|value| !value.trim().is_empty())
    };
    is_asked_for(config) && known(&config.entity, "WANDB_ENTITY") && known(&config.project, "WANDB_PROJECT")
}

fn is_asked_for(config: &WandbConfig) -> bool {
    config.entity.is_some() || config.project.is_some()
}

/// The backend asked for, if one is, and this build has it.
pub(super) fn chosen_backend(name: Option<&str>) -> Result<Option<BackendName>, BackendError> {
    match name.map(str::parse::<BackendName>).transpose()? {
        Some(backend) if !backend.is_compiled_in() => Err(BackendError::NotCompiledIn(backend)),
        chosen => Ok(chosen),
    }
}

/// Whether more than one device trains each run. Devices that are not there are the builder's to report.
fn trains_together(config: &EngineConfig, strategy: Strategy) -> bool {
    let several = || {
        let accelerator = config.device.accelerator.parse().unwrap_or_default();
        let backend = config.settings.backend.as_deref().and_then(|name| name.parse().ok());
        let devices = select_among(accelerator, &config.device.devices, &supported(backend));
        devices.is_ok_and(|devices| devices.len() > 1)
    };
    config.device.num_nodes > 1 || strategy.is_data_parallel() && several()
}

/// What the user should know of a configuration that runs, but not quite as it says.
pub fn notes(config: &EngineConfig, command: Command) -> Vec<String> {
    let half = is_asked_for(&config.wandb) && !is_tracked(&config.wandb, &|name| std::env::var(name).ok());
    let wandb = half.then(|| {
        let (set, missing) =
            if config.wandb.entity.is_some() { ("entity", "project") } else { ("project", "entity") };
        format!("nothing is tracked on W&B: wandb-{set} is set, but wandb-{missing} is not")
    });
    let strategy = config.device.strategy.parse().unwrap_or_default();
    let forked = matches!(command, Command::Cv | Command::Tune)
        && strategy == Strategy::Ddp
        && trains_together(config, strategy);
    let forked = forked.then(|| {
        "strategy ddp is used as ddp_fork: this process starts the ranks of one run after another and is none of them"
            .to_owned()
    });
    wandb.into_iter().chain(forked).collect()
}

/// The kinds of device a backend, or any of this build, computes on here.
pub(super) fn supported(backend: Option<BackendName>) -> Vec<DeviceKind> {
    let computes_on = |kind: &DeviceKind| {
        let compute = match kind {
            DeviceKind::Cpu => ComputeDevice::Cpu,
            DeviceKind::Mps => ComputeDevice::Mps,
            DeviceKind::Cuda => ComputeDevice::Gpu(0),
        };
        let chosen = backend.map_or_else(|| BackendName::best(compute), Ok);
        chosen.is_ok_and(|backend| backend.device(compute).is_ok())
    };
    DeviceKind::ALL.into_iter().filter(computes_on).collect()
}

/// One run.
///
/// # Errors
/// [`PlanError`] for anything that would end the run before its first step.
pub fn run(config: &EngineConfig) -> Result<RunRequest, PlanError> {
    preflight(&config.settings, std::slice::from_ref(&config.hyperparameters), &[Scope::Fold(config.fold)])?;
    Ok(RunRequest {
        name: config.name.clone(),
        cell: Cell { fold: config.fold, seed: config.random_seed },
        task: RunTask::Fit,
        hyperparameters: named(&config.hyperparameters)?,
        settings: settings(config)?,
        keeping: keeping(config, std::slice::from_ref(&config.hyperparameters), None)?,
    })
}

/// A test of a checkpoint on the held-out samples, with the bands and the model the checkpoint was trained with.
///
/// # Errors
/// [`PlanError`] for a checkpoint that can not be read, and a missing or empty test split.
pub fn test(config: &EngineConfig) -> Result<RunRequest, PlanError> {
    let checkpoint = config.checkpoint.as_deref().ok_or(PlanError::NoCheckpoint)?;
    let trained = Checkpoint::read(checkpoint)?.state.hyperparameters;
    let hyperparameters: SegmentationHyperparameters =
        serde_json::from_value(trained).map_err(RunError::Hyperparameters)?;
    preflight(&config.settings, std::slice::from_ref(&hyperparameters), &[Scope::Test])?;
    Ok(RunRequest {
        name: config.name.clone(),
        cell: Cell { fold: 0, seed: config.random_seed },
        task: RunTask::Test { checkpoint: absolute(checkpoint) },
        hyperparameters: named(&hyperparameters)?,
        settings: settings(config)?,
        keeping: Keeping::default(),
    })
}

/// The options that a test of a checkpoint needs to look at what its own run held out: option and values, as on a command
/// line.
///
/// # Errors
/// [`PlanError`] for a checkpoint that can not be read.
pub fn options_of_run(checkpoint: &Path) -> Result<Vec<(&'static str, Vec<String>)>, PlanError> {
    let state = State::read(checkpoint)?;
    let settings: SegmentationSettings =
        serde_json::from_value(state.settings).map_err(RunError::Settings)?;
    let precision = serde_json::to_value(settings.precision).map_err(PlanError::Settings)?;
    let mut options = vec![
        ("checkpoint", vec![checkpoint.display().to_string()]),
        ("train-data-dir", vec![settings.train_data_dir.display().to_string()]),
        ("precision", precision.as_str().map(str::to_owned).into_iter().collect()),
    ];
    if let Some(split) = settings.test_split {
        let (method, by) = match split {
            TestSplit::Random(fraction) => ("random", vec![fraction.to_string()]),
            TestSplit::Region(regions) => ("region", regions),
            TestSplit::Sample(samples) => ("sample", samples),
        };
        options.push(("data-split-method", vec![method.to_owned()]));
        options.push(("data-split-by", by));
    }
    options.extend(settings.subsample.map(|samples| ("subsample", vec![samples.to_string()])));
    Ok(options)
}

/// One configuration over every fold and seed.
///
/// # Errors
/// [`PlanError`] for anything that would end one of the runs before its first step.
pub fn cv(config: &EngineConfig) -> Result<CvRequest, PlanError> {
    let scoring = scoring(config)?;
    preflight(&config.settings, std::slice::from_ref(&config.hyperparameters), &fold_scopes(config))?;
    Ok(CvRequest {
        name: config.name.clone(),
        cells: cells(config),
        hyperparameters: named(&config.hyperparameters)?,
        scoring,
        failed_cells: config.cv.failed_cells,
        max_failures: config.cv.max_failures,
        settings: settings(config)?,
        keeping: keeping(config, std::slice::from_ref(&config.hyperparameters), None)?,
    })
}

/// Many configurations.
///
/// # Errors
/// [`PlanError`] for anything that would end one of the runs before its first step, in any configuration.
pub fn tune(config: &EngineConfig) -> Result<TuneJob, PlanError> {
    let scoring = scoring(config)?;
    let space = check_space(search_space(config)?.with_constants(&config.given_hyperparameters))?;
    let corners =
        space.corners().iter().map(check_hyperparameters).collect::<Result<Vec<_>, HyperparameterError>>()?;
    let mut scopes = fold_scopes(config);
    if config.tune.retrain_and_test {
        scopes.push(Scope::WholeThenTest);
    }
    preflight(&config.settings, &corners, &scopes)?;
    let Search { n_trials, described, sampler, warning } = search(config, space)?;
    let request = TuneRequest {
        name: config.name.clone(),
        n_trials,
        cells: cells(config),
        scoring,
        failed_cells: config.cv.failed_cells,
        max_failures: config.cv.max_failures,
        after: after_tune(config),
        retrain_seed: config.random_seed,
        settings: settings(config)?,
        keeping: keeping(config, &corners, Some(described))?,
    };
    Ok(TuneJob { request, sampler, warning })
}

/// The search space that a tune is given.
pub(crate) fn search_space(config: &EngineConfig) -> Result<SearchSpace, PlanError> {
    let path = config.tune.hpconfig.as_deref().ok_or(PlanError::NoSearchSpace)?;
    Ok(SearchSpace::load(path)?)
}

/// The search that a configuration asks for.
pub(crate) fn search(config: &EngineConfig, space: SearchSpace) -> Result<Search, PlanError> {
    Ok(Search::new(space, config.tune.n_trials, config.random_seed)?)
}

/// What follows the last cv of a tune.
pub(crate) fn after_tune(config: &EngineConfig) -> AfterTune {
    if config.tune.retrain_and_test { AfterTune::RetrainAndTest } else { AfterTune::Nothing }
}

/// How a job is kept: what its data, its first weights and its search are, and which settings may be others when it is resumed.
fn keeping(
    config: &EngineConfig,
    hyperparameters: &[SegmentationHyperparameters],
    search: Option<Value>,
) -> Result<Keeping, PlanError> {
    let data = fingerprint(&config.settings.train_data_dir).map_err(RunError::from)?;
    let weights = super::weights::fingerprint(&config.settings, hyperparameters)?;
    let facts = facts([("data", Some(data)), ("weights", weights), ("search", search)]);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Ok(Keeping {
        resume: config.resume,
        facts,
        may_grow: names(&["max_epochs"]),
        // The data may lie elsewhere: that they are the same is a fact of its own.
        may_change: names(&[
            "train_data_dir",
            "in_memory",
            "num_workers",
            "plot_every_n_val_epochs",
            "checkpoint_every_n_steps",
        ]),
    })
}

/// Facts by name, those that there are.
pub(crate) fn facts<const N: usize>(named: [(&str, Option<Value>); N]) -> Map<String, Value> {
    named.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?))).collect()
}

/// How the score is made, of metrics that every run has at its end.
fn scoring(config: &EngineConfig) -> Result<Scoring, PlanError> {
    let scoring = Scoring::parse(&config.cv.scoring_metrics, &config.cv.multi_score_strategy)?;
    let validated = EvaluationCounts::default().metrics("val").into_keys().chain(["val/loss".to_owned()]);
    let trained = ConfusionCounts::default().metrics("train").into_keys().chain(["train/loss".to_owned()]);
    let known: Vec<String> = validated.chain(trained).collect();
    match scoring.metrics.iter().find(|metric| !known.contains(&metric.name)) {
        None => Ok(scoring),
        Some(unknown) => Err(PlanError::UnknownMetric {
            name: unknown.name.clone(),
            hint: did_you_mean(&unknown.name, known.iter().map(String::as_str)),
            known: known.join(", "),
        }),
    }
}

/// Every fold with every seed.
pub(crate) fn cells(config: &EngineConfig) -> Vec<Cell> {
    seeds::cells(config.folds_used(), config.cv.n_randoms as usize)
}

fn fold_scopes(config: &EngineConfig) -> Vec<Scope> {
    (0..config.folds_used()).map(Scope::Fold).collect()
}

fn named(hyperparameters: &SegmentationHyperparameters) -> Result<Hyperparameters, PlanError> {
    match serde_json::to_value(hyperparameters).map_err(PlanError::Settings)? {
        Value::Object(named) => Ok(named),
        _ => Ok(Hyperparameters::new()),
    }
}

/// The settings with absolute paths: a checkpoint keeps them, and may be continued from another folder.
fn settings(config: &EngineConfig) -> Result<Value, PlanError> {
    let mut settings: SegmentationSettings = config.settings.clone();
    settings.train_data_dir = absolute(&settings.train_data_dir);
    for path in
        [&mut settings.weights_from_checkpoint, &mut settings.continue_from_checkpoint].into_iter().flatten()
    {
        *path = absolute(path);
    }
    serde_json::to_value(&settings).map_err(PlanError::Settings)
}

fn absolute(path: &Path) -> PathBuf {
    // Fails only for an empty path or without a working directory; then the path says itself what is wrong.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
#[cfg(feature = "wandb")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Sources;
    use crate::tracking::{LogModel, Mode};

    fn config(options: &[(&str, &str)]) -> EngineConfig {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::new().in_directory(folder.path());
        for (key, value) in [("train-data-dir", "data")].iter().chain(options) {
            sources = sources.with_option(key, [*value]).unwrap();
        }
        EngineConfig::new(&sources.resolve().unwrap(), Command::Train).unwrap()
    }

    /// What would be tracked with these options, and `NAME=value` in the environment.
    fn tracked(
        options: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<Option<Wandb>, SettingsError> {
        let lookup = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        wandb(&config(options).wandb, &lookup)
    }

    fn expected(mode: Mode, log_model: LogModel, secs: u64) -> Wandb {
        let mut settings = Settings::from_env(Some("team"), Some("ice"), &|_| None).unwrap();
        settings.mode = mode;
        Wandb::new(settings).log_model(log_model).finish_within(Duration::from_secs(secs))
    }

    #[test]
    fn entity_and_project_make_a_run_tracked() {
        let (entity, project) = (("wandb-entity", "team"), ("wandb-project", "ice"));
        let usual = || Some(expected(Mode::Online, LogModel::None, 60));
        assert_eq!(tracked(&[entity, project], &[]).unwrap(), usual());
        assert_eq!(tracked(&[project], &[("WANDB_ENTITY", "team")]).unwrap(), usual());
        assert_eq!(tracked(&[entity], &[("WANDB_PROJECT", "ice")]).unwrap(), usual());
        assert_eq!(tracked(&[project], &[]).unwrap(), None);
        assert_eq!(tracked(&[project], &[("WANDB_ENTITY", " ")]).unwrap(), None);
        let elsewhere = [("WANDB_ENTITY", "team"), ("WANDB_PROJECT", "ice")];
        assert_eq!(tracked(&[], &elsewhere).unwrap(), None, "another program's project");
    }

    #[test]
    fn an_option_goes_before_its_variable() {
        let both = [("wandb-entity", "team"), ("wandb-project", "ice")];
        let offline = tracked(&both, &[("WANDB_MODE", "offline")]).unwrap();
        assert_eq!(offline, Some(expected(Mode::Offline, LogModel::None, 60)));
        let options = [
            both[0],
            both[1],
            ("wandb-mode", "online"),
            ("wandb-log-model", "all"),
            ("wandb-finish-secs", "5"),
        ];
        for mode in ["offline", "nonsense"] {
            let online = tracked(&options, &[("WANDB_MODE", mode), ("WANDB_ENTITY", "other")]).unwrap();
            assert_eq!(online, Some(expected(Mode::Online, LogModel::All, 5)), "{mode}");
        }
        assert!(tracked(&both, &[("WANDB_MODE", "nonsense")]).is_err());
    }

    #[test]
    fn half_a_place_is_told() {
        // A developer may have the variable set; then it is a whole one.
        if std::env::var_os("WANDB_ENTITY").is_none() {
            let notes = notes(&config(&[("wandb-project", "ice")]), Command::Train);
            assert!(notes.iter().any(|note| note.contains("wandb-entity is not")), "{notes:?}");
        }
        assert!(notes(&config(&[]), Command::Train).is_empty());
    }
}

//! From a configuration with a program to jobs of an engine: what the commands `train`, `cv` and `tune` ask for.

use engine_actors::plan::{Cell, RunTask};
use engine_actors::score::Scoring;
use engine_devices::DeviceKind;
use serde_json::Value;

use super::workload::BundledWorkload;
use crate::config::{EngineConfig, ProgramConfig};
use crate::engine::{CvRequest, EngineBuilder, RunRequest, TuneRequest};
use crate::resume::Keeping;
use crate::segmentation::jobs::{
    PlanError, TuneJob, after_tune, builder_for, cells, facts, search, search_space,
};
use crate::space::Search;

/// An engine for the runs of a program as a configuration wants it, with worker processes.
///
/// # Errors
/// [`PlanError`] for devices and strategies that are not there.
pub fn builder(config: &EngineConfig) -> Result<EngineBuilder, PlanError> {
    // What a program computes on is its own to know.
    builder_for(config, BundledWorkload, &DeviceKind::ALL)
}

/// One run.
///
/// # Errors
/// [`PlanError`] for files of the program that can not be read.
pub fn run(config: &EngineConfig, program: &ProgramConfig) -> Result<RunRequest, PlanError> {
    Ok(RunRequest {
        name: config.name.clone(),
        cell: Cell { fold: config.fold, seed: config.random_seed },
        task: RunTask::Fit,
        hyperparameters: program.parameters.clone(),
        settings: program.command.settings(),
        keeping: keeping(config, program, None)?,
    })
}

/// One configuration over every fold and seed.
///
/// # Errors
/// As [`run`], and for metrics that no score is made of.
pub fn cv(config: &EngineConfig, program: &ProgramConfig) -> Result<CvRequest, PlanError> {
    let scoring = scoring(config)?;
    Ok(CvRequest {
        name: config.name.clone(),
        cells: cells(config),
        hyperparameters: program.parameters.clone(),
        settings: settings(program, &scoring),
        scoring,
        failed_cells: config.cv.failed_cells,
        max_failures: config.cv.max_failures,
        keeping: keeping(config, program, None)?,
    })
}

/// Many configurations, of whatever names the search space has.
///
/// # Errors
/// As [`cv`], for a search space that can not be used, and for one that the program can not be handed over.
pub fn tune(config: &EngineConfig, program: &ProgramConfig) -> Result<TuneJob, PlanError> {
    let scoring = scoring(config)?;
    let space = search_space(config)?.with_constants(&program.parameters);
    space.corners().iter().try_for_each(|corner| program.command.check(corner))?;
    let Search { n_trials, described, sampler, warning } = search(config, space)?;
    let request = TuneRequest {
        name: config.name.clone(),
        n_trials,
        cells: cells(config),
        settings: settings(program, &scoring),
        scoring,
        failed_cells: config.cv.failed_cells,
        max_failures: config.cv.max_failures,
        after: after_tune(config),
        retrain_seed: config.random_seed,
        keeping: keeping(config, program, Some(described))?,
    };
    Ok(TuneJob { request, sampler, warning })
}

/// The program, of which what the score is made of is expected.
fn settings(program: &ProgramConfig, scoring: &Scoring) -> Value {
    let names = scoring.metrics.iter().map(|metric| metric.name.clone());
    program.command.clone().expecting(names).settings()
}

fn scoring(config: &EngineConfig) -> Result<Scoring, PlanError> {
    Ok(Scoring::parse(&config.cv.scoring_metrics, &config.cv.multi_score_strategy)?)
}

fn keeping(
    config: &EngineConfig,
    program: &ProgramConfig,
    search: Option<Value>,
) -> Result<Keeping, PlanError> {
    let files = program.command.fingerprint()?;
    Ok(Keeping {
        resume: config.resume,
        facts: facts([("program", Some(files)), ("search", search)]),
        may_grow: Vec::new(),
        may_change: vec!["command.stop_within_secs".to_owned()],
    })
}

//! `engine train`, `cv`, `tune` and `test`.

use clap::ArgMatches;
use engine::config::{Command as Level, EngineConfig};
use engine::segmentation::jobs;
use engine::{CvOutcome, EngineBuilder, Part, RunOutcome, Status, TuneOutcome};

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::interrupt;
use crate::job::{Ended, follow, print_result};
use crate::tables;

/// The engine this process is to build; `None` in a process that follows another, once it has followed to the end.
fn joined(config: &EngineConfig) -> Result<Option<EngineBuilder>, Failure> {
    match jobs::builder(config)?.join()? {
        Part::Lead(builder) => Ok(Some(builder)),
        Part::Follow(follower) => {
            interrupt::leave_to_rank_0()?;
            follower.follow()?;
            Ok(None)
        }
    }
}

pub fn train(config: &EngineConfig, style: Style) -> Result<Code, Failure> {
    let Some(builder) = joined(config)? else { return Ok(Code::Done) };
    let request = jobs::run(config)?;
    let ended = follow(
        builder.build()?,
        style,
        &jobs::notes(config, Level::Train),
        &config.artifact_dir,
        |engine| engine.train(request),
    )?;
    Ok(report_run(&ended, style))
}

pub fn test(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let config = super::configured(given, Level::Test)?;
    let Some(builder) = joined(&config)? else { return Ok(Code::Done) };
    let request = jobs::test(&config)?;
    let ended = follow(
        builder.build()?,
        style,
        &jobs::notes(&config, Level::Test),
        &config.artifact_dir,
        |engine| engine.train(request),
    )?;
    Ok(report_run(&ended, style))
}

pub fn cv(config: &EngineConfig, style: Style) -> Result<Code, Failure> {
    let Some(builder) = joined(config)? else { return Ok(Code::Done) };
    let request = jobs::cv(config)?;
    let shown = metric_names(config);
    let ended =
        follow(builder.build()?, style, &jobs::notes(config, Level::Cv), &config.artifact_dir, |engine| {
            engine.cv(request)
        })?;
    print_result(style, &ended, || cv_text(&ended.outcome, &shown));
    Ok(match ended.outcome.status {
        _ if ended.interrupted => Code::Interrupted,
        Status::Complete => Code::Done,
        Status::Unstable => Code::NothingStable,
        _ => Code::NotFinished,
    })
}

pub fn tune(config: &EngineConfig, style: Style) -> Result<Code, Failure> {
    let Some(builder) = joined(config)? else { return Ok(Code::Done) };
    let job = jobs::tune(config)?;
    let warnings: Vec<String> = jobs::notes(config, Level::Tune).into_iter().chain(job.warning).collect();
    let (request, sampler) = (job.request, job.sampler);
    let shown = metric_names(config);
    let ended = follow(builder.build()?, style, &warnings, &config.artifact_dir, |engine| {
        engine.tune(request, sampler)
    })?;
    print_result(style, &ended, || tune_text(&ended.outcome, &shown));
    let retrain_failed = ended.outcome.retrain.as_ref().is_some_and(|run| run.status != Status::Complete);
    Ok(match ended.outcome.best {
        _ if ended.interrupted => Code::Interrupted,
        None => Code::NothingStable,
        Some(_) if retrain_failed => Code::NotFinished,
        Some(_) => Code::Done,
    })
}

fn report_run(ended: &Ended<RunOutcome>, style: Style) -> Code {
    print_result(style, ended, || run_text(&ended.outcome));
    match ended.outcome.status {
        _ if ended.interrupted => Code::Interrupted,
        Status::Complete | Status::Unstable => Code::Done,
        _ => Code::NotFinished,
    }
}

/// Names of the metrics a score is made of, without their directions.
fn metric_names(config: &EngineConfig) -> Vec<String> {
    config
        .cv
        .scoring_metrics
        .iter()
        .map(|metric| metric.split(':').next().unwrap_or(metric).to_owned())
        .collect()
}

fn run_text(run: &RunOutcome) -> String {
    let mut text = String::new();
    if let Some(failure) = &run.failure {
        text.push_str(&format!("{}: {}\n", run.status.name(), crate::display::reason(failure)));
        for line in &failure.stderr_tail {
            text.push_str(&format!("  | {line}\n"));
        }
    }
    if !run.metrics.is_empty() {
        text.push_str(&format!("{}\n", tables::metrics_table(run)));
    }
    if let Some(checkpoint) = &run.checkpoint {
        text.push_str(&format!("best checkpoint: {}\n", checkpoint.display()));
    }
    text.push_str(&format!("run {} is in {}", run.run_name, run.run_dir.display()));
    text
}

fn cv_text(cv: &CvOutcome, shown: &[String]) -> String {
    let unstable = if cv.score_is_unstable { " (unstable)" } else { "" };
    format!(
        "{}\nscore: {}{unstable}\ntables of cv {} are in {}",
        tables::cv_table(cv, shown),
        tables::score_with_spread(cv.score, cv.spread),
        cv.cv_name,
        cv.cv_dir.display()
    )
}

fn tune_text(tune: &TuneOutcome, shown: &[String]) -> String {
    let mut text = String::new();
    if let Some(best) = tune.best.and_then(|best| tune.cvs.get(best)) {
        text.push_str(&format!(
            "cells of the best, {}:\n{}\n\n",
            best.cv_name,
            tables::cv_table(best, shown)
        ));
    }
    text.push_str(&format!("configurations of {}:\n{}\n", tune.tune_name, tables::tune_table(tune)));
    match &tune.retrain {
        Some(run) => {
            let retrained = format!("\nretrained and tested as {}:\n{}\n", run.run_name, run_text(run));
            text.push_str(&retrained);
        }
        None if tune.best.is_none() => text.push_str("no configuration was stable: there is no best one\n"),
        None => {}
    }
    text.push_str(&format!("tables of tune {} are in {}", tune.tune_name, tune.tune_dir.display()));
    text
}

//! `engine train`, `cv` and `tune`.

use engine::command::jobs as program_jobs;
use engine::config::{Command as Level, EngineConfig};
use engine::failures::{FailureReport, failures};
use engine::segmentation::jobs;
use engine::{CvOutcome, EngineBuilder, Part, RunOutcome, Status, TuneOutcome};
use serde_json::json;

use crate::detach::{self, Detached};
use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::interrupt;
use crate::job::{Call, Ended, follow, print_result, print_result_with};
use crate::tables;

/// The engine this process is to build; `None` in a process that follows another, once it has followed to the end.
pub(super) fn joined(config: &EngineConfig) -> Result<Option<EngineBuilder>, Failure> {
    let builder = match &config.program {
        Some(_) => program_jobs::builder(config)?,
        None => jobs::builder(config)?,
    };
    match builder.join()? {
        Part::Lead(builder) => Ok(Some(builder)),
        Part::Follow(follower) => {
            interrupt::leave_to_rank_0()?;
            follower.follow()?;
            Ok(None)
        }
    }
}

/// Does a job here; or, where that is asked for, in a process of its own that needs no terminal.
pub fn job(
    config: &EngineConfig,
    style: Style,
    here: fn(&EngineConfig, Call) -> Result<Code, Failure>,
) -> Result<Code, Failure> {
    let detached = Detached::from_environment()?;
    if config.detach && detached.is_none() {
        return detach::start(config, style);
    }
    interrupt::outlive_terminal()?;
    // What becomes a log gets lines, not bars.
    let style = if detached.is_some() && style == Style::Bars { Style::Lines } else { style };
    here(config, Call { style, detached, warnings: Vec::new() })
}

pub fn train(config: &EngineConfig, mut call: Call) -> Result<Code, Failure> {
    let Some(builder) = joined(config)? else { return Ok(Code::Done) };
    let request = match &config.program {
        Some(program) => program_jobs::run(config, program)?,
        None => jobs::run(config)?,
    };
    call.warnings = jobs::notes(config, Level::Train);
    let ended = follow(builder.build()?, call, config, |engine| engine.train(request))?;
    Ok(report_run(ended))
}

pub fn cv(config: &EngineConfig, mut call: Call) -> Result<Code, Failure> {
    let Some(builder) = joined(config)? else { return Ok(Code::Done) };
    let request = match &config.program {
        Some(program) => program_jobs::cv(config, program)?,
        None => jobs::cv(config)?,
    };
    let shown = metric_names(config);
    call.warnings = jobs::notes(config, Level::Cv);
    let ended = follow(builder.build()?, call, config, |engine| engine.cv(request))?;
    let code = match ended.outcome.status {
        Status::Complete => Code::Done,
        Status::Unstable => Code::NothingStable,
        _ => Code::NotFinished,
    };
    Ok(print_result(ended, code, |cv| cv_text(cv, &shown)))
}

pub fn tune(config: &EngineConfig, mut call: Call) -> Result<Code, Failure> {
    let Some(builder) = joined(config)? else { return Ok(Code::Done) };
    let job = match &config.program {
        Some(program) => program_jobs::tune(config, program)?,
        None => jobs::tune(config)?,
    };
    call.warnings = jobs::notes(config, Level::Tune).into_iter().chain(job.warning).collect();
    let (request, sampler) = (job.request, job.sampler);
    let shown = metric_names(config);
    let ended = follow(builder.build()?, call, config, |engine| engine.tune(request, sampler))?;
    let failed = failures(&ended.outcome);
    let retrain_failed = ended.outcome.retrain.as_ref().is_some_and(|run| run.status != Status::Complete);
    let code = match ended.outcome.best {
        // Not by the user: it gave up, or was stopped from elsewhere.
        _ if ended.outcome.cancelled => Code::NotFinished,
        None => Code::NothingStable,
        Some(_) if retrain_failed => Code::NotFinished,
        Some(_) => Code::Done,
    };
    let beside = json!({ "failures": failed });
    Ok(print_result_with(ended, code, beside, |tune| tune_text(tune, failed.as_ref(), &shown)))
}

pub(super) fn report_run(ended: Ended<RunOutcome>) -> Code {
    let code = match ended.outcome.status {
        Status::Complete | Status::Unstable => Code::Done,
        _ => Code::NotFinished,
    };
    print_result(ended, code, run_text)
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

fn tune_text(tune: &TuneOutcome, failed: Option<&FailureReport>, shown: &[String]) -> String {
    let mut text = String::new();
    if let Some(best) = tune.best.and_then(|best| tune.cvs.get(best)) {
        text.push_str(&format!(
            "cells of the best, {}:\n{}\n\n",
            best.cv_name,
            tables::cv_table(best, shown)
        ));
    }
    text.push_str(&format!("configurations of {}:\n{}\n", tune.tune_name, tables::tune_table(tune)));
    if let Some(failed) = failed {
        text.push_str(&format!("\n{}", failures_text(failed, tune)));
    }
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

fn failures_text(failed: &FailureReport, tune: &TuneOutcome) -> String {
    let mut text = format!("{} of {} runs failed:\n", failed.failed, failed.runs);
    text.push_str(&format!("{}\n", tables::failure_groups_table(failed, &tune.tune_dir)));
    if let Some(table) = tables::failures_table(failed) {
        text.push_str(&format!("by hyperparameter, what stands out first:\n{table}\n"));
    }
    text
}

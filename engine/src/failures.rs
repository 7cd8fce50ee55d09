//! What failed in a tune, and which hyperparameter values stand out for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use engine_actors::outcome::{Cause, RunOutcome, Status, TuneOutcome};
use serde::Serialize;
use serde_json::Value;

/// Different numbers a hyperparameter may have before they are put together in bins.
const MOST_SINGLE_VALUES: usize = 6;
/// Bins, of about as many runs each: quartiles.
const BINS: usize = 4;

/// The failures of a tune.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureReport {
    /// Runs that came to an end, the retrained model's not among them. Runs that were cancelled say nothing and are left out.
    pub runs: u32,
    /// How many of them failed.
    pub failed: u32,
    /// Values of the hyperparameters that vary, those first that stand out most.
    pub values: Vec<ValueFailures>,
    /// What went wrong, the most frequent first; the retrained model's failure among them.
    pub groups: Vec<FailureGroup>,
}

/// How the runs with one value of a hyperparameter ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueFailures {
    /// Name of the hyperparameter.
    pub hyperparameter: String,
    /// Its value.
    pub value: ValueOrBin,
    /// Runs with it.
    pub runs: u32,
    /// How many of them failed.
    pub failed: u32,
    /// Why, the most frequent cause first.
    pub causes: Vec<(Cause, u32)>,
    /// How far the failures are from what chance makes of the tune's share of failures, in standard deviations: from 2 on it is
    /// worth a look, below 0 the value failed less than others. 0 where every run failed.
    ///
    /// The runs of one configuration fail together, so this ranks values and proves nothing.
    ///
    /// # Sources
    /// Haberman 1973, The analysis of residuals in cross-classified tables, eq. 2.3 (adjusted residuals).
    pub stands_out: f64,
}

/// One value, or numbers put together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ValueOrBin {
    /// Numbers from one to another, both included.
    Bin {
        /// The least one that was tried.
        low: f64,
        /// The greatest one that was tried.
        high: f64,
    },
    /// One value.
    One(Value),
}

/// Failures alike: of one cause, their messages the same but for numbers and what is of one run alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureGroup {
    /// The cause.
    pub cause: Cause,
    /// What the first of them says.
    pub message: String,
    /// Runs that failed so.
    pub runs: u32,
    /// Folder of the first of them.
    pub run_dir: PathBuf,
}

/// A run with the configuration it ran.
#[derive(Clone, Copy)]
struct Trial<'a> {
    hyperparameters: &'a engine_actors::plan::Hyperparameters,
    run: &'a RunOutcome,
}

/// What failed in a tune; `None` if nothing did.
#[must_use]
pub fn failures(outcome: &TuneOutcome) -> Option<FailureReport> {
    let of_cvs = outcome
        .cvs
        .iter()
        .flat_map(|cv| cv.runs.iter().map(|run| Trial { hyperparameters: &cv.hyperparameters, run }));
    let trials: Vec<Trial<'_>> = of_cvs.filter(|trial| trial.run.status != Status::Cancelled).collect();
    let groups = groups(trials.iter().map(|trial| trial.run).chain(&outcome.retrain));
    let failed = trials.iter().filter(|trial| has_failed(trial.run)).count();
    if failed == 0 && groups.is_empty() {
        return None;
    }
    let mut values: Vec<ValueFailures> =
        names(&trials).into_iter().flat_map(|name| values_of(name, &trials, failed)).collect();
    // Stable: equals stay in the order of the search space and of their values.
    values.sort_by(|a, b| b.stands_out.total_cmp(&a.stands_out));
    Some(FailureReport { runs: count(trials.len()), failed: count(failed), values, groups })
}

fn has_failed(run: &RunOutcome) -> bool {
    run.status == Status::Failed
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

/// Names of all hyperparameters, in the order in which they appear.
fn names<'a>(trials: &[Trial<'a>]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let all = trials.iter().flat_map(|trial| trial.hyperparameters.keys());
    all.map(String::as_str).filter(|name| seen.insert(*name)).collect()
}

/// How the runs ended by the value of one hyperparameter; empty if there is only one.
fn values_of(name: &str, trials: &[Trial<'_>], failed: usize) -> Vec<ValueFailures> {
    let value = |trial: &Trial<'_>| trial.hyperparameters.get(name).cloned().unwrap_or(Value::Null);
    let numbers: Option<Vec<f64>> = trials.iter().map(|trial| value(trial).as_f64()).collect();
    let mut parts: Vec<(ValueOrBin, Vec<&RunOutcome>)> = Vec::new();
    match numbers {
        Some(numbers) if distinct(&numbers) > MOST_SINGLE_VALUES => parts = bins(&numbers, trials),
        numbers => {
            for trial in trials {
                let value = ValueOrBin::One(value(trial));
                match parts.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, runs)) => runs.push(trial.run),
                    None => parts.push((value, vec![trial.run])),
                }
            }
            if numbers.is_some() {
                parts.sort_by(|(a, _), (b, _)| a.low().total_cmp(&b.low()));
            }
        }
    }
    if parts.len() < 2 {
        return Vec::new();
    }
    let all = trials.len();
    parts.into_iter().map(|(value, runs)| value_failures(name, value, &runs, (failed, all))).collect()
}

fn value_failures(
    name: &str,
    value: ValueOrBin,
    runs: &[&RunOutcome],
    (failed_of_all, all): (usize, usize),
) -> ValueFailures {
    let mut causes: BTreeMap<&'static str, (Cause, u32)> = BTreeMap::new();
    for failure in runs.iter().filter(|run| has_failed(run)).filter_map(|run| run.failure.as_ref()) {
        causes.entry(failure.cause.name()).or_insert((failure.cause, 0)).1 += 1;
    }
    let mut causes: Vec<(Cause, u32)> = causes.into_values().collect();
    causes.sort_by_key(|(_, runs)| std::cmp::Reverse(*runs));
    let failed = runs.iter().filter(|run| has_failed(run)).count();
    let (n, share) = (runs.len() as f64, failed_of_all as f64 / all as f64);
    let variance = n * share * (1.0 - share) * (1.0 - n / all as f64);
    let stands_out = if variance > 0.0 { (failed as f64 - n * share) / variance.sqrt() } else { 0.0 };
    let hyperparameter = name.to_owned();
    ValueFailures {
        hyperparameter,
        value,
        runs: count(runs.len()),
        failed: count(failed),
        causes,
        stands_out,
    }
}

impl ValueOrBin {
    fn low(&self) -> f64 {
        match self {
            Self::Bin { low, .. } => *low,
            Self::One(value) => value.as_f64().unwrap_or(f64::NAN),
        }
    }
}

fn distinct(numbers: &[f64]) -> usize {
    numbers.iter().map(|number| number.to_bits()).collect::<BTreeSet<_>>().len()
}

/// Runs in bins of about as many each; runs with the same number are in the same one.
fn bins<'a>(numbers: &[f64], trials: &[Trial<'a>]) -> Vec<(ValueOrBin, Vec<&'a RunOutcome>)> {
    let mut sorted: Vec<(f64, &'a RunOutcome)> =
        numbers.iter().copied().zip(trials.iter().map(|trial| trial.run)).collect();
    sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut bins: BTreeMap<usize, (f64, f64, Vec<&'a RunOutcome>)> = BTreeMap::new();
    for (number, run) in &sorted {
        let smaller = sorted.partition_point(|(other, _)| other < number);
        let (_, high, runs) =
            bins.entry(smaller * BINS / sorted.len()).or_insert((*number, *number, Vec::new()));
        *high = *number;
        runs.push(run);
    }
    bins.into_values().map(|(low, high, runs)| (ValueOrBin::Bin { low, high }, runs)).collect()
}

/// Failures alike, the most frequent first; of equals the one that came first.
fn groups<'a>(runs: impl Iterator<Item = &'a RunOutcome>) -> Vec<FailureGroup> {
    let mut groups: Vec<(String, FailureGroup)> = Vec::new();
    for run in runs.filter(|run| has_failed(run)) {
        let Some(failure) = &run.failure else { continue };
        let alike = alike(run, &failure.message);
        match groups.iter_mut().find(|(known, group)| group.cause == failure.cause && *known == alike) {
            Some((_, group)) => group.runs += 1,
            None => {
                let (message, run_dir) = (failure.message.clone(), run.run_dir.clone());
                groups.push((alike, FailureGroup { cause: failure.cause, message, runs: 1, run_dir }));
            }
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.runs));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// A message without its numbers and without what is of this run alone.
fn alike(run: &RunOutcome, message: &str) -> String {
    let mut rest = message.replace(&run.run_dir.display().to_string(), "");
    // The id within a name, and both within paths.
    for own in [&run.run_name, &run.run_id] {
        if !own.is_empty() {
            rest = rest.replace(own.as_str(), "");
        }
    }
    let mut alike = String::with_capacity(rest.len());
    for letter in rest.chars() {
        match letter {
            '0'..='9' if alike.ends_with('#') => {}
            '0'..='9' => alike.push('#'),
            letter => alike.push(letter),
        }
    }
    alike
}

#[cfg(test)]
mod tests;

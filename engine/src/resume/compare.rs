//! What a job was against what it is to be. No clock, no I/O.

use std::collections::BTreeMap;
use std::fmt;

use engine_actors::journal::{JobPlan, JobRecord, Reopened};
use engine_actors::plan::{Cell, CvPlan, RunPlan, TunePlan};
use serde_json::{Map, Value, json};

use super::Keeping;

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// One thing that is not what it was.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Its name: `settings.max_epochs`.
    pub name: String,
    /// What it was; `None` if it was not there.
    pub before: Option<Value>,
    /// What it is; `None` if it is not there.
    pub now: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} before, {} now", self.name, shown(self.before.as_ref()), shown(self.now.as_ref()))
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What became of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Comparison {
    /// What may not change, and did.
    pub(crate) refused: Vec<Difference>,
    /// What may, and did.
    pub(crate) allowed: Vec<Difference>,
    /// Which ended runs have more to do now.
    pub(crate) reopened: Reopened,
}

/// Compares what a job was with what it is to be.
pub(crate) fn compare(before: &JobRecord, now: &JobRecord, keeping: &Keeping) -> Comparison {
    let (before_cells, now_cells) = (cells(&before.plan), cells(&now.plan));
    let mut comparison = Comparison::default();
    if before_cells != now_cells {
        let is_more = before_cells.iter().all(|cell| now_cells.contains(cell));
        let difference = Difference {
            name: "cells".into(),
            before: Some(counted(before_cells)),
            now: Some(counted(now_cells)),
        };
        if is_more { &mut comparison.allowed } else { &mut comparison.refused }.push(difference);
    }
    let (before, now) = (leaves(before), leaves(now));
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (was, is) = (before.get(name), now.get(name));
        if was == is {
            continue;
        }
        let difference = Difference { name: name.clone(), before: was.cloned(), now: is.cloned() };
        match rule(name, keeping) {
            Rule::Free => comparison.allowed.push(difference),
            Rule::Grows if is_less(was, is) => {
                comparison.reopened.ended |= name != TRIALS;
                comparison.allowed.push(difference);
            }
            Rule::Grows | Rule::Same => comparison.refused.push(difference),
        }
    }
    comparison
}

const TRIALS: &str = "n_trials";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Same,
    Grows,
    Free,
}

fn rule(name: &str, keeping: &Keeping) -> Rule {
    let setting = name.strip_prefix("settings.");
    let is_in = |names: &[String]| {
        setting.is_some_and(|setting| {
            names.iter().any(|known| {
                setting == known || setting.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'))
            })
        })
    };
    match name {
        TRIALS => Rule::Grows,
        // What follows the last cv changes none of them.
        "after" => Rule::Free,
        _ if is_in(&keeping.may_change) => Rule::Free,
        _ if is_in(&keeping.may_grow) => Rule::Grows,
        _ => Rule::Same,
    }
}

fn is_less(before: Option<&Value>, now: Option<&Value>) -> bool {
    match (before.and_then(Value::as_f64), now.and_then(Value::as_f64)) {
        (Some(before), Some(now)) => before < now,
        _ => false,
    }
}

fn cells(plan: &JobPlan) -> &[Cell] {
    match plan {
        JobPlan::Tune(tune) => &tune.cells,
        JobPlan::Cv(cv) => &cv.cells,
        JobPlan::Run(run) => std::slice::from_ref(&run.cell),
    }
}

fn counted(cells: &[Cell]) -> Value {
    let count = |mut of: Vec<u64>| {
        of.sort_unstable();
        of.dedup();
        of.len()
    };
    let folds = count(cells.iter().map(|cell| u64::from(cell.fold)).collect());
    let seeds = count(cells.iter().map(|cell| cell.seed).collect());
    json!(format!("{} ({folds} folds, {seeds} seeds)", cells.len()))
}

/// Everything a result hangs on by name, down to single values. Lists are single values.
fn leaves(job: &JobRecord) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    for (name, value) in described(&job.plan).into_iter().chain(job.identity.clone()) {
        spread(&mut leaves, name, value);
    }
    leaves
}

fn spread(leaves: &mut BTreeMap<String, Value>, name: String, value: Value) {
    match value {
        Value::Object(inside) => {
            for (inner, value) in inside {
                spread(leaves, format!("{name}.{inner}"), value);
            }
        }
        Value::Null => {}
        value => {
            leaves.insert(name, value);
        }
    }
}

/// A plan but for its names, folders and cells.
fn described(plan: &JobPlan) -> Map<String, Value> {
    let described = match plan {
        JobPlan::Tune(TunePlan {
            n_trials, scoring, failed_cells, after, retrain_seed, settings, ..
        }) => json!({
            TRIALS: n_trials, "scoring": scoring, "failed_cells": failed_cells, "after": after,
            "retrain_seed": retrain_seed, "settings": **settings,
        }),
        JobPlan::Cv(CvPlan { hyperparameters, scoring, failed_cells, settings, .. }) => json!({
            "hyperparameters": hyperparameters, "scoring": scoring, "failed_cells": failed_cells,
            "settings": **settings,
        }),
        JobPlan::Run(RunPlan { task, hyperparameters, settings, .. }) => json!({
            "task": task, "hyperparameters": hyperparameters, "settings": **settings,
        }),
    };
    match described {
        Value::Object(described) => described,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;

//! The tables printed at the end of a job, and the words used in them.

use std::collections::BTreeSet;
use std::path::Path;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use engine::{CvOutcome, Hyperparameters, RunOutcome, Status, TuneOutcome};

use crate::display::reason;

/// `0.1234 ± 0.0056`, or `-` where there is no score.
pub fn score_with_spread(score: Option<f64>, spread: Option<f64>) -> String {
    match (score, spread) {
        (None, _) => "-".to_owned(),
        (Some(score), None) => format!("{score:.4}"),
        (Some(score), Some(spread)) => format!("{score:.4} ± {spread:.4}"),
    }
}

/// `name=value` pairs on one line.
pub fn short_hyperparameters(hyperparameters: &Hyperparameters) -> String {
    let pairs: Vec<String> =
        hyperparameters.iter().map(|(name, value)| format!("{name}={}", short(value))).collect();
    pairs.join(" ")
}

/// The configurations of a tune, best first, with what varies between them.
pub fn tune_table(outcome: &TuneOutcome) -> Table {
    let varying = varying_names(&outcome.cvs);
    let mut table = plain();
    let mut header =
        vec!["", "cv", "score", "cells", "status"].into_iter().map(Cell::new).collect::<Vec<_>>();
    header.extend(varying.iter().map(Cell::new));
    header.push(Cell::new("best checkpoint"));
    table.set_header(header);
    for index in order(outcome) {
        let cv = &outcome.cvs[index];
        let mark = if outcome.best == Some(index) { "*" } else { "" };
        let mut row = vec![
            Cell::new(mark),
            Cell::new(&cv.cv_name),
            Cell::new(score_with_spread(cv.score, cv.spread)).set_alignment(CellAlignment::Right),
            Cell::new(cells(cv)),
            Cell::new(cv.status.name()),
        ];
        for name in &varying {
            row.push(Cell::new(cv.hyperparameters.get(name).map_or_else(|| "-".to_owned(), short)));
        }
        row.push(Cell::new(best_checkpoint(cv, &cv.cv_dir)));
        table.add_row(row);
    }
    table
}

/// The cells of a cv, in their order.
pub fn cv_table(outcome: &CvOutcome, shown: &[String]) -> Table {
    let mut table = plain();
    let mut header = vec![Cell::new("run folder"), Cell::new("fold"), Cell::new("seed"), Cell::new("status")];
    header.extend(shown.iter().map(Cell::new));
    header.extend([Cell::new("device"), Cell::new("seconds"), Cell::new("best checkpoint")]);
    table.set_header(header);
    for run in &outcome.runs {
        let mut row = vec![
            Cell::new(below(&run.run_dir, &outcome.cv_dir)),
            Cell::new(run.cell.fold),
            Cell::new(run.cell.seed),
            Cell::new(status_with_reason(run)),
        ];
        for name in shown {
            let value = run.metrics.get(name).map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            row.push(Cell::new(value).set_alignment(CellAlignment::Right));
        }
        row.push(Cell::new(run.device.as_deref().unwrap_or("-")));
        row.push(Cell::new(format!("{:.1}", run.duration_secs)).set_alignment(CellAlignment::Right));
        let checkpoint =
            run.checkpoint.as_ref().map_or_else(|| "-".to_owned(), |path| below(path, &run.run_dir));
        row.push(Cell::new(checkpoint));
        table.add_row(row);
    }
    table
}

/// Metrics of one run's passes: a row each, a column for every one of train, val and test.
pub fn metrics_table(run: &RunOutcome) -> Table {
    let passes: Vec<&str> = ["train", "val", "test"]
        .into_iter()
        .filter(|pass| run.metrics.contains_key(&format!("{pass}/loss")))
        .collect();
    let names: BTreeSet<&str> = run
        .metrics
        .keys()
        .filter_map(|name| name.split_once('/'))
        .filter(|(pass, name)| passes.contains(pass) && !name.contains('/') && !name.ends_with("_step"))
        .filter(|(_, name)| *name != "time")
        .map(|(_, name)| name)
        .collect();
    let mut table = plain();
    table.set_header(std::iter::once("metric").chain(passes.iter().copied()));
    for name in names {
        let mut row = vec![Cell::new(name)];
        for pass in &passes {
            let value = run.metrics.get(&format!("{pass}/{name}"));
            let text = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            row.push(Cell::new(text).set_alignment(CellAlignment::Right));
        }
        table.add_row(row);
    }
    table
}

fn status_with_reason(run: &RunOutcome) -> String {
    match &run.failure {
        None => run.status.name().to_owned(),
        Some(failure) => format!("{} ({})", run.status.name(), reason(failure)),
    }
}

/// `2/3` complete cells, and what became of the others.
fn cells(cv: &CvOutcome) -> String {
    let count = |wanted: Status| cv.runs.iter().filter(|run| run.status == wanted).count();
    let mut text = format!("{}/{}", count(Status::Complete), cv.runs.len());
    for other in [Status::Unstable, Status::Failed, Status::Pruned, Status::Cancelled] {
        let number = count(other);
        if number > 0 {
            text.push_str(&format!(", {number} {}", other.name()));
        }
    }
    text
}

/// A path as it is below `folder`; the tables say once where that is.
fn below(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// Folder of the checkpoint of the cv's best cell, by the metric checkpoints follow.
fn best_checkpoint(cv: &CvOutcome, folder: &Path) -> String {
    let monitored = |run: &&RunOutcome| {
        run.metrics.get(crate::display::SHOWN_METRIC).copied().unwrap_or(f64::NEG_INFINITY)
    };
    cv.runs
        .iter()
        .filter(|run| run.checkpoint.is_some())
        .max_by(|a, b| monitored(a).total_cmp(&monitored(b)))
        .and_then(|run| run.checkpoint.as_ref())
        .map_or_else(|| "-".to_owned(), |path| below(path, folder))
}

/// Indices of the cvs: the best first, then by score, those without one last.
fn order(outcome: &TuneOutcome) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..outcome.cvs.len()).collect();
    let lower_is_better = outcome.best.is_some_and(|best| {
        let best_score = outcome.cvs[best].score.unwrap_or(f64::NAN);
        outcome.cvs.iter().any(|cv| !cv.score_is_unstable && cv.score.is_some_and(|score| score > best_score))
    });
    indices.sort_by(|&a, &b| {
        let (a_cv, b_cv) = (&outcome.cvs[a], &outcome.cvs[b]);
        let by_score = match (a_cv.score, b_cv.score) {
            (Some(a), Some(b)) if lower_is_better => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        (outcome.best != Some(a)).cmp(&(outcome.best != Some(b))).then(by_score).then(a.cmp(&b))
    });
    indices
}

/// Names of the hyperparameters that differ between configurations; all of them for a single one.
fn varying_names(cvs: &[CvOutcome]) -> Vec<String> {
    let Some(first) = cvs.first() else { return Vec::new() };
    let all = first.hyperparameters.keys();
    if cvs.len() == 1 {
        return all.cloned().collect();
    }
    all.filter(|name| {
        let value = first.hyperparameters.get(*name);
        cvs.iter().any(|cv| cv.hyperparameters.get(*name) != value)
    })
    .cloned()
    .collect()
}

fn short(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            if value != 0.0 && !(1e-3..1e4).contains(&value.abs()) {
                format!("{value:.3e}")
            } else {
                format!("{value:.4}")
            }
        }
        other => other.to_string(),
    }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table
}

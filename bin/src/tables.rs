//! The tables printed at the end of a job, and the words used in them.

use std::collections::BTreeSet;
use std::path::Path;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use engine::failures::{FailureReport, ValueFailures, ValueOrBin};
use engine::{ComputeMode, CvOutcome, DeviceRow, Holder, Hyperparameters, RunOutcome, Status, TuneOutcome};

use crate::display::reason;

/// Characters of a GPU's UUID in tables: `GPU-` and the digits that tell those of one machine apart.
const SHOWN_OF_UUID: usize = 12;

/// Values of hyperparameters shown beside failures, and kinds of failures: what is further down stands out less.
const SHOWN_VALUES: usize = 12;
const SHOWN_GROUPS: usize = 8;

/// Letters of a failure's message in tables.
const SHOWN_OF_MESSAGE: usize = 160;

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

/// Values of hyperparameters whose runs failed, those first that stand out; `None` if nothing that varies is among them.
pub fn failures_table(report: &FailureReport) -> Option<Table> {
    let failed: Vec<&ValueFailures> = report.values.iter().filter(|row| row.failed > 0).collect();
    if failed.is_empty() {
        return None;
    }
    let mut table = plain();
    table.set_header(["hyperparameter", "value", "failed", "runs", "why"]);
    for row in failed.iter().take(SHOWN_VALUES) {
        let causes: Vec<String> =
            row.causes.iter().map(|(cause, runs)| format!("{runs} {}", cause.name())).collect();
        table.add_row([
            Cell::new(&row.hyperparameter),
            Cell::new(value_or_bin(&row.value)),
            Cell::new(row.failed).set_alignment(CellAlignment::Right),
            Cell::new(row.runs).set_alignment(CellAlignment::Right),
            Cell::new(causes.join(", ")),
        ]);
    }
    if failed.len() > SHOWN_VALUES {
        table.add_row([format!("and {} more, see --json", failed.len() - SHOWN_VALUES)]);
    }
    Some(table)
}

/// What went wrong, the most frequent first, with a run to look at.
pub fn failure_groups_table(report: &FailureReport, folder: &Path) -> Table {
    let mut table = plain();
    table.set_header(["runs", "why", "what", "one of them"]);
    for group in report.groups.iter().take(SHOWN_GROUPS) {
        table.add_row([
            Cell::new(group.runs).set_alignment(CellAlignment::Right),
            Cell::new(group.cause.name()),
            Cell::new(shortened(&group.message)),
            Cell::new(below(&group.run_dir, folder)),
        ]);
    }
    if report.groups.len() > SHOWN_GROUPS {
        table.add_row([format!("and {} more, see --json", report.groups.len() - SHOWN_GROUPS)]);
    }
    table
}

fn value_or_bin(value: &ValueOrBin) -> String {
    let number = |number: &f64| short(&serde_json::json!(number));
    match value {
        ValueOrBin::One(value) => short(value),
        ValueOrBin::Bin { low, high } if low == high => number(low),
        ValueOrBin::Bin { low, high } => format!("{} to {}", number(low), number(high)),
    }
}

/// The beginning of a message; all of it is in the table on disk.
fn shortened(message: &str) -> String {
    match message.char_indices().nth(SHOWN_OF_MESSAGE) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

/// Everything there is to compute on.
pub fn device_table(devices: &[DeviceRow]) -> Table {
    let mut table = plain();
    table.set_header(["", "device", "name", "memory", "free", "what", "uuid", "who is on it"]);
    for device in devices {
        let right = |bytes: Option<u64>| Cell::new(gibibytes(bytes)).set_alignment(CellAlignment::Right);
        let holders: Vec<String> = device.holders.iter().map(holder).collect();
        table.add_row([
            Cell::new(if device.chosen { "*" } else { "" }),
            Cell::new(&device.device),
            Cell::new(device.name.as_deref().unwrap_or("-")),
            right(device.total_bytes),
            right(device.free_bytes),
            Cell::new(what(device)),
            // `--devices` takes the beginning of a UUID; `--json` has all of it.
            Cell::new(device.uuid.as_deref().map_or("-", |uuid| uuid.get(..SHOWN_OF_UUID).unwrap_or(uuid))),
            Cell::new(if holders.is_empty() { "-".to_owned() } else { holders.join("\n") }),
        ]);
    }
    table
}

/// What sets a device apart: cores and threads, compute mode, whether it is a part.
fn what(device: &DeviceRow) -> String {
    if let Some(threads) = device.threads {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let (cores, count) = (spans(&device.cores), device.cores.len());
        return format!(
            "core{} {cores}, {threads} thread{}",
            plural(count),
            plural(usize::try_from(threads).unwrap_or(usize::MAX))
        );
    }
    let mode = match device.compute_mode {
        Some(ComputeMode::ExclusiveProcess) => Some("one process at a time"),
        Some(ComputeMode::Prohibited) => Some("computing is prohibited"),
        Some(ComputeMode::Default) | None => None,
    };
    let part = device
        .mig_parent
        .as_ref()
        .map(|gpu| format!("MIG device of {}", gpu.get(..SHOWN_OF_UUID).unwrap_or(gpu)));
    let words: Vec<String> = part.into_iter().chain(mode.map(str::to_owned)).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// `0-3,8` for cores 0, 1, 2, 3 and 8.
fn spans(cores: &[usize]) -> String {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for core in cores {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *core => *last = *core,
            _ => spans.push((*core, *core)),
        }
    }
    let span = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    spans.iter().map(span).collect::<Vec<_>>().join(",")
}

/// `calm-kelvin-1-cv0-run-f0s42 (slot 0, pid 4711, 3.2 GiB, for 12 min)`, `python3 (pid 815, 12.0 GiB)`.
fn holder(holder: &Holder) -> String {
    let about: Vec<String> = [
        holder.slot.map(|slot| format!("slot {slot}")),
        holder.pid.map(|pid| format!("pid {pid}")),
        holder.used_bytes.map(|bytes| gibibytes(Some(bytes))),
        holder.since_unix_secs.and_then(time_since),
    ]
    .into_iter()
    .flatten()
    .collect();
    let name = holder.name.as_deref().unwrap_or("a process");
    if about.is_empty() { name.to_owned() } else { format!("{name} ({})", about.join(", ")) }
}

/// `for 12 min`; nothing for a time to come.
fn time_since(unix_secs: u64) -> Option<String> {
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_secs);
    let minutes = then.elapsed().ok()?.as_secs() / 60;
    Some(match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("for {minutes} min"),
        (hours, minutes) => format!("for {hours} h {minutes} min"),
    })
}

fn gibibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_told_in_spans() {
        assert_eq!(spans(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(spans(&[]), "");
    }

    #[test]
    fn a_holder_is_told_with_what_is_known() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let engine = Holder {
            pid: Some(4711),
            name: Some("calm-kelvin-1-cv0".into()),
            has_lock: true,
            slot: Some(1),
            since_unix_secs: Some(now - 3 * 3600 - 125),
            used_bytes: Some(3 << 30),
        };
        assert_eq!(holder(&engine), "calm-kelvin-1-cv0 (slot 1, pid 4711, 3.0 GiB, for 3 h 2 min)");
        let unknown =
            Holder { pid: None, name: None, slot: None, since_unix_secs: None, used_bytes: None, ..engine };
        assert_eq!(holder(&unknown), "a process");
    }

    #[test]
    fn failures_are_shown_with_their_value_and_a_run_to_look_at() {
        use engine::Cause;
        use engine::failures::FailureGroup;
        let value = |value, failed| ValueFailures {
            hyperparameter: "rate".into(),
            value,
            runs: 4,
            failed,
            causes: vec![(Cause::Diverged, failed)],
            stands_out: 1.0,
        };
        let group = FailureGroup {
            cause: Cause::Diverged,
            message: "é".repeat(SHOWN_OF_MESSAGE + 1),
            runs: 3,
            run_dir: "out/t/t-cv0/r".into(),
        };
        let bin = ValueOrBin::Bin { low: 1e-5, high: 0.5 };
        let report = FailureReport {
            runs: 8,
            failed: 3,
            values: vec![value(bin, 3), value(ValueOrBin::One("x".into()), 0)],
            groups: vec![group],
        };
        let shown = failures_table(&report).unwrap().to_string();
        assert!(shown.contains("1.000e-5 to 0.5000") && shown.contains("3 diverged"), "{shown}");
        assert!(!shown.contains(" x "), "a value that did not fail is not shown: {shown}");
        let shown = failure_groups_table(&report, Path::new("out/t")).to_string();
        assert!(shown.contains("t-cv0/r") && shown.contains("é…"), "{shown}");
        let none = FailureReport { values: vec![], ..report };
        assert!(failures_table(&none).is_none());
    }
}

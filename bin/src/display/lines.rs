//! One line for every event worth telling: what is shown where the output is no terminal.

use engine::{Event, Failure, Status};

use super::board::{Board, SHOWN_METRIC, spell};

/// The line for an event; none for events that only move a bar.
pub fn line(event: &Event, board: &Board) -> Option<String> {
    let text = match event {
        Event::TuneStarted { tune_name, tune_dir, n_trials, cells_per_cv } => format!(
            "tune {tune_name}: {n_trials} configurations x {cells_per_cv} cells, in {}",
            tune_dir.display()
        ),
        Event::TuneFinished { tune_name, best_cv, best_score, cancelled } => match (best_cv, best_score) {
            _ if *cancelled => format!("tune {tune_name}: stopped"),
            (Some(cv), Some(score)) => format!("tune {tune_name}: done, best {cv} with {score:.4}"),
            _ => format!("tune {tune_name}: done, no stable configuration"),
        },
        Event::CvStarted { cv_name, hyperparameters, cells, .. } => {
            format!("cv {cv_name}: {cells} cells, {}", crate::tables::short_hyperparameters(hyperparameters))
        }
        Event::CvFinished { cv_name, score, spread, score_is_unstable, status } => {
            let score = crate::tables::score_with_spread(*score, *spread);
            let unstable = if *score_is_unstable { ", unstable" } else { "" };
            format!("cv {cv_name}: {}, score {score}{unstable}", status.name())
        }
        Event::RunStarted { run_name, device, attempt, .. } => {
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            format!("run {run_name}: started on {device}{again}")
        }
        Event::RunPrepared { run_id, train_samples, val_samples, parameters, device } => format!(
            "run {}: {train_samples} train and {val_samples} validation samples, {:.1} M parameters, {device}",
            name(board, run_id),
            *parameters as f64 / 1e6
        ),
        Event::RunValidated { run_id, epoch, metrics, .. } => {
            let shown =
                metrics.get(SHOWN_METRIC).map_or(String::new(), |v| format!(", {SHOWN_METRIC} {v:.4}"));
            let loss = metrics.get("val/loss").map_or(String::new(), |v| format!(", val/loss {v:.4}"));
            let eta = board.eta().map_or(String::new(), |eta| format!(", about {} left", spell(eta)));
            format!("run {}: epoch {epoch}{shown}{loss}{eta}", name(board, run_id))
        }
        Event::RunRetried { run_id, attempt, failure } => {
            format!(
                "run {}: attempt {attempt} failed ({}), trying again",
                name(board, run_id),
                reason(failure)
            )
        }
        Event::RunFinished { run_name, status, failure, duration_secs, .. } => {
            let why = failure.as_ref().map_or(String::new(), |failure| format!(" ({})", reason(failure)));
            let left = format!("{}/{}", board.runs_done, board.runs_expected);
            let status = match status {
                Status::Complete => "done".to_owned(),
                other => other.name().to_owned(),
            };
            format!("run {run_name}: {status}{why} after {duration_secs:.1} s [{left}]")
        }
        Event::Warned { message } => format!("warning: {message}"),
        _ => return None,
    };
    Some(text)
}

/// Cause and message of a failure on one line.
pub fn reason(failure: &Failure) -> String {
    format!("{}: {}", failure.cause.name(), failure.message)
}

fn name<'a>(board: &'a Board, run_id: &'a str) -> &'a str {
    board.runs.get(run_id).map_or(run_id, |run| &run.name)
}

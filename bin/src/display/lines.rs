//! One line for every event worth telling: what is shown where the output is no terminal.

use engine::tracking::{Progress, group_url, is_entry};
use engine::{Event, Failure, Status};

use super::board::{Board, Called, SHOWN_METRIC, spell};

/// The line for an event, behind that for what is resumed where it is time for it; none for events that only move a bar.
pub fn line(event: &Event, board: &Board) -> Option<String> {
    match (&board.resumed, line_of(event, board)) {
        (Some(resumed), Some(line)) => Some(format!("{resumed}\n{line}")),
        (resumed, line) => line.or_else(|| resumed.clone()),
    }
}

fn line_of(event: &Event, board: &Board) -> Option<String> {
    let text = match event {
        Event::TuneStarted { tune_name, tune_dir, n_trials, cells_per_cv, .. } => format!(
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
        // What a program trains on is not known.
        Event::RunPrepared { run_id, train_samples: 0, val_samples: 0, parameters: 0, device, .. } => {
            format!("run {}: {device}", name(board, run_id))
        }
        Event::RunPrepared { run_id, train_samples, val_samples, parameters, device, .. } => format!(
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
        Event::RunTracked { run_id, url, .. } => tracked(run_id, url, board)?,
        Event::Warned { message } => format!("warning: {message}"),
        _ => return None,
    };
    Some(text)
}

/// Where what was called can be looked at, once; not where each of its runs can.
fn tracked(id: &str, url: &str, board: &Board) -> Option<String> {
    match &board.called {
        Some(_) if !is_entry(id) => None,
        Some(Called::Cv(cv_name)) => Some(format!("cv {cv_name}: {url}")),
        Some(Called::Tune(tune_name)) => {
            let runs =
                group_url(url, tune_name).map_or(String::new(), |group| format!(", its runs: {group}"));
            Some(format!("tune {tune_name}: {url}{runs}"))
        }
        None => Some(format!("run {}: {url}", name(board, id))),
    }
}

/// What is still on its way, in one line.
pub fn sending(progress: &[Progress]) -> String {
    let rows: u64 = progress.iter().map(|run| run.rows_behind).sum();
    let trouble = progress.iter().find_map(|run| run.trouble.as_deref());
    let trouble = trouble.map_or(String::new(), |trouble| format!(" ({trouble})"));
    // Rows are counted as they are read: of what is not read yet only the size is known.
    let what = if rows > 0 { plural(rows, "row") } else { "what is left".to_owned() };
    let run = plural(progress.len() as u64, "run");
    format!("sending {what} of {run} to W&B …{trouble}; Ctrl-C leaves them to `engine sync`")
}

/// A count with its noun.
pub fn plural(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// Cause and message of a failure on one line.
pub fn reason(failure: &Failure) -> String {
    format!("{}: {}", failure.cause.name(), failure.message)
}

fn name<'a>(board: &'a Board, run_id: &'a str) -> &'a str {
    board.runs.get(run_id).map_or(run_id, |run| &run.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://wandb.ai/e/p/runs/";

    fn shown(called: Option<Called>, id: &str) -> Option<String> {
        let mut board = Board::default();
        board.called = called;
        line(
            &Event::RunTracked { run_id: id.into(), tracker: "wandb".into(), url: format!("{URL}{id}") },
            &board,
        )
    }

    #[test]
    fn what_was_called_is_shown_and_not_each_of_its_runs() {
        let tune = || Some(Called::Tune("t".into()));
        assert_eq!(shown(None, "abcd1234"), Some(format!("run abcd1234: {URL}abcd1234")));
        assert_eq!(shown(tune(), "abcd1234"), None);
        let entry = "t0123456789abc";
        let text = shown(tune(), entry).unwrap();
        assert_eq!(text, format!("tune t: {URL}{entry}, its runs: https://wandb.ai/e/p/groups/t"));
        assert_eq!(shown(Some(Called::Cv("c".into())), "abcd1234"), None);
        let entry = "c0123456789abc";
        assert_eq!(shown(Some(Called::Cv("c".into())), entry), Some(format!("cv c: {URL}{entry}")));
    }

    #[test]
    fn one_line_says_what_is_on_its_way_and_what_is_wrong() {
        let run = |rows_behind, trouble: Option<&str>| Progress {
            run_id: "a".into(),
            bytes_behind: 10,
            rows_behind,
            trouble: trouble.map(str::to_owned),
        };
        let text = sending(&[run(100, None), run(20, Some("server answers 503, retrying"))]);
        assert!(
            text.starts_with("sending 120 rows of 2 runs to W&B … (server answers 503, retrying)"),
            "{text}"
        );
        assert!(sending(&[run(1, None)]).starts_with("sending 1 row of 1 run to W&B …;"));
        assert!(sending(&[run(0, None)]).starts_with("sending what is left of 1 run to W&B …;"));
    }
}

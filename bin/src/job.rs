//! Running one job to its end: events to the display, signals to the job, what is left to W&B.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::tracking::Unfinished;
use engine::{Engine, EngineError, JobHandle};
use serde_json::json;

use crate::display::{Display, Style, plural};
use crate::exit::Failure;
use crate::interrupt::Interrupts;

/// How a job ended.
pub struct Ended<O> {
    /// What it says of itself.
    pub outcome: O,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// What W&B does not have, and where it is.
    left: Vec<Unfinished>,
    artifact_dir: PathBuf,
}

/// Starts a job on `engine`, shows its events until it ends, sends what is left, and takes the engine down.
pub fn follow<O>(
    engine: Engine,
    style: Style,
    warnings: &[String],
    artifact_dir: &Path,
    start: impl FnOnce(&Engine) -> Result<JobHandle<O>, EngineError>,
) -> Result<Ended<O>, Failure> {
    let mut events = engine.events();
    let display = Arc::new(Mutex::new(Display::new(style)));
    let notes = engine.device_note().into_iter().chain(engine.tracking_note());
    for message in warnings.iter().cloned().chain(notes) {
        lock(&display).show(&engine::Event::Warned { message });
    }
    let handle = start(&engine)?;
    let interrupts = Interrupts::listen(handle.stopper())?;
    let its = Arc::clone(&display);
    let shown = std::thread::Builder::new().name("engine-display".into()).spawn(move || {
        while let Some(event) = events.next_blocking() {
            lock(&its).show(&event);
        }
    })?;
    let outcome = handle.wait();
    let interrupted = interrupts.heard();
    interrupts.begin_sending();
    // With the engine its events end, and with them the display's thread.
    let left = engine.close(&mut |progress| {
        lock(&display).sending(progress);
        if interrupts.ends_sending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if shown.join().is_err() {
        eprintln!("warning: the display ended early, see above; the job was not touched by it");
    }
    lock(&display).close();
    match outcome {
        Ok(outcome) => Ok(Ended { outcome, interrupted, left, artifact_dir: artifact_dir.to_owned() }),
        Err(lost) => {
            tell_left(style, &left, artifact_dir);
            Err(lost.into())
        }
    }
}

fn lock(display: &Mutex<Display>) -> MutexGuard<'_, Display> {
    display.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result as the last line of `--json`, or as text; before it, what W&B does not have.
pub fn print_result<O: serde::Serialize>(style: Style, ended: &Ended<O>, text: impl FnOnce() -> String) {
    tell_left(style, &ended.left, &ended.artifact_dir);
    match style {
        Style::Json => println!("{}", json!({ "event": "result", "outcome": ended.outcome })),
        _ => println!("{}", text()),
    }
}

/// Says what is not sent and what finishes it. The training's own end is not touched by it.
fn tell_left(style: Style, left: &[Unfinished], artifact_dir: &Path) {
    if left.is_empty() {
        return;
    }
    let command = format!("engine sync {}", folders_to_sync(left, artifact_dir).join(" "));
    if style == Style::Json {
        let runs: Vec<_> = left
            .iter()
            .map(|run| json!({ "folder": run.folder, "rows_left": run.rows_left, "reason": run.reason }))
            .collect();
        println!("{}", json!({ "event": "not-sent", "runs": runs, "command": command }));
        return;
    }
    let rows: u64 = left.iter().map(|run| run.rows_left).sum();
    let mut reasons: Vec<&str> = left.iter().map(|run| run.reason.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let why = match reasons.split_first() {
        Some((first, [])) => (*first).to_owned(),
        Some((first, more)) => format!("{first}, and {} other reasons", more.len()),
        None => String::new(),
    };
    let (rows, runs) = (plural(rows, "row"), plural(left.len() as u64, "run"));
    eprintln!("not sent to W&B: {rows} of {runs} ({why}); they are on disk, this sends them:");
    eprintln!("  {command}");
}

/// The artifact folder, where all of them lie below it; else the folders they lie in.
fn folders_to_sync(left: &[Unfinished], artifact_dir: &Path) -> Vec<String> {
    let whole = std::path::absolute(artifact_dir).unwrap_or_else(|_| artifact_dir.to_owned());
    let is_below = |folder: &Path| {
        folder.starts_with(artifact_dir)
            || std::path::absolute(folder).is_ok_and(|folder| folder.starts_with(&whole))
    };
    let others = left.iter().filter(|run| !is_below(&run.folder));
    let mut folders: Vec<&Path> = others.map(|run| run.folder.parent().unwrap_or(&run.folder)).collect();
    if left.iter().any(|run| is_below(&run.folder)) {
        folders.push(artifact_dir);
    }
    folders.sort_unstable();
    folders.dedup();
    folders.iter().map(|folder| quoted(folder)).collect()
}

/// A path to be pasted into a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=,:@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &str) -> Unfinished {
        Unfinished { folder: folder.into(), rows_left: 3, reason: "no answer".into() }
    }

    #[test]
    fn one_folder_is_named_where_all_lie_in_it() {
        let left = [run("artifacts/t/wandb/offline-run-a"), run("artifacts/_runs/r/wandb/offline-run-b")];
        assert_eq!(folders_to_sync(&left, Path::new("artifacts")), ["artifacts"]);
        let absolute = std::path::absolute("artifacts/t/wandb/offline-run-a").unwrap();
        assert_eq!(
            folders_to_sync(&[run(absolute.to_str().unwrap())], Path::new("artifacts")),
            ["artifacts"]
        );
    }

    #[test]
    fn folders_elsewhere_are_named_once_each() {
        let left = [
            run("/scratch/wandb/offline-run-a"),
            run("/scratch/wandb/offline-run-b"),
            run("my runs/t/wandb/x"),
        ];
        assert_eq!(folders_to_sync(&left, Path::new("my runs")), ["/scratch/wandb", "'my runs'"]);
    }
}

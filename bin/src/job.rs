//! Running one job to its end: events to the display, signals to the job, what is left to W&B.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::artifacts::ArtifactLayout;
use engine::config::EngineConfig;
use engine::jobs::{Diary, DiaryError, JobEnd, JobOpening, JobPlace};
use engine::tracking::Unfinished;
use engine::{Engine, EngineError, Event, JobHandle};
use serde_json::json;

use crate::detach::Detached;
use crate::display::{Display, Style, plural};
use crate::exit::{Code, Failure};
use crate::interrupt::{Interrupts, Job};
use crate::print::{errln, outln};

/// How a job was called.
pub struct Call {
    pub style: Style,
    /// The way out of the terminal, and back to whoever waits there.
    pub detached: Option<Detached>,
    /// What the user should know beforehand.
    pub warnings: Vec<String>,
}

/// How a job ended.
pub struct Ended<O> {
    /// What it says of itself.
    pub outcome: O,
    /// How the program ends if the user stopped the job.
    interrupted: Option<Code>,
    /// What W&B does not have, and where it is.
    left: Vec<Unfinished>,
    artifact_dir: PathBuf,
    style: Style,
    diary: Option<Diary>,
}

/// Starts a job on `engine`, shows its events until it ends, sends what is left, and takes the engine down.
pub fn follow<O>(
    engine: Engine,
    call: Call,
    config: &EngineConfig,
    start: impl FnOnce(&Engine) -> Result<JobHandle<O>, EngineError>,
) -> Result<Ended<O>, Failure> {
    let Call { style, detached, warnings } = call;
    let mut events = engine.events();
    let diary =
        Diary::begin(ArtifactLayout::new(&config.artifact_dir), JobOpening::of_this_process(arguments()))?;
    let display = Arc::new(Mutex::new(Display::new(style)));
    let notes = engine.device_note().into_iter().chain(engine.tracking_note());
    for message in warnings.into_iter().chain(notes) {
        lock(&display).show(&Event::Warned { message });
    }
    if let Some(detached) = &detached {
        detached.leave_session()?;
    }
    let handle = start(&engine)?;
    let job =
        Job { engine: engine.clone(), stopper: handle.stopper(), stop_within: config.device.stop_within };
    let interrupts = Interrupts::listen(job)?;
    let its = Arc::clone(&display);
    let mut teller = Teller { diary, detached };
    let shown = std::thread::Builder::new().name("engine-display".into()).spawn(move || {
        while let Some(event) = events.next_blocking() {
            let noted = teller.note(&event);
            let mut display = lock(&its);
            display.show(&event);
            if let Err(error) = noted {
                display.show(&Event::Warned { message: told(&error) });
            }
        }
        teller.diary
    })?;
    let outcome = handle.wait();
    let interrupted = interrupts.heard();
    interrupts.begin_sending();
    // With the engine its events end, and with them the display's thread.
    let left = engine.close(&mut |progress| {
        lock(&display).sending(progress);
        if interrupts.ends_sending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let diary = shown.join().ok();
    if diary.is_none() {
        errln!("warning: the display ended early, see above; the job was not touched by it");
    }
    lock(&display).close();
    let artifact_dir = config.artifact_dir.clone();
    match outcome {
        Ok(outcome) => Ok(Ended { outcome, interrupted, left, artifact_dir, style, diary }),
        Err(lost) => {
            tell_left(style, &left, &artifact_dir);
            let lost = Failure::from(lost);
            let text = format!("error: {}", crate::exit::chain(&lost));
            end(diary, JobEnd { exit_code: lost.code().number(), text, outcome: json!(null) });
            Err(lost)
        }
    }
}

/// As they were given; only shown, so that what is no text may be shown otherwise.
fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// Tells others of what happens.
struct Teller {
    diary: Diary,
    detached: Option<Detached>,
}

impl Teller {
    fn note(&mut self, event: &Event) -> Result<(), DiaryError> {
        let noted = self.diary.note(event);
        if let (Some(place), Some(detached)) = (self.place(event, &noted), self.detached.take()) {
            detached.job_is_taken(&place);
        }
        noted.map(drop)
    }

    /// The job's place, with the event that tells it; where its diary can not be written too.
    fn place(&self, event: &Event, noted: &Result<Option<JobPlace>, DiaryError>) -> Option<JobPlace> {
        match noted {
            Ok(place) => place.clone(),
            Err(_) => self.diary.place_of(event),
        }
    }
}

/// An error of the diary with what the system says.
fn told(error: &DiaryError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn end(diary: Option<Diary>, end: JobEnd) {
    if let Some(Err(error)) = diary.map(|diary| diary.end(end)) {
        errln!("warning: {}", told(&error));
    }
}

fn lock(display: &Mutex<Display>) -> MutexGuard<'_, Display> {
    display.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result as the last line of `--json`, or as text; before it, what W&B does not have. Gives how the program ends:
/// with `code`, unless the user stopped the job.
pub fn print_result<O: serde::Serialize>(
    ended: Ended<O>,
    code: Code,
    text: impl FnOnce(&O) -> String,
) -> Code {
    print_result_with(ended, code, json!({}), text)
}

/// As [`print_result`], with further fields beside the outcome in `--json`.
pub fn print_result_with<O: serde::Serialize>(
    ended: Ended<O>,
    code: Code,
    beside: serde_json::Value,
    text: impl FnOnce(&O) -> String,
) -> Code {
    tell_left(ended.style, &ended.left, &ended.artifact_dir);
    let code = ended.interrupted.unwrap_or(code);
    let (text, outcome) = (text(&ended.outcome), json!(ended.outcome));
    match ended.style {
        Style::Json => {
            let mut result = json!({ "event": "result", "outcome": outcome });
            if let (Some(result), serde_json::Value::Object(beside)) = (result.as_object_mut(), beside) {
                result.extend(beside);
            }
            outln!("{result}");
        }
        _ => outln!("{text}"),
    }
    end(ended.diary, JobEnd { exit_code: code.number(), text, outcome });
    code
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
        outln!("{}", json!({ "event": "not-sent", "runs": runs, "command": command }));
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
    errln!("not sent to W&B: {rows} of {runs} ({why}); they are on disk, this sends them:");
    errln!("  {command}");
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

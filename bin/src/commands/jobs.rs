//! `engine status`, `engine attach` and `engine cancel`.

use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use comfy_table::{Table, presets};
use engine::artifacts::ArtifactLayout;
use engine::config::{EngineConfig, OptionSpec, artifact_dir, option};
use engine::jobs::{
    DiaryEntry, DiaryReader, JobEnd, JobPlace, JobProcess, JobState, JobStatus, JobsError, find, list,
};
use engine::{Event, StopMode};
use serde_json::json;

use crate::display::{Display, Style, plural, spell};
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};

/// Time between two looks at a job.
const LOOK: Duration = Duration::from_millis(200);

/// The command that does something with a job, to be pasted into a shell.
pub fn on_job(command: &str, name: &str, config: &EngineConfig) -> String {
    let folder = config.artifact_dir.display().to_string();
    let default = option("artifact-dir").and_then(|option: &OptionSpec| option.default);
    let folder =
        if default == Some(&*folder) { String::new() } else { format!(" --artifact-dir '{folder}'") };
    format!("engine {command} '{name}'{folder}")
}

fn layout(given: &ArgMatches) -> Result<ArtifactLayout, Failure> {
    Ok(ArtifactLayout::new(artifact_dir(&super::resolved(given)?)?))
}

fn named(given: &ArgMatches) -> Result<JobPlace, Failure> {
    let name = given.get_one::<String>("job").map_or("", String::as_str);
    Ok(find(&layout(given)?, name)?)
}

// ---- status ----

pub fn status(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    if given.contains_id("job") {
        let status = JobStatus::of(&named(given)?)?;
        match style {
            Style::Json => outln!("{}", json!(status)),
            _ => outln!("{}", in_full(&status)),
        }
        return Ok(Code::Done);
    }
    let (mut table, mut code) = (Table::new(), Code::Done);
    table.load_style(presets::NOTHING);
    table.set_header([
        "job",
        "state",
        "runs",
        "configurations",
        "best score",
        "failed",
        "begun",
        "last sign",
    ]);
    let mut goes_on = Vec::new();
    for place in list(&layout(given)?)? {
        match JobStatus::of(&place) {
            Ok(status) if style == Style::Json => outln!("{}", json!(status)),
            Ok(status) => {
                table.add_row(row(&status));
                goes_on.extend(status.resume.map(|resume| format!("{}: {resume}", status.name)));
            }
            Err(error) => {
                code = Code::File;
                unreadable(&place, error, style);
            }
        }
    }
    if style != Style::Json {
        if table.row_count() > 0 {
            outln!("{table}");
        } else if code == Code::Done {
            outln!("no jobs are here; --artifact-dir looks elsewhere");
        }
        if style != Style::Quiet && !goes_on.is_empty() {
            outln!("\nwhat can be gone on with:");
            goes_on.iter().for_each(|line| outln!("  {line}"));
        }
    }
    Ok(code)
}

fn unreadable(place: &JobPlace, error: JobsError, style: Style) {
    let JobPlace { level, name, dir, .. } = place;
    let failure = Failure::from(error);
    let error = crate::exit::chain(&failure);
    if style == Style::Json {
        outln!("{}", json!({ "level": level.to_string(), "name": name, "dir": dir, "error": error }));
    } else {
        errln!("{level} {name}: {error}");
    }
}

fn row(status: &JobStatus) -> [String; 8] {
    [
        format!("{} {}", status.level, status.name),
        state(status),
        of(status.runs_done, status.runs_planned),
        status
            .configurations_done
            .zip(status.configurations_planned)
            .map_or(String::new(), |(done, planned)| of(done, planned)),
        status.best_score.map_or(String::new(), |score| format!("{score:.4}")),
        status.failures.to_string(),
        ago(status.begun_unix_secs),
        ago(status.last_sign_unix_secs),
    ]
}

fn in_full(status: &JobStatus) -> String {
    let [_, state, runs, configurations, score, failed, begun, last_sign] = row(status);
    let mut lines = vec![
        format!("{} {}: {state}", status.level, status.name),
        format!("  in {}", status.dir.display()),
        format!("  begun {begun}, last sign of life {last_sign}"),
        format!(
            "  runs over: {runs}, {failed} of them failed, {}",
            plural(status.retries.into(), "attempt was repeated")
        ),
    ];
    if !configurations.is_empty() {
        lines.push(format!("  configurations over: {configurations}"));
    }
    if !score.is_empty() {
        lines.push(format!("  best score so far: {score}"));
    }
    if let Some(resume) = &status.resume {
        lines.push(format!("  to go on with it:\n    {resume}"));
    }
    lines.join("\n")
}

fn state(status: &JobStatus) -> String {
    let host = status.host.as_deref().unwrap_or("another machine");
    match (status.state, status.pid) {
        (JobState::Running, Some(pid)) => format!("running as process {pid}"),
        (JobState::RunningElsewhere, _) => format!("running on {host}"),
        (state, _) => state.to_string(),
    }
}

fn of(done: u32, planned: u32) -> String {
    format!("{done}/{planned}")
}

fn ago(unix_secs: Option<u64>) -> String {
    unix_secs.map_or("at an unknown time".to_owned(), |then| format!("{} ago", spell(since(then))))
}

fn since(unix_secs: u64) -> Duration {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_secs);
    // Of a machine whose clock is ahead.
    SystemTime::now().duration_since(then).unwrap_or_default()
}

// ---- attach ----

pub fn attach(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let place = named(given)?;
    let mut reader = DiaryReader::open(place.clone())?;
    let mut display = Display::new(style);
    // What was before is taken in short, what comes as it comes.
    let mut end = take(&mut reader, &mut display, Display::recall)?;
    let mut shown_at = 0;
    while end.is_none() {
        // Before the events are read: what a process said before it was gone is not missed.
        let goes_on = reader.has_writer();
        if let Some(now) = reader.now().filter(|now| now.at_unix_secs != shown_at) {
            shown_at = now.at_unix_secs;
            let progress = now.runs.into_iter();
            let progress =
                progress.map(|(run_id, progress)| Event::RunProgressed { run_id, progress, skipped: 0 });
            progress.for_each(|event| display.show(&event));
        }
        end = take(&mut reader, &mut display, Display::show)?;
        if end.is_none() && !goes_on {
            display.close();
            errln!("{}", in_full(&JobStatus::of(&place)?));
            return Ok(Code::NotFinished);
        }
        if end.is_none() {
            std::thread::sleep(LOOK);
        }
    }
    display.close();
    let end = end.unwrap_or_default();
    match style {
        Style::Json => outln!("{}", json!({ "event": "result", "outcome": end.outcome })),
        _ => outln!("{}", end.text),
    }
    Ok(Code::Its(end.exit_code))
}

/// Takes what was written to the display, up to the end of the process if that is among it.
fn take(
    reader: &mut DiaryReader,
    display: &mut Display,
    show: fn(&mut Display, &Event),
) -> Result<Option<JobEnd>, Failure> {
    let mut end = None;
    loop {
        let entries = reader.read()?;
        if entries.is_empty() {
            return Ok(end);
        }
        for entry in entries {
            match entry {
                DiaryEntry::Opened(opening) => {
                    display.began(since(opening.at_unix_secs));
                    // The process before has ended otherwise.
                    end = None;
                }
                DiaryEntry::Event(event) => show(display, &event),
                DiaryEntry::Ended(ended) => end = Some(ended),
            }
        }
    }
}

// ---- cancel ----

pub fn cancel(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let place = named(given)?;
    let process = JobProcess::of(&place)?;
    let (mode, how) = if given.get_flag("now") {
        (StopMode::Kill, "at once")
    } else {
        (StopMode::Cancel, "after its runs' steps")
    };
    process.stop(mode)?;
    if matches!(style, Style::Lines | Style::Bars) {
        errln!(
            "process {} of {} was asked to stop {how}; waiting until it is gone",
            process.pid(),
            place.name
        );
    }
    while !process.is_gone() {
        std::thread::sleep(LOOK);
    }
    let status = JobStatus::of(&place)?;
    match style {
        Style::Json => outln!("{}", json!(status)),
        _ => outln!("{}", in_full(&status)),
    }
    Ok(Code::Done)
}

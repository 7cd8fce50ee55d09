//! `engine journal check` and `engine journal show`.

use std::path::PathBuf;

use clap::ArgMatches;
use engine::resume::{HistoryError, Inspection, JobState, JournalError, Soundness, inspect};
use serde_json::{Map, Value, json};

use crate::display::{Style, plural};
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};

const SECS_PER_DAY: u64 = 86_400;

pub fn run(matches: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let Some((command, given)) = matches.subcommand() else { return Ok(Code::Usage) };
    let place = given.get_one::<PathBuf>("place").cloned().unwrap_or_default();
    let found = inspect(&place)?;
    match command {
        "show" => show(&found, style),
        _ => check(&found, style),
    }
    Ok(match found.soundness {
        Soundness::Damaged(_) => Code::File,
        _ => Code::Done,
    })
}

fn check(found: &Inspection, style: Style) {
    match style {
        Style::Json => outln!("{}", verdict(found)),
        Style::Quiet => damage(found),
        Style::Lines | Style::Bars => {
            outln!("{}", soundness(found));
            if let Some(job) = &found.job {
                outln!("{}", job_text(job, found.held_by.is_some()));
            }
            if let Some(holder) = &found.held_by {
                let since = utc(holder.at_unix_secs);
                outln!("process {} on {} works on it since {since}", holder.pid, holder.host);
            }
            damage(found);
        }
    }
}

fn show(found: &Inspection, style: Style) {
    for line in &found.records {
        if style == Style::Json {
            outln!("{}", with_place(line.at, line.record.kind(), &line.json));
            continue;
        }
        let time = line.record.at_unix_secs().map(utc).unwrap_or_default();
        outln!("{:>10}  {:<15} {time:<24}{}", line.at, line.record.kind(), line.record);
    }
    if style == Style::Json {
        outln!("{}", verdict(found));
        return;
    }
    if let Soundness::Torn(_) = found.soundness {
        errln!("note: {}", soundness(found));
    }
    damage(found);
}

/// A record on one line: its place and kind, and what it holds.
fn with_place(at: u64, kind: &str, record: &Value) -> Value {
    let content = record.get(kind).cloned().unwrap_or(Value::Null);
    json!({ "event": "journal-record", "at": at, "kind": kind, "record": content })
}

fn soundness(found: &Inspection) -> String {
    let (records, path) = (plural(found.records.len() as u64, "record"), found.path.display());
    match &found.soundness {
        Soundness::Torn(torn) if found.held_by.is_some() => format!(
            "sound: {records}, and at byte {} {} of one that is being written: {path}",
            torn.at,
            plural(torn.bytes, "byte")
        ),
        Soundness::Torn(torn) => format!(
            "sound: {records}; the {} from byte {} on were being written when the engine ended ({}): --resume drops them and does \
             again what they told of: {path}",
            plural(torn.bytes, "last byte"),
            torn.at,
            torn.reason
        ),
        Soundness::Damaged(_) => format!("damaged: {records} before the damage are whole: {path}"),
        _ => format!("sound: {records}: {path}"),
    }
}

fn job_text(job: &JobState, is_held: bool) -> String {
    let JobState { level, name, planned, ended, more_to_do, .. } = job;
    let how = match more_to_do {
        _ if is_held => "it is under way",
        Some(false) => "it came to its end",
        Some(true) => "it was stopped; --resume goes on with it",
        None => "it was interrupted; --resume goes on with it",
    };
    format!("{level} {name}: {ended} of {} over; {how}", plural(*planned as u64, "planned run"))
}

/// What is wrong, with its place and what to do, on standard error.
fn damage(found: &Inspection) {
    if let Soundness::Damaged(error) = &found.soundness {
        errln!("error: {error}");
    }
}

fn verdict(found: &Inspection) -> Value {
    let mut verdict = Map::new();
    let mut put = |name: &str, value: Value| verdict.insert(name.to_owned(), value);
    put("event", "journal-checked".into());
    put("path", json!(found.path));
    put("records", found.records.len().into());
    match &found.soundness {
        Soundness::Torn(torn) => {
            put("state", "torn".into());
            put("at", torn.at.into());
            put("bytes", torn.bytes.into());
            put("reason", torn.reason.into());
        }
        Soundness::Damaged(error) => {
            put("state", "damaged".into());
            put("at", place(error).into());
            if let HistoryError::Journal(JournalError::Damaged { whole_behind, .. }) = error {
                put("whole_behind", (*whole_behind).into());
            }
            put("reason", error.to_string().into());
        }
        _ => drop(put("state", "sound".into())),
    }
    if let Some(JobState { level, name, planned, ended, more_to_do, .. }) = &found.job {
        let job = json!({ "level": level, "name": name, "planned": planned, "ended": ended, "more_to_do": more_to_do });
        put("job", job);
    }
    if let Some(holder) = &found.held_by {
        put(
            "held_by",
            json!({ "pid": holder.pid, "host": holder.host, "at_unix_secs": holder.at_unix_secs }),
        );
    }
    Value::Object(verdict)
}

fn place(error: &HistoryError) -> Option<u64> {
    match error {
        HistoryError::Journal(JournalError::Damaged { at, .. })
        | HistoryError::Record { at, .. }
        | HistoryError::Order { at, .. } => Some(*at),
        _ => None,
    }
}

/// A time in UTC, to the second: `2026-11-23 09:42:59 UTC`.
///
/// # Sources
/// Days to date: Hinnant, chrono-Compatible Low-Level Date Algorithms, `civil_from_days`.
fn utc(unix_secs: u64) -> String {
    let (days, secs) = (unix_secs / SECS_PER_DAY, unix_secs % SECS_PER_DAY);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_a_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_735_689_600), "2025-01-01 00:00:00 UTC");
        assert_eq!(utc(1_795_426_979), "2026-11-23 09:42:59 UTC");
    }
}

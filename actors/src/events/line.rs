//! Events as lines of JSON.

use engine_tracking::Metrics;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::Event;

/// Version of [`EventLine`]. Raised when a reader of the version before would take a line for something it is not: a field that is
/// gone, renamed or means something else. Further events and further fields come without: pass over what you do not know.
pub const EVENT_VERSION: u32 = 1;

/// An event as it stands in a line of JSON: its fields, `"event"` for its kind and `"v"` for [`EVENT_VERSION`].
///
/// `--json`, `events.jsonl` of a run and `engine.events.jsonl` of a job are such lines. A number that is not finite is `null`, for JSON
/// has no word for it.
///
/// ```
/// use engine_actors::events::{Event, EventLine, read_event_line};
///
/// let warned = Event::Warned { message: "no key".into() };
/// let line = serde_json::to_string(&EventLine::of(&warned))?;
/// assert_eq!(line, r#"{"event":"warned","message":"no key","v":1}"#);
/// assert_eq!(read_event_line(line.as_bytes())?, warned);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EventLine<'a> {
    #[serde(flatten)]
    event: &'a Event,
    v: u32,
}

impl<'a> EventLine<'a> {
    /// The line of an event.
    #[must_use]
    pub fn of(event: &'a Event) -> Self {
        Self { event, v: EVENT_VERSION }
    }
}

/// Why a line is no event to this build.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventLineError {
    /// A later version wrote it.
    #[error(
        "the event is of version {found}, and this build reads {EVENT_VERSION} and before: use a newer build"
    )]
    Newer {
        /// Its version.
        found: u64,
    },
    /// It is no JSON, or an event that this build does not know.
    #[error("the line is no event this build knows: pass over it")]
    Unknown(#[from] serde_json::Error),
}

/// Reads an event from its line. A line without `"v"` is taken for one of version 1. A metric that is `null` is read as NaN.
///
/// # Errors
/// [`EventLineError`]: a reader of a stream passes over such a line.
pub fn read_event_line(line: &[u8]) -> Result<Event, EventLineError> {
    let value: Value = serde_json::from_slice(line)?;
    match value.get("v").and_then(Value::as_u64) {
        Some(found) if found > u64::from(EVENT_VERSION) => Err(EventLineError::Newer { found }),
        _ => Ok(serde_json::from_value(value)?),
    }
}

/// Metrics, of which JSON has the ones that are not finite as `null`.
pub(super) fn metrics<'de, D: Deserializer<'de>>(from: D) -> Result<Metrics, D::Error> {
    let read = std::collections::BTreeMap::<String, Option<f64>>::deserialize(from)?;
    Ok(read.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line for every event, as version 1 wrote them.
    const FIRST_VERSION: &str = include_str!("../../tests/data/events-v1.jsonl");

    /// What an event is called. A further event does not compile without a line here, and fails without one in the file.
    fn name(event: &Event) -> &'static str {
        match event {
            Event::TuneStarted { .. } => "tune-started",
            Event::TuneFinished { .. } => "tune-finished",
            Event::CvStarted { .. } => "cv-started",
            Event::CvRecalled { .. } => "cv-recalled",
            Event::RunRecalled { .. } => "run-recalled",
            Event::CvFinished { .. } => "cv-finished",
            Event::RunQueued { .. } => "run-queued",
            Event::RunStarted { .. } => "run-started",
            Event::RunPrepared { .. } => "run-prepared",
            Event::RunTracked { .. } => "run-tracked",
            Event::WorkerReady { .. } => "worker-ready",
            Event::RunProgressed { .. } => "run-progressed",
            Event::RunValidated { .. } => "run-validated",
            Event::CheckpointWritten { .. } => "checkpoint-written",
            Event::RunRetried { .. } => "run-retried",
            Event::RunFinished { .. } => "run-finished",
            Event::LeaseGranted { .. } => "lease-granted",
            Event::LeaseReturned { .. } => "lease-returned",
            Event::Warned { .. } => "warned",
        }
    }

    /// Kinds in [`name`].
    const KINDS: usize = 19;

    #[test]
    fn lines_of_the_first_version_are_read_and_written_as_they_stand() {
        let mut kinds = std::collections::BTreeSet::new();
        for line in FIRST_VERSION.lines() {
            let event = read_event_line(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line.starts_with(&format!("{{\"event\":\"{}\"", name(&event))), "{line}");
            assert_eq!(serde_json::to_string(&EventLine::of(&event)).unwrap(), line);
            kinds.insert(name(&event));
        }
        assert_eq!(kinds.len(), KINDS, "one line at least for each: {kinds:?}");
    }

    #[test]
    fn a_line_of_tomorrow_is_told_from_one_that_is_none() {
        let newer = read_event_line(br#"{"event":"warned","message":"m","v":2}"#).unwrap_err();
        assert!(matches!(newer, EventLineError::Newer { found: 2 }), "{newer}");
        for unknown in [&br#"{"event":"of tomorrow","v":1}"#[..], b"{\"event\":", b"7"] {
            assert!(matches!(read_event_line(unknown), Err(EventLineError::Unknown(_))));
        }
        // Before lines had a version, and with a field this build does not know.
        let old = read_event_line(br#"{"event":"warned","message":"m","more":[1]}"#).unwrap();
        assert_eq!(old, Event::Warned { message: "m".into() });
    }

    #[test]
    fn a_metric_that_is_no_number_stays_a_metric() {
        let metrics = [("val/loss".to_owned(), f64::INFINITY), ("val/iou".to_owned(), 0.1 + 0.2)].into();
        let validated = Event::RunValidated { run_id: "r".into(), epoch: 0, step: 1, metrics };
        let line = serde_json::to_vec(&EventLine::of(&validated)).unwrap();
        let Event::RunValidated { metrics, .. } = read_event_line(&line).unwrap() else { panic!() };
        assert!(metrics["val/loss"].is_nan());
        assert_eq!(metrics["val/iou"], 0.1 + 0.2, "to the last bit");
    }
}

//! What a program says, line by line: JSON objects with one of the keys `metrics`, `checkpoint`, `progress` and `warning`.
//!
//! Everything else that it prints is output and nothing more.

use std::borrow::Cow;
use std::path::PathBuf;

use engine_actors::protocol::Phase;
use serde_json::{Map, Value};

const KEYS: [&str; 4] = ["metrics", "checkpoint", "progress", "warning"];

/// Words that JSON does not have and that Python's `json` writes all the same.
///
/// # Sources
/// Python Standard Library, `json`: `allow_nan`, which is on by default.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Metrics { at: At, values: Vec<(String, Cell)> },
    Checkpoint(Told),
    Progress(Where),
    Warning(String),
}

/// Where in the course of the run, as far as it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) epoch: Option<u32>,
    pub(super) step: Option<u64>,
}

/// A checkpoint that the program wrote.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) path: PathBuf,
    pub(super) at: At,
    pub(super) monitored: Option<f64>,
    pub(super) is_best: bool,
}

/// How far the program is, as far as it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Where {
    pub(super) epoch: Option<u32>,
    pub(super) max_epochs: Option<u32>,
    pub(super) batch: Option<u32>,
    pub(super) batches: Option<u32>,
    pub(super) phase: Phase,
}

/// A value that is to be logged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    /// Nothing was logged.
    Blank,
    /// Something that is no number, by its kind.
    No(&'static str),
}

/// Reads a line; none if it is mere output.
///
/// # Errors
/// What is wrong with one that means to say something, as a fragment.
pub(super) fn read(line: &str) -> Option<Result<Word, String>> {
    let line = line.trim();
    if !(line.starts_with('{') && KEYS.iter().any(|key| line.contains(&format!("\"{key}\"")))) {
        return None;
    }
    let object: Map<String, Value> = match serde_json::from_str(&with_quoted_specials(line)) {
        Ok(object) => object,
        Err(error) => return Some(Err(format!("is not JSON ({error})"))),
    };
    let (key, value) = KEYS.iter().find_map(|key| Some((*key, object.get(*key)?)))?;
    Some(match key {
        "metrics" => metrics(&object, value),
        "checkpoint" => checkpoint(&object, value),
        "progress" => progress(value),
        _ => text(value, "warning").map(Word::Warning),
    })
}

fn metrics(object: &Map<String, Value>, value: &Value) -> Result<Word, String> {
    let Value::Object(values) = value else {
        return Err("has metrics that are no object of names and numbers".into());
    };
    let values = values.iter().map(|(name, value)| (name.clone(), cell(value))).collect();
    Ok(Word::Metrics { at: at(object)?, values })
}

fn checkpoint(object: &Map<String, Value>, value: &Value) -> Result<Word, String> {
    let monitored = match object.get("monitored").map(cell) {
        Some(Cell::Number(value)) => Some(value),
        Some(Cell::No(kind)) => return Err(format!("has a monitored value that is {kind}")),
        Some(Cell::Blank) | None => None,
    };
    let is_best = match object.get("best") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(is_best)) => *is_best,
        Some(_) => return Err("has a `best` that is neither true nor false".into()),
    };
    let path = PathBuf::from(text(value, "checkpoint")?);
    Ok(Word::Checkpoint(Told { path, at: at(object)?, monitored, is_best }))
}

fn progress(value: &Value) -> Result<Word, String> {
    let Value::Object(object) = value else { return Err("has progress that is no object".into()) };
    let phase = match object.get("phase").and_then(Value::as_str) {
        None | Some("train") => Phase::Train,
        Some("validate") => Phase::Validate,
        Some("test") => Phase::Test,
        Some(other) => {
            return Err(format!("has the phase {other:?}, and there are train, validate and test"));
        }
    };
    Ok(Word::Progress(Where {
        epoch: count(object, "epoch")?,
        max_epochs: count(object, "max_epochs")?,
        batch: count(object, "batch")?,
        batches: count(object, "batches")?,
        phase,
    }))
}

fn at(object: &Map<String, Value>) -> Result<At, String> {
    Ok(At { epoch: count(object, "epoch")?, step: count(object, "step")? })
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("has a {key} that is no text")),
    }
}

fn count<T: TryFrom<u64>>(object: &Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    let number = match object.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_u64().or_else(|| value.as_f64().and_then(whole)),
    };
    let count = number.and_then(|number| T::try_from(number).ok());
    count.map(Some).ok_or_else(|| format!("has a {key} that is no count from 0"))
}

/// A number that was written with a point and is whole all the same: `3.0`.
pub(super) fn whole(number: f64) -> Option<u64> {
    // Up to here every whole number is a double's.
    let is_whole = number >= 0.0 && number < 2_f64.powi(53) && number.fract() == 0.0;
    is_whole.then_some(number as u64)
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Number(number) => number.as_f64().map_or(Cell::No("too large a number"), Cell::Number),
        Value::Null => Cell::Blank,
        Value::String(text) => match number(text) {
            Some(number) if !number.is_finite() => Cell::Number(number),
            _ => Cell::No("a text"),
        },
        Value::Bool(_) => Cell::No("true or false"),
        Value::Array(_) => Cell::No("a list"),
        Value::Object(_) => Cell::No("an object"),
    }
}

/// A number as programs write it, `nan` and `-inf` in any case included.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// The line with [`NOT_FINITE`] as texts, where they stand as values.
fn with_quoted_specials(line: &str) -> Cow<'_, str> {
    if !NOT_FINITE.iter().any(|word| line.contains(word)) {
        return Cow::Borrowed(line);
    }
    let mut quoted = String::with_capacity(line.len() + 16);
    let (mut rest, mut is_text) = (line, false);
    while let Some(character) = rest.chars().next() {
        let special = NOT_FINITE.iter().find(|word| !is_text && rest.starts_with(**word));
        let taken = match (special, character) {
            (Some(word), _) => {
                quoted.push_str(&format!("\"{word}\""));
                word.len()
            }
            // What is escaped ends no text.
            (None, '\\') if is_text => {
                let escaped: String = rest.chars().take(2).collect();
                quoted.push_str(&escaped);
                escaped.len()
            }
            (None, character) => {
                is_text ^= character == '"';
                quoted.push(character);
                character.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(line: &str) -> Word {
        read(line).unwrap().unwrap()
    }

    fn values(line: &str) -> Vec<(String, Cell)> {
        match said(line) {
            Word::Metrics { values, .. } => values,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn metrics_have_a_place_as_far_as_it_is_said() {
        let word = said(r#"  {"metrics": {"val/loss": 0.5, "acc": 1}, "epoch": 3, "step": 120.0}  "#);
        let at = At { epoch: Some(3), step: Some(120) };
        let values = vec![("val/loss".to_owned(), Cell::Number(0.5)), ("acc".to_owned(), Cell::Number(1.0))];
        assert_eq!(word, Word::Metrics { at, values });
        assert!(matches!(
            said(r#"{"metrics": {}}"#),
            Word::Metrics { at: At { epoch: None, step: None }, .. }
        ));
    }

    #[test]
    fn what_is_not_finite_is_read_as_python_writes_it() {
        let line = r#"{"metrics": {"a": NaN, "b": -Infinity, "c": Infinity, "d": "nan", "NaN \" NaN": 1}, "epoch": 0}"#;
        let values = values(line);
        assert!(matches!(values[0].1, Cell::Number(number) if number.is_nan()));
        assert_eq!(values[1].1, Cell::Number(f64::NEG_INFINITY));
        assert_eq!(values[2].1, Cell::Number(f64::INFINITY));
        assert!(matches!(values[3].1, Cell::Number(number) if number.is_nan()));
        assert_eq!(values[4], ("NaN \" NaN".to_owned(), Cell::Number(1.0)));
    }

    #[test]
    fn what_is_no_number_is_named_by_its_kind_and_null_is_blank() {
        let line = r#"{"metrics": {"a": "resnet", "b": true, "c": [1], "d": {}, "e": null, "f": "1.5"}}"#;
        let kinds: Vec<Cell> = values(line).into_iter().map(|(_, cell)| cell).collect();
        let no = Cell::No;
        let expected =
            [no("a text"), no("true or false"), no("a list"), no("an object"), Cell::Blank, no("a text")];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn checkpoints_progress_and_warnings_are_told() {
        let line =
            r#"{"checkpoint": "ckpt/last.pt", "epoch": 1, "step": 7, "monitored": 0.25, "best": true}"#;
        let at = At { epoch: Some(1), step: Some(7) };
        let told = Told { path: "ckpt/last.pt".into(), at, monitored: Some(0.25), is_best: true };
        assert_eq!(said(line), Word::Checkpoint(told));
        let Word::Progress(progress) =
            said(r#"{"progress": {"epoch": 1, "max_epochs": 4, "phase": "validate"}}"#)
        else {
            unreachable!()
        };
        assert_eq!((progress.epoch, progress.max_epochs, progress.batch), (Some(1), Some(4), None));
        assert_eq!(progress.phase, Phase::Validate);
        assert_eq!(said(r#"{"warning": "slow"}"#), Word::Warning("slow".into()));
    }

    #[test]
    fn other_output_says_nothing() {
        for line in [
            "",
            "epoch 1",
            "{}",
            r#"{"level": "info"}"#,
            r#"["metrics"]"#,
            "{metrics}",
            r#"{"a": "metrics"}"#,
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_said_wrongly_is_told_with_the_reason() {
        for (line, needle) in [
            (r#"{"metrics": {"a": 1"#, "not JSON"),
            (r#"{"metrics": 3}"#, "no object"),
            (r#"{"metrics": {}, "epoch": -1}"#, "epoch that is no count"),
            (r#"{"metrics": {}, "epoch": 1.5}"#, "epoch that is no count"),
            (r#"{"metrics": {}, "epoch": 5000000000}"#, "epoch that is no count"),
            (r#"{"metrics": {}, "step": "x"}"#, "step that is no count"),
            (r#"{"checkpoint": 3}"#, "no text"),
            (r#"{"checkpoint": "a", "best": 1}"#, "neither true nor false"),
            (r#"{"checkpoint": "a", "monitored": "x"}"#, "monitored value that is a text"),
            (r#"{"progress": {"phase": "dance"}}"#, "train, validate and test"),
            (r#"{"metrics": {"a": 1e999}}"#, "not JSON"),
        ] {
            let reason = read(line).unwrap().unwrap_err();
            assert!(reason.contains(needle), "{line}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic_and_any_metrics_survive(
            noise in ".{0,60}",
            metrics in prop::collection::btree_map("[a-zA-Z/_\"\\\\]{1,8}", any::<f64>(), 0..4),
        ) {
            let _: Option<_> = read(&noise);
            let _: Option<_> = read(&format!("{{\"metrics\": {noise}"));
            let written: Vec<String> = metrics
                .iter()
                .map(|(name, value)| {
                    let value = match value {
                        nan if nan.is_nan() => "NaN".to_owned(),
                        value if value.is_infinite() => if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
                        value => format!("{value:?}"),
                    };
                    format!("{}: {value}", Value::from(name.as_str()))
                })
                .collect();
            let read = values(&format!("{{\"metrics\": {{{}}}}}", written.join(", ")));
            prop_assert_eq!(read.len(), metrics.len());
            for (name, cell) in read {
                let Cell::Number(number) = cell else { return Err(TestCaseError::fail(name)) };
                let expected = metrics[&name];
                prop_assert!(number == expected || number.is_nan() && expected.is_nan());
            }
        }
    }
}

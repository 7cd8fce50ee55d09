//! What a server was sent, in one shape for every fake server.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

/// A row of the history. Numbers that are not finite are the texts `NaN`, `Infinity` and `-Infinity`; see [`number`].
pub type Row = Map<String, Value>;

/// Everything a server was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The runs, by entity, project and id.
    pub runs: Vec<SeenRun>,
    /// The artifacts, in the order they were made.
    pub artifacts: Vec<SeenArtifact>,
    /// What was put, by path below the storage.
    pub blobs: BTreeMap<String, Blob>,
    /// Requests that met a fault: cut off, or refused for no reason of their own.
    pub faults_met: usize,
    /// From each such request to the next one of its kind.
    pub waits_after_fault: Vec<Duration>,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeenRun {
    /// Owner of the project.
    pub entity: String,
    /// The project.
    pub project: String,
    /// Id of the run.
    pub id: String,
    /// What it is filed under, by the names of the mutation: `displayName`, `groupName`, `jobType`, `tags`.
    pub fields: Value,
    /// Its configuration: `{"key": {"value": …}}`.
    pub config: Value,
    /// Its rows, in order.
    pub history: Vec<Row>,
    /// Its system metrics, in order.
    pub events: Vec<Row>,
    /// Its summary.
    pub summary: Value,
    /// What it printed, a line each, as sent.
    pub output: Vec<String>,
    /// Files it was told are there.
    pub uploaded: Vec<String>,
    /// Its exit code; none while it is not complete.
    pub exit_code: Option<i64>,
    /// Places where lines are missing.
    pub gaps: Vec<String>,
    /// Lines of the history that came a second time and were others.
    pub overwrites: Vec<String>,
    /// Titles of its alerts.
    pub alerts: Vec<String>,
}

/// One version of an artifact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeenArtifact {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its further names.
    pub aliases: Vec<String>,
    /// Paths in it and the base64 MD5 of each.
    pub files: BTreeMap<String, String>,
    /// Whether it can be seen.
    pub committed: bool,
}

/// Something that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// How many bytes.
    pub bytes: u64,
    /// MD5, in hex.
    pub md5: String,
}

impl Seen {
    /// The run of this id.
    ///
    /// # Panics
    /// If it is not there, or twice.
    pub fn run(&self, id: &str) -> &SeenRun {
        let found: Vec<_> = self.runs.iter().filter(|run| run.id == id).collect();
        assert_eq!(found.len(), 1, "runs {id} among {:?}", self.ids());
        found[0]
    }

    /// The run of this name.
    ///
    /// # Panics
    /// If it is not there, or twice.
    pub fn named(&self, name: &str) -> &SeenRun {
        let found: Vec<_> = self.runs.iter().filter(|run| run.fields["displayName"] == name).collect();
        assert_eq!(found.len(), 1, "runs called {name} among {:?}", self.names());
        found[0]
    }

    /// Ids of the runs.
    pub fn ids(&self) -> Vec<&str> {
        self.runs.iter().map(|run| run.id.as_str()).collect()
    }

    /// Names of the runs.
    pub fn names(&self) -> Vec<&str> {
        self.runs.iter().map(|run| run.fields["displayName"].as_str().unwrap_or_default()).collect()
    }
}

impl SeenRun {
    /// The value of a key of its configuration.
    pub fn config_value(&self, key: &str) -> &Value {
        &self.config[key]["value"]
    }
}

/// A number of a row, which may be none of the finite ones.
pub fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

/// Reads JSON as Python writes it, where `NaN`, `Infinity` and `-Infinity` may stand bare: they become texts.
///
/// # Panics
/// If it is no JSON even so.
pub fn parse(text: &str) -> Value {
    serde_json::from_str(&quote_bare_words(text)).unwrap()
}

/// A row: an object.
///
/// # Panics
/// If it is none.
pub fn parse_row(text: &str) -> Row {
    parse(text).as_object().unwrap().clone()
}

fn quote_bare_words(text: &str) -> String {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut quoted = String::with_capacity(text.len());
    let (mut within, mut rest) = (false, text);
    while let Some(next) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !within && rest.starts_with(**word));
        let taken = match (word, next) {
            (Some(word), _) => {
                quoted.extend(["\"", *word, "\""]);
                word.len()
            }
            (None, '\\') if within => {
                let pair: usize = rest.chars().take(2).map(char::len_utf8).sum();
                quoted.push_str(&rest[..pair]);
                pair
            }
            (None, other) => {
                within ^= other == '"';
                quoted.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_that_stand_bare_are_read_and_those_in_texts_stay() {
        let read = parse(r#"{"a": NaN, "b": [-Infinity, Infinity], "NaN": "x \" NaN", "é": 1.5}"#);
        assert_eq!(read, json!({"a": "NaN", "b": ["-Infinity", "Infinity"], "NaN": "x \" NaN", "é": 1.5}));
        assert!(number(&read["a"]).unwrap().is_nan());
        assert_eq!(number(&read["b"][0]), Some(f64::NEG_INFINITY));
        assert_eq!(number(&read["NaN"]), None);
    }
}

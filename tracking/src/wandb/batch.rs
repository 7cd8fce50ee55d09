//! One `file_stream` request: lines with their places, gathered until it is full.

use std::collections::BTreeMap;

use serde::Serialize;

/// Bytes of lines in a request.
///
/// # Sources
/// W&B client 0.31.0.
pub(super) const LARGEST_REQUEST: usize = 10 << 20;

/// A file of lines on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineFile {
    /// Rows.
    History,
    /// System metrics.
    Events,
    /// What was printed.
    Console,
}

impl LineFile {
    fn name(self) -> &'static str {
        match self {
            Self::History => "wandb-history.jsonl",
            Self::Events => "wandb-events.jsonl",
            Self::Console => "output.log",
        }
    }
}

/// Lines with the place of the first.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lines {
    offset: u64,
    content: Vec<String>,
}

/// The lines of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Batch {
    files: BTreeMap<LineFile, Lines>,
    bytes: usize,
}

/// What goes with the lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Beside {
    /// The whole summary.
    pub(super) summary: Option<String>,
    /// Names of files that are there.
    pub(super) uploaded: Vec<String>,
    /// Whether a pause is coming.
    pub(super) preempting: bool,
    /// Exit code, in the very last request.
    pub(super) exit_code: Option<i32>,
}

/// First places of the lines of our journal in the server's files, where the run was there before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(super) struct Bases {
    /// Of rows.
    pub(super) history: u64,
    /// Of system metrics.
    pub(super) events: u64,
    /// Of lines printed.
    pub(super) console: u64,
}

impl Bases {
    fn of(self, file: LineFile) -> u64 {
        match file {
            LineFile::History => self.history,
            LineFile::Events => self.events,
            LineFile::Console => self.console,
        }
    }
}

impl Batch {
    /// Whether there is no line in it.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of its lines.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lines of a file in it.
    pub(super) fn lines(&self, file: LineFile) -> u64 {
        self.files.get(&file).map_or(0, |lines| lines.content.len() as u64)
    }

    /// Puts a line at its place, which is behind the lines of its file here or on the last of them.
    pub(super) fn put(&mut self, file: LineFile, number: u64, line: String) {
        let lines = self.files.entry(file).or_insert_with(|| Lines { offset: number, content: Vec::new() });
        debug_assert!(
            (lines.offset..=lines.offset + lines.content.len() as u64).contains(&number),
            "a gap in {file:?} at {number}"
        );
        self.bytes += line.len();
        match usize::try_from(number - lines.offset).ok().and_then(|at| lines.content.get_mut(at)) {
            Some(known) => {
                self.bytes -= known.len();
                *known = line;
            }
            None => lines.content.push(line),
        }
    }

    /// The body of the request.
    pub(super) fn body(&self, bases: Bases, beside: &Beside) -> Vec<u8> {
        let mut files: BTreeMap<&str, Chunk<'_>> = BTreeMap::new();
        for (file, lines) in &self.files {
            let offset = lines.offset + bases.of(*file);
            files.insert(file.name(), Chunk { offset, content: &lines.content });
        }
        if let Some(summary) = &beside.summary {
            files.insert("wandb-summary.json", Chunk { offset: 0, content: std::slice::from_ref(summary) });
        }
        let body = Body {
            files,
            uploaded: &beside.uploaded,
            preempting: beside.preempting.then_some(true),
            complete: beside.exit_code.map(|_| true),
            exitcode: beside.exit_code,
        };
        // Texts and numbers under texts always have a form in JSON.
        serde_json::to_vec(&body).unwrap_or_else(|_| b"{}".to_vec())
    }
}

#[derive(Serialize)]
struct Chunk<'a> {
    offset: u64,
    content: &'a [String],
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<&'a str, Chunk<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    uploaded: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    preempting: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exitcode: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_request_is_a_heartbeat() {
        assert_eq!(Batch::default().body(Bases::default(), &Beside::default()), b"{}");
    }

    #[test]
    fn lines_stand_at_their_places_and_the_last_may_change() {
        let mut batch = Batch::default();
        batch.put(LineFile::History, 30, r#"{"loss":NaN}"#.to_owned());
        batch.put(LineFile::Console, 1, "10 %".to_owned());
        batch.put(LineFile::Console, 1, "100 %".to_owned());
        batch.put(LineFile::Console, 2, "x".to_owned());
        assert_eq!((batch.bytes(), batch.lines(LineFile::Console)), (18, 2));
        let beside = Beside {
            summary: Some("{}".to_owned()),
            uploaded: vec!["a.png".to_owned()],
            preempting: false,
            exit_code: Some(3),
        };
        let bases = Bases { history: 100, events: 0, console: 7 };
        let body: serde_json::Value = serde_json::from_slice(&batch.body(bases, &beside)).unwrap();
        let want = serde_json::json!({
            "files": {
                "wandb-history.jsonl": { "offset": 130, "content": ["{\"loss\":NaN}"] },
                "output.log": { "offset": 8, "content": ["100 %", "x"] },
                "wandb-summary.json": { "offset": 0, "content": ["{}"] },
            },
            "uploaded": ["a.png"], "complete": true, "exitcode": 3,
        });
        assert_eq!(body, want);
    }
}

//! `events.jsonl`: one JSON object a line, in the order things happened.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::line_file::{LineFile, LineFileError};

/// Why an event could not be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// The file refuses.
    #[error(transparent)]
    File(#[from] LineFileError),
    /// The event has no form in JSON: a map whose keys are no strings, for instance.
    #[error("an event can not be written as JSON, give it plain fields: {}", path.display())]
    Json {
        /// The log.
        path: PathBuf,
        /// What serde says.
        source: serde_json::Error,
    },
}

/// A log of events, added to by one writer.
///
/// Numbers that are not finite become `null`, for JSON has no word for them; `metrics.csv` keeps them.
#[derive(Debug)]
pub struct EventLog {
    file: LineFile,
}

impl EventLog {
    /// Opens a log, made where there is none; a line torn by a crash is dropped.
    ///
    /// # Errors
    /// [`EventLogError::File`] if the file can not be opened for writing.
    pub fn open(path: &Path) -> Result<Self, EventLogError> {
        Ok(Self { file: LineFile::open(path)? })
    }

    /// Adds one event. It is with the operating system when this returns, and on the disk after [`EventLog::close`].
    ///
    /// # Errors
    /// [`EventLogError`] if the event has no form in JSON or the file refuses; the log then holds what it held.
    pub fn append(&mut self, event: &impl Serialize) -> Result<(), EventLogError> {
        let mut line = serde_json::to_string(event)
            .map_err(|source| EventLogError::Json { path: self.file.path().to_owned(), source })?;
        line.push('\n');
        Ok(self.file.append(&line)?)
    }

    /// Brings the log to the disk.
    ///
    /// # Errors
    /// [`EventLogError::File`] if the disk refuses.
    pub fn close(mut self) -> Result<(), EventLogError> {
        Ok(self.file.sync()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_lines_and_a_second_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::open(&path).unwrap();
        log.append(&json!({"event": "run-started", "text": "two\nlines"})).unwrap();
        log.close().unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"event\": \"to").unwrap();
        let mut log = EventLog::open(&path).unwrap();
        log.append(&json!({"event": "run-finished", "loss": f64::NAN})).unwrap();
        log.close().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"event\":\"run-started\",\"text\":\"two\\nlines\"}\n{\"event\":\"run-finished\",\"loss\":null}\n"
        );
    }

    #[test]
    fn an_event_without_a_json_form_leaves_the_log_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::open(&path).unwrap();
        log.append(&1).unwrap();
        let error = log.append(&BTreeMap::from([((1, 2), 3)])).unwrap_err();
        assert!(matches!(error, EventLogError::Json { .. }));
        assert!(error.to_string().contains("events.jsonl"), "{error}");
        log.append(&2).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
    }
}

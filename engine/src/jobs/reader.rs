//! Reads what a job leaves for others while the job is under way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::diary::{JobEnd, JobOpening, Mark, Now};
use super::error::JobsError;
use super::find::JobPlace;
use super::process::has_open;
use super::{EVENTS, NOW, SILENCE, host_name};
use crate::{Event, read_event_line};

/// Bytes read in one step, so that a long past is taken in pieces.
const PIECE: u64 = 1 << 20;

/// How a line begins that opens the part of a process.
const OPENED: &[u8] = b"{\"event\":\"job-opened\"";

/// Something in the file of events.
#[derive(Debug, Clone, PartialEq)]
pub enum DiaryEntry {
    /// A process took the job up.
    Opened(JobOpening),
    /// Something happened.
    Event(Box<Event>),
    /// The process ended.
    Ended(JobEnd),
}

/// Reads a job's events from where its newest process took it up, as far as they are written.
#[derive(Debug)]
pub struct DiaryReader {
    place: JobPlace,
    path: PathBuf,
    file: File,
    at: u64,
    torn: Vec<u8>,
}

impl DiaryReader {
    /// Opens the events of a job.
    ///
    /// # Errors
    /// [`JobsError::Events`].
    pub fn open(place: JobPlace) -> Result<Self, JobsError> {
        let path = place.dir.join(EVENTS);
        let refused = |source| JobsError::Events { path: path.clone(), source };
        let mut file = File::open(&path).map_err(refused)?;
        let at = newest_opening(&mut file).map_err(refused)?;
        Ok(Self { place, path, file, at, torn: Vec::new() })
    }

    /// What was written since the last call, a piece at a time; empty when there is no more yet.
    ///
    /// A line that this build does not understand is passed over.
    ///
    /// # Errors
    /// [`JobsError::Events`].
    pub fn read(&mut self) -> Result<Vec<DiaryEntry>, JobsError> {
        loop {
            let piece =
                self.piece().map_err(|source| JobsError::Events { path: self.path.clone(), source })?;
            if piece.is_empty() {
                return Ok(Vec::new());
            }
            self.torn.extend(piece);
            let Some(end) = self.torn.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.torn.split_off(end + 1);
            let lines = std::mem::replace(&mut self.torn, rest);
            let entries: Vec<_> = lines.split(|byte| *byte == b'\n').filter_map(entry).collect();
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }

    /// Where the job was a few seconds ago; none where that is not known.
    #[must_use]
    pub fn now(&self) -> Option<Now> {
        now(&self.place)
    }

    /// Whether the process that took the job up last may still add something: it says how it ended after it has let go of the
    /// journal.
    #[must_use]
    pub fn has_writer(&self) -> bool {
        let Some(Now { opening, .. }) = self.now() else { return false };
        if opening.host == host_name() {
            return has_open(opening.pid, &self.path);
        }
        let beat = self.place.dir.join(NOW).metadata().and_then(|file| file.modified());
        beat.is_ok_and(|beat| beat.elapsed().is_ok_and(|silent| silent < SILENCE))
    }

    fn piece(&mut self) -> io::Result<Vec<u8>> {
        let end = self.file.metadata()?.len();
        if end < self.at {
            // A new process has dropped a line that the one before left half-written.
            (self.at, self.torn) = (end, Vec::new());
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.at))?;
        (&mut self.file).take(PIECE).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

/// Where a job was when it was last heard of; none where that is not known.
pub(super) fn now(place: &JobPlace) -> Option<Now> {
    let text = std::fs::read(place.dir.join(NOW)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Where the newest line begins by which a process took the job up.
fn newest_opening(file: &mut File) -> io::Result<u64> {
    let (mut newest, mut at) = (0, 0);
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = lines.read_until(b'\n', &mut line)? as u64;
        if bytes == 0 {
            return Ok(newest);
        }
        if line.starts_with(OPENED) {
            newest = at;
        }
        at += bytes;
    }
}

fn entry(line: &[u8]) -> Option<DiaryEntry> {
    match serde_json::from_slice(line) {
        Ok(Mark::JobOpened(opening)) => Some(DiaryEntry::Opened(opening)),
        Ok(Mark::JobEnded(end)) => Some(DiaryEntry::Ended(end)),
        Err(_) => read_event_line(line).ok().map(|event| DiaryEntry::Event(Box::new(event))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use engine_actors::protocol::{Phase, Progress};
    use serde_json::Value;

    use super::*;
    use crate::artifacts::{ArtifactLayout, Level};
    use crate::jobs::Diary;

    fn started(dir: &std::path::Path) -> Event {
        Event::TuneStarted {
            tune_name: "t".into(),
            tune_dir: dir.to_owned(),
            n_trials: 2,
            cells_per_cv: 3,
            resumed: false,
        }
    }

    fn opening(pid: u32) -> JobOpening {
        JobOpening { pid, host: "here".into(), ..JobOpening::default() }
    }

    #[test]
    fn what_is_noted_is_read_while_it_is_written_and_progress_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("t");
        let layout = ArtifactLayout::new(folder.path());
        let warned = Event::Warned { message: "before".into() };
        let place = JobPlace { level: Level::Tune, name: "t".into(), dir: dir.clone() };

        let diary = Diary::begin(layout.clone(), opening(1)).unwrap();
        diary.note(&warned).unwrap();
        drop(diary);
        assert!(!dir.exists(), "of a job that was not taken nothing is left");

        for pid in [1, 2] {
            let diary = Diary::begin(layout.clone(), opening(pid)).unwrap();
            assert_eq!(diary.note(&warned).unwrap(), None);
            assert_eq!(diary.note(&started(&dir)).unwrap(), Some(place.clone()));
            let mut reader = DiaryReader::open(place.clone()).unwrap();
            let events = |events: &[&Event]| {
                let event = |event: &&Event| DiaryEntry::Event(Box::new((*event).clone()));
                events.iter().map(event).collect::<Vec<_>>()
            };
            let mut expected = vec![DiaryEntry::Opened(opening(pid))];
            expected.extend(events(&[&warned, &started(&dir)]));
            assert_eq!(reader.read().unwrap(), expected, "of the newest process alone");
            assert_eq!(reader.read().unwrap(), []);
            let progress = Progress { epoch: 1, max_epochs: 2, batch: 3, batches: 4, phase: Phase::Train };
            diary.note(&Event::RunProgressed { run_id: "r".into(), progress, skipped: 0 }).unwrap();
            let metrics = [("val/loss".to_owned(), f64::NAN), ("val/iou".to_owned(), 0.5)].into();
            let validated = Event::RunValidated { run_id: "r".into(), epoch: 0, step: 1, metrics };
            diary.note(&validated).unwrap();
            let [DiaryEntry::Event(read)] = &*reader.read().unwrap() else { panic!("one event") };
            assert!(matches!(&**read, Event::RunValidated { metrics, .. } if metrics["val/iou"] == 0.5));
            let end = JobEnd { exit_code: 6, text: "it\nended".into(), outcome: Value::Null };
            diary.end(end.clone()).unwrap();
            assert_eq!(reader.read().unwrap(), [DiaryEntry::Ended(end)]);
            assert_eq!(reader.now().unwrap().opening, opening(pid));
            assert!(reader.now().unwrap().runs.is_empty());
        }
    }

    #[test]
    fn half_a_line_waits_for_its_end_and_a_strange_one_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = JobPlace { level: Level::Cv, name: "c".into(), dir: folder.path().to_owned() };
        let path = folder.path().join(EVENTS);
        let mut file = File::create(&path).unwrap();
        let mut reader = DiaryReader::open(place).unwrap();
        write!(file, "{{\"event\":\"of tomorrow\"}}\n{{\"event\":\"warned\",").unwrap();
        assert_eq!(reader.read().unwrap(), []);
        writeln!(file, "\"message\":\"m\"}}").unwrap();
        let warned = |text: &str| DiaryEntry::Event(Box::new(Event::Warned { message: text.into() }));
        assert_eq!(reader.read().unwrap(), [warned("m")]);
        // A process that was killed left half a line, and the next one drops it.
        let whole = file.metadata().unwrap().len();
        write!(file, "{{\"event\":\"warned\",\"message\":\"half").unwrap();
        assert_eq!(reader.read().unwrap(), []);
        file.set_len(whole).unwrap();
        assert_eq!(reader.read().unwrap(), []);
        file.seek(SeekFrom::Start(whole)).unwrap();
        writeln!(file, "{{\"event\":\"warned\",\"message\":\"n\"}}").unwrap();
        assert_eq!(reader.read().unwrap(), [warned("n")]);
    }
}

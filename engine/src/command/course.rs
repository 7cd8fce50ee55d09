//! The course of a program's run: what it says, on its way to the engine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine_actors::protocol::{Phase, Progress, RunSummary};
use engine_tracking::{MetricPoint, Metrics, RunPlace};

use super::csv::Row;
use super::lines::{At, Cell, Told, Where, Word, read};
use super::memory::Memory;
use crate::workload::{Kept, RunContext};

/// Different complaints that are told; who makes more mistakes has been told enough.
const COMPLAINTS: usize = 20;
/// Characters of a line that are shown.
const SHOWN: usize = 80;
/// Columns that every table of metrics has beside the metrics.
const PLACES: [&str; 2] = ["epoch", "step"];

/// What of the files of a run is in hand besides what was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folders<'a> {
    pub(super) run_dir: &'a Path,
    /// What the program's relative paths count from.
    pub(super) working_dir: &'a Path,
}

/// What a program has come to.
pub(super) struct Course<'a> {
    context: &'a RunContext,
    folders: Folders<'a>,
    place: RunPlace,
    metrics: Metrics,
    progress: Progress,
    best: Option<PathBuf>,
    last: Option<PathBuf>,
    complaints: BTreeSet<String>,
}

impl<'a> Course<'a> {
    /// A run that begins, or goes on from what is remembered of it.
    pub(super) fn begin(context: &'a RunContext, folders: Folders<'a>, memory: Option<Memory>) -> Self {
        let (place, metrics, best, last) = match memory {
            Some(memory) => (memory.place, memory.metrics, memory.best, Some(memory.checkpoint)),
            None => (RunPlace { epoch: 0, step: 0 }, Metrics::new(), None, None),
        };
        let progress =
            Progress { epoch: place.epoch, max_epochs: 0, batch: 0, batches: 1, phase: Phase::Train };
        Self { context, folders, place, metrics, progress, best, last, complaints: BTreeSet::new() }
    }

    /// Takes a line; whether it said something.
    pub(super) fn line(&mut self, line: &str, before_checkpoint: impl FnOnce(&mut Self)) -> bool {
        match read(line) {
            None => return false,
            Some(Ok(Word::Metrics { at, values })) => self.log(at, values),
            Some(Ok(Word::Checkpoint(told))) => {
                // Metrics in a file belong before a checkpoint that was told after them.
                before_checkpoint(self);
                self.checkpoint(told);
            }
            Some(Ok(Word::Progress(progress))) => self.is_at(progress),
            Some(Ok(Word::Warning(message))) => self.context.warn(message),
            Some(Err(reason)) => {
                let shown: String = line.trim().chars().take(SHOWN).collect();
                self.complain(&reason.clone(), format!("a line of the program {reason}: {shown}"));
            }
        }
        true
    }

    /// Takes rows of a table.
    pub(super) fn rows(&mut self, rows: Vec<Row>) {
        rows.into_iter().for_each(|Row { at, values }| self.log(at, values));
    }

    /// Tells of something that keeps the run from nothing, once.
    pub(super) fn complain(&mut self, kind: &str, message: String) {
        if self.complaints.len() < COMPLAINTS && self.complaints.insert(kind.to_owned()) {
            self.context.warn(message);
        }
    }

    /// How the run ended, if it ended well.
    pub(super) fn summary(self, stopped: bool) -> RunSummary {
        RunSummary {
            epochs: if self.metrics.is_empty() { 0 } else { self.place.epoch.saturating_add(1) },
            steps: self.place.step,
            best_checkpoint: self.best.or(self.last),
            metrics: self.metrics,
            stopped,
        }
    }

    /// Whether a metric was told, ever.
    pub(super) fn has_metrics(&self) -> bool {
        !self.metrics.is_empty()
    }

    /// A place that is said in part: without an epoch it is the last one, without a step a step further.
    fn place_of(&self, at: At) -> RunPlace {
        let step = at.step.unwrap_or(self.place.step.saturating_add(1));
        RunPlace { epoch: at.epoch.unwrap_or(self.place.epoch), step }
    }

    fn log(&mut self, at: At, said: Vec<(String, Cell)>) {
        let mut values = Metrics::new();
        for (name, cell) in said {
            match cell {
                Cell::Blank => {}
                Cell::No(kind) => {
                    let message = format!("metric {name:?} is {kind} and is not logged: give a number");
                    self.complain(&name, message);
                }
                Cell::Number(_) if name.trim().is_empty() || name.contains(['\n', '\r']) => {
                    let message = format!("metric {name:?} is not logged: give it a name in one line");
                    self.complain(&name, message);
                }
                Cell::Number(_) if PLACES.contains(&name.as_str()) => {
                    let message = format!(
                        "`{name}` is no metric and is not logged as one: it stands beside the metrics"
                    );
                    self.complain(&name, message);
                }
                Cell::Number(value) => {
                    values.insert(name, value);
                }
            }
        }
        if values.is_empty() {
            return;
        }
        self.place = self.place_of(at);
        let RunPlace { epoch, step } = self.place;
        self.metrics.extend(values.iter().map(|(name, value)| (name.clone(), *value)));
        let is_validated = |name: &str| name.starts_with("val/") || name.starts_with("val_");
        let validated: Metrics = values
            .iter()
            .filter(|(name, _)| is_validated(name))
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        self.context.log(MetricPoint { epoch, step, values });
        if validated.is_empty() {
            // What waits to be sent says by that that the run gets on.
            self.progress.epoch = epoch;
            self.tell_progress();
        } else {
            self.context.validated(epoch, step, validated);
        }
    }

    fn is_at(&mut self, said: Where) {
        let known = self.progress;
        self.progress = Progress {
            epoch: said.epoch.unwrap_or(known.epoch),
            max_epochs: said.max_epochs.unwrap_or(known.max_epochs),
            batch: said.batch.unwrap_or(0),
            batches: said.batches.unwrap_or(1).max(1),
            phase: said.phase,
        };
        self.tell_progress();
    }

    fn tell_progress(&self) {
        let progress = self.progress;
        // Of a program that does not say how many epochs there are, the one under way is the last that is known.
        let max_epochs = progress.max_epochs.max(progress.epoch.saturating_add(1));
        self.context.progress(Progress { max_epochs, ..progress });
    }

    /// Keeps a checkpoint as the one to go on from, once all that was said before is kept.
    fn checkpoint(&mut self, told: Told) {
        let path = self.folders.working_dir.join(&told.path);
        if !path.exists() {
            let message = format!("the program told of a checkpoint that is not there: {}", path.display());
            return self.complain(&message.clone(), message);
        }
        let place = RunPlace {
            epoch: told.at.epoch.unwrap_or(self.place.epoch),
            step: told.at.step.unwrap_or(self.place.step),
        };
        if self.context.settle() == Kept::No {
            return;
        }
        self.last = Some(path.clone());
        if told.is_best {
            self.best = Some(path.clone());
        }
        let metrics = self.metrics.clone();
        let memory = Memory { checkpoint: path.clone(), best: self.best.clone(), place, metrics };
        if let Err(error) = memory.write(self.folders.run_dir) {
            let message = format!("a run that is begun again will not find this checkpoint ({error})");
            return self.complain(&message.clone(), message);
        }
        self.context.checkpoint_written(path, place.epoch, place.step, told.monitored);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use engine_actors::protocol::FromWorker;

    use super::*;

    type Said = Arc<Mutex<Vec<FromWorker>>>;

    fn context() -> (RunContext, Said) {
        let said = Said::default();
        let hears = Arc::clone(&said);
        (RunContext::new(move |word| hears.lock().unwrap().push(word), Arc::default()), said)
    }

    fn points(said: &Said) -> Vec<(u32, u64, Vec<(String, f64)>)> {
        let said = said.lock().unwrap();
        let logged = said.iter().filter_map(|word| match word {
            FromWorker::Logged(points) => Some(points.clone()),
            _ => None,
        });
        logged.flatten().map(|p| (p.epoch, p.step, p.values.into_iter().collect())).collect()
    }

    fn warnings(said: &Said) -> Vec<String> {
        let said = said.lock().unwrap();
        said.iter()
            .filter_map(|word| match word {
                FromWorker::Warned { message } => Some(message.clone()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_place_that_is_said_in_part_follows_from_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let (context, said) = context();
        let folders = Folders { run_dir: folder.path(), working_dir: folder.path() };
        let mut course = Course::begin(&context, folders, None);
        for line in [
            r#"{"metrics": {"a": 1}}"#,
            r#"{"metrics": {"a": 2}, "epoch": 1}"#,
            r#"{"metrics": {"a": 3}, "step": 10}"#,
            r#"{"metrics": {"a": NaN}, "epoch": 2, "step": 20}"#,
        ] {
            assert!(course.line(line, |_| {}));
        }
        context.flush();
        let places: Vec<_> = points(&said).into_iter().map(|(epoch, step, _)| (epoch, step)).collect();
        assert_eq!(places, [(0, 1), (1, 2), (1, 10), (2, 20)]);
        let summary = course.summary(false);
        assert!(summary.metrics["a"].is_nan() && (summary.epochs, summary.steps) == (3, 20));
    }

    #[test]
    fn what_is_no_number_or_no_metric_is_told_once_and_the_rest_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let (context, said) = context();
        let folders = Folders { run_dir: folder.path(), working_dir: folder.path() };
        let mut course = Course::begin(&context, folders, None);
        for _ in 0..3 {
            course.line(
                r#"{"metrics": {"a": 1, "model": "resnet", "epoch": 3, "b": null}, "epoch": 0, "step": 1}"#,
                |_| {},
            );
            course.line(r#"{"metrics": 3}"#, |_| {});
        }
        context.flush();
        assert!(points(&said).iter().all(|(_, _, values)| values == &[("a".to_owned(), 1.0)]));
        let told = warnings(&said);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].contains("\"epoch\"")
                || told[0].contains("`epoch`")
                || told[0].contains("\"model\" is a text")
        );
        assert!(
            told.iter().any(|message| message.contains("no object") && message.contains(r#"{"metrics": 3}"#))
        );
    }

    #[test]
    fn complaints_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (context, said) = context();
        let folders = Folders { run_dir: folder.path(), working_dir: folder.path() };
        let mut course = Course::begin(&context, folders, None);
        for number in 0..100 {
            course.line(&format!(r#"{{"metrics": {{"m{number}": "x"}}}}"#), |_| {});
        }
        assert_eq!(warnings(&said).len(), COMPLAINTS);
    }

    #[test]
    fn a_checkpoint_is_remembered_with_what_was_logged_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (context, said) = context();
        let folders = Folders { run_dir: folder.path(), working_dir: folder.path() };
        let mut course = Course::begin(&context, folders, None);
        course.line(r#"{"checkpoint": "gone.pt"}"#, |_| {});
        assert!(warnings(&said)[0].contains("not there"), "{said:?}");
        std::fs::write(folder.path().join("one.pt"), "").unwrap();
        std::fs::write(folder.path().join("two.pt"), "").unwrap();
        course.line(r#"{"metrics": {"val/a": 0.5}, "epoch": 1, "step": 4}"#, |_| {});
        course.line(r#"{"checkpoint": "one.pt", "monitored": 0.5, "best": true}"#, |_| {});
        let late = |course: &mut Course<'_>| {
            course.rows(vec![Row {
                at: At { epoch: Some(2), step: Some(8) },
                values: vec![("b".into(), Cell::Number(1.0))],
            }]);
        };
        course.line(r#"{"checkpoint": "two.pt"}"#, late);
        let read = Memory::read(folder.path()).unwrap().unwrap();
        assert_eq!(read.place, RunPlace { epoch: 2, step: 8 });
        assert_eq!(read.metrics, [("b".to_owned(), 1.0), ("val/a".to_owned(), 0.5)].into());
        assert_eq!(read.best, Some(folder.path().join("one.pt")));
        assert!(read.checkpoint.ends_with("two.pt"));
        let told = said.lock().unwrap();
        let of = |word: &FromWorker| matches!(word, FromWorker::CheckpointWritten { .. });
        assert_eq!(told.iter().filter(|word| of(word)).count(), 2);
        assert!(told.iter().any(|word| matches!(word, FromWorker::Validated { epoch: 1, step: 4, .. })));
        drop(told);
        assert!(course.summary(true).best_checkpoint.unwrap().ends_with("one.pt"));
    }

    #[test]
    fn progress_is_told_as_far_as_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (context, said) = context();
        let folders = Folders { run_dir: folder.path(), working_dir: folder.path() };
        let mut course = Course::begin(&context, folders, None);
        course.line(r#"{"progress": {"epoch": 3, "batch": 2, "batches": 0}}"#, |_| {});
        let told = said.lock().unwrap();
        let expected = Progress { epoch: 3, max_epochs: 4, batch: 2, batches: 1, phase: Phase::Train };
        assert_eq!(*told, [FromWorker::Progress(expected)]);
    }
}

//! What is known of a job so far, gathered from its events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::{Event, Phase, Progress};

use super::lines::plural;

/// The metric shown beside a run: the one checkpoints follow.
pub const SHOWN_METRIC: &str = "val/JaccardIndex";

/// A run under way.
#[derive(Debug, Clone)]
pub struct Running {
    pub name: String,
    pub device: String,
    pub progress: Option<Progress>,
    pub best: Option<f64>,
}

/// Counts and runs under way.
#[derive(Debug)]
pub struct Board {
    started: Instant,
    pub runs: BTreeMap<String, Running>,
    pub runs_done: u32,
    pub runs_expected: u32,
    /// What an earlier process had done of them, by the cvs that are resumed.
    recalled: Recalled,
    /// What is recalled, in one line, to be told with the event that was noted last.
    pub resumed: Option<String>,
    /// The cv or tune that was called.
    pub called: Option<Called>,
    /// The job is over, what is left of it is sent.
    pub is_sending: bool,
}

/// What a job that is resumed finds done.
#[derive(Debug, Default)]
struct Recalled {
    cvs: u32,
    /// Runs of those cvs.
    runs_of_cvs: u32,
    /// Runs of cvs that are not over.
    runs: u32,
    /// Configurations of the tune; none for a cv.
    of_cvs: Option<u32>,
    is_told: bool,
}

impl Recalled {
    fn all_runs(&self) -> u32 {
        self.runs_of_cvs + self.runs
    }

    /// `resumed: 5 of 12 configurations and 3 runs of the next are done`
    fn line(&self, runs_expected: u32) -> String {
        let Some(of_cvs) = self.of_cvs else {
            return format!("resumed: {} of {} are done", self.runs, plural(u64::from(runs_expected), "run"));
        };
        let further = match self.runs {
            0 => String::new(),
            runs => format!(" and {} of the next", plural(u64::from(runs), "run")),
        };
        format!("resumed: {} of {}{further} are done", self.cvs, plural(u64::from(of_cvs), "configuration"))
    }
}

/// What was called, where it is no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    Cv(String),
    Tune(String),
}

impl Default for Board {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            runs: BTreeMap::new(),
            runs_done: 0,
            runs_expected: 1,
            recalled: Recalled::default(),
            resumed: None,
            called: None,
            is_sending: false,
        }
    }
}

impl Board {
    /// Takes note of one event.
    pub fn note(&mut self, event: &Event) {
        self.recall(event);
        match event {
            Event::TuneStarted { tune_name, n_trials, cells_per_cv, .. } => {
                self.recalled.of_cvs = Some(*n_trials);
                self.called = Some(Called::Tune(tune_name.clone()));
                self.runs_expected = n_trials * cells_per_cv;
            }
            Event::CvStarted { cv_name, tune_name: None, cells, .. } => {
                self.called = Some(Called::Cv(cv_name.clone()));
                self.runs_expected = *cells;
            }
            Event::RunQueued { cv_name: None, .. } if self.called.is_some() => self.runs_expected += 1, // the retrained model
            Event::RunStarted { run_id, run_name, device, .. } => {
                let running =
                    Running { name: run_name.clone(), device: device.clone(), progress: None, best: None };
                self.runs.insert(run_id.clone(), running);
            }
            Event::RunProgressed { run_id, progress, .. } => {
                if let Some(run) = self.runs.get_mut(run_id) {
                    run.progress = Some(*progress);
                }
            }
            Event::RunValidated { run_id, metrics, .. } => {
                if let (Some(run), Some(value)) = (self.runs.get_mut(run_id), metrics.get(SHOWN_METRIC)) {
                    run.best = Some(run.best.map_or(*value, |best| best.max(*value)));
                }
            }
            Event::RunFinished { run_id, .. } => {
                self.runs.remove(run_id);
                self.runs_done += 1;
            }
            _ => {}
        }
    }

    /// Counts what is recalled, and has it told once, before the first thing that happens anew.
    fn recall(&mut self, event: &Event) {
        self.resumed = None;
        match event {
            Event::CvRecalled { runs, .. } => {
                let runs = u32::try_from(runs.len()).unwrap_or(u32::MAX);
                self.recalled.cvs += 1;
                self.recalled.runs_of_cvs += runs;
                self.runs_done += runs;
            }
            Event::RunRecalled { .. } => {
                self.recalled.runs += 1;
                self.runs_done += 1;
            }
            Event::RunQueued { .. } | Event::CvFinished { .. } | Event::TuneFinished { .. }
                if self.recalled.all_runs() > 0 && !self.recalled.is_told =>
            {
                self.recalled.is_told = true;
                self.resumed = Some(self.recalled.line(self.runs_expected));
            }
            _ => {}
        }
    }

    /// Share of the expected work that is done, 0 to 1; early stopping makes it an upper estimate of what is left.
    pub fn fraction(&self) -> f64 {
        let partial: f64 = self.runs.values().filter_map(|run| run.progress).map(run_fraction).sum();
        (f64::from(self.runs_done) + partial) / f64::from(self.runs_expected.max(1))
    }

    /// The job was begun so long ago.
    pub fn began(&mut self, ago: Duration) {
        let now = Instant::now();
        self.started = now.checked_sub(ago).unwrap_or(now);
    }

    /// Time since the job began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time left at the pace so far; none before there is a pace.
    pub fn eta(&self) -> Option<Duration> {
        // What was recalled took no time of this process.
        let before = f64::from(self.recalled.all_runs()) / f64::from(self.runs_expected.max(1));
        let fraction = ((self.fraction() - before) / (1.0 - before).max(f64::EPSILON)).min(1.0);
        (fraction > 0.005).then(|| self.elapsed().mul_f64((1.0 - fraction) / fraction))
    }
}

/// Share of a run that is done if it goes on to its last epoch.
fn run_fraction(progress: Progress) -> f64 {
    let within = match progress.phase {
        Phase::Train => 0.9 * f64::from(progress.batch) / f64::from(progress.batches.max(1)),
        Phase::Validate => 0.9,
        Phase::Test => return 0.99,
    };
    (f64::from(progress.epoch) + within) / f64::from(progress.max_epochs.max(1))
}

/// A duration as people write it: `1h02m`, `3m04s`, `7s`.
pub fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(epoch: u32, batch: u32) -> Progress {
        Progress { epoch, max_epochs: 4, batch, batches: 10, phase: Phase::Train }
    }

    #[test]
    fn a_finished_run_counts_whole_and_a_running_one_by_its_epochs() {
        let mut board = Board { runs_expected: 2, runs_done: 1, ..Board::default() };
        let running =
            Running { name: "a".into(), device: "cpu:0".into(), progress: Some(progress(2, 0)), best: None };
        board.runs.insert("a".into(), running);
        assert!((board.fraction() - 0.75).abs() < 1e-9);
    }

    fn cv_recalled(hp_index: u32) -> Event {
        Event::CvRecalled {
            cv_name: format!("t-cv{hp_index}"),
            hp_index,
            hyperparameters: engine::Hyperparameters::new(),
            score: Some(0.5),
            spread: None,
            score_is_unstable: false,
            status: engine::Status::Complete,
            runs: vec![engine::Status::Complete; 2],
        }
    }

    #[test]
    fn what_is_recalled_is_counted_as_done_and_told_in_one_line() {
        let cell = engine::Cell { fold: 0, seed: 42 };
        let queued = Event::RunQueued {
            run_id: "b".into(),
            run_name: "b".into(),
            cv_name: Some("t-cv2".into()),
            cell,
        };
        let recalled = Event::RunRecalled {
            run_id: "a".into(),
            run_name: "a".into(),
            cv_name: Some("t-cv2".into()),
            cell,
            status: engine::Status::Complete,
            metrics: BTreeMap::new(),
        };
        let begun = Event::TuneStarted {
            tune_name: "t".into(),
            tune_dir: "a/t".into(),
            n_trials: 12,
            cells_per_cv: 2,
            resumed: true,
        };
        let mut board = Board::default();
        let events = [begun, cv_recalled(0), cv_recalled(1), recalled, queued.clone(), queued];
        let told: Vec<_> = events
            .iter()
            .filter_map(|event| {
                board.note(event);
                board.resumed.clone()
            })
            .collect();
        assert_eq!(told, ["resumed: 2 of 12 configurations and 1 run of the next are done"]);
        assert_eq!((board.runs_done, board.runs_expected), (5, 24));
        assert_eq!(board.eta(), None, "there is no pace yet");
    }

    #[test]
    fn durations_are_spelled_by_their_two_largest_units() {
        assert_eq!(spell(Duration::from_secs(7)), "7s");
        assert_eq!(spell(Duration::from_secs(184)), "3m04s");
        assert_eq!(spell(Duration::from_secs(3720)), "1h02m");
    }
}

//! What is known of a job so far, gathered from its events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::{Event, Phase, Progress};

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
    /// The cv or tune that was called.
    pub called: Option<Called>,
    /// The job is over, what is left of it is sent.
    pub is_sending: bool,
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
            called: None,
            is_sending: false,
        }
    }
}

impl Board {
    /// Takes note of one event.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::TuneStarted { tune_name, n_trials, cells_per_cv, .. } => {
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
            Event::RunProgressed { run_id, progress } => {
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
        let fraction = self.fraction().min(1.0);
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

    #[test]
    fn durations_are_spelled_by_their_two_largest_units() {
        assert_eq!(spell(Duration::from_secs(7)), "7s");
        assert_eq!(spell(Duration::from_secs(184)), "3m04s");
        assert_eq!(spell(Duration::from_secs(3720)), "1h02m");
    }
}

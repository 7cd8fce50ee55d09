//! Live bars: one for the job, one line for every run under way.

use std::collections::BTreeMap;

use engine::{Event, Phase};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::board::{Board, Running, SHOWN_METRIC, spell};
use super::lines;

/// Parts of the job's bar.
const BAR_PARTS: u64 = 1000;

pub struct Bars {
    all: MultiProgress,
    job: ProgressBar,
    runs: BTreeMap<String, ProgressBar>,
}

impl Bars {
    pub fn new() -> Self {
        let all = MultiProgress::new();
        let job = all.add(ProgressBar::new(BAR_PARTS));
        job.set_style(style("{bar:32.cyan/dim} {msg}"));
        Self { all, job, runs: BTreeMap::new() }
    }

    pub fn show(&mut self, event: &Event, board: &Board) {
        if let Some(line) = lines::line(event, board) {
            self.say(&line);
        }
        self.follow(event, board);
    }

    /// Moves the bars with an event, and says nothing of it.
    pub fn follow(&mut self, event: &Event, board: &Board) {
        match event {
            Event::RunStarted { run_id, .. } => {
                let bar = self.all.insert_before(&self.job, ProgressBar::new(1));
                bar.set_style(style("  {msg} {bar:16.green/dim} {pos}/{len}"));
                if let Some(old) = self.runs.insert(run_id.clone(), bar) {
                    old.finish_and_clear();
                }
            }
            Event::RunFinished { run_id, .. } => {
                if let Some(bar) = self.runs.remove(run_id) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        for (run_id, bar) in &self.runs {
            if let Some(run) = board.runs.get(run_id) {
                update(bar, run);
            }
        }
        if !board.is_sending {
            self.update_job(board);
        }
    }

    fn say(&self, message: &str) {
        crate::print::note_err(&self.all.println(message));
    }

    /// The bar of the job, which is over, gives its place to one line.
    pub fn sending(&self, line: &str) {
        self.job.set_style(style("{spinner:.cyan} {msg}"));
        self.job.set_message(line.to_owned());
        self.job.tick();
    }

    pub fn clear(self) {
        for bar in self.runs.values() {
            bar.finish_and_clear();
        }
        self.job.finish_and_clear();
    }

    fn update_job(&self, board: &Board) {
        let position = (board.fraction().min(1.0) * BAR_PARTS as f64) as u64;
        self.job.set_position(position);
        let eta = board.eta().map_or_else(|| "…".to_owned(), spell);
        self.job.set_message(format!(
            "{}/{} runs, {} gone, about {eta} left",
            board.runs_done,
            board.runs_expected,
            spell(board.elapsed())
        ));
    }
}

fn update(bar: &ProgressBar, run: &Running) {
    let Some(progress) = run.progress else {
        bar.set_message(format!("{} on {}: starting", run.name, run.device));
        return;
    };
    let phase = match progress.phase {
        Phase::Train => "train",
        Phase::Validate => "validate",
        Phase::Test => "test",
    };
    let best = run.best.map_or(String::new(), |best| format!(", best {SHOWN_METRIC} {best:.3}"));
    bar.set_length(u64::from(progress.batches.max(1)));
    bar.set_position(u64::from(progress.batch));
    bar.set_message(format!(
        "{} on {}: epoch {}/{} {phase}{best}",
        run.name,
        run.device,
        progress.epoch + 1,
        progress.max_epochs
    ));
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

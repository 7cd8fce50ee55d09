//! From events to what stands in the entries of cvs and tunes. No clock, no I/O.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_actors::events::Event;
use engine_actors::outcome::{Failure, Status};
use engine_actors::plan::{Cell, Hyperparameters};
use engine_tracking::Metrics;
use serde_json::{Map, Value, json};

use crate::names::{self, retrain_name};
use crate::tracking::job_book::JobFacts;
use crate::tracking::wandb::exit_code;

/// A cv or a tune.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    /// A cv, by name.
    Cv(String),
    /// A tune, by name.
    Tune(String),
}

/// What is to be written of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum EntryRecord {
    /// It begins.
    Open {
        entry: Entry,
        dir: PathBuf,
        /// The tune its runs stand under; its own name for a tune.
        tune_name: Option<String>,
        /// Its own configuration, besides the settings of its runs.
        config: Map<String, Value>,
        begun: Begun,
    },
    /// Something of it begins that no earlier process knew.
    Stirs { entry: Entry },
    /// A row; `number` counts from 1.
    Row { entry: Entry, number: u64, values: Metrics },
    /// A row that an earlier process wrote, unless it was killed before: to be written if there is none of the same [`identity`].
    Recalled { entry: Entry, number: u64, values: Metrics },
    /// Values of its summary.
    Summary { entry: Entry, values: Map<String, Value> },
    /// It is over.
    Close { entry: Entry, exit_code: i32 },
}

/// When a cv or tune began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Now,
    /// In an earlier process, whose entry is gone on with.
    Before,
}

impl Begun {
    fn of(resumed: bool) -> Self {
        if resumed { Self::Before } else { Self::Now }
    }
}

/// The values that tell a row from the others of its entry.
pub(super) fn identity(entry: &Entry) -> &'static [&'static str] {
    match entry {
        Entry::Cv(_) => &["cell/fold", "cell/seed"],
        Entry::Tune(_) => &["hp_index"],
    }
}

/// What is known of a job beside its events, by the name it was called by.
pub(super) type Facts<'a> = dyn Fn(&str) -> Option<Arc<JobFacts>> + 'a;

/// The entries under way.
#[derive(Debug, Default)]
pub(super) struct Entries {
    cvs: BTreeMap<String, OpenCv>,
    tunes: BTreeMap<String, OpenTune>,
}

#[derive(Debug)]
struct OpenCv {
    tune_name: Option<String>,
    hp_index: u32,
    hyperparameters: Hyperparameters,
    cells: u32,
    rows: u64,
    /// Cells by how they ended.
    ended: BTreeMap<&'static str, u32>,
    not_complete: Vec<String>,
}

#[derive(Debug, Default)]
struct OpenTune {
    rows: u64,
    best: Option<Best>,
    /// Cvs by how they ended.
    ended: BTreeMap<&'static str, u32>,
    runs: u32,
    failed_runs: u32,
    /// Hyperparameters by cv: the best is named at the end, and need not be the best by then.
    tried: BTreeMap<String, Hyperparameters>,
}

#[derive(Debug, Clone, Copy)]
struct Best {
    score: f64,
    hp_index: u32,
}

/// A run that is over.
struct EndedRun<'a> {
    cell: Cell,
    status: Status,
    failure: Option<&'a Failure>,
    ended: Ended,
    metrics: &'a Metrics,
}

/// When a run ended, and what is known of how.
#[derive(Clone, Copy)]
enum Ended {
    Now { attempts: u32, duration_secs: f64 },
    Before,
}

/// A configuration that was tried.
struct TriedCv<'a> {
    cv_name: &'a str,
    hp_index: u32,
    hyperparameters: &'a Hyperparameters,
}

/// A cv that is over.
struct EndedCv {
    score: Option<f64>,
    spread: Option<f64>,
    is_unstable: bool,
    status: Status,
}

impl Entries {
    /// Takes an event to what is to be written for it.
    #[must_use = "a record left unwritten is a lost row"]
    pub(super) fn apply(&mut self, event: &Event, facts: &Facts<'_>) -> Vec<EntryRecord> {
        match event {
            Event::TuneStarted { tune_name, tune_dir, n_trials, cells_per_cv, resumed } => {
                self.tunes.insert(tune_name.clone(), OpenTune::default());
                let own = [("n_trials", json!(n_trials)), ("cells_per_cv", json!(cells_per_cv))];
                vec![EntryRecord::Open {
                    entry: Entry::Tune(tune_name.clone()),
                    dir: tune_dir.clone(),
                    tune_name: Some(tune_name.clone()),
                    config: with_scoring(named(own), facts(tune_name).as_deref()),
                    begun: Begun::of(*resumed),
                }]
            }
            Event::CvStarted { cv_name, cv_dir, tune_name, hp_index, hyperparameters, cells, resumed } => {
                let open = OpenCv {
                    tune_name: tune_name.clone(),
                    hp_index: *hp_index,
                    hyperparameters: hyperparameters.clone(),
                    cells: *cells,
                    rows: 0,
                    ended: BTreeMap::new(),
                    not_complete: Vec::new(),
                };
                self.cv_begun((cv_name, cv_dir), open, Begun::of(*resumed), facts)
            }
            Event::RunStarted { cv_name: Some(cv_name), .. } if self.cvs.contains_key(cv_name) => {
                vec![EntryRecord::Stirs { entry: Entry::Cv(cv_name.clone()) }]
            }
            Event::RunRecalled { cv_name: Some(cv_name), cell, status, metrics, .. } => {
                let run =
                    EndedRun { cell: *cell, status: *status, failure: None, ended: Ended::Before, metrics };
                self.run_of_cv(cv_name, &run, facts)
            }
            Event::CvRecalled {
                cv_name,
                hp_index,
                hyperparameters,
                score,
                spread,
                score_is_unstable,
                status,
                runs,
            } => {
                let ended = EndedCv {
                    score: *score,
                    spread: *spread,
                    is_unstable: *score_is_unstable,
                    status: *status,
                };
                let cv = TriedCv { cv_name, hp_index: *hp_index, hyperparameters };
                self.cv_recalled(&cv, &ended, runs, facts)
            }
            Event::RunFinished {
                run_name,
                cv_name,
                cell,
                status,
                failure,
                attempts,
                duration_secs,
                metrics,
                ..
            } => {
                let run = EndedRun {
                    cell: *cell,
                    status: *status,
                    failure: failure.as_ref(),
                    ended: Ended::Now { attempts: *attempts, duration_secs: *duration_secs },
                    metrics,
                };
                match cv_name {
                    Some(cv_name) => self.run_of_cv(cv_name, &run, facts),
                    None => self.retrained(run_name, &run),
                }
            }
            Event::CvFinished { cv_name, score, spread, score_is_unstable, status } => {
                let ended = EndedCv {
                    score: *score,
                    spread: *spread,
                    is_unstable: *score_is_unstable,
                    status: *status,
                };
                self.cv_ended(cv_name, &ended, facts)
            }
            Event::TuneFinished { tune_name, best_cv, best_score, cancelled } => {
                self.tune_ended(tune_name, best_cv.as_deref(), *best_score, *cancelled)
            }
            _ => Vec::new(),
        }
    }

    /// The engine is closed: what is still under way will not come to its end.
    #[must_use = "an entry left open looks as if it went on"]
    pub(super) fn abandon(&mut self) -> Vec<EntryRecord> {
        let cancelled = json!(Status::Cancelled.name());
        let records = self.under_way().into_iter().flat_map(|entry| {
            let values = named([("status", cancelled.clone())]);
            let exit_code = exit_code(Status::Cancelled);
            [EntryRecord::Summary { entry: entry.clone(), values }, EntryRecord::Close { entry, exit_code }]
        });
        let records = records.collect();
        self.cvs.clear();
        self.tunes.clear();
        records
    }

    fn under_way(&self) -> Vec<Entry> {
        let cvs = self.cvs.keys().cloned().map(Entry::Cv);
        cvs.chain(self.tunes.keys().cloned().map(Entry::Tune)).collect()
    }

    fn cv_begun(
        &mut self,
        (cv_name, dir): (&str, &Path),
        cv: OpenCv,
        begun: Begun,
        facts: &Facts<'_>,
    ) -> Vec<EntryRecord> {
        let called = facts(cv.tune_name.as_deref().unwrap_or(cv_name));
        let mut config = cv.hyperparameters.clone();
        for (name, value) in [("hp_index", json!(cv.hp_index)), ("cells", json!(cv.cells))] {
            config.entry(name).or_insert(value);
        }
        let tune_name = cv.tune_name.clone();
        self.cvs.insert(cv_name.to_owned(), cv);
        let stirs = tune_name.iter().filter(|name| self.tunes.contains_key(*name));
        let stirs = stirs.map(|name| EntryRecord::Stirs { entry: Entry::Tune(name.clone()) });
        let opens = EntryRecord::Open {
            entry: Entry::Cv(cv_name.to_owned()),
            dir: dir.to_owned(),
            tune_name: tune_name.clone(),
            config: with_scoring(config, called.as_deref()),
            begun,
        };
        stirs.chain([opens]).collect()
    }

    fn run_of_cv(&mut self, cv_name: &str, run: &EndedRun<'_>, facts: &Facts<'_>) -> Vec<EntryRecord> {
        // Its beginning was not told; so it has no entry.
        let Some(cv) = self.cvs.get_mut(cv_name) else { return Vec::new() };
        cv.rows += 1;
        *cv.ended.entry(run.status.name()).or_default() += 1;
        if let Some(tune) = cv.tune_name.as_ref().and_then(|name| self.tunes.get_mut(name)) {
            tune.runs += 1;
            tune.failed_runs += u32::from(run.status == Status::Failed);
        }
        let Cell { fold, seed } = run.cell;
        if run.status != Status::Complete {
            let why = run.failure.map_or(String::new(), |failure| format!(" ({})", failure.cause.name()));
            cv.not_complete.push(format!("f{fold}s{seed} {}{why}", run.status.name()));
        }
        let called = facts(cv.tune_name.as_deref().unwrap_or(cv_name));
        let judges =
            |name: &str| called.as_ref().is_none_or(|facts| facts.score_metrics().any(|m| m == name));
        let mut values: Metrics = run
            .metrics
            .iter()
            .filter(|(name, _)| judges(name))
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        let own = [
            ("cell/fold", f64::from(fold)),
            ("cell/seed", seed as f64),
            ("cell/complete", f64::from(u8::from(run.status == Status::Complete))),
        ];
        values.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let entry = Entry::Cv(cv_name.to_owned());
        let number = cv.rows;
        let row = match run.ended {
            Ended::Now { attempts, duration_secs } => {
                values.insert("cell/attempts".to_owned(), f64::from(attempts));
                values.insert("cell/duration_secs".to_owned(), duration_secs);
                EntryRecord::Row { entry: entry.clone(), number, values }
            }
            Ended::Before => EntryRecord::Recalled { entry: entry.clone(), number, values },
        };
        let summary =
            named([("cells_ended", json!(cv.rows)), ("not_complete", json!(cv.not_complete.join(", ")))]);
        vec![row, EntryRecord::Summary { entry, values: summary }]
    }

    /// The best configuration of a tune was trained once more and tested: its figures are the tune's.
    fn retrained(&mut self, run_name: &str, run: &EndedRun<'_>) -> Vec<EntryRecord> {
        let Some(tune_name) = self.tunes.keys().find(|tune| retrain_name(tune) == run_name) else {
            return Vec::new();
        };
        let mut values = named([("retrain_status", json!(run.status.name()))]);
        let tested = run.metrics.iter().filter(|(name, _)| name.starts_with("test/"));
        values.extend(tested.map(|(name, value)| (name.clone(), number(*value))));
        vec![EntryRecord::Summary { entry: Entry::Tune(tune_name.clone()), values }]
    }

    fn cv_ended(&mut self, cv_name: &str, ended: &EndedCv, facts: &Facts<'_>) -> Vec<EntryRecord> {
        let Some(cv) = self.cvs.remove(cv_name) else { return Vec::new() };
        let entry = Entry::Cv(cv_name.to_owned());
        let counted = |status: Status| cv.ended.get(status.name()).copied().unwrap_or(0);
        let mut values = named([
            ("status", json!(ended.status.name())),
            ("score", ended.score.map_or(Value::Null, number)),
            ("spread", ended.spread.map_or(Value::Null, number)),
            ("score_is_unstable", json!(ended.is_unstable)),
            ("failed_cells", json!(counted(Status::Failed))),
            ("complete_cells", json!(counted(Status::Complete))),
            ("missing_cells", json!(u64::from(cv.cells).saturating_sub(cv.rows))),
        ]);
        values.retain(|_, value| !value.is_null());
        let mut records = vec![
            EntryRecord::Summary { entry: entry.clone(), values },
            EntryRecord::Close { entry, exit_code: exit_code(ended.status) },
        ];
        if let Some(tune_name) = &cv.tune_name {
            let tried = TriedCv { cv_name, hp_index: cv.hp_index, hyperparameters: &cv.hyperparameters };
            if let Some((entry, number, values, summary)) = self.cv_of_tune(tune_name, &tried, ended, facts) {
                records.push(EntryRecord::Row { entry: entry.clone(), number, values });
                records.push(EntryRecord::Summary { entry, values: summary });
            }
        }
        records
    }

    /// A cv of the tune that is resumed. Its own entry is left as it is.
    fn cv_recalled(
        &mut self,
        cv: &TriedCv<'_>,
        ended: &EndedCv,
        runs: &[Status],
        facts: &Facts<'_>,
    ) -> Vec<EntryRecord> {
        // A cv is called by its tune's name and its number.
        let is_its = |tune: &str| names::cv_name(tune, cv.hp_index) == cv.cv_name;
        let Some((tune_name, tune)) = self.tunes.iter_mut().find(|(tune, _)| is_its(tune)) else {
            return Vec::new();
        };
        for status in runs {
            tune.runs += 1;
            tune.failed_runs += u32::from(*status == Status::Failed);
        }
        let tune_name = tune_name.clone();
        let Some((entry, number, values, summary)) = self.cv_of_tune(&tune_name, cv, ended, facts) else {
            return Vec::new();
        };
        let row = EntryRecord::Recalled { entry: entry.clone(), number, values };
        vec![row, EntryRecord::Summary { entry, values: summary }]
    }

    /// Counts a cv in, and gives the row and the summary that its tune has for it.
    fn cv_of_tune(
        &mut self,
        tune_name: &str,
        cv: &TriedCv<'_>,
        ended: &EndedCv,
        facts: &Facts<'_>,
    ) -> Option<(Entry, u64, Metrics, Map<String, Value>)> {
        let tune = self.tunes.get_mut(tune_name)?;
        tune.rows += 1;
        *tune.ended.entry(ended.status.name()).or_default() += 1;
        tune.tried.insert(cv.cv_name.to_owned(), cv.hyperparameters.clone());
        let scoring = facts(tune_name);
        let better = |left: f64, right: f64| match &scoring {
            Some(facts) => facts.scoring.better(left, right),
            None => left > right,
        };
        if let Some(score) = ended.score.filter(|_| ended.status == Status::Complete) {
            // Of equals the one proposed first, whichever ended first.
            let is_best = tune.best.is_none_or(|best| {
                better(score, best.score) || !better(best.score, score) && cv.hp_index < best.hp_index
            });
            if is_best {
                tune.best = Some(Best { score, hp_index: cv.hp_index });
            }
        }
        let mut values: Metrics = numbers(cv.hyperparameters)
            .map(|(name, value)| (format!("hyperparameters/{name}"), value))
            .collect();
        let own = [
            ("hp_index", Some(f64::from(cv.hp_index))),
            ("score", ended.score),
            ("spread", ended.spread),
            ("best_score", tune.best.map(|best| best.score)),
        ];
        values.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Some((Entry::Tune(tune_name.to_owned()), tune.rows, values, tune.counts()))
    }

    fn tune_ended(
        &mut self,
        tune_name: &str,
        best_cv: Option<&str>,
        best_score: Option<f64>,
        cancelled: bool,
    ) -> Vec<EntryRecord> {
        let Some(tune) = self.tunes.remove(tune_name) else { return Vec::new() };
        let entry = Entry::Tune(tune_name.to_owned());
        let status = if cancelled { Status::Cancelled } else { Status::Complete };
        let mut values = tune.counts();
        values.insert("status".to_owned(), json!(status.name()));
        if let Some(best_cv) = best_cv {
            values.insert("best_cv".to_owned(), json!(best_cv));
            if let Some(hyperparameters) = tune.tried.get(best_cv) {
                values.insert("best_hyperparameters".to_owned(), Value::Object(hyperparameters.clone()));
            }
        }
        if let Some(score) = best_score {
            values.insert("best_score".to_owned(), number(score));
            // Else the summary kept that of the cv that ended last.
            values.insert("score".to_owned(), number(score));
        }
        vec![
            EntryRecord::Summary { entry: entry.clone(), values },
            EntryRecord::Close { entry, exit_code: exit_code(status) },
        ]
    }
}

impl OpenTune {
    fn counts(&self) -> Map<String, Value> {
        let mut values = named([
            ("cvs", json!(self.rows)),
            ("runs", json!(self.runs)),
            ("failed_runs", json!(self.failed_runs)),
        ]);
        values.extend(self.ended.iter().map(|(status, count)| (format!("{status}_cvs"), json!(count))));
        values
    }
}

fn with_scoring(mut config: Map<String, Value>, facts: Option<&JobFacts>) -> Map<String, Value> {
    if let Some(facts) = facts {
        let metrics: Vec<String> = facts.scoring.metrics.iter().map(ToString::to_string).collect();
        config.entry("scoring_metrics").or_insert(json!(metrics));
        config.entry("multi_score_strategy").or_insert(json!(facts.scoring.strategy.name()));
    }
    config
}

fn named<const N: usize>(values: [(&str, Value); N]) -> Map<String, Value> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Those hyperparameters that can be plotted; `true` is 1.
fn numbers(hyperparameters: &Hyperparameters) -> impl Iterator<Item = (&String, f64)> {
    hyperparameters.iter().filter_map(|(name, value)| {
        let value = value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))));
        Some((name, value?))
    })
}

/// JSON has no number for what is not finite; a text says it.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

#[cfg(test)]
mod tests;

//! What must hold after every step, and at the end.

use std::collections::BTreeMap;

use super::fate::Scenario;
use super::world::{Parent, World};
use crate::journal::Record;
use crate::outcome::{Cause, CvOutcome, RunOutcome, Status, TuneOutcome};
use crate::plan::{Hyperparameters, RunPlan};
use crate::testing::run_plan;

/// A run as every schedule is to end it: without times, names of devices, and ids.
type RunResult = (u32, Status, u32, Option<Cause>, Vec<(String, u64)>);

/// A cv as every schedule is to end it: configuration, status, score, whether that is unstable, runs.
type CvResult = (String, Status, Option<u64>, bool, Vec<RunResult>);

/// A tune as every schedule is to end it.
#[derive(Debug, PartialEq)]
pub(super) struct TuneResult {
    cvs: Vec<CvResult>,
    best: Option<usize>,
    retrain: Option<RunResult>,
    tables: BTreeMap<String, (Vec<RunResult>, Option<u64>)>,
    cv_tables: BTreeMap<String, Vec<RunResult>>,
}

fn run_result(run: &RunOutcome) -> RunResult {
    // What a run that failed logged last hangs on where its last attempt began.
    let has_ended = matches!(run.status, Status::Complete | Status::Unstable);
    let metrics =
        run.metrics.iter().filter(|_| has_ended).map(|(name, value)| (name.clone(), value.to_bits()));
    let cause = run.failure.as_ref().map(|why| why.cause);
    (run.cell.fold, run.status, run.attempts, cause, metrics.collect())
}

fn cv_result(cv: &CvOutcome) -> CvResult {
    let hyperparameters = serde_json::to_string(&cv.hyperparameters).unwrap();
    let runs = cv.runs.iter().map(run_result).collect();
    (hyperparameters, cv.status, cv.score.map(f64::to_bits), cv.score_is_unstable, runs)
}

impl World {
    pub(super) fn result(&self, outcome: &TuneOutcome) -> TuneResult {
        let rows = |runs: &[RunOutcome]| runs.iter().map(run_result).collect();
        let disk = &self.disk;
        let scored = |(name, (runs, score)): (&String, &(Vec<RunOutcome>, Option<f64>))| {
            (name.clone(), (rows(runs), score.map(f64::to_bits)))
        };
        TuneResult {
            cvs: outcome.cvs.iter().map(cv_result).collect(),
            best: outcome.best,
            retrain: outcome.retrain.as_ref().map(run_result),
            tables: disk.tune_table.iter().map(scored).collect(),
            cv_tables: disk.cv_tables.iter().map(|(name, runs)| (name.clone(), rows(runs))).collect(),
        }
    }

    pub(super) fn check_step(&self) {
        let cvs_at_once = self.setup.placement.cvs_at_once as usize;
        assert!(self.cvs.len() <= cvs_at_once, "TUNE-1: {} cvs at once", self.cvs.len());
        let cells_at_once = self.setup.placement.cells_at_once as usize;
        for cv in self.cvs.values() {
            assert!(cv.children.len() <= cells_at_once, "CV-2: {} runs at once", cv.children.len());
        }
        for id in self.runs.keys() {
            let workers =
                self.workers.values().filter(|worker| worker.run == *id && !worker.is_killed).count();
            assert!(workers <= 1, "RUN-3: {workers} workers of a run");
        }
    }

    pub(super) fn tune4_nothing_is_left(&self) {
        assert!(self.cvs.is_empty(), "TUNE-4: told while a cv is at work");
        let mut own = self.runs.values().filter(|run| matches!(run.parent, Parent::Tune));
        assert!(own.all(|run| !run.has_begun), "TUNE-4: told while the retrained model's run is at work");
    }

    /// A run starts only with an id that stands in the journal, and never after its end does.
    pub(super) fn may_launch(&self, run_id: &str) {
        assert!(
            self.journal_breaks || self.disk.is_planned(run_id),
            "a run starts before its id is kept: {run_id}"
        );
        assert!(self.disk.ended(run_id).is_none(), "CV-6: a run that ended is started again: {run_id}");
    }

    /// No record contradicts those before it.
    pub(super) fn check_records(&self, records: &[Record]) {
        let mut past = self.disk.past();
        for record in records {
            if let Record::RunEnded(outcome) = record {
                assert!(self.disk.ended(&outcome.run_id).is_none(), "a run ends twice: {}", outcome.run_id);
            }
            past.hear(record.clone()).unwrap_or_else(|why| panic!("{why}: {record:?}"));
        }
    }

    /// Rows are of ends that outlive a power cut; those that are cut short, or that the engine itself lost, have no end.
    fn check_rows(&self, runs: &[RunOutcome]) {
        for run in runs.iter().filter(|run| run.status != Status::Cancelled && run.attempts > 0) {
            let is_kept =
                self.disk.ended(&run.run_id).is_some_and(|kept| run_result(kept) == run_result(run));
            assert!(is_kept || self.journal_breaks, "a row of a run whose end is not kept: {run:?}");
        }
    }

    pub(super) fn write_runs(&mut self, index: usize, runs: Vec<RunOutcome>) -> Option<String> {
        if self.tables_break {
            return Some("no space left".into());
        }
        self.check_rows(&runs);
        let name = format!("{}-cv{index}", self.scenario.plan.tune_name);
        self.disk.cv_tables.insert(name, runs);
        None
    }

    pub(super) fn write_score(&mut self, cv: &CvOutcome) -> Option<String> {
        if self.tables_break {
            return Some("no space left".into());
        }
        self.check_rows(&cv.runs);
        self.disk.cv_tables.insert(cv.cv_name.clone(), cv.runs.clone());
        self.disk.tune_table.insert(cv.cv_name.clone(), (cv.runs.clone(), cv.score));
        None
    }

    /// After the last word: everything is back where it belongs.
    pub(super) fn check_end(&mut self, outcome: &TuneOutcome) {
        // What is still on its way hurts nobody, and whom a lost actor left behind ends too.
        self.settle();
        assert!(
            self.runs.is_empty() && self.workers.is_empty(),
            "RUN-2: a run or a worker outlives the tune"
        );
        assert!(self.out.is_empty(), "DM-2: leases are out: {:?}", self.out);
        assert!(outcome.cvs.len() <= self.scenario.plan.n_trials as usize, "TUNE-1");
        let unanswered = outcome.cvs.iter().filter(|cv| cv.status != Status::Cancelled);
        for cv in unanswered {
            let cells = self.scenario.plan.cells.len();
            assert_eq!(cv.runs.len(), cells, "CV-1: every cell of {} ends once", cv.cv_name);
        }
        self.tune3_the_best_is_best(outcome);
    }

    fn tune3_the_best_is_best(&self, outcome: &TuneOutcome) {
        let stable = |cv: &CvOutcome| cv.score.filter(|_| cv.status == Status::Complete);
        let scores: Vec<f64> = outcome.cvs.iter().filter_map(stable).collect();
        let best = outcome.best.and_then(|index| stable(&outcome.cvs[index]));
        assert_eq!(best, scores.into_iter().reduce(f64::max), "TUNE-3");
        assert!(
            outcome.best.is_some() || outcome.retrain.is_none(),
            "TUNE-3: nothing is retrained without a best"
        );
    }
}

impl Scenario {
    /// A run ended as its fate says, whatever the schedule.
    pub(super) fn check_fate(&self, hyperparameters: &Hyperparameters, run: &RunOutcome, is_scored: bool) {
        let hyperparameters = hyperparameters.clone();
        let plan = RunPlan { hyperparameters, cell: run.cell, ..run_plan("r") };
        let (status, attempts, cause, metrics) = self.oracle(&plan, is_scored);
        let metrics = metrics.into_iter().map(|(name, value)| (name, value.to_bits())).collect();
        let fate = (run.cell.fold, status, attempts, cause, metrics);
        assert_eq!(run_result(run), fate, "the fate of {}", run.run_name);
    }
}

//! A fold over the records of a journal.

use std::collections::BTreeMap;

use super::record::{JobRecord, Opened, PlannedRun, Record, Reopened};
use crate::outcome::{Failure, RunOutcome, Status};
use crate::plan::{Cell, Hyperparameters, RunPlan};

/// What a search went through, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It proposed the configuration of the next trial.
    Proposed(Hyperparameters),
    /// It was told of a cv, by index.
    CvEnded(u32),
}

/// What is known of a run that has an id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PastRun {
    /// Its id.
    pub run_id: String,
    /// Attempts that failed, in order.
    pub retried: Vec<Failure>,
    /// How it ended, if it did.
    pub outcome: Option<RunOutcome>,
}

/// What is known of the run that trains the best configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRetrain {
    /// Index of the configuration.
    pub hp_index: u32,
    /// Id of the run.
    pub run_id: String,
}

/// What became of a job so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    job: JobRecord,
    opened: Vec<Opened>,
    proposals: u32,
    steps: Vec<Step>,
    cvs: BTreeMap<u32, Vec<PlannedRun>>,
    retrain: Option<PastRetrain>,
    runs: BTreeMap<String, PastRun>,
    ended: Option<bool>,
}

impl Past {
    /// A job nothing has happened to.
    #[must_use]
    pub fn new(job: JobRecord) -> Self {
        Self {
            job,
            opened: Vec::new(),
            proposals: 0,
            steps: Vec::new(),
            cvs: BTreeMap::new(),
            retrain: None,
            runs: BTreeMap::new(),
            ended: None,
        }
    }

    /// The job, as it was last changed.
    #[must_use]
    pub fn job(&self) -> &JobRecord {
        &self.job
    }

    /// The processes that took it up, the newest last.
    #[must_use]
    pub fn opened(&self) -> &[Opened] {
        &self.opened
    }

    /// Whether the process that took it up last came to an end of its own, and if so, whether there was more to do.
    #[must_use]
    pub fn ended(&self) -> Option<bool> {
        self.ended
    }

    /// What the search went through.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The runs of a cv that have ids, by index of its configuration.
    #[must_use]
    pub fn cv(&self, hp_index: u32) -> &[PlannedRun] {
        self.cvs.get(&hp_index).map_or(&[], Vec::as_slice)
    }

    /// A cell of a cv, if its run has an id.
    #[must_use]
    pub fn run_of(&self, hp_index: u32, cell: Cell) -> Option<&PastRun> {
        let planned = self.cv(hp_index).iter().find(|planned| planned.cell == cell)?;
        self.run(&planned.run_id)
    }

    /// A run by its id.
    #[must_use]
    pub fn run(&self, run_id: &str) -> Option<&PastRun> {
        self.runs.get(run_id)
    }

    /// Every run that has an id.
    pub fn runs(&self) -> impl Iterator<Item = &PastRun> {
        self.runs.values()
    }

    /// The run that trains the best configuration, if it has an id.
    #[must_use]
    pub fn retrain(&self) -> Option<&PastRetrain> {
        self.retrain.as_ref()
    }

    /// Takes one more record.
    ///
    /// # Errors
    /// Why it can not follow those before it.
    pub fn hear(&mut self, record: Record) -> Result<(), &'static str> {
        self.ended = None;
        match record {
            Record::Job(_) => return Err("it says a second time what the job is"),
            Record::Opened(opened) => self.opened.push(opened),
            Record::Changed { job, reopened } => {
                self.job = *job;
                self.runs.values_mut().for_each(|run| run.reopen(reopened));
            }
            Record::Proposed { trial, hyperparameters } => {
                if trial != self.proposals {
                    return Err("its trial is not the next one");
                }
                self.proposals += 1;
                self.steps.push(Step::Proposed(hyperparameters));
            }
            Record::CvPlanned { hp_index, runs } => {
                runs.iter().for_each(|run| self.plan(&run.run_id));
                self.cvs.insert(hp_index, runs);
            }
            Record::RetrainPlanned { hp_index, run_id } => {
                self.plan(&run_id);
                self.retrain = Some(PastRetrain { hp_index, run_id });
            }
            Record::RunRetried { run_id, failure } => self.planned(&run_id)?.retried.push(failure),
            Record::RunEnded(outcome) => {
                let run_id = outcome.run_id.clone();
                self.planned(&run_id)?.outcome = Some(*outcome);
            }
            Record::CvEnded { hp_index, .. } => {
                if !self.cvs.contains_key(&hp_index) {
                    return Err("it ends a cv that was not planned");
                }
                self.steps.push(Step::CvEnded(hp_index));
            }
            Record::Ended { cancelled } => self.ended = Some(cancelled),
        }
        Ok(())
    }

    fn plan(&mut self, run_id: &str) {
        self.runs.entry(run_id.to_owned()).or_insert_with(|| PastRun::of(run_id));
    }

    fn planned(&mut self, run_id: &str) -> Result<&mut PastRun, &'static str> {
        if let super::JobPlan::Run(plan) = &self.job.plan
            && plan.run_id == run_id
        {
            self.plan(run_id);
        }
        self.runs.get_mut(run_id).ok_or("it is of a run that was not planned")
    }
}

impl PastRun {
    /// A run of which nothing but its id is known.
    pub(crate) fn of(run_id: &str) -> Self {
        Self { run_id: run_id.to_owned(), ..Self::default() }
    }

    fn reopen(&mut self, reopened: Reopened) {
        let is_reopened = self.outcome.as_ref().is_some_and(|outcome| match outcome.status {
            Status::Complete | Status::Unstable => reopened.ended,
            Status::Failed => reopened.failed,
            Status::Pruned | Status::Cancelled => false,
        });
        if is_reopened {
            self.outcome = None;
            // It is tried as often as a new one.
            self.retried.clear();
        }
    }

    /// How the run ended, if it did, with the folder it has now: that of the job may have been moved.
    pub(crate) fn outcome_of(&self, plan: &RunPlan) -> Option<RunOutcome> {
        let outcome = self.outcome.clone()?;
        let moved = |path: std::path::PathBuf| match path.strip_prefix(&outcome.run_dir) {
            Ok(inside) => plan.run_dir.join(inside),
            Err(_) => path,
        };
        let checkpoint = outcome.checkpoint.clone().map(moved);
        Some(RunOutcome { checkpoint, run_dir: plan.run_dir.clone(), ..outcome })
    }
}

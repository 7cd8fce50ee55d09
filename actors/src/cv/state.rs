//! Decides what a cv does next. No clock, no I/O, no await.

use std::sync::Arc;

use engine_devices::LeasedBy;

use super::conclude::conclude;
use super::plans::{lost, unfinished_run};
use crate::events::Event;
use crate::failure_limit;
use crate::journal::{PastRun, Record, end_of};
use crate::limits::RESTARTS_RUN_ACTOR;
use crate::outcome::{CvOutcome, Failure, RunOutcome, Status};
use crate::plan::{CvPlan, RunPlan};
use crate::stop::StopMode;

/// What reaches a cv.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The actor stands.
    Begin,
    /// The cv's own lease.
    LeaseGranted,
    /// There will be none.
    LeaseRefused { reason: String },
    /// A run told its outcome.
    RunEnded { index: usize, outcome: Box<RunOutcome> },
    /// The actor of a run is gone without a word.
    RunLost { index: usize, generation: u32 },
    /// The table of the runs so far is written; or why not.
    RunsWritten { failure: Option<String> },
    /// The tables with the score are written; or why not.
    ScoreWritten { failure: Option<String> },
    /// A fact can not be kept in the journal.
    Unkept { reason: String },
    /// Somebody asks for a stop.
    Stop(StopMode),
}

/// What a cv causes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Ask the DeviceManager for the lease of all runs.
    AcquireLease,
    /// Wait for no device any longer.
    WithdrawRequest,
    /// Let go of the lease.
    ReturnLease,
    /// Start the actor of a cell's run.
    StartRun { index: usize, generation: u32 },
    /// Pass a stop on to the runs at work.
    StopRuns(StopMode),
    /// Write the table of the runs so far.
    WriteRuns(Vec<RunOutcome>),
    /// Write the tables with the score.
    WriteScore(Box<CvOutcome>),
    /// Tell the world.
    Publish(Event),
    /// Tell the parent, and end.
    Report(Box<CvOutcome>),
    /// An input that came too late, twice or from nobody known, by name.
    CountLate(&'static str),
}

/// Where a cv stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Made, not begun: the time to recall.
    Idle,
    WaitingForLease,
    Running,
    Scoring,
    Done,
}

/// Where a cell stands.
#[derive(Debug, Clone)]
enum CellIs {
    Waiting,
    Running { generation: u32 },
    Ended(Box<RunOutcome>),
}

/// Whether the table of the runs so far is being written, and whether it lacks a run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    UpToDate,
    BeingWritten,
    BeingWrittenAndStale,
}

/// The state of one cv.
#[derive(Debug, Clone)]
pub(crate) struct State {
    plan: Arc<CvPlan>,
    runs: Vec<Arc<RunPlan>>,
    cells: Vec<CellIs>,
    at_once: usize,
    leased_by: LeasedBy,
    holds_lease: bool,
    phase: Phase,
    table: Table,
    stop: Option<StopMode>,
    unwritten: Vec<String>,
    halted: Option<String>,
    outcome: Option<Box<CvOutcome>>,
}

impl State {
    pub(crate) fn new(plan: Arc<CvPlan>, runs: Vec<Arc<RunPlan>>, at_once: u32, leased_by: LeasedBy) -> Self {
        let cells = vec![CellIs::Waiting; runs.len()];
        Self {
            plan,
            runs,
            cells,
            at_once: usize::try_from(at_once.max(1)).unwrap_or(usize::MAX),
            leased_by,
            holds_lease: false,
            phase: Phase::Idle,
            table: Table::UpToDate,
            stop: None,
            unwritten: Vec::new(),
            halted: None,
            outcome: None,
        }
    }

    /// Recalls how cells ended that an earlier process ran, before the cv begins.
    pub(crate) fn recall(&mut self, past: &[Option<PastRun>]) {
        let ended = self.runs.iter().zip(past).map(|(run, past)| past.as_ref()?.outcome_of(run));
        let ended: Vec<Option<RunOutcome>> = ended.collect();
        for (index, outcome) in ended.into_iter().enumerate() {
            if let Some(outcome) = outcome {
                self.end_cell(index, Box::new(outcome));
            }
        }
    }

    /// What is kept of the end of a run.
    pub(crate) fn record_of_end(&self, run: &RunOutcome) -> Option<Record> {
        end_of(run, self.stop.is_some())
    }

    /// Takes one input to the effects it causes.
    #[must_use = "an effect left unperformed is a lost message"]
    pub(crate) fn apply(&mut self, input: Input) -> Vec<Effect> {
        match (self.phase, input) {
            (Phase::Idle, Input::Begin) => self.begin(),
            (Phase::WaitingForLease, Input::LeaseGranted) => {
                self.phase = Phase::Running;
                self.holds_lease = true;
                self.advance()
            }
            (_, Input::LeaseGranted) if self.holds_lease => vec![Effect::CountLate("lease-granted")],
            (_, Input::LeaseGranted) => vec![Effect::ReturnLease, Effect::CountLate("lease-granted")],
            (Phase::WaitingForLease, Input::LeaseRefused { reason }) => {
                self.phase = Phase::Running;
                self.end_waiting(Status::Failed, Some(&lost(&reason)));
                self.advance()
            }
            (Phase::Running, Input::RunEnded { index, outcome }) => self.run_ended(index, outcome),
            (Phase::Running, Input::RunLost { index, generation }) => self.run_lost(index, generation),
            (Phase::Running | Phase::Scoring, Input::RunsWritten { failure }) => self.runs_written(failure),
            (Phase::Scoring, Input::ScoreWritten { failure }) => self.report(failure),
            (_, Input::Unkept { reason }) => self.unkept(reason),
            (_, Input::Stop(mode)) => self.stop(mode),
            (_, Input::Begin) => vec![Effect::CountLate("begin")],
            (_, Input::LeaseRefused { .. }) => vec![Effect::CountLate("lease-refused")],
            (_, Input::RunEnded { .. }) => vec![Effect::CountLate("run-ended")],
            (_, Input::RunLost { .. }) => vec![Effect::CountLate("run-lost")],
            (_, Input::RunsWritten { .. }) => vec![Effect::CountLate("runs-written")],
            (_, Input::ScoreWritten { .. }) => vec![Effect::CountLate("score-written")],
        }
    }

    fn begin(&mut self) -> Vec<Effect> {
        let started = Effect::Publish(Event::CvStarted {
            cv_name: self.plan.cv_name.clone(),
            cv_dir: self.plan.cv_dir.clone(),
            tune_name: self.plan.tune_name.clone(),
            hp_index: self.plan.hp_index,
            hyperparameters: self.plan.hyperparameters.clone(),
            cells: u32::try_from(self.cells.len()).unwrap_or(u32::MAX),
            resumed: self.ended().next().is_some(),
        });
        let mut effects = vec![started];
        effects.extend(self.ended().map(|run| Effect::Publish(recalled(Some(&self.plan.cv_name), run))));
        let gives_up = self.give_up();
        if !gives_up.is_empty() {
            effects.extend(gives_up);
            return effects;
        }
        let is_over = !self.cells.iter().any(|cell| matches!(cell, CellIs::Waiting));
        match self.leased_by {
            LeasedBy::Cv if !is_over => {
                self.phase = Phase::WaitingForLease;
                effects.push(Effect::AcquireLease);
            }
            LeasedBy::Cv | LeasedBy::Run => {
                self.phase = Phase::Running;
                effects.extend(self.advance());
            }
        }
        effects
    }

    /// Starts what may start; scores when nothing is left.
    fn advance(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let running = |cells: &[CellIs]| cells.iter().filter(|c| matches!(c, CellIs::Running { .. })).count();
        while running(&self.cells) < self.at_once {
            let Some(index) = self.cells.iter().position(|cell| matches!(cell, CellIs::Waiting)) else {
                break;
            };
            self.cells[index] = CellIs::Running { generation: 0 };
            effects.push(Effect::StartRun { index, generation: 0 });
        }
        debug_assert!(running(&self.cells) <= self.at_once, "CV-2");
        if self.ended().count() == self.cells.len() {
            effects.extend(self.score());
        }
        effects
    }

    fn ended(&self) -> impl Iterator<Item = &RunOutcome> {
        self.cells.iter().filter_map(|cell| match cell {
            CellIs::Ended(outcome) => Some(outcome.as_ref()),
            CellIs::Waiting | CellIs::Running { .. } => None,
        })
    }

    fn end_cell(&mut self, index: usize, outcome: Box<RunOutcome>) {
        if let Some(cell) = self.cells.get_mut(index) {
            *cell = CellIs::Ended(outcome);
        }
    }

    fn run_ended(&mut self, index: usize, outcome: Box<RunOutcome>) -> Vec<Effect> {
        match self.cells.get_mut(index) {
            Some(CellIs::Running { .. }) => self.end_cell(index, outcome),
            _ => return vec![Effect::CountLate("run-ended")],
        }
        let mut effects = self.go_on_after(index);
        if self.phase == Phase::Running {
            effects.extend(self.write_runs());
        }
        effects
    }

    fn run_lost(&mut self, index: usize, generation: u32) -> Vec<Effect> {
        match self.cells.get_mut(index) {
            Some(CellIs::Running { generation: current }) if *current == generation => {
                if generation < RESTARTS_RUN_ACTOR && self.stop.is_none() {
                    *current += 1;
                    return vec![Effect::StartRun { index, generation: *current }];
                }
            }
            _ => return vec![Effect::CountLate("run-lost")],
        }
        let why = lost("the actor of the run was lost to a panic: see the log");
        let outcome = unfinished_run(&self.runs[index], Status::Failed, Some(why));
        self.run_ended(index, Box::new(outcome))
    }

    fn write_runs(&mut self) -> Vec<Effect> {
        if self.table != Table::UpToDate {
            self.table = Table::BeingWrittenAndStale;
            return vec![];
        }
        self.table = Table::BeingWritten;
        vec![Effect::WriteRuns(self.ended().cloned().collect())]
    }

    fn runs_written(&mut self, failure: Option<String>) -> Vec<Effect> {
        let table = std::mem::replace(&mut self.table, Table::UpToDate);
        if table == Table::UpToDate {
            return vec![Effect::CountLate("runs-written")];
        }
        self.note_unwritten(failure);
        match (self.phase, table) {
            (Phase::Scoring, _) => self.write_score(),
            (_, Table::BeingWrittenAndStale) => self.write_runs(),
            _ => vec![],
        }
    }

    fn note_unwritten(&mut self, failure: Option<String>) {
        if let Some(failure) = failure
            && !self.unwritten.contains(&failure)
        {
            self.unwritten.push(failure);
        }
    }

    fn score(&mut self) -> Vec<Effect> {
        self.phase = Phase::Scoring;
        let concluded = conclude(&self.plan, self.ended(), self.stop);
        self.outcome = Some(Box::new(CvOutcome {
            cv_name: self.plan.cv_name.clone(),
            cv_dir: self.plan.cv_dir.clone(),
            hp_index: self.plan.hp_index,
            hyperparameters: self.plan.hyperparameters.clone(),
            score: concluded.score,
            spread: concluded.spread,
            score_is_unstable: concluded.score_is_unstable,
            status: concluded.status,
            runs: self.ended().cloned().collect(),
            unwritten: Vec::new(),
            halted: self.halted.clone(),
        }));
        let mut effects = Vec::new();
        if std::mem::take(&mut self.holds_lease) {
            effects.push(Effect::ReturnLease);
        }
        if self.table == Table::UpToDate {
            effects.extend(self.write_score());
        }
        effects
    }

    fn write_score(&mut self) -> Vec<Effect> {
        self.outcome.iter().map(|outcome| Effect::WriteScore(outcome.clone())).collect()
    }

    fn report(&mut self, failure: Option<String>) -> Vec<Effect> {
        self.note_unwritten(failure);
        let Some(mut outcome) = self.outcome.take() else { return vec![Effect::CountLate("score-written")] };
        self.phase = Phase::Done;
        outcome.unwritten = std::mem::take(&mut self.unwritten);
        let finished = Event::CvFinished {
            cv_name: outcome.cv_name.clone(),
            score: outcome.score,
            spread: outcome.spread,
            score_is_unstable: outcome.score_is_unstable,
            status: outcome.status,
        };
        vec![Effect::Publish(finished), Effect::Report(outcome)]
    }

    /// What can not be kept is not gone on with: a cell that ended and is forgotten would be run again.
    fn unkept(&mut self, reason: String) -> Vec<Effect> {
        let mut effects = Vec::new();
        // A tune tells for all its cvs.
        if self.halted.is_none() && self.plan.tune_name.is_none() {
            let message = unkept_text(&self.plan.cv_name, &reason);
            effects.push(Effect::Publish(Event::Warned { message }));
        }
        self.halted.get_or_insert(reason);
        effects.extend(self.stop(StopMode::Cancel));
        effects
    }

    fn stop(&mut self, mode: StopMode) -> Vec<Effect> {
        if self.stop >= Some(mode) {
            return vec![];
        }
        self.stop = Some(mode);
        match self.phase {
            Phase::Idle | Phase::WaitingForLease => {
                self.phase = Phase::Running;
                self.end_waiting(Status::Cancelled, None);
                let mut effects = vec![Effect::WithdrawRequest];
                effects.extend(self.advance());
                effects
            }
            Phase::Running => {
                self.end_waiting(Status::Cancelled, None);
                let mut effects = vec![Effect::StopRuns(mode)];
                effects.extend(self.advance());
                effects
            }
            Phase::Scoring | Phase::Done => vec![],
        }
    }

    /// Goes on after a run: with nothing new if it was one failure too many.
    fn go_on_after(&mut self, index: usize) -> Vec<Effect> {
        let has_failed =
            matches!(self.cells.get(index), Some(CellIs::Ended(run)) if run.status == Status::Failed);
        let effects = if has_failed { self.give_up() } else { vec![] };
        if effects.is_empty() { self.advance() } else { effects }
    }

    /// Stops if more runs failed than the cv bears, and there is one left to start.
    fn give_up(&mut self) -> Vec<Effect> {
        let failed = failure_limit::failed(self.ended());
        let is_over = self.ended().count() == self.cells.len();
        let bears = !failure_limit::is_reached(self.plan.max_failures, failed);
        if bears || is_over || self.stop.is_some() {
            return vec![];
        }
        let message = failure_limit::text(&self.plan.cv_name, failed);
        let mut effects = vec![Effect::Publish(Event::Warned { message })];
        effects.extend(self.stop(StopMode::Drain));
        effects
    }

    fn end_waiting(&mut self, status: Status, why: Option<&Failure>) {
        for (cell, run) in self.cells.iter_mut().zip(&self.runs) {
            if matches!(cell, CellIs::Waiting) {
                *cell = CellIs::Ended(Box::new(unfinished_run(run, status, why.cloned())));
            }
        }
    }
}

/// What the user is told when the journal of a job takes no more.
pub(crate) fn unkept_text(job: &str, reason: &str) -> String {
    format!(
        "`{job}` stops, for its journal takes no more: {reason}; runs under way keep their checkpoints, go on with --resume"
    )
}

/// What the world hears of a run that an earlier process ended.
pub(crate) fn recalled(cv_name: Option<&str>, run: &RunOutcome) -> Event {
    Event::RunRecalled {
        run_id: run.run_id.clone(),
        run_name: run.run_name.clone(),
        cv_name: cv_name.map(str::to_owned),
        cell: run.cell,
        status: run.status,
        metrics: run.metrics.clone(),
    }
}

/// The outcome of a cv all of whose cells an earlier process ended, by the code that runs live; `None` if one did not.
pub(crate) fn recalled_outcome(
    plan: Arc<CvPlan>,
    runs: Vec<Arc<RunPlan>>,
    past: &[Option<PastRun>],
) -> Option<Box<CvOutcome>> {
    let mut state = State::new(plan, runs, 1, LeasedBy::Run);
    state.recall(past);
    let is_over = state.ended().count() == state.cells.len();
    let effects = if is_over { state.apply(Input::Begin) } else { Vec::new() };
    effects.into_iter().find_map(|effect| match effect {
        Effect::WriteScore(outcome) => Some(outcome),
        _ => None,
    })
}

#[cfg(test)]
mod tests;

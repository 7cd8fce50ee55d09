//! Decides what a tune does next. No clock, no randomness, no I/O, no await.

use std::sync::Arc;

use super::plans::not_begun;
use crate::cv::unkept_text;
use crate::events::Event;
use crate::failure_limit;
use crate::journal::{Record, end_of};
use crate::outcome::{CvOutcome, RunOutcome, Status, TuneOutcome};
use crate::plan::{AfterTune, Hyperparameters, TunePlan};
use crate::stop::StopMode;

/// What reaches a tune.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The actor stands.
    Begin,
    /// The sampler answered.
    Proposed { hyperparameters: Option<Hyperparameters> },
    /// A cv told its outcome, or was lost.
    CvEnded { index: usize, outcome: Box<CvOutcome> },
    /// The retrained model's run told its outcome.
    RetrainEnded { outcome: Box<RunOutcome> },
    /// The actor of the retrained model's run is gone without a word.
    RetrainLost,
    /// A fact can not be kept in the journal.
    Unkept { reason: String },
    /// Somebody asks for a stop.
    Stop(StopMode),
}

/// What a tune causes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Ask the sampler for the configuration of this trial.
    AskSampler { trial: u32 },
    /// Tell the sampler what became of a trial.
    TellSampler { trial: u32, score: Option<f64> },
    /// Start a cv.
    StartCv { index: usize, hyperparameters: Hyperparameters },
    /// Start the run of the retrained model.
    StartRetrain { index: usize, hyperparameters: Hyperparameters },
    /// Pass a stop on to whatever is at work.
    StopChildren(StopMode),
    /// Tell the world.
    Publish(Event),
    /// Tell the caller, and end.
    Report(Box<TuneOutcome>),
    /// An input that came too late, twice or from nobody known, by name.
    CountLate(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// No answer of the sampler is awaited.
    Searching,
    /// The sampler is asked.
    Asking,
    Retraining,
    Done,
}

/// Where a cv stands.
#[derive(Debug, Clone)]
enum CvIs {
    /// Proposed to an earlier process, which did not end it.
    Waiting(Hyperparameters),
    Running,
    Ended(Box<CvOutcome>),
}

/// The state of one tune.
#[derive(Debug, Clone)]
pub(crate) struct State {
    plan: Arc<TunePlan>,
    at_once: usize,
    phase: Phase,
    /// One per configuration that was proposed.
    cvs: Vec<CvIs>,
    /// How many of them are at work, and how many wait: a tune may have many, and asks at each end of one.
    running: usize,
    waiting: usize,
    is_exhausted: bool,
    stop: Option<StopMode>,
    halted: Option<String>,
}

impl State {
    pub(crate) fn new(plan: Arc<TunePlan>, at_once: u32) -> Self {
        Self {
            plan,
            at_once: usize::try_from(at_once.max(1)).unwrap_or(usize::MAX),
            phase: Phase::Idle,
            cvs: Vec::new(),
            running: 0,
            waiting: 0,
            is_exhausted: false,
            stop: None,
            halted: None,
        }
    }

    /// Recalls a configuration that was proposed to an earlier process, before the tune begins.
    pub(crate) fn recall_proposed(&mut self, hyperparameters: Hyperparameters) {
        self.cvs.push(CvIs::Waiting(hyperparameters));
        self.waiting += 1;
    }

    /// Recalls how the cv of a configuration ended, and what the sampler was told of it.
    pub(crate) fn recall_ended(&mut self, index: usize, outcome: Box<CvOutcome>) -> Vec<Effect> {
        match self.cvs.get(index) {
            Some(CvIs::Waiting(_)) => vec![self.end_cv(index, outcome)],
            _ => vec![Effect::CountLate("cv-ended")],
        }
    }

    /// What is kept of the end of a cv. One that was cancelled is not over: it is gone on with. Nor is one whose tables could not
    /// be written: resumed, it recalls its runs and writes them.
    pub(crate) fn record_of_cv(&self, cv: &CvOutcome) -> Option<Record> {
        let CvOutcome { hp_index, status, score, .. } = *cv;
        let is_whole = status != Status::Cancelled && cv.unwritten.is_empty();
        is_whole.then_some(Record::CvEnded { hp_index, status, score })
    }

    /// What is kept of the end of the retrained model's run.
    pub(crate) fn record_of_retrain(&self, run: &RunOutcome) -> Option<Record> {
        end_of(run, self.stop.is_some())
    }

    /// Takes one input to the effects it causes.
    #[must_use = "an effect left unperformed is a lost message"]
    pub(crate) fn apply(&mut self, input: Input) -> Vec<Effect> {
        match (self.phase, input) {
            (Phase::Idle, Input::Begin) => self.begin(),
            (Phase::Asking, Input::Proposed { hyperparameters }) => self.proposed(hyperparameters),
            (Phase::Searching | Phase::Asking, Input::CvEnded { index, outcome }) => {
                self.cv_ended(index, outcome)
            }
            (Phase::Retraining, Input::RetrainEnded { outcome }) => self.report(Some(*outcome)),
            (Phase::Retraining, Input::RetrainLost) => {
                let message = "the retrained model's run was lost to a panic: see the log".into();
                let mut effects = vec![Effect::Publish(Event::Warned { message })];
                effects.extend(self.report(None));
                effects
            }
            (_, Input::Unkept { reason }) => self.unkept(reason),
            (_, Input::Stop(mode)) => self.stop(mode),
            (_, Input::Begin) => vec![Effect::CountLate("begin")],
            (_, Input::Proposed { .. }) => vec![Effect::CountLate("proposed")],
            (_, Input::CvEnded { .. }) => vec![Effect::CountLate("cv-ended")],
            (_, Input::RetrainEnded { .. }) => vec![Effect::CountLate("retrain-ended")],
            (_, Input::RetrainLost) => vec![Effect::CountLate("retrain-lost")],
        }
    }

    fn begin(&mut self) -> Vec<Effect> {
        self.phase = Phase::Searching;
        let started = Event::TuneStarted {
            tune_name: self.plan.tune_name.clone(),
            tune_dir: self.plan.tune_dir.clone(),
            n_trials: self.plan.n_trials,
            cells_per_cv: u32::try_from(self.plan.cells.len()).unwrap_or(u32::MAX),
            resumed: !self.cvs.is_empty(),
        };
        let mut effects = vec![Effect::Publish(started)];
        effects.extend(self.ended().map(|cv| Effect::Publish(recalled(cv))));
        effects.extend(self.give_up());
        if self.phase == Phase::Searching {
            effects.extend(self.advance());
        }
        effects
    }

    fn running(&self) -> usize {
        debug_assert_eq!(
            (self.running, self.waiting),
            self.cvs.iter().fold((0, 0), |(running, waiting), cv| match cv {
                CvIs::Running => (running + 1, waiting),
                CvIs::Waiting(_) => (running, waiting + 1),
                CvIs::Ended(_) => (running, waiting),
            }),
            "cvs are counted as they change"
        );
        self.running
    }

    fn ended(&self) -> impl Iterator<Item = &CvOutcome> {
        self.cvs.iter().filter_map(|cv| match cv {
            CvIs::Ended(outcome) => Some(outcome.as_ref()),
            CvIs::Waiting(_) | CvIs::Running => None,
        })
    }

    /// Starts the cvs that wait, as many as may; in the order in which they were proposed.
    fn start_waiting(&mut self) -> Vec<Effect> {
        let free = self.at_once.saturating_sub(self.running());
        let mut effects = Vec::new();
        if self.waiting == 0 {
            return effects;
        }
        for (index, cv) in self.cvs.iter_mut().enumerate() {
            if let CvIs::Waiting(hyperparameters) = cv
                && effects.len() < free
            {
                let hyperparameters = std::mem::take(hyperparameters);
                *cv = CvIs::Running;
                effects.push(Effect::StartCv { index, hyperparameters });
            }
        }
        self.waiting -= effects.len();
        self.running += effects.len();
        effects
    }

    /// Starts what waits, then asks for the next configuration if one may start; concludes when nothing is left.
    fn advance(&mut self) -> Vec<Effect> {
        if self.stop.is_none() {
            let started = self.start_waiting();
            if !started.is_empty() {
                let mut effects = started;
                effects.extend(self.ask());
                return effects;
            }
        }
        self.ask()
    }

    fn ask(&mut self) -> Vec<Effect> {
        let trial = u32::try_from(self.cvs.len()).unwrap_or(u32::MAX);
        let may_ask = trial < self.plan.n_trials && !self.is_exhausted && self.stop.is_none();
        if may_ask && self.running() < self.at_once {
            self.phase = Phase::Asking;
            return vec![Effect::AskSampler { trial }];
        }
        if !may_ask && self.running() == 0 {
            return self.conclude();
        }
        vec![]
    }

    fn proposed(&mut self, hyperparameters: Option<Hyperparameters>) -> Vec<Effect> {
        self.phase = Phase::Searching;
        let mut effects = Vec::new();
        match hyperparameters {
            // Proposed, and stopped before it was heard: it was never started.
            Some(_) if self.stop.is_some() => effects.push(Effect::CountLate("proposed")),
            Some(hyperparameters) => {
                let index = self.cvs.len();
                self.cvs.push(CvIs::Running);
                self.running += 1;
                effects.push(Effect::StartCv { index, hyperparameters });
            }
            None => {
                self.is_exhausted = true;
                let message = format!(
                    "{} configurations instead of {}: the search space holds no more",
                    self.cvs.len(),
                    self.plan.n_trials
                );
                effects.push(Effect::Publish(Event::Warned { message }));
            }
        }
        debug_assert!(self.running() <= self.at_once, "TUNE-1");
        effects.extend(self.advance());
        effects
    }

    fn cv_ended(&mut self, index: usize, outcome: Box<CvOutcome>) -> Vec<Effect> {
        let Some(CvIs::Running) = self.cvs.get(index) else {
            return vec![Effect::CountLate("cv-ended")];
        };
        // What a journal can not hold for one it can not hold for the others.
        let halted = outcome.halted.clone();
        let mut effects = vec![self.end_cv(index, outcome)];
        if let Some(reason) = halted {
            effects.extend(self.unkept(reason));
        }
        effects.extend(self.give_up_after(index));
        if self.phase == Phase::Searching {
            effects.extend(self.advance());
        }
        effects
    }

    fn end_cv(&mut self, index: usize, outcome: Box<CvOutcome>) -> Effect {
        let score = stable_score(&outcome);
        if let Some(cv) = self.cvs.get_mut(index) {
            match std::mem::replace(cv, CvIs::Ended(outcome)) {
                CvIs::Running => self.running -= 1,
                CvIs::Waiting(_) => self.waiting -= 1,
                CvIs::Ended(_) => {}
            }
        }
        Effect::TellSampler { trial: u32::try_from(index).unwrap_or(u32::MAX), score }
    }

    /// Stops if the runs of a cv that ended were failures too many.
    fn give_up_after(&mut self, index: usize) -> Vec<Effect> {
        match self.cvs.get(index) {
            Some(CvIs::Ended(cv)) if failure_limit::failed(&cv.runs) > 0 => self.give_up(),
            _ => vec![],
        }
    }

    /// Stops if more runs failed than the tune bears, and there is something left to start.
    fn give_up(&mut self) -> Vec<Effect> {
        let failed = self.failed();
        let bears = !failure_limit::is_reached(self.plan.max_failures, failed);
        let is_over =
            self.ended().count() == self.plan.n_trials as usize && self.plan.after == AfterTune::Nothing;
        if bears || is_over || self.stop.is_some() {
            return vec![];
        }
        let message = failure_limit::text(&self.plan.tune_name, failed);
        let mut effects = vec![Effect::Publish(Event::Warned { message })];
        effects.extend(self.stop(StopMode::Drain));
        effects
    }

    /// Failed runs of the cvs that ended.
    fn failed(&self) -> u32 {
        failure_limit::failed(self.ended().flat_map(|cv| &cv.runs))
    }

    /// Failed runs that a cv which starts now may have; `None` for any number.
    pub(super) fn failures_left(&self) -> Option<u32> {
        self.plan.max_failures.map(|limit| limit.saturating_sub(self.failed()))
    }

    /// The best stable configuration and its score; of equals the one proposed first, whichever ended first.
    fn best(&self) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        for (index, cv) in self.cvs.iter().enumerate() {
            if let CvIs::Ended(cv) = cv
                && let Some(score) = stable_score(cv)
                && best.is_none_or(|(_, so_far)| self.plan.scoring.better(score, so_far))
            {
                best = Some((index, score));
            }
        }
        best
    }

    fn best_cv(&self) -> Option<&CvOutcome> {
        let (index, _) = self.best()?;
        match self.cvs.get(index) {
            Some(CvIs::Ended(outcome)) => Some(outcome),
            _ => None,
        }
    }

    fn conclude(&mut self) -> Vec<Effect> {
        match (self.plan.after, self.best_cv()) {
            (AfterTune::RetrainAndTest, _) if self.stop.is_some() => self.report(None),
            (AfterTune::RetrainAndTest, Some(best)) => {
                let (index, hyperparameters) = (best.hp_index as usize, best.hyperparameters.clone());
                self.phase = Phase::Retraining;
                vec![Effect::StartRetrain { index, hyperparameters }]
            }
            (AfterTune::RetrainAndTest, None) => {
                let message = "no configuration is stable: nothing is retrained and tested".into();
                let mut effects = vec![Effect::Publish(Event::Warned { message })];
                effects.extend(self.report(None));
                effects
            }
            (AfterTune::Nothing, _) => self.report(None),
        }
    }

    /// A drain that comes when everything has started cuts nothing short.
    fn was_cut_short(&self, retrain: Option<&RunOutcome>) -> bool {
        let all_tried = self.is_exhausted || self.cvs.len() == self.plan.n_trials as usize;
        let cv_cut = self.cvs.iter().any(|cv| match cv {
            CvIs::Ended(outcome) => outcome.status == Status::Cancelled,
            CvIs::Waiting(_) | CvIs::Running => true,
        });
        let retrain_cut = match (self.plan.after, retrain) {
            (AfterTune::Nothing, _) => false,
            (AfterTune::RetrainAndTest, None) => self.best().is_some(),
            (AfterTune::RetrainAndTest, Some(run)) => run.status == Status::Cancelled,
        };
        self.stop.is_some() && (!all_tried || cv_cut || retrain_cut)
    }

    fn report(&mut self, retrain: Option<RunOutcome>) -> Vec<Effect> {
        self.phase = Phase::Done;
        let cancelled = self.was_cut_short(retrain.as_ref());
        let best = self.best().map(|(index, _)| index);
        let finished = Event::TuneFinished {
            tune_name: self.plan.tune_name.clone(),
            best_cv: self.best_cv().map(|cv| cv.cv_name.clone()),
            best_score: self.best().map(|(_, score)| score),
            cancelled,
        };
        (self.running, self.waiting) = (0, 0);
        let outcome = TuneOutcome {
            tune_name: self.plan.tune_name.clone(),
            tune_dir: self.plan.tune_dir.clone(),
            cvs: self.cvs.drain(..).enumerate().map(|(index, cv)| outcome(&self.plan, index, cv)).collect(),
            best,
            retrain,
            cancelled,
            halted: self.halted.take(),
        };
        vec![Effect::Publish(finished), Effect::Report(Box::new(outcome))]
    }

    /// What can not be kept is not gone on with: what ended and is forgotten would be run again.
    fn unkept(&mut self, reason: String) -> Vec<Effect> {
        if self.halted.is_some() || self.phase == Phase::Done {
            return vec![];
        }
        let message = unkept_text(&self.plan.tune_name, &reason);
        self.halted = Some(reason);
        let mut effects = vec![Effect::Publish(Event::Warned { message })];
        effects.extend(self.stop(StopMode::Cancel));
        effects
    }

    fn stop(&mut self, mode: StopMode) -> Vec<Effect> {
        if self.stop >= Some(mode) || self.phase == Phase::Done {
            return vec![];
        }
        self.stop = Some(mode);
        match self.phase {
            Phase::Idle => self.report(None),
            Phase::Searching if self.running() == 0 => self.conclude(),
            Phase::Searching | Phase::Asking | Phase::Retraining => vec![Effect::StopChildren(mode)],
            Phase::Done => vec![],
        }
    }
}

/// How a cv ended; one that an earlier process began and this one did not get to is cut short.
fn outcome(plan: &TunePlan, index: usize, cv: CvIs) -> CvOutcome {
    match cv {
        CvIs::Ended(outcome) => *outcome,
        CvIs::Waiting(hyperparameters) => not_begun(plan, index, hyperparameters),
        CvIs::Running => not_begun(plan, index, Hyperparameters::new()),
    }
}

fn recalled(cv: &CvOutcome) -> Event {
    Event::CvRecalled {
        cv_name: cv.cv_name.clone(),
        hp_index: cv.hp_index,
        hyperparameters: cv.hyperparameters.clone(),
        score: cv.score,
        spread: cv.spread,
        score_is_unstable: cv.score_is_unstable,
        status: cv.status,
        runs: cv.runs.iter().map(|run| run.status).collect(),
    }
}

/// The score of a cv that may become the best.
fn stable_score(cv: &CvOutcome) -> Option<f64> {
    cv.score.filter(|_| cv.status == Status::Complete && !cv.score_is_unstable)
}

#[cfg(test)]
mod tests;

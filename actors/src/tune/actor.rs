//! Performs what the state of a tune decides.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;

use super::StartTune;
use super::plans::{PlannedRetrain, cv_plan, plan_retrain};
use super::recall::{Search, recall};
use super::state::{Effect, Input, State};
use crate::bus::EventBus;
use crate::cv::{CvActor, Planned, StartCv, lost_cv, plan_runs};
use crate::events::Event;
use crate::journal::{JournalLine, Ledger, Past, Record};
use crate::limits::UNUSED_MAILBOX;
use crate::outcome::{CvOutcome, RunOutcome, TuneOutcome};
use crate::plan::{CvPlan, Hyperparameters, TunePlan};
use crate::ports::Sampler;
use crate::run::{RunActor, StartRun};
use crate::sink::TuneClosed;
use crate::stepwise::{Desk, Inputs, Journalled, Stepwise, Stoppable, listen_for_stop};
use crate::stop::{StopLine, StopMode, StopSignal};
use crate::wiring::Wiring;

/// The actor of one tune; see the module.
pub struct TuneActor {
    state: State,
    plan: Arc<TunePlan>,
    sampler: Box<dyn Sampler>,
    wiring: Arc<Wiring>,
    ledger: Ledger,
    inputs: Inputs<Input>,
    lines: HashMap<Child, StopLine>,
    outcome: Option<oneshot::Sender<TuneOutcome>>,
    stop: Option<StopSignal>,
    desk: Desk<Input>,
    /// The trial that the sampler is to be asked for once it was told of everything that waits to be kept.
    asked: Option<u32>,
    late: u64,
}

/// Whoever works for the tune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Child {
    Cv(usize),
    Retrain,
}

impl TuneActor {
    /// The actor of a tune, to be started on the current arbiter.
    pub(crate) fn new(start: StartTune, wiring: Arc<Wiring>) -> Self {
        let mut tune = Self {
            state: State::new(Arc::clone(&start.plan), wiring.placement.cvs_at_once),
            plan: start.plan,
            sampler: start.sampler,
            wiring,
            ledger: start.ledger,
            inputs: Inputs::default(),
            lines: HashMap::new(),
            outcome: Some(start.outcome),
            stop: Some(start.stop),
            desk: Desk::default(),
            asked: None,
            late: 0,
        };
        if let Some(past) = tune.ledger.past.clone() {
            tune.recall(&past);
        }
        tune
    }

    /// Takes state and sampler through what an earlier process went through.
    fn recall(&mut self, past: &Past) {
        let Self { state, plan, sampler, wiring, .. } = self;
        if recall(state, plan, sampler.as_mut(), past, &wiring.ids) == Search::Differs {
            let message = format!(
                "the search of `{}` proposes otherwise than it did before: what was tried stays as it was",
                plan.tune_name
            );
            wiring.bus.publish(Event::Warned { message });
        }
    }

    fn start_cv(&mut self, index: usize, hyperparameters: Hyperparameters, ctx: &mut Context<Self>) {
        let max_failures = self.state.failures_left();
        let plan = Arc::new(CvPlan { max_failures, ..cv_plan(&self.plan, index, hyperparameters) });
        let Planned { runs, past, record } = plan_runs(&plan, self.ledger.past.as_deref(), &self.wiring.ids);
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        self.lines.insert(Child::Cv(index), line);
        let tune_table = Some(self.table());
        let start = StartCv {
            plan: Arc::clone(&plan),
            runs: runs.clone(),
            past,
            journal: self.ledger.line.clone(),
            tune_table,
            outcome,
            stop,
        };
        let wiring = Arc::clone(&self.wiring);
        self.after(record, ctx, move || drop(CvActor::new(start, wiring).start()));
        ctx.spawn(told.into_actor(self).map(move |told, tune, ctx| {
            tune.lines.remove(&Child::Cv(index));
            let outcome = Box::new(told.unwrap_or_else(|_| lost_cv(&plan, &runs)));
            tune.cv_ended(index, outcome, ctx);
        }));
    }

    /// Keeps the end of a cv, if it is one, and hears of it.
    fn cv_ended(&mut self, index: usize, outcome: Box<CvOutcome>, ctx: &mut Context<Self>) {
        let record = self.state.record_of_cv(&outcome);
        self.keep(record, None, Input::CvEnded { index, outcome }, ctx);
    }

    /// Begins something once its record stands in the journal. Where that can not be written the state hears so first, and
    /// what begins then hears its stop at once.
    fn after(&mut self, record: Option<Record>, ctx: &mut Context<Self>, begin: impl FnOnce() + 'static) {
        let Some(record) = record.filter(|_| self.ledger.line.keeps()) else { return begin() };
        let line = self.ledger.line.clone();
        let append = async move { line.append(vec![record]).await };
        ctx.spawn(append.into_actor(self).map(move |written, tune, ctx| {
            if let Err(why) = written {
                tune.take(Input::Unkept { reason: why.reason }, ctx);
            }
            begin();
        }));
    }

    /// Asks the sampler once the journal knows of everything it is told: the order of the records is the order in which it is
    /// told and asked, and a resumed search goes through the same.
    fn ask_sampler(&mut self, ctx: &mut Context<Self>) {
        if !self.desk.is_clear() {
            return;
        }
        let Some(trial) = self.asked.take() else { return };
        let hyperparameters = self.sampler.propose(trial);
        let record =
            hyperparameters.clone().map(|hyperparameters| Record::Proposed { trial, hyperparameters });
        self.keep(record, None, Input::Proposed { hyperparameters }, ctx);
    }

    fn start_retrain(&mut self, index: usize, hyperparameters: Hyperparameters, ctx: &mut Context<Self>) {
        let past = self.ledger.past.as_deref();
        let planned = plan_retrain(&self.plan, index, hyperparameters, past, &self.wiring.ids);
        let PlannedRetrain { plan, past, ended, record } = planned;
        if let Some(outcome) = ended {
            self.inputs.push(Input::RetrainEnded { outcome });
            return;
        }
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        self.lines.insert(Child::Retrain, line);
        let journal = self.ledger.line.clone();
        let start = StartRun { plan, scoring: None, lease: None, past, journal, outcome, stop };
        let wiring = Arc::clone(&self.wiring);
        self.after(record, ctx, move || drop(RunActor::new(start, wiring).start()));
        ctx.spawn(told.into_actor(self).map(|told, tune, ctx| {
            tune.lines.remove(&Child::Retrain);
            match told {
                Ok(outcome) => tune.retrain_ended(Box::new(outcome), ctx),
                Err(_) => tune.take(Input::RetrainLost, ctx),
            }
        }));
    }

    /// Tells the caller once the table is closed, or found unwritable, and ends.
    fn report(&mut self, outcome: Arc<TuneOutcome>, ctx: &mut Context<Self>) {
        let closed = TuneClosed {
            outcome: Arc::clone(&outcome),
            tune_table: self.table(),
            resumed: self.ledger.past.is_some(),
        };
        let close = self.wiring.sink.send(closed);
        ctx.spawn(close.into_actor(self).map(|closed, tune, ctx| {
            if let Some(message) = crate::sink::failure(closed) {
                tune.wiring.bus.publish(Event::Warned { message });
            }
            if let Some(caller) = tune.outcome.take() {
                // A caller that is gone has no use for it.
                drop(caller.send(Arc::unwrap_or_clone(outcome)));
            }
            ctx.stop();
        }));
    }

    /// Where the tune's table lies.
    fn table(&self) -> PathBuf {
        self.plan.tune_dir.join(format!("{}.parquet", self.plan.tune_name))
    }

    fn retrain_ended(&mut self, outcome: Box<RunOutcome>, ctx: &mut Context<Self>) {
        let record = self.state.record_of_retrain(&outcome);
        let finished = Event::run_finished(None, &outcome);
        self.keep(record, Some(finished), Input::RetrainEnded { outcome }, ctx);
    }
}

impl Stepwise for TuneActor {
    type Input = Input;
    type Effect = Effect;

    fn inputs(&mut self) -> &mut Inputs<Input> {
        &mut self.inputs
    }

    fn decide(&mut self, input: Input) -> Vec<Effect> {
        self.state.apply(input)
    }

    fn perform(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::AskSampler { trial } => {
                self.asked = Some(trial);
                self.ask_sampler(ctx);
            }
            Effect::TellSampler { trial, score } => self.sampler.tell(trial, score),
            Effect::StartCv { index, hyperparameters } => self.start_cv(index, hyperparameters, ctx),
            Effect::StartRetrain { index, hyperparameters } => {
                self.start_retrain(index, hyperparameters, ctx);
            }
            Effect::StopChildren(mode) => self.lines.values().for_each(|line| line.raise(mode)),
            Effect::Publish(event) => self.wiring.bus.publish(event),
            Effect::Report(outcome) => self.report(Arc::from(outcome), ctx),
            Effect::CountLate(what) => {
                self.late += 1;
                tracing::debug!(tune = %self.plan.tune_name, what, late = self.late, "late input");
            }
        }
    }
}

impl Journalled for TuneActor {
    fn line(&self) -> &JournalLine {
        &self.ledger.line
    }

    fn bus(&self) -> &EventBus {
        &self.wiring.bus
    }

    fn desk(&mut self) -> &mut Desk<Input> {
        &mut self.desk
    }

    fn desk_is_clear(&mut self, ctx: &mut Context<Self>) {
        self.ask_sampler(ctx);
    }

    fn unkept(reason: String) -> Input {
        Input::Unkept { reason }
    }
}

impl Stoppable for TuneActor {
    fn stop_asked(mode: StopMode) -> Input {
        Input::Stop(mode)
    }

    fn hold(&mut self, leash: StopSignal) {
        self.stop = Some(leash);
    }
}

impl Actor for TuneActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(UNUSED_MAILBOX);
        if let Some(stop) = self.stop.take() {
            listen_for_stop(stop, ctx);
        }
        self.take(Input::Begin, ctx);
    }
}

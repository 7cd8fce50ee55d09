//! Performs what the state of a cv decides.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use tokio::sync::oneshot;

use super::StartCv;
use super::plans::past_of;
use super::state::{Effect, Input, State};
use crate::bus::EventBus;
use crate::devices::{AcquireLease, LeaseGuard};
use crate::events::Event;
use crate::journal::{JournalLine, PastRun};
use crate::limits::UNUSED_MAILBOX;
use crate::outcome::{CvOutcome, RunOutcome};
use crate::plan::{CvPlan, RunPlan};
use crate::run::{RunActor, StartRun};
use crate::score::Scoring;
use crate::sink::{CvScored, RunInfoReady};
use crate::stepwise::{Desk, Inputs, Journalled, Stepwise, Stoppable, listen_for_stop};
use crate::stop::{StopLine, StopMode, StopSignal};
use crate::wiring::Wiring;

/// The actor of one cv; see the module.
pub struct CvActor {
    state: State,
    start: StartCvParts,
    wiring: Arc<Wiring>,
    inputs: Inputs<Input>,
    lease: Option<Arc<LeaseGuard>>,
    request: Option<SpawnHandle>,
    lines: HashMap<usize, StopLine>,
    outcome: Option<oneshot::Sender<CvOutcome>>,
    stop: Option<StopSignal>,
    desk: Desk<Input>,
    late: u64,
}

/// What stays of [`StartCv`].
struct StartCvParts {
    plan: Arc<CvPlan>,
    runs: Vec<Arc<RunPlan>>,
    past: Vec<Option<PastRun>>,
    journal: JournalLine,
    scoring: Arc<Scoring>,
    tune_table: Option<std::path::PathBuf>,
}

impl CvActor {
    /// The actor of a cv, to be started on the current arbiter.
    pub(crate) fn new(start: StartCv, wiring: Arc<Wiring>) -> Self {
        let StartCv { plan, runs, past, journal, tune_table, outcome, stop } = start;
        let placement = &wiring.placement;
        let mut state =
            State::new(Arc::clone(&plan), runs.clone(), placement.cells_at_once, placement.leased_by);
        state.recall(&past);
        let scoring = Arc::new(plan.scoring.clone());
        Self {
            state,
            start: StartCvParts { plan, runs, past, journal, scoring, tune_table },
            wiring,
            inputs: Inputs::default(),
            lease: None,
            request: None,
            lines: HashMap::new(),
            outcome: Some(outcome),
            stop: Some(stop),
            desk: Desk::default(),
            late: 0,
        }
    }

    fn acquire(&mut self, ctx: &mut Context<Self>) {
        let devices = self.wiring.devices.clone();
        let holder = self.start.plan.cv_name.clone();
        let want = self.wiring.want(Some(&holder));
        let ask = AcquireLease::ask(devices, holder.clone(), want, self.wiring.bus.clone());
        self.request = Some(ctx.spawn(ask.into_actor(self).map(|answer, cv, ctx| {
            cv.request = None;
            match answer {
                Ok(guard) => {
                    cv.lease = Some(Arc::new(guard));
                    cv.take(Input::LeaseGranted, ctx);
                }
                Err(refused) => cv.take(Input::LeaseRefused { reason: refused.to_string() }, ctx),
            }
        })));
    }

    fn start_run(&mut self, index: usize, generation: u32, ctx: &mut Context<Self>) {
        let Some(plan) = self.start.runs.get(index).cloned() else {
            self.inputs.push(Input::RunLost { index, generation });
            return;
        };
        let past = past_of(&self.start.past, &plan, index, generation);
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        self.lines.insert(index, line);
        let start = StartRun {
            plan,
            scoring: Some(Arc::clone(&self.start.scoring)),
            // A device that is gone is of no use to the next run, which then acquires one for itself.
            lease: self.lease.clone().filter(|lease| !lease.is_revoked()),
            past,
            journal: self.start.journal.clone(),
            outcome,
            stop,
        };
        RunActor::new(start, Arc::clone(&self.wiring)).start();
        ctx.spawn(told.into_actor(self).map(move |told, cv, ctx| {
            cv.lines.remove(&index);
            match told {
                Ok(outcome) => cv.run_ended(index, Box::new(outcome), ctx),
                Err(_) => cv.take(Input::RunLost { index, generation }, ctx),
            }
        }));
    }

    /// Keeps the end of a run, if it is one, and hears of it.
    fn run_ended(&mut self, index: usize, outcome: Box<RunOutcome>, ctx: &mut Context<Self>) {
        let record = self.state.record_of_end(&outcome);
        let finished = Event::run_finished(Some(&self.start.plan.cv_name), &outcome);
        self.keep(record, Some(finished), Input::RunEnded { index, outcome }, ctx);
    }

    fn write_runs(&mut self, runs: Vec<RunOutcome>, ctx: &mut Context<Self>) {
        let write = self.wiring.sink.send(RunInfoReady { cv_dir: self.start.plan.cv_dir.clone(), runs });
        let bus = self.wiring.bus.clone();
        ctx.spawn(write.into_actor(self).map(move |written, cv, ctx| {
            let failure = crate::sink::failure(written);
            warn(&bus, failure.as_deref());
            cv.take(Input::RunsWritten { failure }, ctx);
        }));
    }

    fn write_score(&mut self, outcome: Box<CvOutcome>, ctx: &mut Context<Self>) {
        let scored = CvScored { outcome, tune_table: self.start.tune_table.clone() };
        let write = self.wiring.sink.send(scored);
        let bus = self.wiring.bus.clone();
        ctx.spawn(write.into_actor(self).map(move |written, cv, ctx| {
            let failure = crate::sink::failure(written);
            warn(&bus, failure.as_deref());
            cv.take(Input::ScoreWritten { failure }, ctx);
        }));
    }
}

fn warn(bus: &crate::bus::EventBus, failure: Option<&str>) {
    if let Some(failure) = failure {
        bus.publish(Event::Warned { message: failure.to_string() });
    }
}

impl Stepwise for CvActor {
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
            Effect::AcquireLease => self.acquire(ctx),
            Effect::WithdrawRequest => {
                if let Some(request) = self.request.take() {
                    ctx.cancel_future(request);
                }
            }
            Effect::ReturnLease => self.lease = None,
            Effect::StartRun { index, generation } => self.start_run(index, generation, ctx),
            Effect::StopRuns(mode) => self.lines.values().for_each(|line| line.raise(mode)),
            Effect::WriteRuns(runs) => self.write_runs(runs, ctx),
            Effect::WriteScore(outcome) => self.write_score(outcome, ctx),
            Effect::Publish(event) => self.wiring.bus.publish(event),
            Effect::Report(outcome) => {
                if let Some(parent) = self.outcome.take() {
                    // A parent that is gone has no use for it.
                    drop(parent.send(*outcome));
                }
                ctx.stop();
            }
            Effect::CountLate(what) => {
                self.late += 1;
                tracing::debug!(cv = %self.start.plan.cv_name, what, late = self.late, "late input");
            }
        }
    }
}

impl Journalled for CvActor {
    fn line(&self) -> &JournalLine {
        &self.start.journal
    }

    fn bus(&self) -> &EventBus {
        &self.wiring.bus
    }

    fn desk(&mut self) -> &mut Desk<Input> {
        &mut self.desk
    }

    fn unkept(reason: String) -> Input {
        Input::Unkept { reason }
    }
}

impl Stoppable for CvActor {
    fn stop_asked(mode: StopMode) -> Input {
        Input::Stop(mode)
    }

    fn hold(&mut self, leash: StopSignal) {
        self.stop = Some(leash);
    }
}

impl Actor for CvActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(UNUSED_MAILBOX);
        if let Some(stop) = self.stop.take() {
            listen_for_stop(stop, ctx);
        }
        self.take(Input::Begin, ctx);
    }
}

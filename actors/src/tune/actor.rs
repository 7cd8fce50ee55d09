//! Performs what the state of a tune decides.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;

use super::StartTune;
use super::state::{Effect, Input, State};
use crate::cv::{CvActor, StartCv, lost_cv, run_plans};
use crate::limits::UNUSED_MAILBOX;
use crate::outcome::TuneOutcome;
use crate::plan::{Cell, CvPlan, Hyperparameters, RunPlan, RunTask, TunePlan};
use crate::ports::{Sampler, draw_ids};
use crate::run::{RunActor, StartRun};
use crate::stepwise::{Inputs, Stepwise, Stoppable, listen_for_stop};
use crate::stop::{StopLine, StopMode, StopSignal};
use crate::wiring::Wiring;

/// The actor of one tune; see the module.
pub struct TuneActor {
    state: State,
    plan: Arc<TunePlan>,
    sampler: Box<dyn Sampler>,
    wiring: Arc<Wiring>,
    inputs: Inputs<Input>,
    lines: HashMap<Child, StopLine>,
    outcome: Option<oneshot::Sender<TuneOutcome>>,
    stop: Option<StopSignal>,
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
        Self {
            state: State::new(Arc::clone(&start.plan), wiring.placement.cvs_at_once),
            plan: start.plan,
            sampler: start.sampler,
            wiring,
            inputs: Inputs::default(),
            lines: HashMap::new(),
            outcome: Some(start.outcome),
            stop: Some(start.stop),
            late: 0,
        }
    }

    fn start_cv(&mut self, index: usize, hyperparameters: Hyperparameters, ctx: &mut Context<Self>) {
        let plan = Arc::new(cv_plan(&self.plan, index, hyperparameters));
        let runs = run_plans(&plan, &self.wiring.ids);
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        self.lines.insert(Child::Cv(index), line);
        let tune_table = Some(self.plan.tune_dir.join(format!("{}.parquet", self.plan.tune_name)));
        let start = StartCv { plan: Arc::clone(&plan), runs: runs.clone(), tune_table, outcome, stop };
        CvActor::new(start, Arc::clone(&self.wiring)).start();
        ctx.spawn(told.into_actor(self).map(move |told, tune, ctx| {
            tune.lines.remove(&Child::Cv(index));
            let outcome = Box::new(told.unwrap_or_else(|_| lost_cv(&plan, &runs)));
            tune.take(Input::CvEnded { index, outcome }, ctx);
        }));
    }

    fn start_retrain(&mut self, hyperparameters: Hyperparameters, ctx: &mut Context<Self>) {
        let run_id = draw_ids(&self.wiring.ids, 1).concat();
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        self.lines.insert(Child::Retrain, line);
        let start = StartRun {
            plan: Arc::new(retrain_plan(&self.plan, hyperparameters, run_id)),
            scoring: None,
            lease: None,
            outcome,
            stop,
        };
        RunActor::new(start, Arc::clone(&self.wiring)).start();
        ctx.spawn(told.into_actor(self).map(|told, tune, ctx| {
            tune.lines.remove(&Child::Retrain);
            let input = match told {
                Ok(outcome) => Input::RetrainEnded { outcome: Box::new(outcome) },
                Err(_) => Input::RetrainLost,
            };
            tune.take(input, ctx);
        }));
    }
}

fn cv_plan(tune: &TunePlan, index: usize, hyperparameters: Hyperparameters) -> CvPlan {
    let cv_name = format!("{}-cv{index}", tune.tune_name);
    CvPlan {
        cv_dir: tune.tune_dir.join(&cv_name),
        cv_name,
        tune_name: Some(tune.tune_name.clone()),
        hp_index: u32::try_from(index).unwrap_or(u32::MAX),
        hyperparameters,
        cells: tune.cells.clone(),
        scoring: tune.scoring.clone(),
        failed_cells: tune.failed_cells,
        settings: Arc::clone(&tune.settings),
    }
}

fn retrain_plan(tune: &TunePlan, hyperparameters: Hyperparameters, run_id: String) -> RunPlan {
    let run_name = format!("{}-retrain", tune.tune_name);
    RunPlan {
        run_dir: tune.tune_dir.join(format!("{run_name}-{run_id}")),
        run_name,
        run_id,
        cv_name: None,
        tune_name: Some(tune.tune_name.clone()),
        cell: Cell { fold: 0, seed: tune.retrain_seed },
        task: RunTask::FitAndTest,
        hyperparameters,
        settings: Arc::clone(&tune.settings),
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
                let hyperparameters = self.sampler.propose(trial);
                self.inputs.push(Input::Proposed { hyperparameters });
            }
            Effect::TellSampler { trial, score } => self.sampler.tell(trial, score),
            Effect::StartCv { index, hyperparameters } => self.start_cv(index, hyperparameters, ctx),
            Effect::StartRetrain { hyperparameters } => self.start_retrain(hyperparameters, ctx),
            Effect::StopChildren(mode) => self.lines.values().for_each(|line| line.raise(mode)),
            Effect::Publish(event) => self.wiring.bus.publish(event),
            Effect::Report(outcome) => {
                if let Some(caller) = self.outcome.take() {
                    // A caller that is gone has no use for it.
                    drop(caller.send(*outcome));
                }
                ctx.stop();
            }
            Effect::CountLate(what) => {
                self.late += 1;
                tracing::debug!(tune = %self.plan.tune_name, what, late = self.late, "late input");
            }
        }
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

//! Performs what the state of a run decides.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, SpawnHandle, WrapFuture};
use engine_devices::{Want, WorkerEvent};
use tokio::sync::{oneshot, watch};

use self::alarms::Alarms;
use super::StartRun;
use super::effects::{Effect, Input, Room};
use super::state::{LeasedFrom, State};
use super::worker::{Running, WorkerEvents, launch};
use crate::devices::{AcquireLease, LeaseGuard};
use crate::journal::{self, JournalLine};
use crate::limits::UNUSED_MAILBOX;
use crate::outcome::{Cause, Failure, RunOutcome};
use crate::plan::RunPlan;
use crate::protocol::{RunOrder, ToWorker};
use crate::stepwise::{Inputs, Stepwise, Stoppable, listen_for_stop};
use crate::stop::{StopMode, StopSignal};
use crate::tracker::{Record, Subject, TrackerActor};
use crate::wiring::Wiring;

mod alarms;
mod tracking;

/// The actor of one run; see the module.
pub struct RunActor {
    state: State,
    plan: Arc<RunPlan>,
    journal: JournalLine,
    /// Whether an earlier process may have begun the run.
    goes_on: bool,
    wiring: Arc<Wiring>,
    inputs: Inputs<Input>,
    lease: Option<Arc<LeaseGuard>>,
    request: Option<SpawnHandle>,
    worker: Option<Running>,
    attempt: u32,
    unread: Option<WorkerEvents>,
    records: VecDeque<Record>,
    delivery: Delivery,
    /// Whether the worker waits for all it said to be kept.
    settling: bool,
    alarms: Alarms,
    tracker: Option<Addr<TrackerActor>>,
    measured: Subject,
    started: Option<Instant>,
    ended: Option<Box<RunOutcome>>,
    outcome: Option<oneshot::Sender<RunOutcome>>,
    stop: Option<StopSignal>,
    late: u64,
}

/// Whether a record is on its way to the tracker, or the tracker is waited for to have kept them all.
///
/// While one is, nothing is read from the worker: a slow disk slows the worker, and grows no queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Idle,
    UnderWay,
}

impl RunActor {
    /// The actor of a run, to be started on the current arbiter.
    pub(crate) fn new(start: StartRun, wiring: Arc<Wiring>) -> Self {
        let leased_from = if start.lease.is_some() { LeasedFrom::Cv } else { LeasedFrom::Manager };
        let state = State::new(Arc::clone(&start.plan), start.scoring, leased_from);
        let mut state = state.on(Arc::clone(&wiring.memory));
        let goes_on = start.past.is_some();
        start.past.iter().for_each(|past| state.recall(past));
        Self {
            state,
            plan: start.plan,
            journal: start.journal,
            goes_on,
            wiring,
            inputs: Inputs::default(),
            lease: start.lease,
            request: None,
            worker: None,
            attempt: 0,
            unread: None,
            records: VecDeque::new(),
            delivery: Delivery::Idle,
            settling: false,
            alarms: Alarms::default(),
            tracker: None,
            measured: Subject::default(),
            started: None,
            ended: None,
            outcome: Some(start.outcome),
            stop: Some(start.stop),
            late: 0,
        }
    }

    fn acquire(&mut self, room: Room, ctx: &mut Context<Self>) {
        if let Some(device) = self.lease.as_ref().map(|lease| lease.grant().device_names()) {
            self.listen_for_revocation(ctx);
            self.inputs.push(Input::LeaseGranted { device });
            return;
        }
        let devices = self.wiring.devices.clone();
        let want = match (room, self.wiring.want(self.plan.cv_name.as_deref())) {
            (Room::Alone, Want::Slot { .. }) => Want::Alone,
            // Devices that are all the run's own are no fuller with it alone.
            (_, want) => want,
        };
        let ask = AcquireLease::ask(devices, self.plan.run_name.clone(), want, self.wiring.bus.clone());
        self.request = Some(ctx.spawn(ask.into_actor(self).map(|answer, run, ctx| {
            run.request = None;
            match answer {
                Ok(guard) => {
                    let device = guard.grant().device_names();
                    run.lease = Some(Arc::new(guard));
                    run.listen_for_revocation(ctx);
                    run.take(Input::LeaseGranted { device }, ctx);
                }
                Err(refused) => run.take(Input::LeaseRefused { reason: refused.to_string() }, ctx),
            }
        })));
    }

    fn listen_for_revocation(&mut self, ctx: &mut Context<Self>) {
        let Some(lease) = &self.lease else { return };
        ctx.spawn(lease.revoked().into_actor(self).map(|(), run, ctx| run.give_up_if_revoked(ctx)));
    }

    /// Gives the worker up where its device is gone; one that is being launched as soon as it stands.
    fn give_up_if_revoked(&mut self, ctx: &mut Context<Self>) {
        if self.worker.is_some() && self.lease.as_ref().is_some_and(|lease| lease.is_revoked()) {
            self.take(Input::Unreachable { reason: "its device is gone".into() }, ctx);
        }
    }

    fn launch(&mut self, attempt: u32, ctx: &mut Context<Self>) {
        self.attempt = attempt;
        self.started.get_or_insert_with(Instant::now);
        let Some(lease) = self.lease.clone() else {
            let message = "a worker was to start without a lease".to_string();
            let why = Failure { cause: Cause::Lost, message, stderr_tail: Vec::new() };
            self.inputs.push(Input::LaunchFailed(why));
            return;
        };
        self.measured.is_on(lease.grant());
        let launch = launch(Arc::clone(&self.wiring.launcher), Arc::clone(&self.plan), lease);
        ctx.spawn(launch.into_actor(self).map(move |launched, run, ctx| match launched {
            Ok((worker, events)) => {
                run.worker = Some(worker);
                run.take(Input::Launched, ctx);
                run.give_up_if_revoked(ctx);
                run.read(events, attempt, ctx);
            }
            Err(why) => run.take(Input::LaunchFailed(why), ctx),
        }));
    }

    /// Takes one event from the worker, acts on it, and comes back for the next.
    fn read(&mut self, mut events: WorkerEvents, attempt: u32, ctx: &mut Context<Self>) {
        if self.delivery == Delivery::UnderWay {
            self.unread = Some(events);
            return;
        }
        let next = async move { (events.recv().await, events) };
        ctx.spawn(next.into_actor(self).map(move |(event, events), run, ctx| {
            // A worker that was given up may still speak; nobody listens.
            if run.attempt != attempt || run.worker.is_none() {
                return;
            }
            match event {
                Some(WorkerEvent::Message(word)) => {
                    run.take(Input::Said(Box::new(word)), ctx);
                    run.read(events, attempt, ctx);
                }
                Some(WorkerEvent::Printed(lines)) => {
                    run.take(Input::Printed(lines), ctx);
                    run.read(events, attempt, ctx);
                }
                Some(WorkerEvent::Exited(report)) => run.take(Input::Exited(report), ctx),
                None => {
                    let reason = "the worker's supervising thread is gone".to_string();
                    run.take(Input::Unreachable { reason }, ctx);
                }
            }
        }));
    }

    fn send_start(&mut self, attempt: u32) {
        let Some(lease) = &self.lease else { return };
        let goes_on = self.goes_on || attempt > 1;
        let order =
            RunOrder { plan: RunPlan::clone(&self.plan), grant: lease.grant().clone(), attempt, goes_on };
        self.send(ToWorker::Start(Box::new(order)));
    }

    fn send(&mut self, message: ToWorker) {
        let Some(worker) = &self.worker else { return };
        if let Err(error) = worker.send(message) {
            self.inputs.push(Input::Unreachable { reason: error.to_string() });
        }
    }

    /// A worker that can not be asked now has been asked often enough, or is about to be heard to be gone.
    fn send_checkpoint(&self) {
        let Some(worker) = &self.worker else { return };
        if let Err(error) = worker.send(ToWorker::Checkpoint) {
            tracing::debug!(run = %self.plan.run_id, %error, "no checkpoint was asked for");
        }
    }

    fn listen_for_checkpoints(&self, mut asked: watch::Receiver<u64>, ctx: &mut Context<Self>) {
        let next = async move { asked.changed().await.map(|()| asked) };
        ctx.spawn(next.into_actor(self).map(|asked, run, ctx| {
            // Without the system nobody is left to ask.
            if let Ok(asked) = asked {
                run.take(Input::CheckpointAsked, ctx);
                run.listen_for_checkpoints(asked, ctx);
            }
        }));
    }

    /// Keeps a failed attempt. That it can not be kept is told when the run's end can not be.
    fn keep_attempt(&self, record: journal::Record, ctx: &mut Context<Self>) {
        let line = self.journal.clone();
        let append = async move { line.append(vec![record]).await };
        ctx.spawn(append.into_actor(self).map(|written, run, _| {
            if let Err(unwritten) = written {
                tracing::debug!(run = %run.plan.run_id, %unwritten, "attempt not kept");
            }
        }));
    }

    fn report(&mut self, ctx: &mut Context<Self>) {
        if let (Some(outcome), Some(parent)) = (self.ended.take(), self.outcome.take()) {
            // A parent that is gone has no use for it.
            drop(parent.send(*outcome));
        }
        ctx.stop();
    }
}

impl Stepwise for RunActor {
    type Input = Input;
    type Effect = Effect;

    fn inputs(&mut self) -> &mut Inputs<Input> {
        &mut self.inputs
    }

    fn decide(&mut self, input: Input) -> Vec<Effect> {
        self.state.apply(input)
    }

    fn perform(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        if let Some(record) = effect.record() {
            self.keep_attempt(record, ctx);
        }
        match effect {
            Effect::AcquireLease(room) => self.acquire(room, ctx),
            Effect::WithdrawRequest => {
                if let Some(request) = self.request.take() {
                    ctx.cancel_future(request);
                }
            }
            Effect::ReturnLease => self.lease = None,
            Effect::TellOutOfMemory(cause) => {
                if let Some(lease) = &self.lease {
                    lease.out_of_memory(cause);
                }
            }
            Effect::OpenTracker => self.open_tracker(ctx),
            Effect::Launch { attempt } => self.launch(attempt, ctx),
            Effect::SendStart { attempt } => self.send_start(attempt),
            Effect::SendStop => self.send(ToWorker::Stop),
            Effect::SendCheckpoint => self.send_checkpoint(),
            Effect::Kill => {
                if let Some(worker) = &self.worker {
                    worker.kill();
                }
            }
            Effect::DropWorker => {
                self.measured.is_gone();
                self.worker = None;
                self.settling = false;
            }
            Effect::Arm(timer) => self.arm(timer, ctx),
            Effect::Disarm(timer) => self.alarms.disarm(timer),
            Effect::Track(points) => self.track(Record::Points(points), ctx),
            Effect::TrackFigures(figures) => self.track(Record::Figures(figures), ctx),
            Effect::TrackPrinted(lines) => self.track(Record::Printed(lines), ctx),
            Effect::Settle => self.settle(ctx),
            Effect::Publish(event) => self.publish(event, ctx),
            Effect::CloseTracker(outcome) => self.close_tracker(outcome, ctx),
            Effect::Report => self.report(ctx),
            Effect::CountLate(what) => {
                self.late += 1;
                tracing::debug!(run = %self.plan.run_id, what, late = self.late, "late input");
            }
        }
    }
}

impl Stoppable for RunActor {
    fn stop_asked(mode: StopMode) -> Input {
        Input::Stop(mode)
    }

    fn hold(&mut self, leash: StopSignal) {
        self.stop = Some(leash);
    }
}

impl Actor for RunActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(UNUSED_MAILBOX);
        if let Some(stop) = self.stop.take() {
            listen_for_stop(stop, ctx);
        }
        let mut asked = self.wiring.checkpoints.clone();
        asked.mark_unchanged();
        self.listen_for_checkpoints(asked, ctx);
        self.take(Input::Begin, ctx);
    }
}

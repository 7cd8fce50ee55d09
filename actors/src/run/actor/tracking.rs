//! A RunActor's way to the tracker of its run.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::time::timeout;

use super::{Delivery, RunActor};
use crate::events::Event;
use crate::outcome::RunOutcome;
use crate::protocol::ToWorker;
use crate::run::effects::Input;
use crate::stepwise::Stepwise;
use crate::stop::{StopLine, StopSignal};
use crate::tracker::{CloseRun, Record, Settle, Track, Tracked, TrackerActor};

impl RunActor {
    pub(super) fn open_tracker(&mut self, ctx: &mut Context<Self>) {
        let (stop, asked) = StopLine::new();
        let tracker = TrackerActor::new(Tracked {
            plan: Arc::clone(&self.plan),
            trackers: Arc::clone(&self.wiring.trackers),
            bus: self.wiring.bus.clone(),
            stop,
            host: Arc::clone(&self.wiring.host),
            subject: self.measured.clone(),
            patience: self.wiring.timers.back_end,
        });
        self.tracker = Some(tracker.start());
        self.listen_for_tracker(asked, ctx);
    }

    /// Hands a record to the tracker, unless that is lost.
    pub(super) fn track(&mut self, record: Record, ctx: &mut Context<Self>) {
        if self.tracker.is_some() {
            self.records.push_back(record);
            self.deliver(ctx);
        }
    }

    pub(super) fn publish(&mut self, event: Event, ctx: &mut Context<Self>) {
        if let Event::WorkerReady { pid, .. } = &event {
            self.measured.is_process(*pid);
        }
        if !matches!(event, Event::RunProgressed { .. }) {
            self.track(Record::Happened(Box::new(event.clone())), ctx);
        }
        self.wiring.bus.publish(event);
    }

    pub(super) fn close_tracker(&mut self, mut outcome: Box<RunOutcome>, ctx: &mut Context<Self>) {
        outcome.duration_secs = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
        if self.tracker.is_some() {
            let finished = Event::run_finished(self.plan.cv_name.as_deref(), &outcome);
            self.records.push_back(Record::Happened(Box::new(finished)));
        }
        self.ended = Some(outcome);
        self.deliver(ctx);
        if self.delivery == Delivery::Idle {
            self.close_if_asked(ctx);
        }
    }

    /// Closes the files once the outcome is known and nothing waits to be written.
    fn close_if_asked(&mut self, ctx: &mut Context<Self>) {
        if self.ended.is_none() {
            return;
        }
        let Some(tracker) = self.tracker.take() else {
            return self.take(Input::TrackerClosed, ctx);
        };
        let patience = self.wiring.timers.tracker();
        let close = async move { timeout(patience, tracker.send(CloseRun)).await };
        ctx.spawn(close.into_actor(self).map(|closed, run, ctx| {
            if !matches!(closed, Ok(Ok(()))) {
                run.lose_tracker();
            }
            run.take(Input::TrackerClosed, ctx);
        }));
    }

    /// Stops the run when a user of a back end asks for it.
    fn listen_for_tracker(&mut self, mut asked: StopSignal, ctx: &mut Context<Self>) {
        let asked = async move { asked.asked().await };
        ctx.spawn(asked.into_actor(self).map(|mode, run, ctx| {
            if let Some(mode) = mode {
                run.take(Input::Stop(mode), ctx);
            }
        }));
    }

    /// The worker waits until all it said is kept, by back ends that keep anything still.
    pub(super) fn settle(&mut self, ctx: &mut Context<Self>) {
        self.settling = true;
        self.deliver(ctx);
    }

    /// Hands the tracker what waits, one record at a time; then answers a worker that waits for that, and reads on.
    fn deliver(&mut self, ctx: &mut Context<Self>) {
        if self.delivery == Delivery::UnderWay {
            return;
        }
        let Some(tracker) = self.tracker.clone() else { return self.settled() };
        let record = self.records.pop_front();
        if record.is_none() && !self.settling {
            return;
        }
        self.delivery = Delivery::UnderWay;
        let patience = self.wiring.timers.tracker();
        let is_settled = record.is_none();
        let send = async move {
            match record {
                Some(record) => timeout(patience, tracker.send(Track(record))).await,
                None => timeout(patience, tracker.send(Settle)).await,
            }
        };
        ctx.spawn(send.into_actor(self).map(move |sent, run, ctx| {
            run.delivery = Delivery::Idle;
            if !matches!(sent, Ok(Ok(()))) {
                run.lose_tracker();
            }
            if is_settled {
                run.settled();
            }
            run.deliver(ctx);
            if run.delivery == Delivery::Idle {
                if let Some(events) = run.unread.take() {
                    run.read(events, run.attempt, ctx);
                }
                run.close_if_asked(ctx);
            }
        }));
    }

    /// Tells a worker that waits for it that it may go on.
    fn settled(&mut self) {
        if std::mem::take(&mut self.settling) {
            self.send(ToWorker::Settled);
        }
    }

    fn lose_tracker(&mut self) {
        self.tracker = None;
        self.records.clear();
        let message = format!("the tracker of `{}` is lost: its files are not continued", self.plan.run_name);
        self.wiring.bus.publish(Event::Warned { message });
    }
}

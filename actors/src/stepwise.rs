//! The loop every actor with a state runs: an input goes through the state, its effects are performed, and what that
//! brings in waits its turn.

use std::collections::VecDeque;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use crate::bus::EventBus;
use crate::events::Event;
use crate::journal::{JournalLine, Record};
use crate::stop::{StopMode, StopSignal};

/// Inputs that wait while effects are performed.
pub(crate) struct Inputs<I> {
    waiting: VecDeque<I>,
    is_performing: bool,
}

impl<I> Default for Inputs<I> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), is_performing: false }
    }
}

impl<I> Inputs<I> {
    /// Puts an input behind those that wait: for effects that bring one in at once.
    pub(crate) fn push(&mut self, input: I) {
        self.waiting.push_back(input);
    }
}

/// An actor that decides by a pure state and performs what that says.
pub(crate) trait Stepwise: Actor<Context = Context<Self>> {
    /// What the state hears.
    type Input;
    /// What the state asks for.
    type Effect;

    /// The inputs that wait.
    fn inputs(&mut self) -> &mut Inputs<Self::Input>;

    /// Has the state decide.
    fn decide(&mut self, input: Self::Input) -> Vec<Self::Effect>;

    /// Does what the state asks for.
    fn perform(&mut self, effect: Self::Effect, ctx: &mut Context<Self>);

    /// Takes an input through the state. Called while an effect is performed, it leaves the input to the call under
    /// way, so that effects never overtake each other.
    fn take(&mut self, input: Self::Input, ctx: &mut Context<Self>) {
        self.inputs().push(input);
        if std::mem::replace(&mut self.inputs().is_performing, true) {
            return;
        }
        while let Some(input) = self.inputs().waiting.pop_front() {
            for effect in self.decide(input) {
                self.perform(effect, ctx);
            }
        }
        self.inputs().is_performing = false;
    }
}

/// An actor that is told to stop by its parent's line.
pub(crate) trait Stoppable: Stepwise {
    /// What its state hears of it.
    fn stop_asked(mode: StopMode) -> Self::Input;

    /// Keeps the leash for as long as the actor lives: by its end the parent sees when the actor is gone.
    fn hold(&mut self, leash: StopSignal);
}

/// Has the state hear of every stop, each stronger than the one before, until the strongest.
pub(crate) fn listen_for_stop<A: Stoppable>(mut signal: StopSignal, ctx: &mut Context<A>) {
    let next = async move { (signal.next().await, signal) };
    ctx.spawn(actix::fut::wrap_future::<_, A>(next).map(|(mode, signal), actor, ctx| {
        actor.take(A::stop_asked(mode), ctx);
        match mode {
            StopMode::Kill => actor.hold(signal),
            StopMode::Drain | StopMode::Cancel => listen_for_stop(signal, ctx),
        }
    }));
}

/// A fact, and what follows once it is kept: the world is told, then the state hears.
struct Fact<I> {
    record: Record,
    event: Option<Event>,
    input: I,
}

/// Facts that wait to stand in the journal before they are acted on.
pub(crate) struct Desk<I> {
    waiting: Vec<Fact<I>>,
    is_writing: bool,
}

impl<I> Default for Desk<I> {
    fn default() -> Self {
        Self { waiting: Vec::new(), is_writing: false }
    }
}

impl<I> Desk<I> {
    /// Whether no fact waits to be kept, or to be heard of.
    pub(crate) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }
}

/// An actor whose state follows from a journal.
pub(crate) trait Journalled: Stepwise {
    /// The way to the journal.
    fn line(&self) -> &JournalLine;

    /// Where the world is told.
    fn bus(&self) -> &EventBus;

    /// The facts that wait.
    fn desk(&mut self) -> &mut Desk<Self::Input>;

    /// Every fact stands in the journal, and the state has heard of it: for what is to happen after all of them.
    fn desk_is_clear(&mut self, _ctx: &mut Context<Self>) {}

    /// What the state hears when a fact can not be kept.
    fn unkept(reason: String) -> Self::Input;

    /// Publishes an event and takes an input once their record, if there is one, stands in the journal, in the order of the
    /// calls. Where that can not be written, the state hears so first, and all follows the same: what happened has happened.
    fn keep(
        &mut self,
        record: Option<Record>,
        event: Option<Event>,
        input: Self::Input,
        ctx: &mut Context<Self>,
    ) {
        let Some(record) = record.filter(|_| self.line().keeps()) else {
            return self.go_on(event, input, ctx);
        };
        self.desk().waiting.push(Fact { record, event, input });
        self.write(ctx);
    }

    /// What follows once a fact is kept.
    fn go_on(&mut self, event: Option<Event>, input: Self::Input, ctx: &mut Context<Self>) {
        if let Some(event) = event {
            self.bus().publish(event);
        }
        self.take(input, ctx);
    }

    /// Writes what waits, all at once, unless something is being written.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.desk().is_writing || self.desk().waiting.is_empty() {
            return;
        }
        self.desk().is_writing = true;
        let facts = std::mem::take(&mut self.desk().waiting).into_iter();
        let (records, follow): (Vec<_>, Vec<_>) =
            facts.map(|fact| (fact.record, (fact.event, fact.input))).unzip();
        let line = self.line().clone();
        let append = async move { line.append(records).await };
        ctx.spawn(append.into_actor(self).map(move |written, actor, ctx| {
            if let Err(why) = written {
                actor.take(Self::unkept(why.reason), ctx);
            }
            for (event, input) in follow {
                actor.go_on(event, input, ctx);
            }
            actor.desk().is_writing = false;
            actor.write(ctx);
            if actor.desk().is_clear() {
                actor.desk_is_clear(ctx);
            }
        }));
    }
}

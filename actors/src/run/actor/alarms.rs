//! The timers of a RunActor: each message of a worker winds them up, so that doing so costs next to nothing.

use std::time::Duration;

use actix::{AsyncContext, Context};
use tokio::time::Instant;

use super::{Delivery, RunActor};
use crate::run::effects::{Input, Timer};
use crate::stepwise::Stepwise;

/// One for each timer.
#[derive(Debug, Default)]
pub(super) struct Alarms([Alarm; Timer::ALL.len()]);

/// When a timer runs out, and whether the actor is going to look.
#[derive(Debug, Clone, Copy, Default)]
struct Alarm {
    until: Option<Instant>,
    is_watched: bool,
}

impl Alarms {
    fn of(&mut self, timer: Timer) -> &mut Alarm {
        &mut self.0[timer as usize]
    }

    /// The timer does not run out.
    pub(super) fn disarm(&mut self, timer: Timer) {
        self.of(timer).until = None;
    }
}

impl RunActor {
    /// Has a timer run out once its whole time is over, counted from now.
    ///
    /// One that runs already is put off and nothing else: whoever looks at it at its old time looks again at its new one. That is
    /// never before, for a timer has the same time whenever it is armed.
    pub(super) fn arm(&mut self, timer: Timer, ctx: &mut Context<Self>) {
        let time = self.time_of(timer);
        let alarm = self.alarms.of(timer);
        // A time beyond every calendar never runs out.
        alarm.until = Instant::now().checked_add(time);
        if !std::mem::replace(&mut alarm.is_watched, true) {
            ctx.run_later(time, move |run, ctx| run.look_at(timer, ctx));
        }
    }

    fn time_of(&self, timer: Timer) -> Duration {
        let timers = &self.wiring.timers;
        match timer {
            Timer::Progress => timers.progress,
            // A run without progress is not given longer for beating no more.
            Timer::Beat => timers.beat.min(timers.progress),
            Timer::Stop => timers.stop,
            Timer::Kill => timers.kill,
            Timer::Backoff => timers.backoff,
        }
    }

    fn look_at(&mut self, timer: Timer, ctx: &mut Context<Self>) {
        let alarm = self.alarms.of(timer);
        let left = alarm.until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            None => alarm.is_watched = false,
            Some(Duration::ZERO) => {
                *alarm = Alarm::default();
                self.run_out(timer, ctx);
            }
            Some(left) => {
                ctx.run_later(left, move |run, ctx| run.look_at(timer, ctx));
            }
        }
    }

    fn run_out(&mut self, timer: Timer, ctx: &mut Context<Self>) {
        if matches!(timer, Timer::Progress | Timer::Beat) && self.delivery == Delivery::UnderWay {
            // The worker's silence is ours: it waits until its last word is on its way to the disk.
            self.arm(timer, ctx);
        } else {
            self.take(Input::TimeUp(timer), ctx);
        }
    }
}

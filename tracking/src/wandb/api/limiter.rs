//! How fast a process speaks to the server: one limiter for all runs.
//!
//! Requests go in lanes: GraphQL, rows, files. In each lane they stand in line, first come, first served; whoever is first
//! waits out what the server asked for, then for a free slot. After a 429 one request goes ahead alone and the others
//! follow once it is answered otherwise, so that a hundred runs do not run into the next 429 together.
//!
//! # Sources
//! Limits and headers: docs.wandb.ai, "Experiments limits and performance".

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::trouble::Telling;
use crate::wandb::settings::Pace;

/// Requests in flight at once, whatever the number of runs: each costs a connection on both sides.
pub(super) const REQUESTS_AT_ONCE: usize = 8;

/// Files in flight at once, beside the requests: rows never wait for files.
pub(in crate::wandb) const TRANSFERS_AT_ONCE: usize = 8;

/// Shortest time between two `file_stream` requests of a run: the server takes two a second.
const STREAM_GAP: Duration = Duration::from_millis(500);

/// Below this `RateLimit-Remaining` (of 1000) the pace of rows is stretched.
const SCARCE: f64 = 100.0;

/// Runs remembered before those that need no gap any more are forgotten.
const RUNS_REMEMBERED: usize = 256;

/// What is limited on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// GraphQL.
    Graphql,
    /// `file_stream`.
    Stream,
    /// Files.
    Transfer,
}

/// What an answer tells of the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hint {
    /// How long a 429 wants us to wait.
    pub(super) refused: Option<Duration>,
    /// `RateLimit-Remaining`.
    pub(super) remaining: Option<f64>,
    /// `RateLimit-Reset`.
    pub(super) reset: Option<Duration>,
}

/// What is known of one lane's limits. Decides only; the time is handed in.
#[derive(Debug)]
struct Rate {
    /// Shortest gap between two requests of a run.
    gap: Duration,
    /// Longest pause and gap that headers can ask for.
    longest: Duration,
    /// The gap headers ask for.
    stretched: Duration,
    paused_until: Option<Instant>,
    /// Whether the last answer was a 429.
    strained: bool,
    /// When each run was let pass last.
    passed: HashMap<String, Instant>,
}

impl Rate {
    fn new(gap: Duration, longest: Duration) -> Self {
        let (stretched, passed) = (Duration::ZERO, HashMap::new());
        Self { gap, longest, stretched, paused_until: None, strained: false, passed }
    }

    /// Lets a run pass, or says when to ask again.
    fn pass(&mut self, run: &str, now: Instant) -> Result<(), Instant> {
        let gap = self.gap.max(self.stretched);
        match self.passed.get(run).map(|last| *last + gap) {
            Some(due) if due > now => return Err(due),
            _ => {}
        }
        if self.passed.len() >= RUNS_REMEMBERED {
            self.passed.retain(|_, last| *last + gap > now);
        }
        self.passed.insert(run.to_owned(), now);
        Ok(())
    }

    /// Until when nobody passes.
    fn paused(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Takes in what an answer tells.
    fn hear(&mut self, hint: Hint, now: Instant) {
        self.strained = hint.refused.is_some();
        if let Some(wait) = hint.refused {
            self.pause(now + wait);
        }
        let (Some(remaining), Some(reset)) = (hint.remaining, hint.reset) else { return };
        let reset = reset.min(self.longest);
        self.stretched = Duration::ZERO;
        if remaining < SCARCE {
            self.stretched = reset.div_f64((remaining / 10.0).max(1.0));
        }
        if remaining <= 0.0 {
            self.pause(now + reset);
        }
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }
}

#[derive(Debug)]
struct Gate {
    /// Held by the first in line; fair.
    turn: Arc<Turn<()>>,
    slots: Arc<Semaphore>,
    rate: Mutex<Rate>,
}

impl Gate {
    fn new(slots: &Arc<Semaphore>, gap: Duration, longest: Duration) -> Self {
        Self { turn: Arc::default(), slots: Arc::clone(slots), rate: Mutex::new(Rate::new(gap, longest)) }
    }

    /// Each write leaves a whole state, so a panic elsewhere does no harm to it.
    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to send one request. Given back when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    _slot: Option<OwnedSemaphorePermit>,
    /// Kept by a request that goes ahead alone.
    _turn: Option<OwnedMutexGuard<()>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Limiter {
    graphql: Gate,
    stream: Gate,
    transfer: Gate,
}

impl Limiter {
    pub(super) fn new(pace: &Pace) -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
        let transfers = Arc::new(Semaphore::new(TRANSFERS_AT_ONCE));
        let longest = pace.longest_wait;
        Self {
            graphql: Gate::new(&requests, Duration::ZERO, longest),
            stream: Gate::new(&requests, STREAM_GAP.min(pace.stream), longest),
            transfer: Gate::new(&transfers, Duration::ZERO, longest),
        }
    }

    fn gate(&self, lane: Lane) -> &Gate {
        match lane {
            Lane::Graphql => &self.graphql,
            Lane::Stream => &self.stream,
            Lane::Transfer => &self.transfer,
        }
    }

    /// Waits for leave to send a request, of `run` where its requests keep a distance of their own.
    ///
    /// # Cancel safety
    /// Dropped, its place in the line goes to the next.
    pub(super) async fn enter(&self, lane: Lane, run: Option<&str>, telling: &Telling) -> Pass {
        let gate = self.gate(lane);
        if let Some(run) = run {
            loop {
                let due = gate.rate().pass(run, Instant::now());
                let Err(due) = due else { break };
                sleep_until(due).await;
            }
        }
        let mut is_told = tell_of(gate.rate().paused(Instant::now()), telling);
        let turn = Arc::clone(&gate.turn).lock_owned().await;
        loop {
            let paused = gate.rate().paused(Instant::now());
            let Some(until) = paused else { break };
            is_told |= tell_of(Some(until), telling);
            sleep_until(until).await;
        }
        // The semaphore is never closed, so there always is a slot in the end.
        let slot = Arc::clone(&gate.slots).acquire_owned().await.ok();
        if is_told {
            telling.over();
        }
        let alone = gate.rate().strained;
        Pass { _slot: slot, _turn: alone.then_some(turn) }
    }

    #[cfg(test)]
    pub(super) fn was_paused(&self, lane: Lane) -> bool {
        self.gate(lane).rate().paused_until.is_some()
    }

    /// Takes in what an answer tells of the limits.
    pub(super) fn hear(&self, lane: Lane, hint: Hint) {
        self.gate(lane).rate().hear(hint, Instant::now());
    }
}

/// Tells of a pause, if there is one.
fn tell_of(paused_until: Option<Instant>, telling: &Telling) -> bool {
    if let Some(until) = paused_until {
        let seconds = until.saturating_duration_since(Instant::now()).as_secs_f64();
        telling.tell(format!("the server limits the rate of requests, the next one goes in {seconds:.0} s"));
    }
    paused_until.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wandb::api::trouble::Troubles;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn headers(remaining: f64, reset: Duration) -> Hint {
        Hint { refused: None, remaining: Some(remaining), reset: Some(reset) }
    }

    #[test]
    fn a_run_keeps_its_distance_and_others_do_not_wait_for_it() {
        let mut rate = Rate::new(SECOND, MINUTE);
        let now = Instant::now();
        assert_eq!(rate.pass("a", now), Ok(()));
        assert_eq!(rate.pass("b", now), Ok(()));
        assert_eq!(rate.pass("a", now + SECOND / 2), Err(now + SECOND));
        assert_eq!(rate.pass("a", now + SECOND), Ok(()));
    }

    #[test]
    fn scarce_requests_stretch_the_distance_and_none_left_pauses_all() {
        let mut rate = Rate::new(SECOND, MINUTE);
        let now = Instant::now();
        assert_eq!(rate.pass("a", now), Ok(()));
        rate.hear(headers(50.0, MINUTE), now);
        assert_eq!(rate.pass("a", now + SECOND), Err(now + 12 * SECOND));
        assert_eq!(rate.paused(now), None);
        rate.hear(headers(0.0, 10 * MINUTE), now);
        assert_eq!(rate.paused(now), Some(now + MINUTE));
        rate.hear(headers(500.0, MINUTE), now);
        assert_eq!(rate.pass("a", now + SECOND), Ok(()));
    }

    #[test]
    fn a_429_pauses_all_and_an_earlier_end_does_not_shorten_it() {
        let mut rate = Rate::new(SECOND, MINUTE);
        let now = Instant::now();
        rate.hear(Hint { refused: Some(10 * SECOND), ..Hint::default() }, now);
        rate.hear(Hint { refused: Some(SECOND), ..Hint::default() }, now);
        assert_eq!(rate.paused(now + SECOND), Some(now + 10 * SECOND));
        assert!(rate.strained);
        rate.hear(Hint::default(), now);
        assert!(!rate.strained);
        assert_eq!(rate.paused(now + 10 * SECOND), None);
    }

    #[tokio::test]
    async fn who_comes_first_goes_first_and_hears_why_it_waits() {
        let limiter = Arc::new(Limiter::new(&Pace::default()));
        limiter.hear(Lane::Stream, Hint { refused: Some(SECOND), ..Hint::default() });
        let order = Arc::new(Mutex::new(Vec::new()));
        let troubles = Arc::new(Troubles::default());
        let mut tasks = Vec::new();
        for number in 0..20 {
            let (limiter, order, troubles) =
                (Arc::clone(&limiter), Arc::clone(&order), Arc::clone(&troubles));
            tasks.push(tokio::spawn(async move {
                let telling = Troubles::begin(&troubles);
                let pass = limiter.enter(Lane::Stream, Some(&number.to_string()), &telling).await;
                order.lock().unwrap().push(number);
                drop(pass);
            }));
            tokio::task::yield_now().await;
        }
        assert!(troubles.first().unwrap().starts_with("the server limits the rate of requests"));
        // Another lane is not held back.
        let telling = Troubles::begin(&Arc::default());
        drop(limiter.enter(Lane::Graphql, None, &telling).await);
        assert!(order.lock().unwrap().is_empty());
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(troubles.first(), None);
    }

    #[test]
    fn runs_that_need_no_distance_any_more_are_forgotten() {
        let mut rate = Rate::new(SECOND, MINUTE);
        let now = Instant::now();
        for run in 0..RUNS_REMEMBERED {
            assert_eq!(rate.pass(&run.to_string(), now), Ok(()));
        }
        assert_eq!(rate.pass("new", now + 2 * SECOND), Ok(()));
        assert_eq!(rate.passed.len(), 1);
    }
}

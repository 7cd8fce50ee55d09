//! What comes next: any word that is first on its edge, any worker, any timer.

use engine_devices::{DeviceId, DeviceKind, LeaseEvent};

use super::disk::Disk;
use super::world::{Edge, Files, Input, Kept, Mishap, Who, Word, World};
use crate::journal::Record;
use crate::run::{self, Timer};
use crate::{cv, tune};

/// A step that can be made.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Word(Edge),
    Worker(u64),
    Timer(u64, Timer),
    /// A timer that runs out although nobody waits for it any more.
    LateTimer(u64, Timer),
    LookAgain,
}

/// More steps than any tune of this size makes.
const STEPS: usize = 20_000;

impl World {
    /// Makes one step; `false` once the caller has been told.
    pub(super) fn step(&mut self) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        self.steps += 1;
        assert!(self.steps < STEPS, "no end after {STEPS} steps");
        self.disturb();
        let choices = self.choices();
        assert!(!choices.is_empty(), "stuck: nobody has anything to do and the outcome is not told");
        let choice = choices[self.rng.below(choices.len())];
        match choice {
            Choice::Word(edge) => {
                let words = self.edges.get_mut(&edge).unwrap();
                let word = words.pop_front().unwrap();
                if words.is_empty() {
                    self.edges.remove(&edge);
                }
                self.deliver(word);
            }
            Choice::Worker(id) => self.step_worker(id),
            Choice::Timer(id, timer) => {
                self.count(format!("timer {timer:?}"));
                self.runs.get_mut(&id).unwrap().timers.remove(&(timer as u8));
                self.take(Who::Run(id), Input::Run(run::Input::TimeUp(timer)));
            }
            Choice::LateTimer(id, timer) => {
                self.take(Who::Run(id), Input::Run(run::Input::TimeUp(timer)));
            }
            Choice::LookAgain => self.enter(LeaseEvent::LookAgain),
        }
        self.check_step();
        true
    }

    /// Makes steps until there are none, once the outcome is told and taken.
    pub(super) fn settle(&mut self) {
        self.setup.stops.clear();
        self.setup.mishaps.clear();
        while !self.choices().is_empty() && self.step() {}
    }

    fn choices(&self) -> Vec<Choice> {
        let may_hear = |edge: &Edge| match edge {
            // An actor hears of a stop once it stands.
            Edge::Stop(who) => self.has_begun(*who),
            Edge::ToWorker(worker) => self.workers.contains_key(worker),
            _ => true,
        };
        let mut choices: Vec<Choice> =
            self.edges.keys().filter(|edge| may_hear(edge)).map(|edge| Choice::Word(*edge)).collect();
        choices.extend(
            self.workers.iter().filter(|(_, worker)| worker.can_step()).map(|(id, _)| Choice::Worker(*id)),
        );
        for (id, run) in &self.runs {
            for timer in Timer::ALL.into_iter().filter(|timer| run.timers.contains(&(*timer as u8))) {
                if self.may_run_out(run.worker, timer) {
                    choices.push(Choice::Timer(*id, timer));
                }
            }
        }
        if self.book.is_held_up_elsewhere() {
            choices.push(Choice::LookAgain);
        }
        if self.steps.is_multiple_of(16) && !choices.is_empty() {
            choices.extend(self.late_timers());
        }
        choices
    }

    /// Timers for beats and progress run out only where a worker really gives none.
    fn may_run_out(&self, worker: Option<u64>, timer: Timer) -> bool {
        match timer {
            Timer::Stop | Timer::Kill | Timer::Backoff => true,
            Timer::Progress | Timer::Beat => worker.is_some_and(|id| {
                let waits = self.edges.contains_key(&Edge::FromWorker(id))
                    || self.edges.contains_key(&Edge::ToWorker(id));
                let is_silent = self.workers.get(&id).is_some_and(|worker| {
                    worker.is_silent() && (timer == Timer::Progress || !worker.beats())
                });
                !waits && is_silent
            }),
        }
    }

    fn late_timers(&self) -> Vec<Choice> {
        let mut late = Vec::new();
        for (id, run) in self.runs.iter().filter(|(_, run)| run.worker.is_none() && run.has_begun) {
            for timer in Timer::ALL.into_iter().filter(|timer| !run.timers.contains(&(*timer as u8))) {
                late.push(Choice::LateTimer(*id, timer));
            }
        }
        late
    }

    fn has_begun(&self, who: Who) -> bool {
        match who {
            Who::Tune => !self.edges.contains_key(&Edge::Begin(who)),
            Who::Cv(index) => self.cvs.get(&index).is_none_or(|cv| cv.has_begun),
            Who::Run(id) => {
                self.runs.get(&id).is_none_or(|run| run.has_begun || run.files != Files::NotOpened)
            }
        }
    }

    fn deliver(&mut self, word: Word) {
        match word {
            Word::Input(who, input) => self.hear(who, input),
            // Only the worker that the run has now is heard: `RunActor::read`.
            Word::Worker(worker, run, input) if self.is_of(worker, run) => {
                self.hear(Who::Run(run), Input::Run(input));
            }
            Word::Worker(..) => self.count("words of workers that were given up"),
            Word::Keep(who, records, kept) => self.append(who, records, kept),
            Word::Kept(who, written, kept) => self.kept(who, written, kept),
            Word::RunTold(id, outcome) => {
                if let Some(run) = self.runs.remove(&id) {
                    self.run_told(id, &run.parent, outcome);
                }
            }
            Word::CvTold(index, outcome) => self.cv_told(index, outcome),
            Word::WriteRuns(index, runs) => {
                let failure = self.write_runs(index, runs);
                let input = Input::Cv(cv::Input::RunsWritten { failure });
                self.send(Edge::FromTables(index), Word::Input(Who::Cv(index), input));
            }
            Word::WriteScore(index, outcome) => {
                let failure = self.write_score(&outcome);
                let input = Input::Cv(cv::Input::ScoreWritten { failure });
                self.send(Edge::FromTables(index), Word::Input(Who::Cv(index), input));
            }
            Word::Devices(event) => self.enter(event),
            Word::Granted(who, ticket, lease, device) => self.granted(who, ticket, lease, device),
            Word::Launch(id, attempt, lease) => self.launch(id, attempt, lease),
            Word::Order(worker, order) => self.hear_order(worker, order),
        }
    }

    fn is_of(&self, worker: u64, run: u64) -> bool {
        self.runs.get(&run).is_some_and(|run| run.worker == Some(worker))
    }

    fn hear(&mut self, who: Who, input: Input) {
        match (&input, who) {
            (Input::Cv(cv::Input::Begin), Who::Cv(index)) => {
                self.cvs.get_mut(&index).into_iter().for_each(|cv| cv.has_begun = true);
            }
            (Input::Run(run::Input::Begin), Who::Run(id)) => {
                self.runs.get_mut(&id).into_iter().for_each(|run| run.has_begun = true);
            }
            (Input::Run(run::Input::TrackerClosed), Who::Run(id)) => {
                self.runs.get_mut(&id).into_iter().for_each(|run| run.files = Files::Closed);
            }
            _ => {}
        }
        self.take_perhaps_twice(who, input);
    }

    pub(super) fn take_perhaps_twice(&mut self, who: Who, input: Input) {
        // What the sampler answers can not come twice: it is asked by a call.
        let is_doubled = !matches!(input, Input::Tune(tune::Input::Proposed { .. }))
            && self.rng.chance(self.setup.doubles);
        if is_doubled {
            self.count("doubled words");
            self.take(who, input.clone());
        }
        self.take(who, input);
    }

    fn append(&mut self, who: Who, records: Vec<Record>, kept: Kept) {
        let written = if self.journal_breaks {
            self.count("appends that failed");
            Err("no space left".to_owned())
        } else {
            self.check_records(&records);
            self.disk.append(records);
            let disk = &self.disk;
            self.moments.iter_mut().for_each(|moments| moments.push(Disk::clone(disk)));
            Ok(())
        };
        self.send(Edge::FromJournal(who), Word::Kept(who, written, kept));
    }

    /// The user, and what goes wrong with the engine itself.
    fn disturb(&mut self) {
        while let Some((at, mode)) = self.setup.stops.last().copied()
            && at <= self.steps
        {
            self.setup.stops.pop();
            self.count(format!("stops {mode:?}"));
            self.say(|| format!("stop {mode:?}"));
            self.raise(Who::Tune, mode);
        }
        while let Some((at, mishap)) = self.setup.mishaps.last().copied()
            && at <= self.steps
        {
            self.setup.mishaps.pop();
            self.count(format!("mishap {mishap:?}"));
            self.say(|| format!("mishap {mishap:?}"));
            self.befall(mishap);
        }
    }

    fn befall(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::JournalBreaks => self.journal_breaks = true,
            Mishap::TablesBreak => self.tables_break = true,
            Mishap::DeviceGone => {
                let index = self.rng.below(self.setup.devices as usize);
                let device = DeviceId::new(DeviceKind::Cpu, u32::try_from(index).unwrap());
                self.enter(LeaseEvent::DeviceGone { device });
            }
            Mishap::RunActorLost => {
                let alive: Vec<u64> =
                    self.runs.iter().filter(|(_, run)| run.has_begun).map(|(id, _)| *id).collect();
                if !alive.is_empty() {
                    let id = alive[self.rng.below(alive.len())];
                    self.lose_run(id);
                }
            }
            Mishap::CvActorLost => {
                let alive: Vec<usize> =
                    self.cvs.iter().filter(|(_, cv)| cv.has_begun).map(|(index, _)| *index).collect();
                if !alive.is_empty() {
                    let index = alive[self.rng.below(alive.len())];
                    self.lose_cv(index);
                }
            }
        }
    }
}

//! What the actors perform, played.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine_devices::{LeaseEvent, RunTakes, Ticket, Want};

use super::worker::Order;
use super::world::{Cv, Desk, Edge, Files, Input, Kept, Parent, Run, Who, Word, World};
use crate::cv::{Planned, plan_runs};
use crate::events::Event;
use crate::journal::{PastRun, Record};
use crate::outcome::{CvOutcome, RunOutcome};
use crate::plan::{Hyperparameters, RunPlan};
use crate::ports::Sampler as _;
use crate::tune::{PlannedRetrain, cv_plan, plan_retrain};
use crate::{cv, run, tune};

impl World {
    /// Takes an input through its actor's state; what effects bring in at once waits its turn, as in `Stepwise::take`.
    pub(super) fn take(&mut self, who: Who, input: Input) {
        let mut waiting = VecDeque::from([input]);
        while let Some(input) = waiting.pop_front() {
            self.say(|| format!("{who:?} <- {input:?}"));
            match (who, input) {
                (Who::Tune, Input::Tune(input)) => {
                    let effects = self.tune.as_mut().map(|tune| tune.state.apply(input)).unwrap_or_default();
                    effects.into_iter().for_each(|effect| self.perform_tune(effect, &mut waiting));
                }
                (Who::Cv(index), Input::Cv(input)) => {
                    let effects =
                        self.cvs.get_mut(&index).map(|cv| cv.state.apply(input)).unwrap_or_default();
                    effects.into_iter().for_each(|effect| self.perform_cv(index, effect));
                }
                (Who::Run(id), Input::Run(input)) => {
                    let effects =
                        self.runs.get_mut(&id).map(|run| run.state.apply(input)).unwrap_or_default();
                    effects.into_iter().for_each(|effect| self.perform_run(id, effect, &mut waiting));
                }
                (who, input) => panic!("{who:?} can not hear {input:?}"),
            }
        }
    }

    fn late(&mut self, what: &str) {
        self.say(|| format!("late: {what}"));
        self.count(format!("late {what}"));
    }

    // ---- tune ----

    fn perform_tune(&mut self, effect: tune::Effect, waiting: &mut VecDeque<Input>) {
        match effect {
            tune::Effect::AskSampler { trial } => {
                if let Some(tune) = &mut self.tune {
                    tune.asked = Some(trial);
                }
                self.ask_sampler(waiting);
            }
            tune::Effect::TellSampler { trial, score } => {
                let Some(tune) = &mut self.tune else { return };
                assert!(tune.told.insert(trial), "TUNE-2: told twice");
                tune.sampler.tell(trial, score);
            }
            tune::Effect::StartCv { index, hyperparameters } => self.start_cv(index, hyperparameters),
            tune::Effect::StartRetrain { index, hyperparameters } => {
                let planned =
                    plan_retrain(&self.scenario.plan, index, hyperparameters, Some(&self.past), &self.ids);
                let PlannedRetrain { plan, past, ended, record } = planned;
                if let Some(outcome) = ended {
                    return waiting.push_back(Input::Tune(tune::Input::RetrainEnded { outcome }));
                }
                let id = self.add_run(plan, past.as_ref(), None, Parent::Tune);
                self.after(record, Who::Run(id));
            }
            tune::Effect::StopChildren(mode) => {
                let children = self.tune.iter().flat_map(|tune| tune.children.clone()).collect::<Vec<_>>();
                children.into_iter().for_each(|child| self.raise(child, mode));
            }
            tune::Effect::Publish(event) => self.say(|| format!("{event:?}")),
            tune::Effect::Report(outcome) => {
                self.tune4_nothing_is_left();
                self.tune = None;
                let ended = Record::Ended { cancelled: outcome.cancelled };
                self.send(Edge::ToJournal(Who::Tune), Word::Keep(Who::Tune, vec![ended], Kept::End(outcome)));
            }
            tune::Effect::CountLate(what) => self.late(what),
        }
    }

    /// `TuneActor::ask_sampler`.
    pub(super) fn ask_sampler(&mut self, waiting: &mut VecDeque<Input>) {
        let Some(tune) = self.tune.as_mut().filter(|tune| tune.desk.is_clear()) else { return };
        let Some(trial) = tune.asked.take() else { return };
        let hyperparameters = tune.sampler.propose(trial);
        let record =
            hyperparameters.clone().map(|hyperparameters| Record::Proposed { trial, hyperparameters });
        let input = Input::Tune(tune::Input::Proposed { hyperparameters });
        match record {
            Some(record) => self.keep(Who::Tune, Some(record), input),
            None => waiting.push_back(input),
        }
    }

    fn start_cv(&mut self, index: usize, hyperparameters: Hyperparameters) {
        let plan = Arc::new(cv_plan(&self.scenario.plan, index, hyperparameters));
        let Planned { runs, past, record } = plan_runs(&plan, Some(&self.past), &self.ids);
        let placement = &self.setup.placement;
        let mut state =
            cv::State::new(Arc::clone(&plan), runs.clone(), placement.cells_at_once, placement.leased_by);
        state.recall(&past);
        let (lease, request, children, desk) = (None, None, BTreeMap::new(), Desk::default());
        let cv = Cv { state, plan, runs, past, lease, request, children, desk, has_begun: false };
        assert!(self.cvs.insert(index, cv).is_none(), "TUNE-2: a cv beside itself");
        if let Some(tune) = &mut self.tune {
            tune.children.insert(Who::Cv(index));
        }
        self.after(record, Who::Cv(index));
    }

    pub(super) fn cv_told(&mut self, index: usize, outcome: Box<CvOutcome>) {
        let Some(tune) = &mut self.tune else { return };
        tune.children.remove(&Who::Cv(index));
        let record = tune.state.record_of_cv(&outcome);
        self.keep(Who::Tune, record, Input::Tune(tune::Input::CvEnded { index, outcome }));
    }

    // ---- cv ----

    fn perform_cv(&mut self, index: usize, effect: cv::Effect) {
        let who = Who::Cv(index);
        match effect {
            cv::Effect::AcquireLease => {
                let Some(cv) = self.cvs.get(&index) else { return };
                let want = self.want(Some(&cv.plan.cv_name));
                let ticket = self.ask(who, want);
                self.cvs.get_mut(&index).unwrap().request = Some(ticket);
            }
            cv::Effect::WithdrawRequest => {
                let request = self.cvs.get_mut(&index).and_then(|cv| cv.request.take());
                self.abandoned.extend(request);
            }
            cv::Effect::ReturnLease => {
                let lease = self.cvs.get_mut(&index).and_then(|cv| cv.lease.take());
                lease.into_iter().for_each(|lease| self.let_go(lease));
            }
            cv::Effect::StartRun { index: cell, generation } => self.start_run(index, cell, generation),
            cv::Effect::StopRuns(mode) => {
                let children = self.cvs.get(&index).map(|cv| cv.children.clone()).unwrap_or_default();
                children.into_values().for_each(|run| self.raise(Who::Run(run), mode));
            }
            cv::Effect::WriteRuns(runs) => self.send(Edge::ToTables(index), Word::WriteRuns(index, runs)),
            cv::Effect::WriteScore(cv) => self.send(Edge::ToTables(index), Word::WriteScore(index, cv)),
            cv::Effect::Publish(event) => self.say(|| format!("{event:?}")),
            cv::Effect::Report(outcome) => {
                let Some(cv) = self.cvs.remove(&index) else { return };
                assert!(cv.children.is_empty(), "CV-3: told before its runs ended");
                assert!(cv.lease.is_none(), "CV-4: a lease is not given back");
                self.send(Edge::Told(who), Word::CvTold(index, outcome));
            }
            cv::Effect::CountLate(what) => self.late(what),
        }
    }

    fn start_run(&mut self, index: usize, cell: usize, generation: u32) {
        let Some(cv) = self.cvs.get(&index) else { return };
        let plan = Arc::clone(&cv.runs[cell]);
        let past = cv::past_of(&cv.past, &plan, cell, generation);
        let lease = cv.lease.filter(|lease| !self.revoked.contains(lease));
        let id = self.add_run(plan, past.as_ref(), lease, Parent::Cv { cv: index, index: cell, generation });
        self.begin(Who::Run(id));
    }

    fn add_run(
        &mut self,
        plan: Arc<RunPlan>,
        past: Option<&PastRun>,
        lease: Option<engine_devices::LeaseId>,
        parent: Parent,
    ) -> u64 {
        let id = self.number();
        let scoring = match &parent {
            Parent::Cv { cv, index, .. } => {
                self.cvs.get_mut(cv).unwrap().children.insert(*index, id);
                Some(Arc::new(self.scenario.plan.scoring.clone()))
            }
            Parent::Tune => {
                self.tune.as_mut().unwrap().children.insert(Who::Run(id));
                None
            }
        };
        lease.into_iter().for_each(|lease| self.hold(lease));
        let leased_from = if lease.is_some() { run::LeasedFrom::Cv } else { run::LeasedFrom::Manager };
        let mut state = run::State::new(Arc::clone(&plan), scoring, leased_from);
        past.into_iter().for_each(|past| state.recall(past));
        let run = Run {
            state,
            plan,
            parent,
            lease,
            request: None,
            worker: None,
            attempt: 0,
            goes_on: past.is_some(),
            timers: std::collections::BTreeSet::new(),
            ended: None,
            files: Files::NotOpened,
            has_begun: false,
        };
        self.runs.insert(id, run);
        id
    }

    pub(super) fn run_told(&mut self, id: u64, parent: &Parent, outcome: Box<RunOutcome>) {
        match *parent {
            Parent::Tune => {
                let Some(tune) = &mut self.tune else { return };
                tune.children.remove(&Who::Run(id));
                let record = tune.state.record_of_retrain(&outcome);
                self.keep(Who::Tune, record, Input::Tune(tune::Input::RetrainEnded { outcome }));
            }
            Parent::Cv { cv: of, index, .. } => {
                let Some(cv) = self.cvs.get_mut(&of) else { return };
                cv.children.remove(&index);
                let record = cv.state.record_of_end(&outcome);
                self.keep(Who::Cv(of), record, Input::Cv(cv::Input::RunEnded { index, outcome }));
            }
        }
    }

    // ---- run ----

    fn perform_run(&mut self, id: u64, effect: run::Effect, waiting: &mut VecDeque<Input>) {
        let who = Who::Run(id);
        if let Some(record) = effect.record() {
            self.send(Edge::ToJournal(who), Word::Keep(who, vec![record], Kept::Nothing));
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        match effect {
            run::Effect::AcquireLease(room) => {
                if let Some(lease) = run.lease {
                    let device = format!("{lease:?}");
                    return waiting.push_back(Input::Run(run::Input::LeaseGranted { device }));
                }
                let family = run.plan.cv_name.clone();
                let want = match (room, self.want(family.as_deref())) {
                    (run::Room::Alone, Want::Slot { .. }) => Want::Alone,
                    (_, want) => want,
                };
                let ticket = self.ask(who, want);
                self.runs.get_mut(&id).unwrap().request = Some(ticket);
            }
            run::Effect::WithdrawRequest => {
                let request = run.request.take();
                self.abandoned.extend(request);
            }
            run::Effect::ReturnLease => {
                let lease = run.lease.take();
                assert!(lease.is_some(), "RUN-2: a lease is given back that is not there");
                lease.into_iter().for_each(|lease| self.let_go(lease));
            }
            run::Effect::TellOutOfMemory(_) => {
                if let Some(lease) = run.lease {
                    self.send(Edge::Returned(lease), Word::Devices(LeaseEvent::RanOutOfMemory { lease }));
                }
            }
            run::Effect::OpenTracker => {
                assert_eq!(run.files, Files::NotOpened, "files are opened once");
                run.files = Files::Open;
            }
            run::Effect::Launch { attempt } => {
                run.attempt = attempt;
                let Some(lease) = run.lease else {
                    let why = super::fate::failure(crate::outcome::Cause::Lost);
                    return waiting.push_back(Input::Run(run::Input::LaunchFailed(why)));
                };
                let run_id = run.plan.run_id.clone();
                self.may_launch(&run_id);
                self.hold(lease);
                self.send(Edge::Launch(id), Word::Launch(id, attempt, lease));
            }
            run::Effect::SendStart { attempt } => {
                let goes_on = run.goes_on || attempt > 1;
                let worker = run.worker;
                let order = |worker| (Edge::ToWorker(worker), Word::Order(worker, Order::Start { goes_on }));
                worker.map(order).into_iter().for_each(|(edge, word)| self.send(edge, word));
            }
            run::Effect::SendStop => {
                let worker = run.worker;
                let order = |worker| (Edge::ToWorker(worker), Word::Order(worker, Order::Stop));
                worker.map(order).into_iter().for_each(|(edge, word)| self.send(edge, word));
            }
            run::Effect::SendCheckpoint | run::Effect::Settle => panic!("nobody in this world asks for it"),
            run::Effect::Kill => {
                let worker = run.worker;
                self.kill_worker(worker);
            }
            run::Effect::DropWorker => {
                let worker = run.worker.take();
                self.kill_worker(worker);
            }
            run::Effect::Arm(timer) => {
                run.timers.insert(timer as u8);
            }
            run::Effect::Disarm(timer) => {
                run.timers.remove(&(timer as u8));
            }
            run::Effect::Track(_) | run::Effect::TrackFigures(_) | run::Effect::TrackPrinted(_) => {
                assert_eq!(run.files, Files::Open, "RUN-4: values for files that are not open");
            }
            run::Effect::Publish(event) => {
                if let Event::RunRetried { failure, .. } = &event {
                    let cause = failure.cause.name();
                    self.count(format!("retried {cause}"));
                }
                self.say(|| format!("{event:?}"));
            }
            run::Effect::CloseTracker(outcome) => {
                assert!(run.ended.replace(outcome).is_none(), "RUN-1: ended twice");
                run.files = Files::Closing;
                let input = Input::Run(run::Input::TrackerClosed);
                self.send(Edge::Files(id), Word::Input(who, input));
            }
            run::Effect::Report => {
                assert_eq!(run.files, Files::Closed, "RUN-4: told before the files are closed");
                assert!(run.lease.is_none() && run.worker.is_none(), "RUN-2: told with a lease or a worker");
                let outcome = run.ended.take().expect("RUN-1: an outcome is told");
                self.send(Edge::Told(who), Word::RunTold(id, outcome));
                run_is_over(self, id);
            }
            run::Effect::CountLate(what) => self.late(what),
        }
    }

    /// `Wiring::want`.
    fn want(&self, family: Option<&str>) -> Want {
        match self.setup.placement.run_takes {
            RunTakes::OneSlot => Want::Slot { family: family.map(str::to_owned) },
            RunTakes::EveryDevice => Want::All,
        }
    }

    fn ask(&mut self, who: Who, want: Want) -> Ticket {
        let ticket = Ticket(self.number());
        self.tickets.insert(ticket, who);
        let event = LeaseEvent::Acquire { ticket, holder: format!("{who:?}"), want };
        self.send(Edge::ToDevices(who), Word::Devices(event));
        ticket
    }
}

/// The actor stops; its parent hears by [`Word::RunTold`], which knows the parent by the run.
fn run_is_over(world: &mut World, id: u64) {
    if let Some(run) = world.runs.get_mut(&id) {
        run.has_begun = false;
    }
}

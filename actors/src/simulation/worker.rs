//! The workers of a simulated job.

use engine_devices::{Exit, ExitReport, LeaseId};
use engine_tracking::MetricPoint;

use super::fate::{Scenario, Trouble};
use super::world::{Edge, Input, Who, Word, World};
use crate::protocol::{FromWorker, PROTOCOL_VERSION, RunSummary};
use crate::run;

/// What a run says to its worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Start { goes_on: bool },
    Stop,
}

/// Where a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// About to say hello.
    Door,
    /// Has nothing to do yet.
    Waiting,
    /// About to train an epoch, or to find that there is none left.
    Epoch,
    /// Has trained one and is about to write it down.
    Checkpoint,
    /// Gave its final word.
    Leaving,
    /// Gets nowhere, and beats so many times more.
    Stuck { beats: u32 },
}

pub(super) struct Worker {
    pub(super) run: u64,
    pub(super) lease: LeaseId,
    trouble: Option<(Trouble, u32)>,
    pub(super) at: At,
    epoch: u32,
    weights: u64,
    is_asked_to_stop: bool,
    pub(super) is_killed: bool,
    /// Whether it waits to be killed once it gave its final word.
    lingers: bool,
}

impl Worker {
    /// Whether it can do anything of its own.
    pub(super) fn can_step(&self) -> bool {
        let waits = match self.at {
            At::Waiting | At::Stuck { beats: 0 } => true,
            At::Leaving => self.lingers,
            At::Door | At::Epoch | At::Checkpoint | At::Stuck { .. } => false,
        };
        self.is_killed || !waits
    }

    /// Whether it is held up so that its run can only wait for a timer.
    pub(super) fn is_silent(&self) -> bool {
        !self.is_killed && matches!(self.at, At::Stuck { beats: 0 })
    }

    pub(super) fn beats(&self) -> bool {
        !matches!(self.trouble, Some((Trouble::Silent, _)))
    }
}

impl World {
    /// The launcher answers.
    pub(super) fn launch(&mut self, id: u64, attempt: u32, lease: LeaseId) {
        let Some(run) = self.runs.get(&id) else { return self.let_go(lease) };
        let trouble = self.scenario.trouble(&run.plan, attempt);
        self.count("launches");
        if let Some((trouble @ Trouble::NotLaunched, _)) = trouble {
            self.count(format!("trouble {trouble:?}"));
            self.let_go(lease);
            let why = super::fate::failure(trouble.cause());
            return self.take(Who::Run(id), Input::Run(run::Input::LaunchFailed(why)));
        }
        let lingers = self.rng.chance(10);
        let number = self.number();
        let worker = Worker {
            run: id,
            lease,
            trouble,
            at: At::Door,
            epoch: 0,
            weights: 0,
            is_asked_to_stop: false,
            is_killed: false,
            lingers,
        };
        self.workers.insert(number, worker);
        if let Some(run) = self.runs.get_mut(&id) {
            assert!(run.worker.is_none(), "RUN-3: a worker beside another");
            run.worker = Some(number);
        }
        self.take(Who::Run(id), Input::Run(run::Input::Launched));
        self.give_up_if_revoked(id);
    }

    pub(super) fn hear_order(&mut self, id: u64, order: Order) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match order {
            Order::Stop => worker.is_asked_to_stop = true,
            Order::Start { goes_on } => {
                assert_eq!(worker.at, At::Waiting, "a worker is started once");
                worker.at = At::Epoch;
                let Some(run) = self.runs.get(&worker.run) else { return };
                match self.disk.checkpoints.get(&run.plan.run_id) {
                    Some(&(epoch, weights)) => {
                        assert!(goes_on, "nothing that has a checkpoint is begun anew");
                        (worker.epoch, worker.weights) = (epoch, weights);
                    }
                    None => (worker.epoch, worker.weights) = (0, 0),
                }
            }
        }
    }

    pub(super) fn step_worker(&mut self, id: u64) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.is_killed {
            return self.exit(id, ExitReport::bare(Exit::Signal(9)));
        }
        match worker.at {
            At::Door => self.step_door(id),
            At::Epoch => self.step_epoch(id),
            At::Checkpoint => self.step_checkpoint(id),
            At::Leaving => self.exit(id, ExitReport::bare(Exit::Code(0))),
            At::Stuck { beats } => {
                worker.at = At::Stuck { beats: beats.saturating_sub(1) };
                let word = if worker.beats() { FromWorker::Beat } else { return };
                self.voice(id, word);
            }
            At::Waiting => {}
        }
    }

    fn step_door(&mut self, id: u64) {
        let worker = self.workers.get_mut(&id).unwrap();
        let trouble = worker.trouble.map(|(trouble, _)| trouble);
        if let Some(trouble @ Trouble::Mute) = trouble {
            self.count(format!("trouble {trouble:?}"));
            return self.exit(id, trouble.exit());
        }
        worker.at = At::Waiting;
        let is_other = trouble == Some(Trouble::OtherProtocol);
        if is_other {
            self.count("trouble OtherProtocol");
        }
        self.voice(id, FromWorker::Hello { protocol: PROTOCOL_VERSION + u16::from(is_other), pid: 1 });
    }

    fn step_epoch(&mut self, id: u64) {
        let epochs = self.scenario.epochs;
        let worker = self.workers.get_mut(&id).unwrap();
        let Some(run) = self.runs.get(&worker.run) else { return };
        if let Some((trouble, after)) = worker.trouble
            && worker.epoch >= after.min(epochs)
        {
            return self.fail(id, trouble);
        }
        if worker.is_asked_to_stop || worker.epoch == epochs {
            worker.at = At::Leaving;
            let metrics = Scenario::metrics(worker.weights);
            let stopped = worker.epoch < epochs;
            let (epoch, steps) = (worker.epoch, u64::from(worker.epoch));
            let summary = RunSummary { metrics, best_checkpoint: None, epochs: epoch, steps, stopped };
            return self.voice(id, FromWorker::Finished(summary));
        }
        let (run_id, epoch) = (run.plan.run_id.clone(), worker.epoch);
        worker.weights = self.scenario.trained(&run.plan, worker.weights, worker.epoch);
        worker.epoch += 1;
        worker.at = At::Checkpoint;
        let values = Scenario::metrics(worker.weights);
        let is_last = worker.epoch == epochs;
        assert!(
            self.disk.checkpoints.get(&run_id).is_none_or(|(done, _)| *done == epoch),
            "no epoch is trained twice"
        );
        if is_last && !self.disk.trained.insert(run_id) {
            self.count("last epochs trained again, for want of their checkpoint");
        }
        self.voice(id, FromWorker::Logged(vec![MetricPoint { epoch, step: u64::from(epoch) + 1, values }]));
    }

    fn step_checkpoint(&mut self, id: u64) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.at = At::Epoch;
        let Some(run) = self.runs.get(&worker.run) else { return };
        let (epoch, weights) = (worker.epoch, worker.weights);
        self.disk.checkpoints.insert(run.plan.run_id.clone(), (epoch, weights));
        let path = run.plan.run_dir.join("checkpoints/last");
        self.voice(
            id,
            FromWorker::CheckpointWritten { path, epoch, step: u64::from(epoch), monitored: None },
        );
    }

    fn fail(&mut self, id: u64, trouble: Trouble) {
        self.count(format!("trouble {trouble:?}"));
        let worker = self.workers.get_mut(&id).unwrap();
        if matches!(trouble, Trouble::Hangs | Trouble::Silent) {
            worker.at = At::Stuck { beats: if trouble == Trouble::Hangs { 2 } else { 0 } };
            return;
        }
        match trouble.told() {
            Some(why) => {
                worker.at = At::Leaving;
                self.voice(id, FromWorker::Failed(why));
            }
            None => self.exit(id, trouble.exit()),
        }
    }

    fn voice(&mut self, id: u64, word: FromWorker) {
        let Some(worker) = self.workers.get(&id) else { return };
        let word = Word::Worker(id, worker.run, run::Input::Said(Box::new(word)));
        self.send(Edge::FromWorker(id), word);
    }

    fn exit(&mut self, id: u64, report: ExitReport) {
        let Some(worker) = self.workers.remove(&id) else { return };
        self.let_go(worker.lease);
        self.send(Edge::FromWorker(id), Word::Worker(id, worker.run, run::Input::Exited(report)));
    }

    pub(super) fn kill_worker(&mut self, id: Option<u64>) {
        if let Some(worker) = id.and_then(|id| self.workers.get_mut(&id)) {
            worker.is_killed = true;
        }
    }
}

//! Decides what a run does next. No clock, no I/O, no await.

use std::path::PathBuf;
use std::sync::Arc;

use engine_devices::{Exit, ExitReport};
use engine_tracking::Metrics;

use super::diagnose::{diagnose, refine};
use super::effects::{Effect, Input, Room, Timer};
use super::memory::{DeviceMemory, with_measured};
use crate::events::Event;
use crate::journal::PastRun;
use crate::limits::{RETRIES_LOST, RETRIES_OUT_OF_MEMORY};
use crate::outcome::{Cause, Failure, RunOutcome, Status};
use crate::plan::RunPlan;
use crate::protocol::RunSummary;
use crate::score::Scoring;
use crate::stop::StopMode;

mod hear;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Made, not begun.
    Idle,
    /// In line for a device.
    WaitingForLease,
    /// The worker is being started, or has not said hello.
    Starting,
    /// The worker works.
    Training,
    /// The worker is to end: it gave its final word, was asked to stop, or was killed.
    Stopping,
    /// The last attempt failed; the next one comes after a pause.
    BackingOff,
    /// The outcome is known; the files are being closed.
    Closing,
    /// Told.
    Done,
}

/// Whose lease the run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeasedFrom {
    /// Its own, acquired for each attempt.
    Manager,
    /// Its cv's, kept over all attempts.
    Cv,
}

/// The worker's final word, or what was found out in its place. The first one counts.
#[derive(Debug, Clone)]
enum Verdict {
    Finished(RunSummary),
    Failed(Failure),
}

/// Whether there is a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerIs {
    Absent,
    BeingLaunched,
    Alive,
    Killed,
}

/// The state of one run.
#[derive(Debug, Clone)]
pub(crate) struct State {
    plan: Arc<RunPlan>,
    scoring: Option<Arc<Scoring>>,
    leased_from: LeasedFrom,
    phase: Phase,
    worker: WorkerIs,
    device: Option<String>,
    leased: Option<String>,
    attempts: u32,
    lost: u32,
    out_of_memory: u32,
    room: Room,
    memory: Arc<DeviceMemory>,
    peak_memory_bytes: Option<u64>,
    peak_device_memory_bytes: Option<u64>,
    stop: Option<StopMode>,
    verdict: Option<Verdict>,
    last_failure: Option<Failure>,
    metrics: Metrics,
    checkpoint: Option<PathBuf>,
    is_tracked: bool,
}

impl State {
    pub(crate) fn new(plan: Arc<RunPlan>, scoring: Option<Arc<Scoring>>, leased_from: LeasedFrom) -> Self {
        Self {
            plan,
            scoring,
            leased_from,
            phase: Phase::Idle,
            worker: WorkerIs::Absent,
            device: None,
            leased: None,
            attempts: 0,
            lost: 0,
            out_of_memory: 0,
            room: Room::Usual,
            memory: Arc::default(),
            peak_memory_bytes: None,
            peak_device_memory_bytes: None,
            stop: None,
            verdict: None,
            last_failure: None,
            metrics: Metrics::new(),
            checkpoint: None,
            is_tracked: false,
        }
    }

    /// Recalls the attempts that failed under an earlier process, before the run begins. The attempt that process did not see
    /// the end of is none: nothing failed.
    pub(crate) fn recall(&mut self, past: &PastRun) {
        for failure in &past.retried {
            self.attempts += 1;
            // Whether it may was answered then; this counts what is used up.
            let _ = self.may_retry(failure.cause);
            self.last_failure = Some(failure.clone());
        }
    }

    /// With what memory devices have, to be told where one runs out of it.
    pub(super) fn on(self, memory: Arc<DeviceMemory>) -> Self {
        Self { memory, ..self }
    }

    /// Takes one input to the effects it causes.
    #[must_use = "an effect left unperformed is a lost message"]
    pub(crate) fn apply(&mut self, input: Input) -> Vec<Effect> {
        match (self.phase, input) {
            (Phase::Idle, Input::Begin) => self.begin(),
            (Phase::WaitingForLease, Input::LeaseGranted { device }) => self.launch(device),
            (_, Input::LeaseGranted { .. }) if self.leased.is_none() => {
                vec![Effect::ReturnLease, Effect::CountLate("lease-granted")]
            }
            (Phase::WaitingForLease, Input::LeaseRefused { reason }) => {
                self.end(Status::Failed, Some(failure(Cause::Lost, reason)))
            }
            (Phase::Starting, Input::Launched) if self.worker == WorkerIs::BeingLaunched => self.launched(),
            (Phase::Starting, Input::LaunchFailed(why)) if self.worker == WorkerIs::BeingLaunched => {
                self.settle(Verdict::Failed(why))
            }
            (_, Input::Said(word)) if self.worker == WorkerIs::Alive || self.worker == WorkerIs::Killed => {
                self.hear(*word)
            }
            // Printing is no sign of progress, nor of life: a worker may hang and print.
            (Phase::Starting | Phase::Training | Phase::Stopping, Input::Printed(lines)) => {
                vec![Effect::TrackPrinted(lines)]
            }
            (Phase::Starting | Phase::Training, Input::Unreachable { reason }) => {
                self.give_up_on_worker(failure(Cause::Lost, reason))
            }
            (Phase::Starting | Phase::Training | Phase::Stopping, Input::Exited(report))
                if self.worker != WorkerIs::BeingLaunched =>
            {
                self.exited(&report)
            }
            (_, Input::TimeUp(timer)) => self.time_up(timer),
            (_, Input::Stop(mode)) => self.stop(mode),
            (Phase::Training, Input::CheckpointAsked) => vec![Effect::SendCheckpoint],
            // Nothing is trained, or `last` is about to be written anyway.
            (_, Input::CheckpointAsked) => vec![],
            (Phase::Closing, Input::TrackerClosed) => {
                self.phase = Phase::Done;
                vec![Effect::Report]
            }
            (_, late) => vec![Effect::CountLate(late.name())],
        }
    }

    fn begin(&mut self) -> Vec<Effect> {
        self.phase = Phase::WaitingForLease;
        let queued = Effect::Publish(Event::RunQueued {
            run_id: self.plan.run_id.clone(),
            run_name: self.plan.run_name.clone(),
            cv_name: self.plan.cv_name.clone(),
            cell: self.plan.cell,
        });
        vec![queued, Effect::AcquireLease(self.room)]
    }

    fn launch(&mut self, device: String) -> Vec<Effect> {
        self.attempts += 1;
        self.phase = Phase::Starting;
        self.worker = WorkerIs::BeingLaunched;
        self.verdict = None;
        self.device = Some(device.clone());
        self.leased = Some(device.clone());
        let started = Event::RunStarted {
            run_id: self.plan.run_id.clone(),
            run_name: self.plan.run_name.clone(),
            cv_name: self.plan.cv_name.clone(),
            cell: self.plan.cell,
            device,
            attempt: self.attempts,
            run_dir: self.plan.run_dir.clone(),
        };
        let mut effects = Vec::new();
        if !std::mem::replace(&mut self.is_tracked, true) {
            effects.push(Effect::OpenTracker);
        }
        effects.push(Effect::Publish(started));
        effects.push(Effect::Launch { attempt: self.attempts });
        effects
    }

    fn launched(&mut self) -> Vec<Effect> {
        self.worker = WorkerIs::Alive;
        if self.stop >= Some(StopMode::Cancel) {
            return self.kill();
        }
        vec![Effect::Arm(Timer::Progress), Effect::Arm(Timer::Beat)]
    }

    fn give_up_on_worker(&mut self, why: Failure) -> Vec<Effect> {
        self.verdict.get_or_insert(Verdict::Failed(why));
        self.kill()
    }

    fn kill(&mut self) -> Vec<Effect> {
        let mut effects = self.leave_training();
        self.worker = WorkerIs::Killed;
        effects.extend([Effect::Disarm(Timer::Stop), Effect::Kill, Effect::Arm(Timer::Kill)]);
        effects
    }

    fn leave_training(&mut self) -> Vec<Effect> {
        self.phase = Phase::Stopping;
        vec![Effect::Disarm(Timer::Progress), Effect::Disarm(Timer::Beat)]
    }

    fn time_up(&mut self, timer: Timer) -> Vec<Effect> {
        match (self.phase, timer) {
            (Phase::Starting | Phase::Training, Timer::Progress) if self.worker == WorkerIs::Alive => {
                self.give_up_on_worker(failure(Cause::Hang, "no progress within the progress timeout".into()))
            }
            (Phase::Starting | Phase::Training, Timer::Beat) if self.worker == WorkerIs::Alive => {
                self.give_up_on_worker(failure(Cause::Hang, "no sign of life from the worker".into()))
            }
            (Phase::Stopping, Timer::Stop) if self.worker == WorkerIs::Alive => self.kill(),
            (Phase::Stopping, Timer::Kill) if self.worker == WorkerIs::Killed => {
                self.exited(&ExitReport::bare(Exit::Detached))
            }
            (Phase::BackingOff, Timer::Backoff) => self.next_attempt(),
            _ => vec![Effect::CountLate("time-up")],
        }
    }

    fn next_attempt(&mut self) -> Vec<Effect> {
        if let (LeasedFrom::Cv, Some(device)) = (self.leased_from, self.leased.clone()) {
            return self.launch(device);
        }
        self.phase = Phase::WaitingForLease;
        vec![Effect::AcquireLease(self.room)]
    }

    fn stop(&mut self, mode: StopMode) -> Vec<Effect> {
        if self.stop >= Some(mode) {
            return vec![];
        }
        self.stop = Some(mode);
        match (self.phase, mode) {
            (Phase::Idle | Phase::WaitingForLease, _) => {
                let mut effects = vec![Effect::WithdrawRequest];
                let why = self.last_failure.clone();
                effects.extend(self.end(Status::Cancelled, why));
                effects
            }
            (Phase::BackingOff, _) => {
                let mut effects = vec![Effect::Disarm(Timer::Backoff)];
                let why = self.last_failure.clone();
                effects.extend(self.end(Status::Cancelled, why));
                effects
            }
            // A worker that is being launched is killed as soon as it stands.
            (Phase::Starting, StopMode::Cancel | StopMode::Kill) if self.worker == WorkerIs::Alive => {
                self.kill()
            }
            (Phase::Training, StopMode::Cancel) => {
                let mut effects = self.leave_training();
                effects.extend([Effect::SendStop, Effect::Arm(Timer::Stop)]);
                effects
            }
            (Phase::Training | Phase::Stopping, StopMode::Kill) if self.worker == WorkerIs::Alive => {
                self.kill()
            }
            _ => vec![],
        }
    }

    fn exited(&mut self, report: &ExitReport) -> Vec<Effect> {
        self.peak_memory_bytes = self.peak_memory_bytes.max(report.peak_memory_bytes);
        self.peak_device_memory_bytes = self.peak_device_memory_bytes.max(report.peak_device_memory_bytes);
        let verdict = match self.verdict.take() {
            Some(Verdict::Failed(why)) => Verdict::Failed(refine(why, report)),
            Some(finished) => finished,
            None => Verdict::Failed(diagnose(report)),
        };
        let verdict = match verdict {
            Verdict::Failed(why) if why.cause.is_out_of_memory() => {
                Verdict::Failed(with_measured(why, report, self.device.as_deref(), &self.memory, self.room))
            }
            other => other,
        };
        let mut effects = self.settle(verdict);
        if report.exit == Exit::Detached {
            let message = format!(
                "a worker of `{}` does not end although it was told to, and is left behind on its device: \
                 worker processes are killed where threads can not be",
                self.plan.run_name
            );
            effects.push(Effect::Publish(Event::Warned { message }));
        }
        effects
    }

    /// The attempt is over and its worker gone: end, or try again.
    fn settle(&mut self, verdict: Verdict) -> Vec<Effect> {
        self.worker = WorkerIs::Absent;
        let mut effects: Vec<Effect> =
            Timer::ALL.into_iter().filter(|t| *t != Timer::Backoff).map(Effect::Disarm).collect();
        effects.push(Effect::DropWorker);
        if let Verdict::Failed(Failure { cause, .. }) = &verdict
            && cause.is_out_of_memory()
        {
            effects.push(Effect::TellOutOfMemory(*cause));
        }
        effects.extend(match verdict {
            Verdict::Finished(summary) => self.finished(summary),
            Verdict::Failed(why) if self.stop >= Some(StopMode::Cancel) => {
                // What a worker says while it is being ended is no failure of the run, unless it came before.
                let why = Some(why).filter(|why| !why.cause.is_loss()).or(self.last_failure.take());
                self.end(Status::Cancelled, why)
            }
            Verdict::Failed(why) if self.may_retry(why.cause) => match self.stop {
                None => self.back_off(why),
                // Nothing starts in a job that drains: whoever resumes it tries again.
                Some(_) => self.end(Status::Cancelled, Some(why)),
            },
            Verdict::Failed(why) => self.end(Status::Failed, Some(why)),
        });
        effects
    }

    fn finished(&mut self, summary: RunSummary) -> Vec<Effect> {
        self.metrics.extend(summary.metrics);
        self.checkpoint = summary.best_checkpoint;
        let unstable = self.scoring.as_ref().is_some_and(|s| s.run_is_unstable(&self.metrics));
        let status = match (summary.stopped, unstable) {
            (true, _) => Status::Cancelled,
            (false, true) => Status::Unstable,
            (false, false) => Status::Complete,
        };
        self.end(status, None)
    }

    fn may_retry(&mut self, cause: Cause) -> bool {
        let (used, limit) = match cause {
            cause if cause.is_loss() => (&mut self.lost, RETRIES_LOST),
            cause if cause.is_out_of_memory() => (&mut self.out_of_memory, RETRIES_OUT_OF_MEMORY),
            _ => return false,
        };
        if *used >= limit {
            return false;
        }
        *used += 1;
        if cause.is_out_of_memory() {
            self.room = Room::Alone;
        }
        true
    }

    fn back_off(&mut self, why: Failure) -> Vec<Effect> {
        self.phase = Phase::BackingOff;
        self.last_failure = Some(why.clone());
        let retried =
            Event::RunRetried { run_id: self.plan.run_id.clone(), attempt: self.attempts, failure: why };
        let mut effects = vec![Effect::Publish(retried)];
        if self.leased_from == LeasedFrom::Manager {
            effects.extend(self.return_lease());
        }
        effects.push(Effect::Arm(Timer::Backoff));
        effects
    }

    fn return_lease(&mut self) -> Option<Effect> {
        self.leased.take().map(|_| Effect::ReturnLease)
    }

    fn end(&mut self, status: Status, why: Option<Failure>) -> Vec<Effect> {
        debug_assert!(self.worker == WorkerIs::Absent, "RUN-2: a run ends after its worker");
        self.phase = Phase::Closing;
        let outcome = RunOutcome {
            run_name: self.plan.run_name.clone(),
            run_id: self.plan.run_id.clone(),
            run_dir: self.plan.run_dir.clone(),
            cell: self.plan.cell,
            status,
            failure: why,
            attempts: self.attempts,
            device: self.device.clone(),
            peak_memory_bytes: self.peak_memory_bytes,
            peak_device_memory_bytes: self.peak_device_memory_bytes,
            duration_secs: 0.0,
            metrics: std::mem::take(&mut self.metrics),
            checkpoint: self.checkpoint.take(),
        };
        let mut effects: Vec<Effect> = self.return_lease().into_iter().collect();
        effects.push(Effect::CloseTracker(Box::new(outcome)));
        effects
    }
}

fn failure(cause: Cause, message: String) -> Failure {
    Failure { cause, message, stderr_tail: Vec::new() }
}

#[cfg(test)]
mod tests;

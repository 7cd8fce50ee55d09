//! The thread of the actors, from outside.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use actix::dev::SendError;
use actix::{Actor, Addr, System};
use engine_devices::{DeviceLocks, RunsPerDevice};
use tokio::sync::{broadcast, oneshot, watch};

use super::root::{Job, Root, StartJob};
use super::{JobError, JobHandle, ShutdownError, StartError, SystemConfig, SystemOptions};
use crate::bus::EventBus;
use crate::events::Event;
use crate::journal::Ledger;
use crate::outcome::{CvOutcome, RunOutcome, TuneOutcome};
use crate::plan::{CvPlan, RunPlan, TunePlan};
use crate::ports::Sampler;
use crate::stop::{StopLine, StopMode, StopSignal};
use crate::tune::StartTune;

/// Name of the thread all actors live on.
const THREAD: &str = "engine-actors";

/// A running tree of actors. Dropping it shuts it down, as [`ActorSystem::shutdown`].
#[derive(Debug)]
pub struct ActorSystem {
    root: Addr<Root>,
    bus: EventBus,
    line: StopLine,
    checkpoints: watch::Sender<u64>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl ActorSystem {
    /// Starts the actors on a thread of their own.
    ///
    /// # Errors
    /// [`StartError`] without devices or slots, without locks for GPUs, or if the thread can not be had.
    pub fn start(config: SystemConfig) -> Result<Self, StartError> {
        Self::start_with(config, SystemOptions::default())
    }

    /// As [`ActorSystem::start`], with what is rarely other than the default.
    ///
    /// # Errors
    /// As [`ActorSystem::start`].
    pub fn start_with(config: SystemConfig, options: SystemOptions) -> Result<Self, StartError> {
        if config.devices.is_empty() {
            return Err(StartError::NoDevice);
        }
        if config.packing == RunsPerDevice::Fixed(0) {
            return Err(StartError::NoSlot);
        }
        // CPU slices have no UUID: they are locked against nobody.
        let is_locked = config.devices.iter().any(|device| device.uuid.is_some());
        let lock_dir = config.lock_dir.as_ref().filter(|_| is_locked);
        let locks = lock_dir.map(DeviceLocks::open).transpose()?;
        let bus = EventBus::new();
        let (line, shutdown) = StopLine::new();
        let (checkpoints, asked) = watch::channel(0);
        let (stands, started) = oneshot::channel();
        let theirs = bus.clone();
        let thread = thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || {
                let system = System::new();
                let root = system.block_on(async move {
                    Root::new(config, options, locks, theirs, (shutdown, asked)).start()
                });
                // A starter that is gone drops its line, which shuts the system down.
                drop(stands.send(root));
                system.run()
            })
            .map_err(StartError::Thread)?;
        let root = started.blocking_recv().map_err(|_| StartError::Lost)?;
        Ok(Self { root, bus, line, checkpoints, thread: Some(thread) })
    }

    /// A reader of every event from now on. Subscribe before starting a job to miss nothing of it.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.bus.subscribe()
    }

    /// What events are published on; whoever holds it keeps the stream of events open.
    #[must_use]
    pub fn bus(&self) -> EventBus {
        self.bus.clone()
    }

    /// Has every run that trains now write its `last` checkpoint before its next step, and go on. Runs that have not begun, or
    /// are about to end, are left alone. Returns at once; each checkpoint is told as an event.
    pub fn checkpoint_now(&self) {
        self.checkpoints.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// Starts a tune.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn tune(
        &self,
        plan: TunePlan,
        sampler: Box<dyn Sampler>,
    ) -> Result<JobHandle<TuneOutcome>, JobError> {
        self.tune_kept(plan, sampler, Ledger::none())
    }

    /// As [`ActorSystem::tune`], kept in a journal, and recalled from what stands there.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn tune_kept(
        &self,
        plan: TunePlan,
        sampler: Box<dyn Sampler>,
        ledger: Ledger,
    ) -> Result<JobHandle<TuneOutcome>, JobError> {
        let plan = Arc::new(plan);
        self.begin(|outcome, stop| Job::Tune(StartTune { plan, sampler, ledger, outcome, stop }))
    }

    /// Starts a cv.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn cv(&self, plan: CvPlan) -> Result<JobHandle<CvOutcome>, JobError> {
        self.cv_kept(plan, Ledger::none())
    }

    /// As [`ActorSystem::cv`], kept in a journal, and recalled from what stands there.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn cv_kept(&self, plan: CvPlan, ledger: Ledger) -> Result<JobHandle<CvOutcome>, JobError> {
        self.begin(|outcome, stop| Job::Cv { plan: Arc::new(plan), ledger, outcome, stop })
    }

    /// Starts a run.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn run(&self, plan: RunPlan) -> Result<JobHandle<RunOutcome>, JobError> {
        self.run_kept(plan, Ledger::none())
    }

    /// As [`ActorSystem::run`], kept in a journal, and recalled from what stands there.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn run_kept(&self, plan: RunPlan, ledger: Ledger) -> Result<JobHandle<RunOutcome>, JobError> {
        self.begin(|outcome, stop| Job::Run { plan: Arc::new(plan), ledger, outcome, stop })
    }

    fn begin<O>(
        &self,
        job: impl FnOnce(oneshot::Sender<O>, StopSignal) -> Job,
    ) -> Result<JobHandle<O>, JobError> {
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        let start = StartJob { job: job(outcome, stop), line: line.clone() };
        match self.root.try_send(start) {
            Ok(()) => Ok(JobHandle::new(told, line)),
            Err(SendError::Full(_)) => Err(JobError::Busy),
            Err(SendError::Closed(_)) => Err(JobError::ShutDown),
        }
    }

    /// Kills what still runs and waits until nothing of it is left.
    ///
    /// # Errors
    /// [`ShutdownError`] if the actors' thread had panicked.
    pub fn shutdown(mut self) -> Result<(), ShutdownError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ShutdownError> {
        self.line.raise(StopMode::Kill);
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(_)) | Err(_)) => Err(ShutdownError::Panicked),
        }
    }
}

impl Drop for ActorSystem {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "shutdown");
        }
    }
}

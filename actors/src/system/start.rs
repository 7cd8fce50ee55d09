//! The thread of the actors, from outside.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use actix::dev::SendError;
use actix::{Actor, Addr, System};
use engine_devices::{DeviceLocks, RunsPerDevice};
use tokio::sync::{oneshot, watch};

use super::root::{Job, Root, StartJob};
use super::{JobError, JobHandle, ShutdownError, StartError, SystemConfig, SystemOptions};
use crate::bus::{EventBus, EventStream};
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
        // A caller may be within an async runtime, where a channel of tokio's refuses to block.
        let (stands, started) = sync_channel(1);
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
        let root = started.recv().map_err(|_| StartError::Lost)?;
        Ok(Self { root, bus, line, checkpoints, thread: Some(thread) })
    }

    /// A reader of every event from now on. Subscribe before starting a job to miss nothing of it.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
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
        self.tune_kept(plan, sampler, Ledger::none(), self.bus.part())
    }

    /// As [`ActorSystem::tune`], kept in a journal, and recalled from what stands there. What happens to it is published on `bus`, a
    /// [part](EventBus::part) of the system's that ends with the job.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn tune_kept(
        &self,
        plan: TunePlan,
        sampler: Box<dyn Sampler>,
        ledger: Ledger,
        bus: EventBus,
    ) -> Result<JobHandle<TuneOutcome>, JobError> {
        let plan = Arc::new(plan);
        self.begin(bus, |outcome, stop| Job::Tune(StartTune { plan, sampler, ledger, outcome, stop }))
    }

    /// Starts a cv.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn cv(&self, plan: CvPlan) -> Result<JobHandle<CvOutcome>, JobError> {
        self.cv_kept(plan, Ledger::none(), self.bus.part())
    }

    /// As [`ActorSystem::cv`]; further as [`ActorSystem::tune_kept`].
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn cv_kept(
        &self,
        plan: CvPlan,
        ledger: Ledger,
        bus: EventBus,
    ) -> Result<JobHandle<CvOutcome>, JobError> {
        self.begin(bus, |outcome, stop| Job::Cv { plan: Arc::new(plan), ledger, outcome, stop })
    }

    /// Starts a run.
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn run(&self, plan: RunPlan) -> Result<JobHandle<RunOutcome>, JobError> {
        self.run_kept(plan, Ledger::none(), self.bus.part())
    }

    /// As [`ActorSystem::run`]; further as [`ActorSystem::tune_kept`].
    ///
    /// # Errors
    /// [`JobError`] if the job is not taken.
    pub fn run_kept(
        &self,
        plan: RunPlan,
        ledger: Ledger,
        bus: EventBus,
    ) -> Result<JobHandle<RunOutcome>, JobError> {
        self.begin(bus, |outcome, stop| Job::Run { plan: Arc::new(plan), ledger, outcome, stop })
    }

    fn begin<O>(
        &self,
        bus: EventBus,
        job: impl FnOnce(oneshot::Sender<O>, StopSignal) -> Job,
    ) -> Result<JobHandle<O>, JobError> {
        let (outcome, told) = oneshot::channel();
        let (line, stop) = StopLine::new();
        if self.line.is_raised() {
            return Err(JobError::ShutDown);
        }
        let start = StartJob { job: job(outcome, stop), line: line.clone(), bus };
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
    pub fn shutdown(self) -> Result<(), ShutdownError> {
        self.shutdown_by(StopMode::Kill)
    }

    /// Stops what still runs so hard and waits until nothing of it is left. No job is taken meanwhile.
    ///
    /// # Errors
    /// As [`ActorSystem::shutdown`].
    pub fn shutdown_by(mut self, mode: StopMode) -> Result<(), ShutdownError> {
        self.end(mode)
    }

    /// What ends the system: raised harder while [`ActorSystem::shutdown_by`] waits, it waits for that.
    #[must_use]
    pub fn line(&self) -> StopLine {
        self.line.clone()
    }

    fn end(&mut self, mode: StopMode) -> Result<(), ShutdownError> {
        self.line.raise(mode);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if thread.thread().id() == thread::current().id() {
            // The last holder was something the actors own: a sampler. They end when they come to it.
            return Ok(());
        }
        match thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ShutdownError::Panicked),
        }
    }
}

impl Drop for ActorSystem {
    fn drop(&mut self) {
        if let Err(error) = self.end(StopMode::Kill) {
            tracing::error!(%error, "shutdown");
        }
    }
}

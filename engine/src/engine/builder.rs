//! Building an engine.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use engine_actors::bus::{EventBus, EventStream};
use engine_actors::limits::{STOP_DEADLINE, Timers};
use engine_actors::plan::RunPlan;
use engine_actors::ports::{Tracker, WorkerLauncher};
use engine_actors::stop::{StopLine, StopMode};
use engine_actors::system::{ActorSystem, JobError, SystemConfig, SystemOptions};
use engine_devices::{
    Accelerator, DeviceInfo, DeviceKind, Lead, RunsPerDevice, Strategy, inventory, select_among,
};
use tokio::sync::oneshot;

use super::error::EngineError;
use super::handle::JobBus;
use super::ranks::{Part, Reuse, own_devices, process_launcher};
use crate::artifacts::ArtifactLayout;
use crate::names::Names;
#[cfg(feature = "wandb")]
use crate::tracking::Wandb;
use crate::tracking::{Progress, Tracking, TrackingPlan, Unfinished};
use crate::worker::thread_launcher;
use crate::workload::Workload;

/// Runs without progress for this long have failed, unless told otherwise.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(600);
/// Name of the thread that waits for an engine's end in place of an async caller.
const CLOSER: &str = "engine-close";
/// Where engine processes of one machine keep their locks on devices: node-local, and the same for every user.
const LOCK_DIR: &str = "/tmp/engine-devices";

/// Where the work of runs happens.
enum Workers {
    Threads(Arc<dyn Workload>),
    Processes(Reuse),
}

/// What an engine is to be. Every field has a default; [`EngineBuilder::build`] checks them all.
pub struct EngineBuilder {
    workers: Workers,
    pub(super) artifact_dir: PathBuf,
    accelerator: Accelerator,
    devices: Vec<String>,
    supported: Vec<DeviceKind>,
    pub(super) strategy: Strategy,
    pub(super) num_nodes: u32,
    pub(super) lead: Option<Arc<Lead>>,
    packing: RunsPerDevice,
    lock_dir: PathBuf,
    progress_timeout: Duration,
    stop_within: Duration,
    tracking: Box<TrackingPlan>,
}

impl EngineBuilder {
    /// Folder for everything that is written; `artifacts` in the working directory if not set.
    #[must_use]
    pub fn artifact_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.artifact_dir = folder.into();
        self
    }

    /// Kind of device; found out if not set.
    #[must_use]
    pub fn accelerator(mut self, accelerator: Accelerator) -> Self {
        self.accelerator = accelerator;
        self
    }

    /// Devices by index or UUID, or `auto`. On the CPU each is a slice of the cores.
    #[must_use]
    pub fn devices(mut self, devices: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.devices = devices.into_iter().map(Into::into).collect();
        self
    }

    /// Kinds of device the workload can use; all if not set. `auto` passes over the others.
    #[must_use]
    pub fn supported(mut self, kinds: impl IntoIterator<Item = DeviceKind>) -> Self {
        self.supported = kinds.into_iter().collect();
        self
    }

    /// How devices are used; one after another if not set.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Machines that train each run together, one if not set. On more than one, `srun` or `torchrun` starts this
    /// program once for each device, and [`EngineBuilder::join`] tells which of them this process is.
    #[must_use]
    pub fn num_nodes(mut self, nodes: u32) -> Self {
        self.num_nodes = nodes;
        self
    }

    /// Runs that may share a device; one if not set.
    #[must_use]
    pub fn runs_per_device(mut self, packing: RunsPerDevice) -> Self {
        self.packing = packing;
        self
    }

    /// Folder of the locks that keep engine processes of this machine off each other's GPUs; the same one for all of
    /// them, on a file system of this machine.
    #[must_use]
    pub fn lock_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.lock_dir = folder.into();
        self
    }

    /// Time without progress after which a run has failed; ten minutes if not set.
    #[must_use]
    pub fn progress_timeout(mut self, timeout: Duration) -> Self {
        self.progress_timeout = timeout;
        self
    }

    /// Time a run has to finish its step and write its `last` checkpoint when it is told to stop; then its worker is killed.
    /// A minute if not set.
    #[must_use]
    pub fn stop_within(mut self, deadline: Duration) -> Self {
        self.stop_within = deadline;
        self
    }

    /// Tracks every run, and each cv and tune, on Weights & Biases: live, or written for `engine sync` where there is no key.
    /// Nothing of it slows or ends a run; [`Engine::tracking_note`] tells what the user should know of it.
    #[cfg(feature = "wandb")]
    #[must_use]
    pub fn wandb(mut self, wandb: Wandb) -> Self {
        self.tracking.wandb = Some(wandb);
        self
    }

    /// Writes TensorBoard event files into the folder of every run.
    #[cfg(feature = "tensorboard")]
    #[must_use]
    pub fn tensorboard(mut self) -> Self {
        self.tracking.tensorboard = true;
        self
    }

    /// Adds a back end of tracking, made anew for each run. It is called on a thread of the run's own, before the run's
    /// files are written; one that fails or panics is turned off with a warning.
    #[must_use]
    pub fn tracker(mut self, make: impl Fn(&RunPlan) -> Box<dyn Tracker> + Send + Sync + 'static) -> Self {
        self.tracking.further.push(Arc::new(make));
        self
    }

    /// Runs happen in child processes of this executable, whose `main` must begin with
    /// [`run_if_worker`](crate::worker::run_if_worker). Without this they happen on threads of this process.
    ///
    /// On a CPU one process may do the runs of one job one after another, each after one that ended well. A workload that
    /// leaves something behind in its process that the next run must not find needs
    /// [`fresh_process_workers`](Self::fresh_process_workers).
    #[must_use]
    pub fn process_workers(mut self) -> Self {
        self.workers = Workers::Processes(Reuse::WithinJob);
        self
    }

    /// As [`process_workers`](Self::process_workers), every run in a process of its own.
    #[must_use]
    pub fn fresh_process_workers(mut self) -> Self {
        self.workers = Workers::Processes(Reuse::Never);
        self
    }

    /// Checks everything and starts the actors. Nothing is written before the first job, but for the folder of
    /// [`EngineBuilder::join`] in a job of several processes.
    ///
    /// # Errors
    /// [`EngineError`] for an artifact folder that can not be one, devices that are not there, a strategy that can not be
    /// followed on them, a program that can not be started again, actors that do not start, and a process that is to follow
    /// another. [`EngineError::field`] says which setting it is.
    pub fn build(self) -> Result<Engine, EngineError> {
        self.check()?;
        match self.join()? {
            Part::Lead(builder) => builder.start(),
            Part::Follow(follower) => Err(EngineError::Follows { rank: follower.rank() }),
        }
    }

    /// What can be seen to be wrong with the settings by themselves.
    fn check(&self) -> Result<(), EngineError> {
        if self.progress_timeout.is_zero() {
            let reason = "must be longer than nothing: every run would have failed at once";
            return Err(EngineError::Setting { field: "progress_timeout", reason });
        }
        if self.artifact_dir.as_os_str().is_empty() {
            let reason = "has no name: give a folder, or leave it out for `artifacts`";
            return Err(EngineError::Setting { field: "artifact_dir", reason });
        }
        Ok(ArtifactLayout::new(&self.artifact_dir).ensure_is_no_file()?)
    }

    fn start(self) -> Result<Engine, EngineError> {
        let devices = own_devices(self.select()?, self.lead.as_deref())?;
        let placement = self.strategy_in_effect().placement(devices.len(), self.packing)?;
        let launcher: Arc<WorkerLauncher> = match self.workers {
            Workers::Threads(workload) => Arc::new(thread_launcher(workload)),
            Workers::Processes(reuse) => process_launcher(reuse, self.lead.as_ref())?,
        };
        let layout = ArtifactLayout::new(self.artifact_dir);
        let names = Names::new(layout.clone())?;
        let mut tracking = Tracking::start(*self.tracking, layout.dir(), &|name| std::env::var(name).ok());
        let timers = Timers { stop: self.stop_within, ..Timers::default() };
        let options = SystemOptions { timers, ..SystemOptions::default() };
        let config = SystemConfig {
            devices: devices.clone(),
            packing: self.packing,
            lock_dir: Some(self.lock_dir),
            placement,
            launcher,
            progress_timeout: self.progress_timeout,
            ids: Box::new(Names::new(layout.clone())?),
            trackers: tracking.factory(),
        };
        let system = ActorSystem::start_with(config, options)?;
        tracking.listen(&system);
        let inner = Inner {
            line: system.line(),
            bus: system.bus(),
            system: Mutex::new(Some(system)),
            closing: Mutex::default(),
            tracking,
            layout,
            names: Mutex::new(names),
            devices,
            _lead: self.lead,
        };
        Ok(Engine { inner: Arc::new(inner) })
    }

    pub(super) fn select(&self) -> Result<Vec<DeviceInfo>, EngineError> {
        Ok(select_among(self.accelerator, &self.devices, &self.supported)?)
    }

    pub(super) fn has_process_workers(&self) -> bool {
        matches!(self.workers, Workers::Processes(_))
    }
}

/// A running engine: devices, actors, and the folder they write to.
///
/// Clones are the same engine, cheap to make, and usable from any thread. When the last of them and of its
/// [`JobHandle`](crate::JobHandle)s is dropped it is closed as by [`Engine::close`], what still runs is killed, and nothing is left.
/// That drop blocks: within an async runtime await [`Engine::shut_down`] first.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// Taken when the engine is closed.
    system: Mutex<Option<ActorSystem>>,
    /// Ends the actors, also while they are being waited for.
    line: StopLine,
    pub(super) bus: EventBus,
    /// Held by whoever closes the engine.
    closing: Mutex<()>,
    pub(super) tracking: Tracking,
    pub(super) layout: ArtifactLayout,
    names: Mutex<Names>,
    devices: Vec<DeviceInfo>,
    /// Let go last: the other processes of the job leave when nothing is left to follow.
    _lead: Option<Arc<Lead>>,
}

impl Inner {
    /// Asks the actors, unless the engine is closed.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&ActorSystem) -> T) -> Result<T, JobError> {
        lock(&self.system).as_ref().map(ask).ok_or(JobError::ShutDown)
    }

    fn close(&self, mode: StopMode, tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>) -> Vec<Unfinished> {
        // First of all: whoever closes it already may be waiting for runs that are stopped less hard.
        self.line.raise(mode);
        let _alone = lock(&self.closing);
        let system = lock(&self.system).take();
        if let Some(Err(error)) = system.map(|system| system.shutdown_by(mode)) {
            tracing::error!(%error, "shutdown");
        }
        // Nothing is written to a journal once the actors are down.
        let left = self.tracking.close(tell);
        self.bus.end();
        left
    }

    /// The bus of a job that is about to be started; before anything is written for it.
    pub(super) fn open_job(&self) -> Result<JobBus, JobError> {
        if self.line.is_raised() { Err(JobError::ShutDown) } else { Ok(JobBus::part_of(&self.bus)) }
    }

    /// The maker of names, for one call.
    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn warn_of(left: &[Unfinished]) {
    for run in left {
        tracing::warn!(
            folder = %run.folder.display(), rows_left = run.rows_left, reason = run.reason,
            "a run is not sent to W&B to its end; `engine sync` sends it"
        );
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        warn_of(&self.close(StopMode::Kill, &mut |_| ControlFlow::Continue(())));
    }
}

impl Engine {
    /// An engine that is to do `workload`.
    pub fn builder(workload: impl Workload) -> EngineBuilder {
        EngineBuilder {
            workers: Workers::Threads(Arc::new(workload)),
            artifact_dir: PathBuf::from("artifacts"),
            accelerator: Accelerator::Auto,
            devices: vec!["auto".to_owned()],
            supported: DeviceKind::ALL.to_vec(),
            strategy: Strategy::Auto,
            num_nodes: 1,
            lead: None,
            packing: RunsPerDevice::ONE,
            lock_dir: PathBuf::from(LOCK_DIR),
            progress_timeout: PROGRESS_TIMEOUT,
            stop_within: STOP_DEADLINE,
            tracking: Box::default(),
        }
    }

    /// The devices runs may be given, in the order asked for.
    pub fn devices(&self) -> &[DeviceInfo] {
        &self.inner.devices
    }

    /// What should be known of the devices chosen, if there is something: slices that share cores.
    pub fn device_note(&self) -> Option<String> {
        inventory::note(&self.inner.devices)
    }

    /// What should be known of the tracking, if there is something: no key, so that runs are written offline.
    pub fn tracking_note(&self) -> Option<String> {
        self.inner.tracking.note()
    }

    /// Has every run that trains now write its `last` checkpoint before its next step, and go on. Runs that wait or are about to
    /// end are left alone. Returns at once; each checkpoint is told as [`Event::CheckpointWritten`](crate::Event).
    pub fn checkpoint_now(&self) {
        // Of an engine that is closed there is no run.
        let _: Result<(), JobError> = self.inner.ask(ActorSystem::checkpoint_now);
    }

    /// A reader of every event of every job from now on. Subscribe before starting a job to miss nothing of it, or take those of the
    /// job from [`JobHandle::events`](crate::JobHandle::events). Of an engine that is closed there are none.
    pub fn events(&self) -> EventStream {
        self.inner.bus.subscribe()
    }

    /// Ends the engine for all who hold it: what still runs is killed, and what is not sent to W&B yet is waited for, as long as
    /// `Wandb::finish_within` says. Call it when the jobs are over. Blocks.
    ///
    /// Gives the runs, cvs and tunes that are not there to their end: they lie on disk whole, and `engine sync` sends them.
    /// `tell` hears how far each is, several times a second; with [`ControlFlow::Break`] it ends the wait.
    /// Events go on until it returns, and end then.
    pub fn close(self, tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>) -> Vec<Unfinished> {
        self.inner.close(StopMode::Kill, tell)
    }

    /// Ends the engine for all who hold it, and returns when nothing of it is left: no worker, no process, no thread but those named
    /// below. No job is taken from now on. Those under way are stopped as `mode` says, and their handles give their outcomes:
    /// with [`StopMode::Drain`] runs come to their end first, however long that takes. Another call with a harder mode hurries
    /// one that waits.
    ///
    /// Gives what is not sent to W&B, as [`Engine::close`] does, having waited as long.
    ///
    /// Left may be: a workload on a thread that does not look at [`stop_requested`](crate::workload::RunContext::stop_requested),
    /// which nothing can end but its own return; and, for two seconds, the process's own threads that wait for further work of
    /// any engine.
    ///
    /// # Cancel safety
    /// Dropped, the engine ends all the same, on a thread of its own.
    pub async fn shut_down(self, mode: StopMode) -> Vec<Unfinished> {
        let (tell, told) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let closer = thread::Builder::new().name(CLOSER.into()).spawn(move || {
            let left = inner.close(mode, &mut |_| ControlFlow::Continue(()));
            // What is not sent is not forgotten where nobody waits any more.
            if let Err(untold) = tell.send(left) {
                warn_of(&untold);
            }
        });
        match closer {
            Ok(_) => told.await.unwrap_or_default(),
            // Without a thread to wait on, this one waits.
            Err(_) => self.shut_down_blocking(mode),
        }
    }

    /// As [`Engine::shut_down`], on a plain thread: it blocks.
    #[must_use = "what is named is not at W&B"]
    pub fn shut_down_blocking(self, mode: StopMode) -> Vec<Unfinished> {
        self.inner.close(mode, &mut |_| ControlFlow::Continue(()))
    }
}

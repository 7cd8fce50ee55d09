//! A job under way, as its caller holds it.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use engine_actors::bus::{EventBus, EventStream};
use engine_actors::stop::StopMode;
use engine_actors::system::{self, JobError, Stopper};

use super::builder::Inner;
use crate::artifacts::Level;

/// A job under way: awaited, it gives the outcome.
///
/// It keeps the engine running: an engine whose last clone is dropped goes on until its last handle is. Dropped, it lets the job go
/// on as long as the engine does, unless [`JobHandle::stop_on_drop`] says otherwise; the outcome then stands in the job's files
/// alone.
///
/// # Errors
/// Awaited, [`JobError::Lost`] if there will be no outcome: the engine was closed under it, or its actor panicked.
///
/// # Cancel safety
/// `&mut handle` may be awaited and dropped as often as one likes: `tokio::select!` between the outcome and something else loses
/// nothing.
///
/// # Panics
/// Awaited again after it gave the outcome.
pub struct JobHandle<O> {
    job: system::JobHandle<O>,
    level: Level,
    name: String,
    folder: PathBuf,
    bus: EventBus,
    /// From the beginning, until they are asked for or the outcome is.
    events: Option<EventStream>,
    leash: Leash,
    /// Let go last.
    engine: Arc<Inner>,
}

/// Stops the job when it is dropped, if it is to.
struct Leash {
    stopper: Stopper,
    mode: Option<StopMode>,
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(mode) = self.mode {
            self.stopper.stop(mode);
        }
    }
}

/// What a job is known by.
pub(super) struct Label {
    pub(super) level: Level,
    pub(super) name: String,
    pub(super) folder: PathBuf,
}

/// A bus for a job, and a reader of it from before the job began.
pub(super) struct JobBus {
    pub(super) bus: EventBus,
    events: EventStream,
}

impl JobBus {
    pub(super) fn part_of(whole: &EventBus) -> Self {
        let bus = whole.part();
        let events = bus.subscribe();
        Self { bus, events }
    }
}

impl<O> JobHandle<O> {
    pub(super) fn new(job: system::JobHandle<O>, label: Label, bus: JobBus, engine: Arc<Inner>) -> Self {
        let Label { level, name, folder } = label;
        let JobBus { bus, events } = bus;
        let leash = Leash { stopper: job.stopper(), mode: None };
        Self { job, level, name, folder, bus, events: Some(events), leash, engine }
    }

    /// Whether it is a tune, a cv or a run.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Its name, given or generated.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder; that of a run has the run's id in its name.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What happens to this job and to nothing else, until it is over: the stream then ends, before the outcome is given.
    ///
    /// The first call gives everything from the job's beginning, unless the outcome was asked for before; a further one everything
    /// from then on. Until the first, the handle keeps the facts: await it or drop it if you do not want them. A device that
    /// comes back after the last run is told on [`Engine::events`](crate::Engine::events) alone.
    pub fn events(&mut self) -> EventStream {
        self.events.take().unwrap_or_else(|| self.bus.subscribe())
    }

    /// Waits for the outcome, on a thread without an async runtime.
    ///
    /// # Errors
    /// [`JobError::Lost`] if there will be none.
    ///
    /// # Panics
    /// Within an async runtime; await the handle there.
    pub fn wait(self) -> Result<O, JobError> {
        let Self { job, events, leash: _leash, engine: _engine, .. } = self;
        drop(events);
        job.wait()
    }

    /// Whether the job is over: its outcome is there to be taken, or was taken.
    pub fn is_over(&self) -> bool {
        self.job.is_over()
    }

    /// What has started goes on to its end, nothing new starts. The outcome still comes.
    pub fn drain(&self) {
        self.stop(StopMode::Drain);
    }

    /// Runs finish their step, write their `last` checkpoint and end; one that has not within
    /// [`stop_within`](crate::EngineBuilder::stop_within) is killed. The outcome still comes.
    pub fn cancel(&self) {
        self.stop(StopMode::Cancel);
    }

    /// Workers are killed at once. The outcome still comes.
    pub fn kill(&self) {
        self.stop(StopMode::Kill);
    }

    /// As the three above. A weaker mode than one asked for before changes nothing.
    pub fn stop(&self, mode: StopMode) {
        self.job.stop(mode);
    }

    /// Something to stop the job with from elsewhere, a signal's thread for instance. It keeps nothing running.
    pub fn stopper(&self) -> Stopper {
        self.job.stopper()
    }

    /// Has the job stopped when this handle is dropped before it is over: a request's whose caller has gone away, say.
    #[must_use]
    pub fn stop_on_drop(mut self, mode: StopMode) -> Self {
        self.leash.mode = Some(mode);
        self
    }
}

impl<O> Future for JobHandle<O> {
    type Output = Result<O, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Who waits for the outcome alone does not want to keep what happens.
        self.events = None;
        Pin::new(&mut self.job).poll(context)
    }
}

impl<O> fmt::Debug for JobHandle<O> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, name, folder, engine, .. } = self;
        out.debug_struct("JobHandle")
            .field("level", level)
            .field("name", name)
            .field("folder", folder)
            .field("artifact_dir", &engine.layout.dir())
            .finish_non_exhaustive()
    }
}

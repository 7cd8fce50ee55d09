//! What every actor of a system is wired to.

use std::sync::Arc;

use actix::Addr;
use engine_devices::usage::HostMeter;
use engine_devices::{Placement, RunTakes, Want};
use tokio::sync::watch;

use crate::bus::EventBus;
use crate::devices::DeviceManager;
use crate::limits::Timers;
use crate::ports::{SharedIds, TrackerFactory, WorkerLauncher};
use crate::run::DeviceMemory;
use crate::sink::ParquetSink;

/// The parts a system shares among its actors, never changed; but for the bus, which each job has of its own.
#[derive(Clone)]
pub(crate) struct Wiring {
    /// Of the actor's job.
    pub(crate) bus: EventBus,
    pub(crate) devices: Addr<DeviceManager>,
    pub(crate) sink: Addr<ParquetSink>,
    pub(crate) launcher: Arc<WorkerLauncher>,
    pub(crate) trackers: Arc<TrackerFactory>,
    pub(crate) ids: SharedIds,
    pub(crate) placement: Placement,
    pub(crate) memory: Arc<DeviceMemory>,
    pub(crate) host: Arc<HostMeter>,
    pub(crate) timers: Timers,
    /// Changes when every run under way is to write a checkpoint.
    pub(crate) checkpoints: watch::Receiver<u64>,
}

impl Wiring {
    /// What a run of this configuration asks of the DeviceManager.
    pub(crate) fn want(&self, family: Option<&str>) -> Want {
        match self.placement.run_takes {
            RunTakes::OneSlot => Want::Slot { family: family.map(str::to_owned) },
            RunTakes::EveryDevice => Want::All,
        }
    }
}

//! What every actor of a system is wired to.

use std::sync::Arc;

use actix::Addr;
use engine_devices::Placement;

use crate::bus::EventBus;
use crate::devices::DeviceManager;
use crate::limits::Timers;
use crate::ports::{SharedIds, TrackerFactory, WorkerLauncher};
use crate::sink::ParquetSink;

/// The parts a system shares among its actors; one per system, never changed.
pub(crate) struct Wiring {
    pub(crate) bus: EventBus,
    pub(crate) devices: Addr<DeviceManager>,
    pub(crate) sink: Addr<ParquetSink>,
    pub(crate) launcher: Arc<WorkerLauncher>,
    pub(crate) trackers: Arc<TrackerFactory>,
    pub(crate) ids: SharedIds,
    pub(crate) placement: Placement,
    pub(crate) timers: Timers,
}

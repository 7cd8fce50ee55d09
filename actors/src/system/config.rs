//! What a system is made of.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine_devices::{DeviceInfo, Placement, RunsPerDevice};

use crate::devices::GpuReader;
use crate::limits::Timers;
use crate::ports::{Ids, TrackerFactory, WorkerLauncher};

/// What a system runs on and how.
pub struct SystemConfig {
    /// The devices to lease, at least one.
    pub devices: Vec<DeviceInfo>,
    /// Runs that share a device; 1, unless packing is asked for.
    pub packing: RunsPerDevice,
    /// Folder of the locks that keep engine processes of this machine off each other's devices; none without one.
    pub lock_dir: Option<PathBuf>,
    /// How many cvs and cells run at once, and who holds the lease.
    pub placement: Placement,
    /// Starts the workers.
    pub launcher: Arc<WorkerLauncher>,
    /// A run without progress for this long is killed.
    pub progress_timeout: Duration,
    /// Makes run ids.
    pub ids: Box<dyn Ids>,
    /// Makes what tracks a run besides the files in its folder; [`no_trackers`](crate::ports::no_trackers) for nothing.
    pub trackers: Arc<TrackerFactory>,
}

impl fmt::Debug for SystemConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SystemConfig")
            .field("devices", &self.devices)
            .field("packing", &self.packing)
            .field("lock_dir", &self.lock_dir)
            .field("placement", &self.placement)
            .field("progress_timeout", &self.progress_timeout)
            .finish_non_exhaustive()
    }
}

/// What is rarely other than the default.
#[derive(Default)]
pub struct SystemOptions {
    /// Durations a run is held to; `progress` comes from [`SystemConfig::progress_timeout`].
    pub timers: Timers,
    /// Reads the memory of GPUs; by default from their driver.
    pub gpus: GpuReader,
}

impl fmt::Debug for SystemOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SystemOptions").field("timers", &self.timers).finish_non_exhaustive()
    }
}

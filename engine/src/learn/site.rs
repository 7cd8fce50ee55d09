//! Where a run is: its order, read and checked, its device, and which of several processes this one is.

use burn::tensor::Device;
use engine_actors::plan::RunPlan;
use engine_actors::protocol::RunOrder;
use engine_devices::rank::Rank;
use engine_devices::{DeviceKind, Grant, Place, is_worker_process};

use super::error::LearnError;
use super::settings::LearningSettings;
use crate::backend::{BackendName, ComputeDevice};
use crate::training::checkpoint::RunIdentity;
use crate::training::parallel::{Exchange, Remainder, Shard, join};
use crate::training::{Kept, parallel};

/// Everything about a run that does not change while it runs and that does not hang on what is trained.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) plan: RunPlan,
    /// Whether the run was begun before.
    pub(crate) goes_on: bool,
    pub(crate) learning: LearningSettings,
    pub(crate) kept: Kept,
    /// Which process this is, where several train the run's model.
    pub(crate) rank: Option<Rank>,
    pub(crate) backend: BackendName,
    pub(crate) compute: ComputeDevice,
    pub(crate) device: Device,
    /// Threads that were granted.
    #[cfg_attr(not(feature = "segmentation"), expect(dead_code, reason = "for loaders"))]
    pub(crate) threads: usize,
    /// Where the arithmetic runs, in words.
    pub(crate) device_text: String,
    /// Whether looking at a value of the device costs next to nothing.
    pub(crate) looks_are_free: bool,
}

impl Site {
    /// Reads the order, and holds the process to the granted threads.
    pub(crate) fn read(order: &RunOrder, learning: LearningSettings) -> Result<Self, LearnError> {
        let kept = learning.check()?;
        let rank = Rank::from_env()?.filter(|rank| rank.world_size > 1);
        let place = place(&order.grant, rank.as_ref())?;
        let (backend, compute) = backend(learning.backend.as_deref(), place)?;
        if rank.is_some() {
            parallel::available(backend)?;
        }
        let threads = place.threads.max(1) as usize;
        if let Err(error) = backend.set_threads(threads) {
            // Only a host application can have done so; its results are right, its thread count is not ours.
            tracing::warn!(%error, "the run computes with another thread count than it was granted");
        }
        let device = backend.device(compute)?;
        let plural = if threads == 1 { "" } else { "s" };
        let mut device_text = format!("{}, {threads} thread{plural}", backend.describe(compute));
        if let Some(rank) = &rank {
            device_text = format!("{device_text}, rank {} of {}", rank.rank, rank.world_size);
        }
        Ok(Self {
            plan: order.plan.clone(),
            goes_on: order.goes_on,
            learning,
            kept,
            rank,
            backend,
            compute,
            device,
            threads,
            device_text,
            looks_are_free: compute == ComputeDevice::Cpu,
        })
    }

    /// Seed of first weights, order and whatever else is drawn.
    pub(crate) fn seed(&self) -> u64 {
        self.plan.cell.seed
    }

    /// Processes that train the run's model.
    pub(crate) fn world(&self) -> usize {
        self.rank.as_ref().map_or(1, |rank| rank.world_size as usize)
    }

    /// Number of this process among them.
    pub(crate) fn rank(&self) -> u32 {
        self.rank.as_ref().map_or(0, |rank| rank.rank)
    }

    /// Whether this process speaks and writes for the run.
    pub(crate) fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// This process's share of the samples.
    pub(crate) fn shard(&self, remainder: Remainder) -> Option<Shard> {
        let rank = self.rank.as_ref()?;
        Some(Shard { rank: rank.rank as usize, world: rank.world_size as usize, remainder })
    }

    /// Joins the other processes of the run, if there are any.
    pub(crate) fn join(&self) -> Result<Box<dyn Exchange>, LearnError> {
        Ok(join(self.rank.as_ref(), self.backend, self.compute)?)
    }

    /// Names and ids of the run.
    pub(crate) fn identity(&self) -> RunIdentity {
        RunIdentity {
            run_name: self.plan.run_name.clone(),
            run_id: self.plan.run_id.clone(),
            cv_name: self.plan.cv_name.clone(),
            tune_name: self.plan.tune_name.clone(),
            fold: self.plan.cell.fold,
            seed: self.plan.cell.seed,
        }
    }
}

/// The place of this process: the one of its rank, or the only one of its machine.
fn place<'a>(grant: &'a Grant, rank: Option<&Rank>) -> Result<&'a Place, LearnError> {
    match (grant.places.as_slice(), rank) {
        ([], _) => Err(LearnError::NoPlace),
        ([place], _) | ([place, ..], None) => Ok(place),
        (places, Some(rank)) => places
            .get(rank.local_rank as usize)
            .ok_or(LearnError::NoPlaceForRank { places: places.len(), local_rank: rank.local_rank }),
    }
}

fn backend(named: Option<&str>, place: &Place) -> Result<(BackendName, ComputeDevice), LearnError> {
    let compute = match place.kind {
        DeviceKind::Cpu => ComputeDevice::Cpu,
        DeviceKind::Mps => ComputeDevice::Mps,
        // A worker process sees its own GPU alone.
        DeviceKind::Cuda if is_worker_process() => ComputeDevice::Gpu(0),
        DeviceKind::Cuda => ComputeDevice::Gpu(place.index as usize),
    };
    let backend = match named {
        None | Some("auto") => BackendName::best(compute)?,
        Some(name) => name.parse()?,
    };
    Ok((backend, compute))
}

//! The order of a run, read and checked.

use burn::tensor::Device;
use engine_actors::plan::RunPlan;
use engine_actors::protocol::RunOrder;
use engine_devices::rank::Rank;
use engine_devices::{DeviceKind, Grant, Place, is_worker_process};
use serde_json::Value;

use super::error::RunError;
use super::recipe;
use super::settings::{SegmentationHyperparameters, SegmentationSettings};
use crate::backend::{BackendName, ComputeDevice};
use crate::data::{Remainder, Shard};
use crate::loss::Loss;
use crate::training::checkpoint::RunIdentity;
use crate::training::{Clipping, Kept, parallel};

/// Everything about a run that does not change while it runs.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) plan: RunPlan,
    /// Whether the run was begun before.
    pub(super) goes_on: bool,
    pub(super) settings: SegmentationSettings,
    pub(super) hyperparameters: SegmentationHyperparameters,
    pub(super) loss: Loss,
    pub(super) kept: Kept,
    /// Which process this is, where several train the run's model.
    pub(super) rank: Option<Rank>,
    pub(super) backend: BackendName,
    pub(super) compute: ComputeDevice,
    pub(super) device: Device,
    /// Threads that were granted.
    pub(super) threads: usize,
    /// Where the arithmetic runs, in words.
    pub(super) device_text: String,
    /// Whether looking at a value of the device costs next to nothing.
    pub(super) looks_are_free: bool,
}

impl Setup {
    /// Reads the order, and holds the process to the granted threads.
    pub(super) fn read(order: &RunOrder) -> Result<Self, RunError> {
        let plan = order.plan.clone();
        let settings: SegmentationSettings =
            serde_json::from_value(plan.settings.as_ref().clone()).map_err(RunError::Settings)?;
        let hyperparameters: SegmentationHyperparameters =
            serde_json::from_value(Value::Object(plan.hyperparameters.clone()))
                .map_err(RunError::Hyperparameters)?;
        let kept = check(&settings, &hyperparameters)?;
        let rank = Rank::from_env()?.filter(|rank| rank.world_size > 1);
        let place = place(&order.grant, rank.as_ref())?;
        let (backend, compute) = backend(&settings, place)?;
        check_precision(&settings, backend)?;
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
            plan,
            goes_on: order.goes_on,
            settings,
            loss: hyperparameters.loss(),
            hyperparameters,
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

    /// Seed of first weights, order and augmentation.
    pub(super) fn seed(&self) -> u64 {
        self.plan.cell.seed
    }

    /// Samples per batch of this process.
    pub(super) fn batch_size(&self) -> usize {
        self.hyperparameters.batch_size as usize
    }

    /// Threads that decode. On a CPU no more than the run computes with: they share its cores, and further ones would only
    /// take them from the arithmetic.
    pub(super) fn loading_threads(&self) -> usize {
        let asked = (self.settings.num_workers as usize).max(1);
        if self.compute == ComputeDevice::Cpu { asked.min(self.threads) } else { asked }
    }

    /// Processes that train the run's model.
    pub(super) fn world(&self) -> usize {
        self.rank.as_ref().map_or(1, |rank| rank.world_size as usize)
    }

    /// Whether this process speaks and writes for the run.
    pub(super) fn is_first(&self) -> bool {
        self.rank.as_ref().is_none_or(|rank| rank.rank == 0)
    }

    /// This process's share of the samples.
    pub(super) fn shard(&self, remainder: Remainder) -> Option<Shard> {
        let rank = self.rank.as_ref()?;
        Some(Shard { rank: rank.rank as usize, world: rank.world_size as usize, remainder })
    }

    /// Names and ids of the run.
    pub(super) fn identity(&self) -> RunIdentity {
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

/// Refuses numbers no run can be made of.
fn check(
    settings: &SegmentationSettings,
    hyperparameters: &SegmentationHyperparameters,
) -> Result<Kept, RunError> {
    let impossible = |option, value: &dyn std::fmt::Display, remedy| {
        Err(RunError::Impossible { option, value: value.to_string(), remedy })
    };
    if settings.max_epochs == 0 {
        return impossible("max-epochs", &0, "train for at least one epoch");
    }
    if settings.accumulate_grad_batches == 0 {
        return impossible("accumulate-grad-batches", &0, "take at least one batch per step");
    }
    if let Some(at) = settings.gradient_clip.map(Clipping::at).filter(|at| !(at.is_finite() && *at > 0.0)) {
        return impossible("gradient-clip-val", &at, "give a number above 0");
    }
    if hyperparameters.batch_size == 0 {
        return impossible("batch_size", &0, "give at least one sample per step");
    }
    recipe::check(settings, hyperparameters)?;
    match Kept::from_save_top_k(settings.save_top_k) {
        Some(kept) => Ok(kept),
        None => impossible("save-top-k", &settings.save_top_k, "give -1 (all), 0 (none) or a number"),
    }
}

/// Refuses a precision that the backend does not compute in.
fn check_precision(settings: &SegmentationSettings, backend: BackendName) -> Result<(), RunError> {
    if settings.precision.is_single() || backend == BackendName::Tch {
        return Ok(());
    }
    let remedy = "only backend tch computes in it; choose that, or precision 32-true";
    Err(RunError::Impossible { option: "precision", value: "bf16-mixed".into(), remedy })
}

/// The place of this process: the one of its rank, or the only one of its machine.
fn place<'a>(grant: &'a Grant, rank: Option<&Rank>) -> Result<&'a Place, RunError> {
    match (grant.places.as_slice(), rank) {
        ([], _) => Err(RunError::NoPlace),
        ([place], _) | ([place, ..], None) => Ok(place),
        (places, Some(rank)) => places
            .get(rank.local_rank as usize)
            .ok_or(RunError::NoPlaceForRank { places: places.len(), local_rank: rank.local_rank }),
    }
}

fn backend(settings: &SegmentationSettings, place: &Place) -> Result<(BackendName, ComputeDevice), RunError> {
    let compute = match place.kind {
        DeviceKind::Cpu => ComputeDevice::Cpu,
        DeviceKind::Mps => ComputeDevice::Mps,
        // A worker process sees its own GPU alone.
        DeviceKind::Cuda if is_worker_process() => ComputeDevice::Gpu(0),
        DeviceKind::Cuda => ComputeDevice::Gpu(place.index as usize),
    };
    let backend = match settings.backend.as_deref() {
        None | Some("auto") => BackendName::best(compute)?,
        Some(name) => name.parse()?,
    };
    Ok((backend, compute))
}

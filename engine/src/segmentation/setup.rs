//! The order of a run, read and checked.

use engine_actors::protocol::RunOrder;
use serde_json::Value;

use super::error::RunError;
use super::recipe;
use super::settings::{SegmentationHyperparameters, SegmentationSettings};
use crate::backend::{BackendName, ComputeDevice};
use crate::learn::{LearnError, Site};
use crate::loss::Loss;

/// Everything about a run that does not change while it runs.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) site: Site,
    pub(super) settings: SegmentationSettings,
    pub(super) hyperparameters: SegmentationHyperparameters,
    pub(super) loss: Loss,
}

impl Setup {
    /// Reads the order, and holds the process to the granted threads.
    pub(super) fn read(order: &RunOrder) -> Result<Self, RunError> {
        let plan = &order.plan;
        let settings: SegmentationSettings =
            serde_json::from_value(plan.settings.as_ref().clone()).map_err(RunError::Settings)?;
        let hyperparameters: SegmentationHyperparameters =
            serde_json::from_value(Value::Object(plan.hyperparameters.clone()))
                .map_err(RunError::Hyperparameters)?;
        check(&settings, &hyperparameters)?;
        let site = Site::read(order, settings.learning())?;
        check_precision(&settings, site.backend)?;
        Ok(Self { site, settings, loss: hyperparameters.loss(), hyperparameters })
    }

    /// Samples per batch of this process.
    pub(super) fn batch_size(&self) -> usize {
        self.hyperparameters.batch_size as usize
    }

    /// Threads that decode. On a CPU no more than the run computes with: they share its cores, and further ones would only
    /// take them from the arithmetic.
    pub(super) fn loading_threads(&self) -> usize {
        let asked = (self.settings.num_workers as usize).max(1);
        if self.site.compute == ComputeDevice::Cpu { asked.min(self.site.threads) } else { asked }
    }
}

/// Refuses numbers no run can be made of.
fn check(
    settings: &SegmentationSettings,
    hyperparameters: &SegmentationHyperparameters,
) -> Result<(), RunError> {
    settings.learning().check()?;
    if hyperparameters.batch_size == 0 {
        let remedy = "give at least one sample per step";
        return Err(LearnError::Impossible { option: "batch_size", value: "0".into(), remedy }.into());
    }
    recipe::check(settings, hyperparameters)
}

/// Refuses a precision that the backend does not compute in.
fn check_precision(settings: &SegmentationSettings, backend: BackendName) -> Result<(), RunError> {
    if settings.precision.is_single() || backend == BackendName::Tch {
        return Ok(());
    }
    let remedy = "only backend tch computes in it; choose that, or precision 32-true";
    Err(LearnError::Impossible { option: "precision", value: "bf16-mixed".into(), remedy }.into())
}

//! Whether a checkpoint is one that a run can go on from.

use std::path::Path;

use super::error::RunError;
use super::settings::SegmentationHyperparameters;
use super::setup::Setup;
use crate::learn::OptimizerGoesOn;
use crate::training::checkpoint::{ModelShape, State};
use crate::workload::RunContext;

/// Refuses a checkpoint that was trained otherwise, and says whether the optimizer goes on from it.
pub(super) fn goes_on_from(
    setup: &Setup,
    state: &State,
    is_own: bool,
    path: &Path,
    context: &RunContext,
) -> Result<OptimizerGoesOn, RunError> {
    let otherwise = TrainedOtherwise::than(setup, state)?;
    otherwise.tell(is_own, context, path)?;
    Ok(if otherwise.optimizer.is_some() { OptimizerGoesOn::No } else { OptimizerGoesOn::Yes })
}

/// What of a checkpoint's training is not this run's, in words.
struct TrainedOtherwise {
    loss: Option<String>,
    optimizer: Option<String>,
}

impl TrainedOtherwise {
    fn than(setup: &Setup, state: &State) -> Result<Self, RunError> {
        let ours = &setup.hyperparameters;
        let theirs: SegmentationHyperparameters =
            serde_json::from_value(state.hyperparameters.clone()).map_err(RunError::Hyperparameters)?;
        let differ = |is_same: bool, what: &str, theirs: String, ours: String| {
            (!is_same).then(|| format!("{what}: {theirs} there, {ours} here"))
        };
        Ok(Self {
            loss: differ(theirs.loss() == setup.loss, "loss", theirs.loss_text(), ours.loss_text()),
            optimizer: differ(
                theirs.optimizer().keeps_what(&ours.optimizer()),
                "optimizer",
                theirs.optimizer_text(),
                ours.optimizer_text(),
            ),
        })
    }

    /// Refuses a checkpoint that the user named. A run that goes on from its own was forced to by a user who changed what it is: that
    /// is said.
    fn tell(&self, is_own: bool, context: &RunContext, path: &Path) -> Result<(), RunError> {
        let differences: Vec<_> = self.loss.iter().chain(&self.optimizer).map(String::as_str).collect();
        if differences.is_empty() {
            return Ok(());
        }
        let differences = differences.join("; ");
        if !is_own {
            return Err(RunError::TrainedOtherwise { differences, path: path.to_owned() });
        }
        let anew = if self.optimizer.is_some() { "; the optimizer begins anew" } else { "" };
        context.warn(format!("the run goes on otherwise than it was trained ({differences}){anew}"));
        Ok(())
    }
}

/// Refuses a checkpoint of another model, and says what differs.
pub(super) fn check_model(ours: &ModelShape, theirs: &ModelShape, path: &Path) -> Result<(), RunError> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, ours: String, theirs: String| {
        if !ours.eq_ignore_ascii_case(&theirs) {
            differences.push(format!("{what}: `{theirs}` there, `{ours}` here"));
        }
    };
    compare("model_arch", ours.arch.clone(), theirs.arch.clone());
    compare("model_encoder", ours.encoder.clone(), theirs.encoder.clone());
    compare("bands", ours.bands.join(", "), theirs.bands.join(", "));
    if differences.is_empty() {
        return Ok(());
    }
    Err(RunError::OtherModel { differences: differences.join("; "), path: path.to_owned() })
}

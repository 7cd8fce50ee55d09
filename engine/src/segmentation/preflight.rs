//! Everything that can be known to be wrong before a worker starts.
//!
//! A tune of two hundred configurations must not fail at the last one for a misspelt name: what the data, the
//! folds, the model's name, its weights, the augmentations and the backend allow is looked at here, with the same code the runs
//! use. Values inside the arrays are not read; a run, or `engine data validate`, does that.

use std::collections::HashSet;

use super::error::RunError;
use super::recipe;
use super::settings::{SegmentationHyperparameters, SegmentationSettings};
use crate::augment::Pipeline;
use crate::data::{DataFolder, divide, divide_without_folds};
use crate::models::SegmentationModel;
use crate::training::checkpoint::Checkpoint;

/// What the runs of a job will do with the data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Train and validate on one fold.
    Fold(u32),
    /// Train on everything that is not held out, and test on what is.
    WholeThenTest,
    /// Test on what is held out.
    Test,
}

/// Checks that runs of these hyperparameters can be made in each scope.
///
/// # Errors
/// The [`RunError`] the first of the runs would end with.
pub fn preflight(
    settings: &SegmentationSettings,
    hyperparameters: &[SegmentationHyperparameters],
    scopes: &[Scope],
) -> Result<(), RunError> {
    settings.learning().kept()?;
    for path in [&settings.weights_from_checkpoint, &settings.continue_from_checkpoint].into_iter().flatten()
    {
        std::fs::metadata(path).map_err(|source| RunError::Unreadable {
            what: "the checkpoint",
            path: path.clone(),
            source,
        })?;
    }
    if let Some(path) = &settings.continue_from_checkpoint {
        Checkpoint::read(path)?;
    }
    let folder = DataFolder::open(&settings.train_data_dir, None)?;
    let (_, height, width) = folder.shape();
    let smallest_train = smallest_train_set(&folder, settings, scopes)?;
    // A test and a run that goes on take their weights from a checkpoint.
    let is_fresh = smallest_train.is_some() && settings.continue_from_checkpoint.is_none();
    let mut bands_seen = HashSet::new();
    let mut known = super::weights::Known::default();
    for one in hyperparameters {
        SegmentationModel::check_names(&one.model_arch, &one.model_encoder)?;
        SegmentationModel::check_image(&one.model_arch, [height, width])?;
        SegmentationModel::check_encoder_image(&one.model_arch, &one.model_encoder, [height, width])?;
        recipe::check(settings, one)?;
        let pipeline = one.augment.as_deref().map(Pipeline::parse).transpose()?;
        if bands_seen.insert(one.bands.clone()) || pipeline.is_some() {
            let folder = DataFolder::open(&settings.train_data_dir, one.bands.as_deref())?;
            let (_, height, width) = folder.shape();
            if let Some(pipeline) = pipeline {
                pipeline.check_size(height, width)?;
            }
        }
        if is_fresh && (one.model_encoder_weights.is_some() || settings.weights_from_checkpoint.is_some()) {
            let folder = DataFolder::open(&settings.train_data_dir, one.bands.as_deref())?;
            known.check(settings, one, folder.bands().len())?;
        }
        let batch_size = one.batch_size as usize;
        if let Some(samples) = smallest_train.filter(|samples| batch_size > *samples) {
            return Err(RunError::BatchLargerThanTrainSet { batch_size, samples });
        }
        if smallest_train.is_some() {
            SegmentationModel::check_batch(&one.model_arch, batch_size)?;
        }
    }
    Ok(())
}

/// Samples of the smallest train set among the scopes; none where nothing is trained.
fn smallest_train_set(
    folder: &DataFolder,
    settings: &SegmentationSettings,
    scopes: &[Scope],
) -> Result<Option<usize>, RunError> {
    let refused = |source| folder.undividable(source);
    let mut smallest: Option<usize> = None;
    for scope in scopes {
        let division = match scope {
            Scope::Fold(fold) => divide(folder.table(), settings, *fold).map_err(refused)?,
            Scope::WholeThenTest | Scope::Test => {
                let division = divide_without_folds(folder.table(), settings).map_err(refused)?;
                if division.test.is_empty() {
                    return Err(RunError::NoTestSplit);
                }
                division
            }
        };
        if *scope != Scope::Test {
            let samples = division.train.len();
            smallest = Some(smallest.map_or(samples, |least| least.min(samples)));
        }
    }
    Ok(smallest)
}

//! Everything before training, in order: subsample, test split, fold.

use super::{Fold, FoldError, SampleTable, folds, method_name, split_test, subsample};
use crate::segmentation::settings::SegmentationSettings;

/// Rows of the table to train, validate and test on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Division {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to validate on; empty without folds.
    pub val: Vec<usize>,
    /// Held-out rows; empty where no test split is set.
    pub test: Vec<usize>,
}

/// Divides the table for one fold: subsample, then test split, then the fold over what is left.
///
/// # Errors
/// [`FoldError`] if a step is not possible, the fold is not there, or leaves nothing to train or validate on.
pub fn divide(
    table: &SampleTable,
    settings: &SegmentationSettings,
    fold: u32,
) -> Result<Division, FoldError> {
    let (rest, test) = hold_out(table, settings)?;
    let mut all = folds(table, &rest, settings.fold_method, settings.total_folds)?;
    let total_folds = all.len();
    if fold as usize >= total_folds {
        let method = method_name(settings.fold_method);
        return Err(FoldError::NoSuchFold { fold, method, total_folds });
    }
    let Fold { train, val } = all.swap_remove(fold as usize);
    if train.is_empty() {
        return Err(FoldError::EmptyTrain { cause: "every sample left validates in this fold" });
    }
    if val.is_empty() {
        return Err(FoldError::EmptyValidation { fold });
    }
    Ok(Division { train, val, test })
}

/// Divides the table into train and test alone, to fit the final model: subsample, then test split.
///
/// # Errors
/// [`FoldError`] if a step is not possible or there is no sample.
pub fn divide_without_folds(
    table: &SampleTable,
    settings: &SegmentationSettings,
) -> Result<Division, FoldError> {
    let (train, test) = hold_out(table, settings)?;
    if train.is_empty() {
        return Err(FoldError::EmptyTrain { cause: "the metadata have no sample" });
    }
    Ok(Division { train, val: Vec::new(), test })
}

fn hold_out(
    table: &SampleTable,
    settings: &SegmentationSettings,
) -> Result<(Vec<usize>, Vec<usize>), FoldError> {
    table.check(&[])?;
    let rows = match settings.subsample {
        Some(n) => subsample(table.len(), n as usize)?,
        None => (0..table.len()).collect(),
    };
    match &settings.test_split {
        Some(split) => split_test(table, &rows, split),
        None => Ok((rows, Vec::new())),
    }
}

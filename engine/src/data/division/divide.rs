//! Everything before training, in order: subsample, test split, fold.

use super::{DivisionError, SampleTable, split_test};
use crate::folds::{Division, Fold, FoldError, subsample};
use crate::segmentation::settings::SegmentationSettings;

/// Divides the table for one fold: subsample, then test split, then the fold over what is left.
///
/// # Errors
/// [`DivisionError`] if a step is not possible, the fold is not there, or leaves nothing to train or validate on.
pub fn divide(
    table: &SampleTable,
    settings: &SegmentationSettings,
    fold: u32,
) -> Result<Division, DivisionError> {
    let (rest, test) = hold_out(table, settings)?;
    let all = table.by_region().folds_of(&rest, settings.fold_method, settings.total_folds)?;
    let Fold { train, val } = Fold::pick(all, fold)?;
    Ok(Division { train, val, test })
}

/// Divides the table into train and test alone, to fit the final model: subsample, then test split.
///
/// # Errors
/// [`DivisionError`] if a step is not possible or there is no sample.
pub fn divide_without_folds(
    table: &SampleTable,
    settings: &SegmentationSettings,
) -> Result<Division, DivisionError> {
    let (train, test) = hold_out(table, settings)?;
    if train.is_empty() {
        return Err(FoldError::EmptyTrain { cause: "the metadata have no sample".to_owned() }.into());
    }
    Ok(Division { train, val: Vec::new(), test })
}

fn hold_out(
    table: &SampleTable,
    settings: &SegmentationSettings,
) -> Result<(Vec<usize>, Vec<usize>), DivisionError> {
    table.check()?;
    let rows = match settings.subsample {
        Some(n) => subsample(table.len(), n as usize)?,
        None => (0..table.len()).collect(),
    };
    match &settings.test_split {
        Some(split) => split_test(table, &rows, split),
        None => Ok((rows, Vec::new())),
    }
}

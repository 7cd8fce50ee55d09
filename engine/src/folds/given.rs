//! Folds that an application brings along.

use super::{Fold, FoldError};

/// Folds of `rows` rows that validate on the sets given, one fold for each, and train on every other row.
///
/// A row that stands in no set trains in every fold, as with scikit-learn's `PredefinedSplit`. Sets keep their order;
/// rows to train on come in the order of the table.
///
/// ```
/// use engine::folds::{Fold, FoldError, validating_on};
///
/// // Two recordings to validate on; rows 4 and 5 always train.
/// let folds = validating_on(6, &[vec![0, 1], vec![3, 2]])?;
/// assert_eq!(folds[1], Fold { train: vec![0, 1, 4, 5], val: vec![3, 2] });
///
/// let error = validating_on(6, &[vec![0, 1], vec![1, 2]]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "row 1 validates in fold 0 and in fold 1: give each row to one fold at most, or whole folds with both their sides"
/// );
/// # Ok::<(), FoldError>(())
/// ```
///
/// # Errors
/// [`FoldError`] for no set, one that is empty or holds every row, a row that is not there, twice in a set or in two
/// of them.
pub fn validating_on(rows: usize, sets: &[Vec<usize>]) -> Result<Vec<Fold>, FoldError> {
    let mut fold_of: Vec<Option<u32>> = vec![None; rows];
    for (fold, set) in (0..).zip(sets) {
        for &row in set {
            let Some(slot) = fold_of.get_mut(row) else {
                return Err(FoldError::RowOutOfRange { fold, row, rows });
            };
            match slot.replace(fold) {
                None => {}
                Some(first) if first == fold => {
                    return Err(FoldError::RowTwice { fold, row, side: "validation" });
                }
                Some(first) => return Err(FoldError::SetsOverlap { row, first, second: fold }),
            }
        }
    }
    let complement = |fold: u32| (0..rows).filter(|&row| fold_of[row] != Some(fold)).collect();
    given(
        rows,
        (0..).zip(sets).map(|(fold, set)| Fold { train: complement(fold), val: set.clone() }).collect(),
    )
}

/// Checks folds of `rows` rows that an application made: of each, both sides.
///
/// A row may stand in no side of a fold, and may validate in several folds: that is how rolling windows and repeated
/// folds look.
///
/// ```
/// use engine::folds::{Fold, FoldError, given};
///
/// // Train on the past, validate on what follows.
/// let fold = |end: usize| Fold { train: (0..end).collect(), val: (end..end + 2).collect() };
/// let folds = given(8, vec![fold(2), fold(4), fold(6)])?;
/// assert_eq!(folds[2].val, [6, 7]);
///
/// let error = given(8, vec![fold(2), fold(7)]).unwrap_err();
/// assert_eq!(error.to_string(), "fold 1 names row 8, but there are 8 rows: give row numbers from 0 to 7");
/// # Ok::<(), FoldError>(())
/// ```
///
/// # Errors
/// [`FoldError`] for no fold, one that is empty on a side, a row that is not there, twice on a side or on both.
pub fn given(rows: usize, folds: Vec<Fold>) -> Result<Vec<Fold>, FoldError> {
    if folds.is_empty() {
        return Err(FoldError::NoFolds);
    }
    for (fold, sides) in (0..).zip(&folds) {
        let mut side_of: Vec<Option<&'static str>> = vec![None; rows];
        for (side, of_side) in [("train", &sides.train), ("validation", &sides.val)] {
            for &row in of_side {
                let Some(slot) = side_of.get_mut(row) else {
                    return Err(FoldError::RowOutOfRange { fold, row, rows });
                };
                match slot.replace(side) {
                    None => {}
                    Some(other) if other == side => return Err(FoldError::RowTwice { fold, row, side }),
                    Some(_) => return Err(FoldError::SidesOverlap { fold, row }),
                }
            }
        }
        if sides.val.is_empty() {
            return Err(FoldError::EmptyValidation { fold });
        }
        if sides.train.is_empty() {
            return Err(FoldError::EmptyTrain {
                cause: format!("fold {fold} validates on every row it has"),
            });
        }
    }
    Ok(folds)
}

//! Which rows train and which validate: scikit-learn's folds, index for index, over any table of groups and classes.
//!
//! Published folds of a dataset stay valid here: [`mt19937`] draws what numpy's legacy generator draws, and the methods
//! spend the draws as scikit-learn 1.9 and pandas 3.1 do, order included.
//!
//! Rows are numbers into a [`FoldTable`]. A method never sees rows that an earlier step took away: it works on
//! positions within what is left, and its answer is mapped back.
//!
//! ```
//! use engine::folds::{Fold, FoldMethod, FoldTable};
//!
//! // Of each image the patient it is of, and what it shows.
//! let images = [("anna", "cat"), ("anna", "dog"), ("ben", "cat"), ("cleo", "dog"), ("cleo", "cat"), ("dan", "dog")];
//! let folds = FoldTable::new(images).folds(FoldMethod::GroupStratified, 2)?;
//! // No patient stands on both sides of a fold, and every image validates once.
//! assert_eq!(folds[0], Fold { train: vec![0, 1, 3, 4], val: vec![2, 5] });
//! assert_eq!(folds[1], Fold { train: vec![2, 5], val: vec![0, 1, 3, 4] });
//! # Ok::<(), engine::folds::FoldError>(())
//! ```
//!
//! Who has folds already gives them: [`validating_on`] takes the rows each fold validates on, [`given`] whole folds.
//! Inside a workload, [`Fold::pick`] takes the fold of the run's [`Cell`](crate::Cell).

mod error;
mod given;
mod group;
mod kfold;
mod method;
pub mod mt19937;
pub(crate) mod nearest;
mod sample;
mod shuffle;
mod table;

#[cfg(test)]
mod tests;

pub use error::FoldError;
pub use given::{given, validating_on};
pub use method::FoldMethod;
pub use sample::subsample;
pub use table::FoldTable;

/// The seed of every split.
pub const SPLIT_SEED: u32 = 42;

/// One division into train and validation, as row numbers of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to validate on.
    pub val: Vec<usize>,
}

/// Rows of a table to train, validate and test on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Division {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to validate on; empty without folds.
    pub val: Vec<usize>,
    /// Held-out rows; empty where nothing is held out.
    pub test: Vec<usize>,
}

impl Fold {
    /// The fold with this number, from 0: that of a run's [`Cell`](crate::Cell).
    ///
    /// # Errors
    /// [`FoldError::NoSuchFold`], and [`FoldError::EmptyTrain`] or [`FoldError::EmptyValidation`] for a fold that a
    /// method left empty on one side.
    pub fn pick(mut folds: Vec<Self>, fold: u32) -> Result<Self, FoldError> {
        let total_folds = folds.len();
        if fold as usize >= total_folds {
            return Err(FoldError::NoSuchFold { fold, total_folds });
        }
        let picked = folds.swap_remove(fold as usize);
        if picked.train.is_empty() {
            return Err(FoldError::EmptyTrain {
                cause: "every sample left validates in this fold".to_owned(),
            });
        }
        if picked.val.is_empty() {
            return Err(FoldError::EmptyValidation { fold });
        }
        Ok(picked)
    }

    /// Turns positions within `rows` into rows.
    fn of(mut self, rows: &[usize]) -> Self {
        for position in self.train.iter_mut().chain(&mut self.val) {
            *position = rows[*position];
        }
        self
    }

    /// The folds of a partition: each validates on its own members and trains on all others.
    fn of_partition(fold_of: &[usize], total_folds: usize) -> Vec<Self> {
        (0..total_folds)
            .map(|fold| {
                let (val, train) = (0..fold_of.len()).partition(|&position| fold_of[position] == fold);
                Self { train, val }
            })
            .collect()
    }
}

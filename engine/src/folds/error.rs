//! Why a table cannot be divided as asked.

use thiserror::Error;

/// Why a table cannot be divided as asked.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum FoldError {
    /// A row number beyond the table.
    #[error(
        "row {row} is not in the table, which has {rows} rows: give row numbers from 0 to {rows} exclusive"
    )]
    NoSuchRow {
        /// The row asked for.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// More samples asked for than there are, or none.
    #[error("subsample of {wanted} is not possible with {rows} samples: give a number from 1 to {rows}")]
    SubsampleOutOfRange {
        /// Samples asked for.
        wanted: usize,
        /// Samples there are.
        rows: usize,
    },
    /// Too few folds for the method.
    #[error("fold method {method} needs at least {least} folds, {total_folds} asked for: raise total-folds")]
    TooFewFolds {
        /// Name of the method.
        method: String,
        /// Folds it needs.
        least: u32,
        /// Folds asked for.
        total_folds: u32,
    },
    /// More folds than there are samples, groups or samples of a class.
    #[error(
        "fold method {method} cannot make {total_folds} folds of {available} {of}: lower total-folds to {available} at most"
    )]
    TooManyFolds {
        /// Name of the method.
        method: String,
        /// Folds asked for.
        total_folds: u32,
        /// What there is.
        available: usize,
        /// What is counted: samples, groups, samples of the larger class.
        of: String,
    },
    /// A class with one sample cannot stand on both sides of a stratified split.
    #[error(
        "fold method shuffle needs two {class} samples or none, there is one: use fold method kfold, or add {class} samples"
    )]
    LonelySample {
        /// The class.
        class: String,
    },
    /// A side of a stratified split with fewer samples than there are classes.
    #[error(
        "fold method shuffle leaves {samples} samples to {side} with {classes} classes: \
         use more than {least} samples, or another fold method"
    )]
    TooFewSamples {
        /// `train` or `validate`.
        side: &'static str,
        /// Samples on this side.
        samples: usize,
        /// Classes there are.
        classes: usize,
        /// Samples that are too few.
        least: usize,
    },
    /// A fold that is not there.
    #[error(
        "fold {fold} is not there, there are {total_folds} (counted from 0): lower the fold, or raise total-folds"
    )]
    NoSuchFold {
        /// The fold asked for.
        fold: u32,
        /// Folds there are.
        total_folds: usize,
    },
    /// No sample left to train on.
    #[error("the train set is empty ({cause}): leave more samples out of the test split, or use other folds")]
    EmptyTrain {
        /// What took the samples.
        cause: String,
    },
    /// A fold that validates on nothing.
    #[error("the validation set of fold {fold} is empty: lower total-folds, or use another fold method")]
    EmptyValidation {
        /// The fold.
        fold: u32,
    },
    /// No fold is given.
    #[error("no fold is given: give one at least")]
    NoFolds,
    /// A given fold with a row beyond the table.
    #[error("fold {fold} names row {row}, but there are {rows} rows: give row numbers from 0 to {}", rows.saturating_sub(1))]
    RowOutOfRange {
        /// The fold.
        fold: u32,
        /// The row.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A given fold with a row twice on a side.
    #[error("fold {fold} names row {row} twice on its {side} side: give it once")]
    RowTwice {
        /// The fold.
        fold: u32,
        /// The row.
        row: usize,
        /// `train` or `validation`.
        side: &'static str,
    },
    /// A row in two of the sets to validate on.
    #[error(
        "row {row} validates in fold {first} and in fold {second}: give each row to one fold at most, or whole folds with both their sides"
    )]
    SetsOverlap {
        /// The row.
        row: usize,
        /// The first fold with it.
        first: u32,
        /// The second fold with it.
        second: u32,
    },
    /// A given fold that trains and validates on one row.
    #[error("fold {fold} both trains and validates on row {row}: leave it out of one side")]
    SidesOverlap {
        /// The fold.
        fold: u32,
        /// The row.
        row: usize,
    },
}

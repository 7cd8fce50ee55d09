//! Why a table cannot be divided as asked.

use thiserror::Error;

use super::nearest::hint;

/// Why a table cannot be divided as asked.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The table's columns differ in length.
    #[error(
        "the columns of the metadata differ in length (sample_id {sample_id}, region {region}, empty {empty} rows): \
         write the metadata again with one row per sample"
    )]
    RaggedTable {
        /// Rows of `sample_id`.
        sample_id: usize,
        /// Rows of `region`.
        region: usize,
        /// Rows of `empty`.
        empty: usize,
    },
    /// A row number beyond the table.
    #[error(
        "row {row} is not in the metadata, which has {rows} rows: give row numbers from 0 to {rows} exclusive"
    )]
    NoSuchRow {
        /// The row asked for.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// No sample of this region.
    #[error("region `{region}` of the test split has no sample in the metadata{}", hint(.nearest.as_deref()))]
    UnknownRegion {
        /// The region asked for.
        region: String,
        /// The nearest region there is.
        nearest: Option<String>,
    },
    /// No sample of this id.
    #[error("sample id `{sample_id}` of the test split is not in the metadata{}", hint(.nearest.as_deref()))]
    UnknownSampleId {
        /// The id asked for.
        sample_id: String,
        /// The nearest id there is.
        nearest: Option<String>,
    },
    /// A test fraction that is none.
    #[error(
        "test fraction {fraction} of the random test split is not between 0 and 1: give the part to test on, as 0.2"
    )]
    FractionOutOfRange {
        /// The fraction asked for.
        fraction: f64,
    },
    /// No seed gave a test set with a positive sample.
    #[error(
        "no random test split of {fraction} has a positive sample (seeds {first_seed} to {last_seed}): \
         raise the test fraction, or split by region or sample"
    )]
    NoPositiveTestSample {
        /// The fraction asked for.
        fraction: f64,
        /// First seed tried.
        first_seed: u32,
        /// Last seed tried.
        last_seed: u32,
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
        method: &'static str,
        /// Folds it needs.
        least: u32,
        /// Folds asked for.
        total_folds: u32,
    },
    /// More folds than there are samples, regions or samples of a class.
    #[error(
        "fold method {method} cannot make {total_folds} folds of {available} {of}: lower total-folds to {available} at most"
    )]
    TooManyFolds {
        /// Name of the method.
        method: &'static str,
        /// Folds asked for.
        total_folds: u32,
        /// What there is.
        available: usize,
        /// What is counted: samples, regions, samples of the larger class.
        of: &'static str,
    },
    /// A class with one sample cannot stand on both sides of a stratified split.
    #[error(
        "fold method shuffle needs two {class} samples or none, there is one: use fold method kfold, or add {class} samples"
    )]
    LonelySample {
        /// `positive` or `negative`.
        class: &'static str,
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
        "fold {fold} is not there, fold method {method} makes {total_folds} (counted from 0): lower the fold, or raise total-folds"
    )]
    NoSuchFold {
        /// The fold asked for.
        fold: u32,
        /// Name of the method.
        method: &'static str,
        /// Folds there are.
        total_folds: usize,
    },
    /// No sample left to train on.
    #[error("the train set is empty ({cause}): leave more samples out of the test split, or use other folds")]
    EmptyTrain {
        /// What took the samples.
        cause: &'static str,
    },
    /// A fold that validates on nothing.
    #[error("the validation set of fold {fold} is empty: lower total-folds, or use another fold method")]
    EmptyValidation {
        /// The fold.
        fold: u32,
    },
    /// No sample left to test on.
    #[error(
        "the test set is empty ({samples} samples to split): raise the test fraction, or name regions or samples"
    )]
    EmptyTest {
        /// Samples before the split.
        samples: usize,
    },
}

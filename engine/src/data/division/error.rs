//! Why the samples of a folder cannot be divided as asked.

use thiserror::Error;

use crate::folds::FoldError;
use crate::folds::nearest::hint;

/// Why the samples of a folder cannot be divided as asked.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DivisionError {
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
    /// No sample left to test on.
    #[error(
        "the test set is empty ({samples} samples to split): raise the test fraction, or name regions or samples"
    )]
    EmptyTest {
        /// Samples before the split.
        samples: usize,
    },
    /// What the folds say.
    #[error(transparent)]
    Folds(#[from] FoldError),
}

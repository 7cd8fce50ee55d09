//! Which samples train, validate and test: scikit-learn's folds and pandas' samples, index for index.
//!
//! Published folds of a dataset stay valid here: [`mt19937`] draws what numpy's legacy generator draws, and
//! [`folds`] and [`split_test`] spend the draws as scikit-learn 1.9 and pandas 3.1 do, order included.
//!
//! Rows are numbers into a [`SampleTable`]. A method never sees rows that an earlier step took away: it works on
//! positions within what is left, and its answer is mapped back.

mod division;
mod error;
mod group;
mod kfold;
pub mod mt19937;
pub(crate) mod nearest;
mod shuffle;
mod test_split;
mod warning;

#[cfg(test)]
mod tests;

pub use division::{Division, divide, divide_without_folds};
pub use error::FoldError;
pub use test_split::{split_test, subsample};
pub use warning::{FoldWarning, Side, warnings};

use crate::segmentation::settings::FoldMethod;

/// The seed of every split.
pub const SPLIT_SEED: u32 = 42;

/// What the metadata say about each sample, as columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleTable {
    /// Id of the scene or tile the sample was cut from; several samples may share it.
    pub sample_id: Vec<String>,
    /// Region the sample lies in.
    pub region: Vec<String>,
    /// Whether the sample has no positive pixel.
    pub empty: Vec<bool>,
}

impl SampleTable {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.empty.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty.is_empty()
    }

    /// Checks that the columns are of one length and that `rows` lie within.
    fn check(&self, rows: &[usize]) -> Result<(), FoldError> {
        let (sample_id, region, empty) = (self.sample_id.len(), self.region.len(), self.empty.len());
        if sample_id != empty || region != empty {
            return Err(FoldError::RaggedTable { sample_id, region, empty });
        }
        match rows.iter().find(|&&row| row >= empty) {
            Some(&row) => Err(FoldError::NoSuchRow { row, rows: empty }),
            None => Ok(()),
        }
    }
}

/// One division into train and validation, as row numbers of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to validate on.
    pub val: Vec<usize>,
}

/// Divides `rows` into folds.
///
/// The class of a sample is whether it has a positive pixel. [`FoldMethod::None`] gives one fold that trains and
/// validates on everything, whatever `total_folds` says. A fold may come out empty on one side, as it may with
/// scikit-learn; [`divide`] refuses it when it is used.
///
/// # Errors
/// [`FoldError`] if the method cannot make so many folds of these rows.
///
/// # Sources
/// scikit-learn 1.9, `sklearn.model_selection`: `KFold`, `StratifiedShuffleSplit`, `StratifiedKFold`,
/// `GroupShuffleSplit`, `StratifiedGroupKFold`.
pub fn folds(
    table: &SampleTable,
    rows: &[usize],
    method: FoldMethod,
    total_folds: u32,
) -> Result<Vec<Fold>, FoldError> {
    table.check(rows)?;
    if rows.is_empty() {
        return Err(FoldError::EmptyTrain { cause: "there is no sample to make folds of" });
    }
    let positive: Vec<bool> = rows.iter().map(|&row| !table.empty[row]).collect();
    let regions = || rows.iter().map(|&row| table.region[row].as_str()).collect::<Vec<_>>();
    let positions = match method {
        FoldMethod::Kfold => kfold::consecutive(rows.len(), total_folds)?,
        FoldMethod::Shuffle => shuffle::stratified(&positive, total_folds)?,
        FoldMethod::Stratified => kfold::stratified(&positive, total_folds)?,
        FoldMethod::Region => shuffle::by_group(&regions(), total_folds)?,
        FoldMethod::RegionStratified => group::stratified(&positive, &regions(), total_folds)?,
        FoldMethod::None => {
            vec![Fold { train: (0..rows.len()).collect(), val: (0..rows.len()).collect() }]
        }
    };
    Ok(positions.into_iter().map(|fold| fold.of(rows)).collect())
}

impl Fold {
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

/// The method's name, as the configuration spells it.
fn method_name(method: FoldMethod) -> &'static str {
    match method {
        FoldMethod::Kfold => "kfold",
        FoldMethod::Shuffle => "shuffle",
        FoldMethod::Stratified => "stratified",
        FoldMethod::Region => "region",
        FoldMethod::RegionStratified => "region-stratified",
        FoldMethod::None => "none",
    }
}

/// Refuses fewer folds than `least`.
fn at_least(method: FoldMethod, least: u32, total_folds: u32) -> Result<(), FoldError> {
    if total_folds < least {
        return Err(FoldError::TooFewFolds { method: method_name(method), least, total_folds });
    }
    Ok(())
}

/// Refuses more folds than there are members.
fn at_most(
    method: FoldMethod,
    available: usize,
    of: &'static str,
    total_folds: u32,
) -> Result<(), FoldError> {
    if total_folds as usize > available {
        return Err(FoldError::TooManyFolds { method: method_name(method), total_folds, available, of });
    }
    Ok(())
}

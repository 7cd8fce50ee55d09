//! Which samples of a folder train, validate and test: subsample, then test split, then the fold.

mod divide;
mod error;
mod test_split;
mod warning;

#[cfg(test)]
mod tests;

pub use divide::{divide, divide_without_folds};
pub use error::DivisionError;
pub use test_split::split_test;
pub use warning::{FoldWarning, Side, warnings};

use crate::folds::{FoldError, FoldTable};

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

    /// The samples as rows to make folds of: the group of each is its region, its class whether it has a positive pixel.
    #[must_use]
    pub fn by_region(&self) -> FoldTable {
        let class = |empty: &bool| if *empty { "negative" } else { "positive" };
        FoldTable::new(self.region.iter().zip(self.empty.iter().map(class))).with_groups_called("region")
    }

    /// Checks that the columns are of one length.
    fn check(&self) -> Result<(), DivisionError> {
        let (sample_id, region, empty) = (self.sample_id.len(), self.region.len(), self.empty.len());
        if sample_id != empty || region != empty {
            return Err(DivisionError::RaggedTable { sample_id, region, empty });
        }
        Ok(())
    }

    /// Checks that `rows` lie within.
    fn check_rows(&self, rows: &[usize]) -> Result<(), DivisionError> {
        self.check()?;
        match rows.iter().find(|&&row| row >= self.len()) {
            Some(&row) => Err(FoldError::NoSuchRow { row, rows: self.len() }.into()),
            None => Ok(()),
        }
    }
}

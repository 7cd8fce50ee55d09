//! Batches of a learner's data.

use std::collections::BTreeSet;

use burn::tensor::Device;

use super::learner::{BoxError, Run};
use crate::folds::{Division, Fold, FoldError, FoldMethod, FoldTable};
use crate::training::parallel::{Remainder, Shard, rows_of_epoch};

/// What a run trains, validates and tests on.
pub struct Data<'a, B> {
    pub(super) train: Box<dyn Batches<B> + 'a>,
    pub(super) val: Box<dyn Batches<B> + 'a>,
    pub(super) test: Option<Box<dyn Batches<B> + 'a>>,
}

/// Batches, epoch after epoch: a data loader.
///
/// Where several processes train one model, each asks for its own share ([`Run::rank`], [`Run::world`]), and all have to have
/// as many batches to train on.
pub trait Batches<B> {
    /// Batches of an epoch, of this process.
    fn batches(&self) -> usize;

    /// Samples of an epoch, of all processes.
    fn samples(&self) -> usize;

    /// The batches of an epoch, each with how many samples it has, on a device. The same epoch gives the same batches in the same
    /// order, in any process: a run that goes on rests on it.
    fn epoch<'a>(&'a self, epoch: u32, device: &'a Device) -> BatchIter<'a, B>;
}

/// Batches with how many samples they have.
pub type BatchIter<'a, B> = Box<dyn Iterator<Item = Result<(B, usize), BoxError>> + 'a>;

impl<'a, B: 'a> Data<'a, B> {
    /// Data of loaders of one's own.
    pub fn new(train: impl Batches<B> + 'a, val: impl Batches<B> + 'a) -> Self {
        Self { train: Box::new(train), val: Box::new(val), test: None }
    }

    /// The same with a set to test on.
    #[must_use]
    pub fn with_test(self, test: impl Batches<B> + 'a) -> Self {
        Self { test: Some(Box::new(test)), ..self }
    }

    /// Data of numbered samples, divided as given. `load` makes a batch of the rows it is given. Rows to train on are
    /// shuffled by the run's seed, in another order each epoch; the last batch may be a short one.
    pub fn of_rows<H>(
        run: &Run<H>,
        division: Division,
        batch_size: usize,
        load: impl Fn(&[usize], &Device) -> Result<B, BoxError> + Clone + 'a,
    ) -> Self {
        let Division { train, val, test } = division;
        let share = |remainder| run.site().shard(remainder);
        let rows = |rows, shuffle, shard| Rows { rows, batch_size, shuffle, shard, load: load.clone() };
        let data = Self::new(
            rows(train, Some(run.seed()), share(Remainder::Repeat)),
            rows(val, None, share(Remainder::Leave)),
        );
        // A test is one process's.
        if test.is_empty() { data } else { data.with_test(rows(test, None, None)) }
    }

    /// Data of numbered samples in folds, of which the run validates on its own; a run without a fold trains and validates on all
    /// rows. See [`Data::of_rows`], and [`FoldTable`] for folds of many kinds.
    ///
    /// # Errors
    /// [`FoldError`](crate::folds::FoldError) if there is no such fold, or nothing in it to train or validate on.
    pub fn of_folds<H>(
        run: &Run<H>,
        folds: Vec<Fold>,
        batch_size: usize,
        load: impl Fn(&[usize], &Device) -> Result<B, BoxError> + Clone + 'a,
    ) -> Result<Self, BoxError> {
        Ok(Self::of_rows(run, divided(folds, run.fold())?, batch_size, load))
    }

    /// Data of `samples` numbered samples in consecutive folds. See [`Data::of_folds`].
    ///
    /// # Errors
    /// As [`Data::of_folds`], and if there are fewer samples than folds.
    pub fn kfold<H>(
        run: &Run<H>,
        samples: usize,
        batch_size: usize,
        load: impl Fn(&[usize], &Device) -> Result<B, BoxError> + Clone + 'a,
    ) -> Result<Self, BoxError> {
        let table = FoldTable::new((0..samples).map(|_| ((), 0)));
        Self::of_folds(run, table.folds(FoldMethod::Kfold, run.settings().total_folds)?, batch_size, load)
    }
}

/// The rows of a fold; without one, every row of any on both sides.
fn divided(folds: Vec<Fold>, fold: Option<u32>) -> Result<Division, FoldError> {
    let Fold { train, val } = match fold {
        Some(fold) => Fold::pick(folds, fold)?,
        None => {
            let rows = folds.into_iter().flat_map(|fold| fold.train.into_iter().chain(fold.val));
            let all: Vec<usize> = rows.collect::<BTreeSet<_>>().into_iter().collect();
            Fold { val: all.clone(), train: all }
        }
    };
    Ok(Division { train, val, test: Vec::new() })
}

/// Batches of numbered samples.
struct Rows<F> {
    rows: Vec<usize>,
    batch_size: usize,
    shuffle: Option<u64>,
    shard: Option<Shard>,
    load: F,
}

impl<B, F: Fn(&[usize], &Device) -> Result<B, BoxError>> Batches<B> for Rows<F> {
    fn batches(&self) -> usize {
        let own = self.shard.map_or(self.rows.len(), |shard| shard.len(self.rows.len()));
        own.div_ceil(self.batch_size.max(1))
    }

    fn samples(&self) -> usize {
        self.rows.len()
    }

    fn epoch<'a>(&'a self, epoch: u32, device: &'a Device) -> BatchIter<'a, B> {
        let rows = rows_of_epoch(&self.rows, self.shuffle, self.shard, epoch);
        let size = self.batch_size.max(1);
        Box::new((0..rows.len()).step_by(size).map(move |first| {
            let rows = &rows[first..rows.len().min(first + size)];
            Ok(((self.load)(rows, device)?, rows.len()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Load = fn(&[usize], &Device) -> Result<Vec<usize>, BoxError>;

    fn rows(shuffle: Option<u64>) -> Rows<Load> {
        let load: Load = |rows, _| Ok(rows.to_vec());
        Rows { rows: (10..17).collect(), batch_size: 3, shuffle, shard: None, load }
    }

    fn epoch(shuffle: Option<u64>, number: u32) -> Vec<(Vec<usize>, usize)> {
        rows(shuffle).epoch(number, &Device::default()).map(Result::unwrap).collect()
    }

    #[test]
    fn an_epoch_has_every_row_once_and_its_order_follows_from_seed_and_epoch() {
        let in_order = epoch(None, 0);
        assert_eq!(in_order, [(vec![10, 11, 12], 3), (vec![13, 14, 15], 3), (vec![16], 1)]);
        assert_eq!(Batches::<Vec<usize>>::batches(&rows(None)), 3);
        assert_eq!(epoch(Some(4), 2), epoch(Some(4), 2));
        assert_ne!(epoch(Some(4), 2), epoch(Some(4), 3));
        assert_ne!(epoch(Some(4), 2), epoch(Some(5), 2));
        let mut all: Vec<usize> = epoch(Some(4), 2).into_iter().flat_map(|(rows, _)| rows).collect();
        all.sort_unstable();
        assert_eq!(all, (10..17).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_has_its_fold_and_one_without_has_all_rows() {
        let folds = || FoldTable::new((0..5).map(|_| ((), 0))).folds(FoldMethod::Kfold, 2).unwrap();
        let division = divided(folds(), Some(1)).unwrap();
        assert_eq!((division.train, division.val), (vec![0, 1, 2], vec![3, 4]));
        let all = divided(folds(), None).unwrap();
        assert_eq!((&all.train, &all.val), (&vec![0, 1, 2, 3, 4], &all.train));
        assert!(matches!(divided(folds(), Some(2)), Err(FoldError::NoSuchFold { .. })));
    }
}

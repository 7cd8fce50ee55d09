//! How the samples of a run lie over regions, splits and folds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::data::SampleTable;
use crate::folds::{Division, Fold};

/// Samples by whether they have a positive pixel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Samples {
    pub(super) positive: u64,
    pub(super) negative: u64,
}

/// Samples by what they are used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Parts {
    pub(super) train: Samples,
    pub(super) val: Samples,
    pub(super) test: Samples,
}

/// The samples of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Distribution {
    /// The fold of the run; none where it has no folds, but trains and validates on the same samples.
    pub(super) fold: Option<u32>,
    /// By region, in alphabetical order.
    pub(super) regions: BTreeMap<String, Parts>,
    /// By fold: what trains and what validates there.
    pub(super) folds: Vec<Parts>,
}

impl Distribution {
    pub(super) fn of(table: &SampleTable, division: &Division, fold: Option<u32>, folds: &[Fold]) -> Self {
        let mut regions: BTreeMap<String, Parts> = BTreeMap::new();
        let mut count = |rows: &[usize], part: fn(&mut Parts) -> &mut Samples| {
            for row in rows {
                let parts = regions.entry(table.region[*row].clone()).or_default();
                part(parts).add(table.empty[*row]);
            }
        };
        count(&division.train, |parts| &mut parts.train);
        if fold.is_some() {
            count(&division.val, |parts| &mut parts.val);
        }
        count(&division.test, |parts| &mut parts.test);
        let sums = |rows: &[usize]| {
            let mut samples = Samples::default();
            rows.iter().for_each(|row| samples.add(table.empty[*row]));
            samples
        };
        let parts = |fold: &Fold| Parts {
            train: sums(&fold.train),
            val: sums(&fold.val),
            test: sums(&division.test),
        };
        Self { fold, regions, folds: folds.iter().map(parts).collect() }
    }
}

impl Samples {
    fn add(&mut self, is_empty: bool) {
        if is_empty {
            self.negative += 1;
        } else {
            self.positive += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(positive: u64, negative: u64) -> Samples {
        Samples { positive, negative }
    }

    #[test]
    fn samples_are_counted_once_by_region_and_once_by_fold() {
        let table = SampleTable {
            sample_id: (0..6).map(|id| id.to_string()).collect(),
            region: ["b", "a", "b", "a", "b", "c"].map(str::to_owned).to_vec(),
            empty: vec![false, true, true, false, false, true],
        };
        let division = Division { train: vec![0, 1, 2], val: vec![3, 4], test: vec![5] };
        let folds =
            [Fold { train: vec![0, 1, 2], val: vec![3, 4] }, Fold { train: vec![3, 4], val: vec![0, 1, 2] }];
        let found = Distribution::of(&table, &division, Some(0), &folds);
        let regions: Vec<(&str, Parts)> =
            found.regions.iter().map(|(name, parts)| (name.as_str(), *parts)).collect();
        let expected = [
            ("a", Parts { train: samples(0, 1), val: samples(1, 0), ..Parts::default() }),
            ("b", Parts { train: samples(1, 1), val: samples(1, 0), ..Parts::default() }),
            ("c", Parts { test: samples(0, 1), ..Parts::default() }),
        ];
        assert_eq!(regions, expected);
        let test = samples(0, 1);
        assert_eq!(found.folds[0], Parts { train: samples(1, 2), val: samples(2, 0), test });
        assert_eq!(found.folds[1], Parts { train: samples(2, 0), val: samples(1, 2), test });
        // What validates on what it trains on is not counted twice.
        let whole = Division { train: vec![0, 1], val: vec![0, 1], test: vec![] };
        let found = Distribution::of(&table, &whole, None, &[]);
        assert!(found.regions.values().all(|parts| parts.val == Samples::default()), "{found:?}");
    }
}

//! Folds that partition the rows: consecutive blocks, and stratified by class.

use super::method::Asked;
use super::mt19937::RandomState;
use super::table::Classes;
use super::{Fold, FoldError, SPLIT_SEED};

/// `KFold(k)`: consecutive blocks, the first ones larger by one where the division leaves a rest.
pub(super) fn consecutive(asked: &Asked<'_>, samples: usize) -> Result<Vec<Fold>, FoldError> {
    asked.at_most(samples, "samples")?;
    let k = asked.total_folds as usize;
    let fold_of: Vec<usize> =
        (0..k).flat_map(|fold| std::iter::repeat_n(fold, block_len(samples, k, fold))).collect();
    Ok(Fold::of_partition(&fold_of, k))
}

fn block_len(samples: usize, folds: usize, fold: usize) -> usize {
    samples / folds + usize::from(fold < samples % folds)
}

/// `StratifiedKFold(k, shuffle=True, random_state=42)`.
///
/// The classes, in order of first appearance, are laid out one after another and dealt to the folds in turn; how
/// many of a class each fold got is kept, which of its rows they are is shuffled.
pub(super) fn stratified(asked: &Asked<'_>, classes: &Classes) -> Result<Vec<Fold>, FoldError> {
    let samples = classes.parts.of.len();
    asked.at_most(samples, "samples")?;
    let k = asked.total_folds as usize;
    let mut members = classes.parts.members();
    members.sort_by_key(|class| class.first().copied());
    let largest = members.iter().map(Vec::len).max().unwrap_or(0);
    asked.at_most(largest, classes.of_the_largest())?;

    let mut random = RandomState::new(SPLIT_SEED);
    let mut fold_of = vec![0; samples];
    let mut dealt = 0;
    for class in &members {
        let mut share = vec![0; k];
        for turn in dealt..dealt + class.len() {
            share[turn % k] += 1;
        }
        dealt += class.len();
        let mut folds: Vec<usize> =
            share.iter().enumerate().flat_map(|(fold, &n)| std::iter::repeat_n(fold, n)).collect();
        random.shuffle(&mut folds);
        for (&position, fold) in class.iter().zip(folds) {
            fold_of[position] = fold;
        }
    }
    Ok(Fold::of_partition(&fold_of, k))
}

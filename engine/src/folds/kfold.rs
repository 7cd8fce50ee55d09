//! Folds that partition the samples: consecutive blocks, and stratified by class.

use super::mt19937::RandomState;
use super::{Fold, FoldError, SPLIT_SEED, at_least, at_most};
use crate::segmentation::settings::FoldMethod;

/// `KFold(k)`: consecutive blocks, the first ones larger by one where the division leaves a rest.
pub(super) fn consecutive(samples: usize, total_folds: u32) -> Result<Vec<Fold>, FoldError> {
    at_least(FoldMethod::Kfold, 2, total_folds)?;
    at_most(FoldMethod::Kfold, samples, "samples", total_folds)?;
    let k = total_folds as usize;
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
/// many of a class each fold got is kept, which of its samples they are is shuffled.
pub(super) fn stratified(positive: &[bool], total_folds: u32) -> Result<Vec<Fold>, FoldError> {
    at_least(FoldMethod::Stratified, 2, total_folds)?;
    at_most(FoldMethod::Stratified, positive.len(), "samples", total_folds)?;
    let k = total_folds as usize;
    let first = positive[0];
    let classes: Vec<Vec<usize>> = [first, !first]
        .iter()
        .map(|&class| (0..positive.len()).filter(|&position| positive[position] == class).collect())
        .collect();
    let larger = classes.iter().map(Vec::len).max().unwrap_or(0);
    at_most(FoldMethod::Stratified, larger, "samples of the larger class", total_folds)?;

    let mut random = RandomState::new(SPLIT_SEED);
    let mut fold_of = vec![0; positive.len()];
    let mut dealt = 0;
    for class in &classes {
        let mut share = vec![0; k];
        for turn in dealt..dealt + class.len() {
            share[turn % k] += 1;
        }
        dealt += class.len();
        let mut members: Vec<usize> =
            share.iter().enumerate().flat_map(|(fold, &n)| std::iter::repeat_n(fold, n)).collect();
        random.shuffle(&mut members);
        for (&position, fold) in class.iter().zip(members) {
            fold_of[position] = fold;
        }
    }
    Ok(Fold::of_partition(&fold_of, k))
}

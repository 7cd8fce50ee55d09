//! Random divisions, drawn anew for every fold: stratified by class, and by group.

use super::group::Groups;
use super::mt19937::RandomState;
use super::{Fold, FoldError, SPLIT_SEED, at_least};
use crate::segmentation::settings::FoldMethod;

/// Part of the samples that validates; scikit-learn's default for `StratifiedShuffleSplit`.
const VAL_FRACTION: f64 = 0.1;
/// Part of the groups that validates; scikit-learn's default for `GroupShuffleSplit`.
const VAL_GROUP_FRACTION: f64 = 0.2;

/// `StratifiedShuffleSplit(k, random_state=42)`: train and validation in drawn order.
pub(super) fn stratified(positive: &[bool], total_folds: u32) -> Result<Vec<Fold>, FoldError> {
    at_least(FoldMethod::Shuffle, 1, total_folds)?;
    let classes = classes(positive);
    let counts: Vec<usize> = classes.iter().map(Vec::len).collect();
    let (train, val) = sizes(&classes, positive)?;
    let mut random = RandomState::new(SPLIT_SEED);
    let draw = |_| {
        let train_counts = approximate_mode(&counts, train, &mut random);
        let left: Vec<usize> = counts.iter().zip(&train_counts).map(|(&all, &n)| all - n.min(all)).collect();
        let val_counts = approximate_mode(&left, val, &mut random);
        let mut fold = Fold::default();
        for (class, (&train, &val)) in classes.iter().zip(train_counts.iter().zip(&val_counts)) {
            let mut drawn = random.permutation(class.len()).into_iter().map(|member| class[member]);
            fold.train.extend(drawn.by_ref().take(train));
            fold.val.extend(drawn.take(val));
        }
        random.shuffle(&mut fold.train);
        random.shuffle(&mut fold.val);
        fold
    };
    Ok((0..total_folds).map(draw).collect())
}

/// `GroupShuffleSplit(k, random_state=42)`: whole groups, rows in table order.
pub(super) fn by_group(names: &[&str], total_folds: u32) -> Result<Vec<Fold>, FoldError> {
    at_least(FoldMethod::Region, 1, total_folds)?;
    let groups = Groups::of(names);
    let val = part(groups.count, VAL_GROUP_FRACTION);
    if val >= groups.count {
        return Err(FoldError::EmptyTrain { cause: "fold method region needs two regions, there is one" });
    }
    let mut random = RandomState::new(SPLIT_SEED);
    let draw = |_| {
        let mut validates = vec![false; groups.count];
        for group in random.choice(groups.count, val) {
            validates[group] = true;
        }
        let (val, train) = (0..names.len()).partition(|&position| validates[groups.group_of[position]]);
        Fold { train, val }
    };
    Ok((0..total_folds).map(draw).collect())
}

/// Positions of each class there is, negatives first.
fn classes(positive: &[bool]) -> Vec<Vec<usize>> {
    [false, true]
        .iter()
        .map(|&class| (0..positive.len()).filter(|&position| positive[position] == class).collect())
        .filter(|class: &Vec<usize>| !class.is_empty())
        .collect()
}

/// Samples to train and to validate on.
fn sizes(classes: &[Vec<usize>], positive: &[bool]) -> Result<(usize, usize), FoldError> {
    if let Some(lonely) = classes.iter().find(|class| class.len() < 2) {
        let class = if positive[lonely[0]] { "positive" } else { "negative" };
        return Err(FoldError::LonelySample { class });
    }
    let val = part(positive.len(), VAL_FRACTION);
    let train = positive.len() - val;
    for (side, samples) in [("train", train), ("validate", val)] {
        if samples < classes.len() {
            return Err(FoldError::TooFewSamples {
                side,
                samples,
                classes: classes.len(),
                least: most_for(classes.len()),
            });
        }
    }
    Ok((train, val))
}

/// The largest number of samples whose validation part is still smaller than `classes`.
fn most_for(classes: usize) -> usize {
    (1..).take_while(|&samples| part(samples, VAL_FRACTION) < classes).last().unwrap_or(0)
}

/// A part of `n`, rounded up in floating point, as scikit-learn rounds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count, times a fraction of one"
)]
fn part(n: usize, fraction: f64) -> usize {
    (fraction * n as f64).ceil() as usize
}

/// How many of each class to draw: the likeliest outcome of `draws` draws, off by one at most.
///
/// Shares are rounded down; what is left goes to the largest remainders, ties among them broken by a draw. The
/// draw happens also where there is nothing to choose between, so that the stream stays in step.
///
/// # Sources
/// scikit-learn 1.9, `sklearn.utils.extmath._approximate_mode`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts of samples"
)]
fn approximate_mode(counts: &[usize], draws: usize, random: &mut RandomState) -> Vec<usize> {
    let total = counts.iter().sum::<usize>() as f64;
    let shares: Vec<f64> = counts.iter().map(|&count| count as f64 / total * draws as f64).collect();
    let mut drawn: Vec<usize> = shares.iter().map(|share| share.floor() as usize).collect();
    let mut missing = draws.saturating_sub(drawn.iter().sum());
    let remainders: Vec<f64> = shares.iter().map(|share| share - share.floor()).collect();
    let mut descending = remainders.clone();
    descending.sort_by(|a, b| b.total_cmp(a));
    descending.dedup();
    for remainder in descending {
        if missing == 0 {
            break;
        }
        let tied: Vec<usize> = (0..counts.len()).filter(|&class| remainders[class] == remainder).collect();
        let now = tied.len().min(missing);
        for chosen in random.choice(tied.len(), now) {
            drawn[tied[chosen]] += 1;
        }
        missing -= now;
    }
    drawn
}

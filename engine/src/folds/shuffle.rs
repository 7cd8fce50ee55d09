//! Random divisions, drawn anew for every fold: stratified by class, and by group.

use super::method::Asked;
use super::mt19937::RandomState;
use super::table::{Classes, Parts};
use super::{Fold, FoldError, SPLIT_SEED};

/// Part of the rows that validates; scikit-learn's default for `StratifiedShuffleSplit`.
const VAL_FRACTION: f64 = 0.1;
/// Part of the groups that validates; scikit-learn's default for `GroupShuffleSplit`.
const VAL_GROUP_FRACTION: f64 = 0.2;

/// `StratifiedShuffleSplit(k, random_state=42)`: train and validation in drawn order.
pub(super) fn stratified(asked: &Asked<'_>, classes: &Classes) -> Result<Vec<Fold>, FoldError> {
    let members = classes.parts.members();
    let counts: Vec<usize> = members.iter().map(Vec::len).collect();
    let (train, val) = sizes(&counts, &classes.names)?;
    let mut random = RandomState::new(SPLIT_SEED);
    let draw = |_| {
        let train_counts = approximate_mode(&counts, train, &mut random);
        let left: Vec<usize> = counts.iter().zip(&train_counts).map(|(&all, &n)| all - n.min(all)).collect();
        let val_counts = approximate_mode(&left, val, &mut random);
        let mut fold = Fold::default();
        for (class, (&train, &val)) in members.iter().zip(train_counts.iter().zip(&val_counts)) {
            let mut drawn = random.permutation(class.len()).into_iter().map(|member| class[member]);
            fold.train.extend(drawn.by_ref().take(train));
            fold.val.extend(drawn.take(val));
        }
        random.shuffle(&mut fold.train);
        random.shuffle(&mut fold.val);
        fold
    };
    Ok((0..asked.total_folds).map(draw).collect())
}

/// `GroupShuffleSplit(k, random_state=42)`: whole groups, rows in table order.
pub(super) fn by_group(asked: &Asked<'_>, groups: &Parts) -> Result<Vec<Fold>, FoldError> {
    let val = part(groups.len(), VAL_GROUP_FRACTION);
    if val >= groups.len() {
        let (method, noun) = (asked.name(), asked.noun);
        let cause = format!("fold method {method} needs two {noun}s, there is one");
        return Err(FoldError::EmptyTrain { cause });
    }
    let mut random = RandomState::new(SPLIT_SEED);
    let draw = |_| {
        let mut validates = vec![false; groups.len()];
        for group in random.choice(groups.len(), val) {
            validates[group] = true;
        }
        let (val, train) = (0..groups.of.len()).partition(|&position| validates[groups.of[position]]);
        Fold { train, val }
    };
    Ok((0..asked.total_folds).map(draw).collect())
}

/// Rows to train and to validate on.
fn sizes(counts: &[usize], names: &[String]) -> Result<(usize, usize), FoldError> {
    if let Some(lonely) = counts.iter().position(|&count| count < 2) {
        return Err(FoldError::LonelySample { class: names[lonely].clone() });
    }
    let (samples, classes) = (counts.iter().sum(), counts.len());
    let val = part(samples, VAL_FRACTION);
    let train = samples - val;
    for (side, samples) in [("train", train), ("validate", val)] {
        if samples < classes {
            return Err(FoldError::TooFewSamples { side, samples, classes, least: most_for(classes) });
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

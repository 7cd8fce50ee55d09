//! Folds that keep each group whole and spread the classes over the folds.

use super::method::Asked;
use super::mt19937::RandomState;
use super::table::{Classes, Parts};
use super::{Fold, FoldError, SPLIT_SEED};

/// `numpy.isclose`'s tolerances.
const ABSOLUTE_TOLERANCE: f64 = 1e-8;
const RELATIVE_TOLERANCE: f64 = 1e-5;

/// `StratifiedGroupKFold(k, shuffle=True, random_state=42)`.
///
/// Greedy: the groups, shuffled, then by falling spread of their class counts, each go to the fold that leaves the
/// classes most evenly spread over the folds; among equals to the one with the fewest rows, then to the first.
pub(super) fn stratified(
    asked: &Asked<'_>,
    classes: &Classes,
    groups: &Parts,
) -> Result<Vec<Fold>, FoldError> {
    asked.at_most(classes.parts.of.len(), "samples")?;
    let class_totals: Vec<usize> = classes.parts.members().iter().map(Vec::len).collect();
    let largest = class_totals.iter().copied().max().unwrap_or(0);
    asked.at_most(largest, classes.of_the_largest())?;
    asked.at_most(groups.len(), format!("{}s", asked.noun))?;

    let mut counts = vec![vec![0.0; classes.parts.len()]; groups.len()];
    for (&group, &class) in groups.of.iter().zip(&classes.parts.of) {
        counts[group][class] += 1.0;
    }
    let mut order = RandomState::new(SPLIT_SEED).permutation(groups.len());
    order.sort_by(|&a, &b| deviation(&counts[b], sum).total_cmp(&deviation(&counts[a], sum)));

    let k = asked.total_folds as usize;
    let mut spread = Spread::new(&class_totals, k);
    let mut fold_of_group = vec![0; groups.len()];
    for group in order {
        fold_of_group[group] = spread.place(&counts[group]);
    }
    let fold_of: Vec<usize> = groups.of.iter().map(|&group| fold_of_group[group]).collect();
    Ok(Fold::of_partition(&fold_of, k))
}

/// Class counts per fold while groups are placed.
struct Spread {
    class_totals: Vec<f64>,
    per_fold: Vec<Vec<f64>>,
}

impl Spread {
    fn new(class_totals: &[usize], folds: usize) -> Self {
        let per_fold = vec![vec![0.0; class_totals.len()]; folds];
        Self { class_totals: class_totals.iter().map(|&total| float(total)).collect(), per_fold }
    }

    /// Puts a group where it fits best, and answers where that is.
    fn place(&mut self, group: &[f64]) -> usize {
        let (mut best, mut least_uneven, mut fewest) = (0, f64::INFINITY, f64::INFINITY);
        for fold in 0..self.per_fold.len() {
            let uneven = self.unevenness_with(group, fold);
            let samples = sum(&self.per_fold[fold]);
            if uneven < least_uneven || is_close(uneven, least_uneven) && samples < fewest {
                (best, least_uneven, fewest) = (fold, uneven, samples);
            }
        }
        for (count, more) in self.per_fold[best].iter_mut().zip(group) {
            *count += more;
        }
        best
    }

    /// Mean over the classes of the deviation of the class's shares over the folds, with `group` in `fold`.
    fn unevenness_with(&self, group: &[f64], fold: usize) -> f64 {
        // numpy adds a lone column pairwise, and one of several row by row; the last bit decides between folds.
        let add = if self.class_totals.len() == 1 { sum } else { sum_in_order };
        let deviations: Vec<f64> = (0..self.class_totals.len())
            .map(|class| {
                let share = |at: usize| {
                    let more = if at == fold { group[class] } else { 0.0 };
                    (self.per_fold[at][class] + more) / self.class_totals[class]
                };
                deviation(&(0..self.per_fold.len()).map(share).collect::<Vec<_>>(), add)
            })
            .collect();
        sum(&deviations) / float(deviations.len())
    }
}

/// `numpy.isclose(value, reference)`.
fn is_close(value: f64, reference: f64) -> bool {
    reference.is_finite()
        && (value - reference).abs() <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * reference.abs()
}

/// Population standard deviation, `numpy.std`, with the sums taken by `add`.
fn deviation(values: &[f64], add: fn(&[f64]) -> f64) -> f64 {
    let n = float(values.len());
    let mean = add(values) / n;
    let squares: Vec<f64> = values.iter().map(|value| (value - mean) * (value - mean)).collect();
    (add(&squares) / n).sqrt()
}

fn sum_in_order(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value)
}

/// numpy's sum of contiguous numbers: eight lanes, halved beyond 128.
///
/// # Sources
/// numpy 2.4, `pairwise_sum` in `numpy/_core/src/umath/loops_utils.h.src`.
fn sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return sum_in_order(values);
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return sum(left) + sum(right);
    }
    let (whole, rest) = values.split_at(values.len() - values.len() % LANES);
    let mut lanes = [0.0; LANES];
    for eight in whole.chunks_exact(LANES) {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples and folds")]
fn float(count: usize) -> f64 {
    count as f64
}

//! Which found instance is which true one.

use super::components::{Components, Overlap};

/// Two instances are the same from this intersection over union on.
pub const MATCH_IOU: f64 = 0.3;
/// What a weight of 1 is as a whole number: sums of whole numbers are exact, so that no order of them can matter.
const UNIT: u64 = 1 << 32;

/// A true and a found instance that may be the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) truth: u32,
    pub(super) found: u32,
    pub(super) iou: f64,
}

/// Pairs that are the same instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Matched {
    pub(super) pairs: u64,
    /// The sum of their intersections over unions.
    pub(super) iou: f64,
}

/// The pairs that overlap enough, in the order of the true instances.
pub(super) fn candidates(truth: &Components, found: &Components, overlaps: &[Overlap]) -> Vec<Pair> {
    let pair = |overlap: &Overlap| {
        let areas = truth.areas()[overlap.one as usize] + found.areas()[overlap.other as usize];
        let iou = f64::from(overlap.pixels) / f64::from(areas - overlap.pixels);
        (iou >= MATCH_IOU).then_some(Pair { truth: overlap.one, found: overlap.other, iou })
    };
    overlaps.iter().filter_map(pair).collect()
}

/// Gives each true instance one found instance at the most, and the other way round, so that as many as can be have one
/// and, of all such ways, their intersections over unions come to the largest sum.
///
/// An instance overlaps with at most three others by [`MATCH_IOU`], for they do not overlap each other. So what hangs
/// together is small, and nearly always a pair alone.
///
/// # Sources
/// Successive best augmenting paths: Ahuja, Magnanti and Orlin 1993, Network Flows, section 9.7; after `k` of them the
/// sum is the largest of all matchings of `k` pairs.
pub(super) fn best(pairs: &[Pair]) -> Matched {
    let mut matched = Matched::default();
    for group in groups(pairs) {
        let chosen = if let [alone] = group.as_slice() { vec![*alone] } else { assign(&group) };
        matched.pairs += chosen.len() as u64;
        matched.iou += chosen.iter().map(|pair| pair.iou).sum::<f64>();
    }
    matched
}

/// The pairs, those together that share instances, directly or over others.
fn groups(pairs: &[Pair]) -> Vec<Vec<Pair>> {
    let mut groups: Vec<Vec<Pair>> = Vec::new();
    let mut is_taken = vec![false; pairs.len()];
    let by_truth = |truth: u32| {
        let first = pairs.partition_point(|pair| pair.truth < truth);
        first..first + pairs[first..].partition_point(|pair| pair.truth == truth)
    };
    let mut by_found: Vec<usize> = (0..pairs.len()).collect();
    by_found.sort_by_key(|at| pairs[*at].found);
    for first in 0..pairs.len() {
        if std::mem::replace(&mut is_taken[first], true) {
            continue;
        }
        let (mut group, mut open) = (Vec::new(), vec![first]);
        while let Some(at) = open.pop() {
            group.push(at);
            let found = pairs[at].found;
            let begins = by_found.partition_point(|at| pairs[*at].found < found);
            let others = by_found[begins..].iter().copied().take_while(|at| pairs[*at].found == found);
            for next in by_truth(pairs[at].truth).chain(others) {
                if !std::mem::replace(&mut is_taken[next], true) {
                    open.push(next);
                }
            }
        }
        group.sort_unstable();
        groups.push(group.into_iter().map(|at| pairs[at]).collect());
    }
    groups
}

/// A side's instances by number, each once.
fn sides(group: &[Pair], side: impl Fn(&Pair) -> u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = group.iter().map(side).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The best matching of pairs that hang together.
fn assign(group: &[Pair]) -> Vec<Pair> {
    let (truths, founds) = (sides(group, |pair| pair.truth), sides(group, |pair| pair.found));
    let place = |numbers: &[u32], number| numbers.partition_point(|other| *other < number);
    let ends: Vec<(usize, usize)> =
        group.iter().map(|pair| (place(&truths, pair.truth), place(&founds, pair.found))).collect();
    let weights: Vec<i64> = group.iter().map(|pair| (pair.iou * UNIT as f64) as i64).collect();
    // The pair of each found instance.
    let mut chosen: Vec<Option<usize>> = vec![None; founds.len()];
    while let Some(path) = best_path(&ends, &weights, &chosen, truths.len()) {
        // From its end: each pair takes its found instance from the one that had it.
        for pair in path {
            chosen[ends[pair].1] = Some(pair);
        }
    }
    chosen.into_iter().flatten().map(|pair| group[pair]).collect()
}

/// The pairs to choose on the way from a true instance without a pair to a found one without, where each pair given up
/// for the next one counts against it: the way of the largest sum. `None` if there is no way.
fn best_path(
    ends: &[(usize, usize)],
    weights: &[i64],
    chosen: &[Option<usize>],
    truths: usize,
) -> Option<Vec<usize>> {
    let mut gains: Vec<Option<i64>> = vec![Some(0); truths];
    for pair in chosen.iter().flatten() {
        gains[ends[*pair].0] = None;
    }
    // By found instance: what the best way to it gains, and its last pair.
    let mut reached: Vec<Option<(i64, usize)>> = vec![None; chosen.len()];
    let mut is_settled = false;
    while !is_settled {
        is_settled = true;
        for (pair, &(truth, found)) in ends.iter().enumerate() {
            let Some(gain) = gains[truth].filter(|_| chosen[found] != Some(pair)) else { continue };
            let gain = gain + weights[pair];
            if reached[found].is_some_and(|(known, _)| known >= gain) {
                continue;
            }
            reached[found] = Some((gain, pair));
            is_settled = false;
            if let Some(given_up) = chosen[found] {
                gains[ends[given_up].0] = Some(gain - weights[given_up]);
            }
        }
    }
    let free = (0..chosen.len()).filter(|found| chosen[*found].is_none());
    let (_, mut found) =
        free.filter_map(|found| Some((reached[found]?.0, found))).max_by_key(|(gain, _)| *gain)?;
    let mut path = Vec::new();
    loop {
        let (_, pair) = reached[found]?;
        path.push(pair);
        let truth = ends[pair].0;
        match chosen.iter().position(|chosen| chosen.is_some_and(|chosen| ends[chosen].0 == truth)) {
            Some(before) => found = before,
            None => return Some(path),
        }
    }
}

use proptest::prelude::*;

use super::matching::Pair;
use super::*;
use crate::metrics::thresholds;

type Image = (usize, usize);

/// The part of each set pixel, by walking from pixel to pixel.
fn flooded(is_set: &[bool], (height, width): Image) -> (Vec<Option<u32>>, Vec<u32>) {
    let mut parts = vec![None; is_set.len()];
    let mut areas = Vec::new();
    for first in 0..is_set.len() {
        if !is_set[first] || parts[first].is_some() {
            continue;
        }
        let part = areas.len() as u32;
        areas.push(0);
        let mut open = vec![first];
        parts[first] = Some(part);
        while let Some(at) = open.pop() {
            areas[part as usize] += 1;
            for (down, right) in
                (-1..=1_isize).flat_map(|down| (-1..=1_isize).map(move |right| (down, right)))
            {
                let (row, column) = ((at / width) as isize + down, (at % width) as isize + right);
                if row < 0 || column < 0 || row >= height as isize || column >= width as isize {
                    continue;
                }
                let next = row as usize * width + column as usize;
                if is_set[next] && parts[next].is_none() {
                    parts[next] = Some(part);
                    open.push(next);
                }
            }
        }
    }
    (parts, areas)
}

/// The most pairs and, of all such ways, the largest sum: every way is tried.
fn tried(pairs: &[Pair]) -> (u64, f64) {
    let Some((first, rest)) = pairs.split_first() else { return (0, 0.0) };
    let without = tried(rest);
    let free: Vec<Pair> =
        rest.iter().copied().filter(|pair| pair.truth != first.truth && pair.found != first.found).collect();
    let (count, sum) = tried(&free);
    let with = (count + 1, sum + first.iou);
    if with.0 > without.0 || (with.0 == without.0 && with.1 > without.1) { with } else { without }
}

fn pairs_of(truth: &(Vec<Option<u32>>, Vec<u32>), found: &(Vec<Option<u32>>, Vec<u32>)) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for one in 0..truth.1.len() as u32 {
        for other in 0..found.1.len() as u32 {
            let both =
                truth.0.iter().zip(&found.0).filter(|parts| *parts == (&Some(one), &Some(other))).count();
            let union = truth.1[one as usize] + found.1[other as usize] - both as u32;
            let iou = both as f64 / f64::from(union);
            if iou >= 0.3 {
                pairs.push(Pair { truth: one, found: other, iou });
            }
        }
    }
    pairs
}

fn naive_counts(predicted: &[bool], targets: &[u8], image: Image) -> (InstanceCounts, f64) {
    let truth: Vec<bool> = targets.iter().map(|target| *target == 1).collect();
    let found: Vec<bool> = predicted.iter().zip(targets).map(|(is, target)| *is && *target != 2).collect();
    let (truth, found) = (flooded(&truth, image), flooded(&found, image));
    let (pairs, sum) = tried(&pairs_of(&truth, &found));
    let counts = InstanceCounts {
        true_positives: pairs,
        false_positives: found.1.len() as u64 - pairs,
        false_negatives: truth.1.len() as u64 - pairs,
    };
    (counts, sum)
}

/// Whether a pixel is set and one that is not, or lies outside, is within so many steps over sides and corners.
fn is_boundary(is_set: &dyn Fn(isize, isize) -> bool, row: isize, column: isize, pixels: isize) -> bool {
    let near = -pixels..=pixels;
    let all = || near.clone().flat_map(|down| near.clone().map(move |right| (down, right)));
    is_set(row, column) && all().any(|(down, right)| !is_set(row + down, column + right))
}

fn naive_boundary(predicted: &[bool], targets: &[u8], (height, width): Image) -> BoundaryCounts {
    let inside = |row: isize, column: isize| {
        (row >= 0 && column >= 0 && row < height as isize && column < width as isize)
            .then(|| row as usize * width + column as usize)
    };
    let truth = |row, column| inside(row, column).is_some_and(|at| targets[at] == 1);
    let found = |row, column| inside(row, column).is_some_and(|at| predicted[at]);
    let pixels = boundary_pixels(height, width) as isize;
    let mut counts = BoundaryCounts::default();
    for at in (0..targets.len()).filter(|at| targets[*at] != 2) {
        let (row, column) = ((at / width) as isize, (at % width) as isize);
        let (one, other) =
            (is_boundary(&truth, row, column, pixels), is_boundary(&found, row, column, pixels));
        counts += BoundaryCounts { intersection: u64::from(one && other), union: u64::from(one || other) };
    }
    counts
}

/// An image of blobs: coarse squares of one value each, some of them disturbed.
fn image() -> impl Strategy<Value = (Image, Vec<f32>, Vec<u8>)> {
    (1..20_usize, 1..80_usize, 1..5_usize).prop_flat_map(|(height, width, square)| {
        let cells = height.div_ceil(square) * width.div_ceil(square);
        let pixels = height * width;
        (
            proptest::collection::vec(0..=100_u8, cells),
            proptest::collection::vec(prop_oneof![6 => Just(0_u8), 3 => Just(1), 1 => Just(2)], cells),
            proptest::collection::vec(prop_oneof![9 => Just(None), 1 => (0..=100_u8).prop_map(Some)], pixels),
        )
            .prop_map(move |(values, labels, noise)| {
                let cell = |at: usize| at / width / square * width.div_ceil(square) + at % width / square;
                let probability =
                    (0..pixels).map(|at| f32::from(noise[at].unwrap_or(values[cell(at)])) / 100.0);
                let targets = (0..pixels).map(|at| labels[cell(at)]);
                ((height, width), probability.collect(), targets.collect())
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn counts_are_those_of_walking_from_pixel_to_pixel_and_trying_every_pairing(
        (image, probabilities, targets) in image()
    ) {
        let mut counter = InstanceCounter::default();
        counter.add(&probabilities, &targets, image).unwrap();
        let at = |is: &dyn Fn(f32) -> bool| -> Vec<bool> { probabilities.iter().map(|p| is(*p)).collect() };
        let half = at(&|p| p > 0.5);
        let (counts, iou) = naive_counts(&half, &targets, image);
        prop_assert_eq!(counter.sums.at_half, counts);
        prop_assert!((counter.sums.matched_iou - iou).abs() < 1e-6, "{} {iou}", counter.sums.matched_iou);
        prop_assert_eq!(counter.sums.boundary, naive_boundary(&half, &targets, image));
        for (threshold, counted) in thresholds().into_iter().zip(counter.sums.thresholds) {
            let (counts, _) = naive_counts(&at(&|p| p >= threshold), &targets, image);
            prop_assert_eq!(counted, counts, "at {}", threshold);
        }
    }

    #[test]
    fn no_way_to_pair_gives_more_pairs_or_a_larger_sum(
        edges in proptest::collection::btree_map((0..5_u32, 0..5_u32), 300..=1000_u32, 0..12)
    ) {
        let pairs: Vec<Pair> = edges
            .into_iter()
            .map(|((truth, found), iou)| Pair { truth, found, iou: f64::from(iou) / 1000.0 })
            .collect();
        let (count, sum) = tried(&pairs);
        let matched = best(&pairs);
        prop_assert_eq!(matched.pairs, count);
        prop_assert!((matched.iou - sum).abs() < 1e-6, "{} {sum}", matched.iou);
    }
}

#[test]
fn more_pairs_go_before_a_better_one() {
    let pair = |truth, found, iou| Pair { truth, found, iou };
    // The best pair alone leaves both others without one.
    let matched = best(&[pair(0, 0, 0.35), pair(1, 0, 0.9), pair(1, 1, 0.31)]);
    assert_eq!((matched.pairs, matched.iou), (2, 0.35 + 0.31));
    assert_eq!(best(&[]), Matched::default());
}

#[test]
fn images_add_up_and_memory_is_used_again_for_images_of_other_sizes() {
    let square = |side: usize| -> (Vec<f32>, Vec<u8>) {
        let is_in = |at: usize| at / side < side / 2 && at % side < side / 2;
        let targets: Vec<u8> = (0..side * side).map(|at| u8::from(is_in(at))).collect();
        (targets.iter().map(|target| f32::from(*target)).collect(), targets)
    };
    let mut counter = InstanceCounter::default();
    for side in [70, 10, 130] {
        let (probabilities, targets) = square(side);
        counter.add(&probabilities, &targets, (side, side)).unwrap();
    }
    let InstanceEvaluation { at_half, matched_iou, boundary, thresholds } = counter.sums.clone();
    assert_eq!(at_half, InstanceCounts { true_positives: 3, ..InstanceCounts::default() });
    assert_eq!(matched_iou, 3.0);
    assert_eq!(boundary.intersection, boundary.union);
    // At threshold 0 everything is found: one instance each, of which a quarter is true.
    let none = InstanceCounts { true_positives: 0, false_positives: 3, false_negatives: 3 };
    assert_eq!((thresholds[0], thresholds[1]), (none, at_half));
    let metrics = counter.sums.metrics("test");
    assert_eq!(metrics["test/InstanceF1Score"], 1.0);
    assert_eq!(metrics["test/InstanceAveragePrecision"], 1.0);
    assert_eq!(metrics["test/InstanceBoundaryIoU"], 1.0);
    assert_eq!(counter.sums.curve_data().instance_cmx, [[0.0, 0.0], [0.0, 1.0]]);
}

#[test]
fn an_image_of_the_wrong_size_is_refused_and_an_empty_one_counts_nothing() {
    let mut counter = InstanceCounter::default();
    assert!(counter.add(&[0.5; 4], &[0; 3], (2, 2)).is_err());
    assert!(counter.add(&[0.5; 4], &[0; 4], (2, 3)).is_err());
    counter.add(&[], &[], (0, 0)).unwrap();
    counter.add(&[f32::NAN; 4], &[0, 2, 0, 2], (2, 2)).unwrap();
    assert_eq!(counter.sums, InstanceEvaluation::default());
    let metrics = counter.sums.metrics("test");
    assert!(metrics.len() == 6 && metrics.values().all(|value| *value == 0.0), "{metrics:?}");
}

//! The generator behind everything of ours that is random and must stay as it is: search, order of samples,
//! augmentation, synthetic data. Folds, splits and seeds have the generators of numpy and Python instead.

/// SplitMix64: every seed gives the same numbers on every machine and for good, which no version of a crate promises;
/// resuming rests on it.
///
/// # Sources
/// Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, figure 16; the constants are those of
/// `java.util.SplittableRandom`.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64 {
    state: u64,
}

/// 2⁶⁴ divided by the golden ratio, made odd: the step of the generator's counter.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg_attr(
    not(feature = "segmentation"),
    allow(dead_code, reason = "data and augmentations draw in more ways")
)]
impl SplitMix64 {
    /// The stream of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The stream of one part of many: of one epoch, of one sample.
    pub(crate) fn keyed(seed: u64, part: u64) -> Self {
        Self::new(mix(seed.wrapping_add(GOLDEN)) ^ mix(part.wrapping_mul(GOLDEN).wrapping_add(GOLDEN)))
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in 0 … 1, 1 excluded: the upper 53 bits, as many as a double holds.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in 0 … 1, 1 excluded: the upper 24 bits, as many as a single holds.
    pub(crate) fn unit_single(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// Uniform in `low` … `high`, `high` excluded.
    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit_single()
    }

    /// Whether the first of two equally likely outcomes came.
    pub(crate) fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 0
    }

    /// Less than `count`, which is at most 2⁶⁴, by one draw; uniform to within `count` / 2⁶⁴.
    pub(crate) fn nearly_below(&mut self, count: u128) -> u128 {
        debug_assert!(count <= 1 << 64, "the product must fit");
        (u128::from(self.next_u64()) * count) >> 64
    }

    /// Uniform in `0..bound`, without bias; 0 if `bound` is 0.
    ///
    /// # Sources
    /// Lemire 2019, Fast Random Integer Generation in an Interval, algorithm 5.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let mut product = u128::from(self.next_u64()) * u128::from(bound);
        if (product as u64) < bound {
            let rejected = bound.wrapping_neg() % bound;
            while (product as u64) < rejected {
                product = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Every order equally likely.
    ///
    /// # Sources
    /// Durstenfeld 1964, Algorithm 235: Random permutation.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// A bijection of 64 bits in which every input bit moves every output bit.
///
/// # Sources
/// Stafford 2011, variant 13 of his mixers, as figure 19 of the paper above has it.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers everybody's SplitMix64 gives for this seed.
    #[test]
    fn the_published_stream() {
        let mut rng = SplitMix64::new(1_234_567);
        let drawn: Vec<u64> = (0..5).map(|_| rng.next_u64()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(drawn, published);
    }

    #[test]
    fn bounds_hold() {
        let mut rng = SplitMix64::new(0);
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&rng.unit()) && (0.0..1.0).contains(&rng.unit_single()));
            assert!((-2.0..3.0).contains(&rng.uniform(-2.0, 3.0)));
            assert!(rng.nearly_below(7) < 7 && rng.below(7) < 7);
        }
        assert_eq!((rng.nearly_below(1), rng.below(1), rng.below(0)), (0, 0, 0));
    }

    #[test]
    fn draws_below_a_bound_reach_every_number_evenly() {
        let mut rng = SplitMix64::new(9);
        let mut counts = [0_u32; 8];
        for _ in 0..16_000 {
            counts[rng.nearly_below(8) as usize] += 1;
        }
        // 2000 expected, standard deviation 42.
        assert!(counts.iter().all(|count| count.abs_diff(2000) < 220), "{counts:?}");
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_fair() {
        let mut rng = SplitMix64::new(7);
        let mut first = [0_u32; 5];
        for _ in 0..5000 {
            let mut items = [0, 1, 2, 3, 4];
            rng.shuffle(&mut items);
            first[items[0]] += 1;
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!(first.iter().all(|count| (850..1150).contains(count)), "{first:?}");
    }

    #[test]
    fn neighbouring_parts_differ() {
        let mut seen: Vec<u64> = (0..1000).map(|part| SplitMix64::keyed(42, part).next_u64()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}

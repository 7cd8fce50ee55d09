//! The generator behind random search.

/// SplitMix64: every seed gives the same numbers on every machine and for ever, which no version of a crate promises.
///
/// # Sources
/// Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, figure 16; the constants are those of
/// `java.util.SplittableRandom`.
#[derive(Debug, Clone)]
pub(super) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in 0 … 1, 1 excluded: the upper 53 bits, as many as a float holds.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Less than `count`, which is at most 2⁶⁴; uniform to within `count` / 2⁶⁴.
    pub(super) fn below(&mut self, count: u128) -> u128 {
        debug_assert!(count <= 1 << 64, "the product must fit");
        (u128::from(self.next()) * count) >> 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers everybody's SplitMix64 gives for this seed.
    #[test]
    fn the_published_stream() {
        let mut rng = SplitMix64::new(1_234_567);
        let drawn: Vec<u64> = (0..5).map(|_| rng.next()).collect();
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
            assert!((0.0..1.0).contains(&rng.unit()));
            assert!(rng.below(7) < 7);
        }
        assert_eq!(rng.below(1), 0);
    }
}

//! The order of samples in an epoch: the same on every machine and in every version.

/// A generator whose values are fixed for good, so that a resumed run meets the samples it would have met.
///
/// # Sources
/// Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, fig. 16 (constants of
/// `mix64variant13` by David Stafford).
#[derive(Debug, Clone)]
pub(super) struct SplitMix64(pub(super) u64);

/// Golden ratio of 2^64, the increment of the generator.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator of one part of many: of one epoch, of one sample.
    pub(super) fn keyed(seed: u64, part: u64) -> Self {
        Self(mix(seed.wrapping_add(GAMMA)) ^ mix(part.wrapping_mul(GAMMA).wrapping_add(GAMMA)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in `0..bound`, without bias; 0 if `bound` is 0.
    ///
    /// # Sources
    /// Lemire 2019, Fast Random Integer Generation in an Interval, algorithm 5.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let mut product = u128::from(self.next()) * u128::from(bound);
        if (product as u64) < bound {
            let rejected = bound.wrapping_neg() % bound;
            while (product as u64) < rejected {
                product = u128::from(self.next()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Uniform in `0.0..1.0`, in steps of 2^-24.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Every order equally likely.
    ///
    /// # Sources
    /// Durstenfeld 1964, Algorithm 235: Random permutation.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// A bijection of 64 bits in which every input bit moves every output bit.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_values() {
        // First outputs for seed 1234567, as in the reference programs of Vigna's splitmix64.c.
        let mut generator = SplitMix64(1_234_567);
        let values: Vec<u64> = (0..3).map(|_| generator.next()).collect();
        assert_eq!(values, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_fair() {
        let mut generator = SplitMix64(7);
        let mut first = [0u32; 5];
        for _ in 0..5000 {
            let mut items = [0, 1, 2, 3, 4];
            generator.shuffle(&mut items);
            first[items[0]] += 1;
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!(first.iter().all(|count| (850..1150).contains(count)), "{first:?}");
    }

    #[test]
    fn neighbouring_parts_differ() {
        let mut seen: Vec<u64> = (0..1000).map(|part| SplitMix64::keyed(42, part).next()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}

//! The generator of augmentations: one stream per sample, the same on every machine and thread.

/// Step of the counter: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The key of one sample's draws in one epoch.
///
/// Depends on its arguments alone, so that neither the order nor the number of decoding threads shows.
#[must_use]
pub fn key(seed: u64, epoch: u64, sample: u64) -> u64 {
    [seed, epoch, sample].iter().fold(0, |key, &part| mix(key.wrapping_add(GOLDEN) ^ mix(part)))
}

/// SplitMix64.
///
/// # Sources
/// Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, fig. 16 and 19 (variant 13 of
/// Stafford's mixers); constants as in Vigna's splitmix64.c of 2015.
#[derive(Debug, Clone)]
pub(super) struct SplitMix64 {
    counter: u64,
}

impl SplitMix64 {
    /// The stream of this key.
    pub(super) fn new(key: u64) -> Self {
        Self { counter: key }
    }

    /// The next 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN);
        mix(self.counter)
    }

    /// A number in `[low, high)` of 24 random bits.
    pub(super) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit a single's mantissa")]
        let unit = (self.next_u64() >> 40) as f32 / 16_777_216.0;
        low + (high - low) * unit
    }

    /// Whether the first of two equally likely outcomes came.
    pub(super) fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 0
    }

    /// A whole number below `bound`, by widening multiplication; its bias is below `bound` in 2^64.
    pub(super) fn below(&mut self, bound: u8) -> u8 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        (product >> 64) as u8
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{SplitMix64, key};

    #[test]
    fn the_reference_code_s_first_words_come_out() {
        // splitmix64.c, seeded with 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let words: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn neighbouring_cells_get_keys_of_their_own() {
        let mut keys = HashSet::new();
        for seed in 0..20 {
            for epoch in 0..20 {
                for sample in 0..50 {
                    assert!(keys.insert(key(seed, epoch, sample)));
                }
            }
        }
        assert_ne!(key(1, 2, 3), key(3, 2, 1));
    }

    #[test]
    fn draws_below_a_bound_reach_every_number_evenly() {
        let mut random = SplitMix64::new(9);
        let mut counts = [0_u32; 8];
        for _ in 0..16_000 {
            counts[usize::from(random.below(8))] += 1;
        }
        // 2000 expected, standard deviation 42.
        assert!(counts.iter().all(|count| count.abs_diff(2000) < 220), "{counts:?}");
    }
}

//! Numbers that look random, and are the same for a seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Environment variable that replays what a failure printed.
const SEED: &str = "TEST_SEED";

/// A generator of its own for each test.
pub struct Random(u64);

impl Random {
    /// From the clock, or as `TEST_SEED` says; printed, so that a failure can be replayed.
    ///
    /// # Panics
    /// If `TEST_SEED` is no number.
    pub fn new(of: &str) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var(SEED).map_or(clock, |seed| seed.parse().unwrap());
        crate::note(&format!("{of}: {SEED}={seed}"));
        Self(seed)
    }

    /// The next number.
    ///
    /// # Sources
    /// Steele, Lea, Flood 2014, Fast Splittable Pseudorandom Number Generators: SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound that is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of several.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A time up to a bound.
    pub fn within(&mut self, bound: Duration) -> Duration {
        bound.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

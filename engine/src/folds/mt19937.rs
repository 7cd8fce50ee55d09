//! The generator behind ten years of published folds: MT19937 as numpy's legacy `RandomState` drives it.

/// Words of state.
const STATE_LEN: usize = 624;
/// Distance of the word each word is twisted with.
const SHIFT: usize = 397;
/// Last row of the twist matrix.
const MATRIX: u32 = 0x9908_b0df;
const UPPER_BIT: u32 = 0x8000_0000;
const LOWER_BITS: u32 = 0x7fff_ffff;

/// MT19937 with the draws of `numpy.random.RandomState`, value for value.
///
/// Numpy froze these streams in 1.17 (NEP 19), so that they can be relied on.
///
/// # Sources
/// Matsumoto and Nishimura 1998, Mersenne Twister; their reference code mt19937ar.c of 2002 for both ways
/// of seeding. Draws: numpy 2.4, `numpy/random/mtrand.pyx` and `src/distributions/distributions.c`.
#[derive(Debug, Clone)]
pub struct RandomState {
    words: [u32; STATE_LEN],
    next: usize,
}

impl RandomState {
    /// `RandomState(seed)`: one word, spread by a linear congruence.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        let mut words = [0; STATE_LEN];
        let mut word = seed;
        for (slot, number) in words.iter_mut().zip(1_u32..) {
            *slot = word;
            word = 1_812_433_253_u32.wrapping_mul(word ^ (word >> 30)).wrapping_add(number);
        }
        Self { words, next: STATE_LEN }
    }

    /// Seeds from an array of words, as Python's `random.Random` does with an integer's digits.
    ///
    /// An empty array counts as `[0]`.
    #[must_use]
    pub fn from_array(key: &[u32]) -> Self {
        let key = if key.is_empty() { &[0] } else { key };
        let mut words = Self::new(19_650_218).words;
        let (mut at, mut digit) = (1, 0);
        for _ in 0..STATE_LEN.max(key.len()) {
            let before = words[at - 1] ^ (words[at - 1] >> 30);
            words[at] = (words[at] ^ before.wrapping_mul(1_664_525))
                .wrapping_add(key[digit])
                .wrapping_add(u32::try_from(digit).unwrap_or(u32::MAX));
            digit = (digit + 1) % key.len();
            advance(&mut words, &mut at);
        }
        for _ in 1..STATE_LEN {
            let before = words[at - 1] ^ (words[at - 1] >> 30);
            words[at] = (words[at] ^ before.wrapping_mul(1_566_083_941))
                .wrapping_sub(u32::try_from(at).unwrap_or(u32::MAX));
            advance(&mut words, &mut at);
        }
        words[0] = UPPER_BIT;
        Self { words, next: STATE_LEN }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == STATE_LEN {
            self.twist();
        }
        let mut word = self.words[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A number in `[0, 1)` with 53 random bits, as `random_sample`.
    pub fn random_sample(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// A whole number from 0 up to and including `max`, by masked rejection. Draws nothing for 0.
    pub fn random_interval(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let word = if max > u64::from(u32::MAX) { self.next_u64() } else { u64::from(self.next_u32()) };
            if word & mask <= max {
                return word & mask;
            }
        }
    }

    /// Shuffles in place, from the last to the second, as `shuffle`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last));
        }
    }

    /// The numbers below `n` in random order, as `permutation(n)`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..n).collect();
        self.shuffle(&mut numbers);
        numbers
    }

    /// `size` of the numbers below `n`, none twice, as `choice(n, size, replace=False)`; all of them if
    /// there are fewer.
    pub fn choice(&mut self, n: usize, size: usize) -> Vec<usize> {
        let mut numbers = self.permutation(n);
        numbers.truncate(size);
        numbers
    }

    fn index(&mut self, max: usize) -> usize {
        // A usize fits a u64 wherever this runs, and what comes back is at most `max`.
        usize::try_from(self.random_interval(max as u64)).unwrap_or(max)
    }

    /// High word first.
    fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    fn twist(&mut self) {
        for at in 0..STATE_LEN {
            let joined = self.words[at] & UPPER_BIT | self.words[(at + 1) % STATE_LEN] & LOWER_BITS;
            let odd = if joined & 1 == 1 { MATRIX } else { 0 };
            self.words[at] = self.words[(at + SHIFT) % STATE_LEN] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }
}

/// Moves to the next word; from the last one on to the second, with the last carried over to the first.
fn advance(words: &mut [u32; STATE_LEN], at: &mut usize) {
    *at += 1;
    if *at == STATE_LEN {
        words[0] = words[STATE_LEN - 1];
        *at = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::RandomState;

    #[test]
    fn the_reference_code_s_first_words_come_out() {
        // mt19937ar.out, seeded with {0x123, 0x234, 0x345, 0x456}.
        let mut state = RandomState::from_array(&[0x123, 0x234, 0x345, 0x456]);
        let words: Vec<u32> = (0..5).map(|_| state.next_u32()).collect();
        assert_eq!(words, [1_067_595_299, 955_945_823, 477_289_528, 4_107_218_783, 4_228_976_476]);
    }

    #[test]
    fn draws_are_numpy_s() {
        // numpy 2.4.6: RandomState(42).random_sample(3), .permutation(10), RandomState(7).choice(20, 6, False).
        let mut state = RandomState::new(42);
        let floats: Vec<f64> = (0..3).map(|_| state.random_sample()).collect();
        assert_eq!(floats, [0.374_540_118_847_362_5, 0.950_714_306_409_916_2, 0.731_993_941_811_405_1]);
        assert_eq!(RandomState::new(42).permutation(10), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        assert_eq!(RandomState::new(7).choice(20, 6), [1, 17, 2, 5, 11, 0]);
    }

    #[test]
    fn a_long_stream_crosses_many_twists_and_a_wide_bound_takes_two_words() {
        // ISO C++ [rand.predef]: the 10,000th word of mt19937 seeded with 5489.
        let mut state = RandomState::new(5489);
        let last = (0..10_000).map(|_| state.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
        let mut wide = RandomState::new(1);
        assert!((0..200).map(|_| wide.random_interval(1 << 40)).any(|n| n > u64::from(u32::MAX)));
    }

    #[test]
    fn one_item_or_none_draws_nothing() {
        let mut state = RandomState::new(3);
        assert_eq!(state.permutation(1), [0]);
        assert!(state.permutation(0).is_empty());
        assert_eq!(state.next_u32(), RandomState::new(3).next_u32());
    }
}

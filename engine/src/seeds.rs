//! The seeds of a cross-validation: the same ones everywhere, and more of them without changing the first.

use std::collections::HashSet;

use engine_actors::plan::Cell;

use crate::folds::mt19937::RandomState;

/// The first seeds.
pub(crate) const FIRST: [u64; 3] = [42, 21, 69];
/// Seed of the generator that draws the others.
const GENERATOR_SEED: u32 = 42;
/// Drawn seeds are below this.
const BOUND: u32 = 9999;

/// The first `n` seeds: 42, 21, 69, then numbers below 9999 in an order that never changes.
///
/// No seed comes twice, so that no cell of a cross-validation is another's copy. Once every number below 9999 is
/// taken, the draws widen to 32 bits.
///
/// # Sources
/// CPython's `random.Random(42).sample(range(9999), n - 3)`: rejection on the upper 14 bits of MT19937.
#[must_use]
pub fn seeds(n: usize) -> Vec<u64> {
    let mut random = RandomState::from_array(&[GENERATOR_SEED]);
    let mut seeds = FIRST.to_vec();
    let mut taken: HashSet<u64> = seeds.iter().copied().collect();
    while seeds.len() < n {
        let bound = if seeds.len() < BOUND as usize { BOUND } else { u32::MAX };
        let seed = u64::from(random.next_u32() >> bound.leading_zeros());
        if seed < u64::from(bound) && taken.insert(seed) {
            seeds.push(seed);
        }
    }
    seeds.truncate(n);
    seeds
}

/// The cells of a cross-validation: `folds` folds with each of the first `n_seeds` [`seeds`], all folds of the first seed
/// first, so that a first picture comes early.
///
/// ```
/// use engine::Cell;
///
/// let cells = engine::seeds::cells(2, 2);
/// let expected = [(0, 42), (1, 42), (0, 21), (1, 21)].map(|(fold, seed)| Cell { fold, seed });
/// assert_eq!(cells, expected);
/// ```
#[must_use]
pub fn cells(folds: u32, n_seeds: usize) -> Vec<Cell> {
    let of_seed = |seed| (0..folds).map(move |fold| Cell { fold, seed });
    seeds(n_seeds).into_iter().flat_map(of_seed).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::seeds;

    #[test]
    fn more_seeds_never_change_the_first_ones() {
        let many = seeds(300);
        for n in 0..300 {
            assert_eq!(seeds(n), many[..n]);
        }
        assert_eq!(many[..5], [42, 21, 69, 1824, 409]);
    }

    #[test]
    fn draws_go_on_as_python_s() {
        // CPython 3.11: random.Random(42).sample(range(9999), 900)[-3:]; no repetition of 42, 21 or 69 before.
        assert_eq!(seeds(903)[900..], [5927, 8167, 7242]);
    }

    #[test]
    fn no_seed_comes_twice_even_beyond_the_bound() {
        let many = seeds(10_500);
        assert_eq!(many.iter().collect::<HashSet<_>>().len(), 10_500);
        assert!(many[..9999].iter().all(|&seed| seed < 9999));
        assert!(many[9999..].iter().any(|&seed| seed >= 9999));
    }
}

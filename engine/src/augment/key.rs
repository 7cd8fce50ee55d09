//! The key of a sample's augmentations: one stream per sample, the same on every machine and thread.

use crate::rng::{GOLDEN, mix};

/// The key of one sample's draws in one epoch.
///
/// Depends on its arguments alone, so that neither the order nor the number of decoding threads shows.
#[must_use]
pub fn key(seed: u64, epoch: u64, sample: u64) -> u64 {
    [seed, epoch, sample].iter().fold(0, |key, &part| mix(key.wrapping_add(GOLDEN) ^ mix(part)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::key;

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
}

//! Which of the samples are one process's, where several train one model.

use crate::rng::SplitMix64;

/// What becomes of samples that do not divide evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// The first samples are used again until every process has as many: all of them take as many steps.
    Repeat,
    /// Some processes have one sample less, none is used twice: sums over all of them are exact.
    Leave,
}

/// One process's share of every epoch.
///
/// # Sources
/// PyTorch, `DistributedSampler(drop_last=False)` for [`Remainder::Repeat`]. Lightning repeats samples in validation
/// too, and counts them twice there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of the process, from 0.
    pub rank: usize,
    /// Processes, at least 1.
    pub world: usize,
    /// What becomes of the rest.
    pub remainder: Remainder,
}

impl Shard {
    /// Samples of this process, of `samples` in all.
    pub fn len(&self, samples: usize) -> usize {
        match self.remainder {
            Remainder::Repeat => samples.div_ceil(self.world),
            Remainder::Leave => (samples + self.world - 1).saturating_sub(self.rank) / self.world,
        }
    }

    /// Every `world`-th of the items, from the `rank`-th on.
    pub fn of(&self, items: &[usize]) -> Vec<usize> {
        let len = self.len(items.len());
        items.iter().cycle().skip(self.rank).step_by(self.world).take(len).copied().collect()
    }
}

/// The rows of an epoch in the order they are loaded: shuffled by a seed, another order each epoch, or as they are; then the
/// share of this process.
pub(crate) fn rows_of_epoch(
    rows: &[usize],
    shuffle: Option<u64>,
    shard: Option<Shard>,
    epoch: u32,
) -> Vec<usize> {
    let mut rows = rows.to_vec();
    if let Some(seed) = shuffle {
        SplitMix64::keyed(seed, u64::from(epoch)).shuffle(&mut rows);
    }
    match shard {
        Some(shard) => shard.of(&rows),
        None => rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(samples: usize, world: usize, remainder: Remainder) -> Vec<Vec<usize>> {
        let items: Vec<usize> = (0..samples).collect();
        (0..world)
            .map(|rank| {
                let shard = Shard { rank, world, remainder };
                let taken = shard.of(&items);
                assert_eq!(taken.len(), shard.len(samples), "{samples} over {world}");
                taken
            })
            .collect()
    }

    /// `list(DistributedSampler(range(n), world, rank, shuffle=False))` for each rank, as torch's source computes it.
    #[test]
    fn repeated_shards_are_those_of_torch() {
        let torch: [(usize, usize, &[&[usize]]); 8] = [
            (8, 2, &[&[0, 2, 4, 6], &[1, 3, 5, 7]]),
            (7, 2, &[&[0, 2, 4, 6], &[1, 3, 5, 0]]),
            (10, 3, &[&[0, 3, 6, 9], &[1, 4, 7, 0], &[2, 5, 8, 1]]),
            (10, 4, &[&[0, 4, 8], &[1, 5, 9], &[2, 6, 0], &[3, 7, 1]]),
            (3, 4, &[&[0], &[1], &[2], &[0]]),
            (1, 3, &[&[0], &[0], &[0]]),
            (2, 5, &[&[0], &[1], &[0], &[1], &[0]]),
            (5, 1, &[&[0, 1, 2, 3, 4]]),
        ];
        for (samples, world, expected) in torch {
            assert_eq!(indices(samples, world, Remainder::Repeat), expected, "{samples} over {world}");
        }
    }

    #[test]
    fn left_shards_hold_every_sample_once() {
        assert_eq!(indices(7, 3, Remainder::Leave), [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        assert_eq!(indices(2, 4, Remainder::Leave), [vec![0], vec![1], vec![], vec![]]);
        for (samples, world) in [(1, 1), (9, 2), (12, 4), (13, 4), (15, 4)] {
            let mut all: Vec<usize> = indices(samples, world, Remainder::Leave).concat();
            all.sort_unstable();
            assert_eq!(all, (0..samples).collect::<Vec<_>>(), "{samples} over {world}");
        }
    }
}

//! Chance in a forward pass: what layers draw by that behave at random while training.

use std::sync::{Arc, Mutex, PoisonError};

use crate::rng::{GOLDEN, SplitMix64, mix};

/// Sets the draws of the layers apart from those of the augmentations, which have keys of the same kind.
const LAYERS: u64 = 0x6c61_7965_7273;

/// One forward pass of a training, as far as chance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingPass {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Batch of the epoch, from 0.
    pub batch: u32,
    /// Which of the processes that train the model.
    pub rank: u32,
}

impl TrainingPass {
    /// A number that no other pass has, for whatever draws at random in it.
    pub(crate) fn key(self) -> u64 {
        let Self { seed, epoch, batch, rank } = self;
        let place = [LAYERS, seed, epoch.into(), batch.into(), rank.into()];
        place.into_iter().fold(0, |key: u64, part| mix(key.wrapping_add(GOLDEN) ^ mix(part)))
    }
}

/// What all layers of a model draw from, one after another, in the order in which they compute.
///
/// Where a pass is [begun](Noise::begin), its draws follow from its place in the training alone: a training that goes on
/// from a checkpoint draws what it would have drawn, and nothing of this has to be kept. Where none ever is, the stream
/// of the initial weights' seed runs on. Clones, those that `Module::valid` makes included, share one stream.
#[derive(Debug, Clone)]
pub struct Noise(Arc<Mutex<SplitMix64>>);

impl Noise {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SplitMix64::keyed(seed, LAYERS))))
    }

    /// Goes to the beginning of a pass.
    pub fn begin(&self, pass: TrainingPass) {
        let key = pass.key();
        self.with(|stream| *stream = SplitMix64::new(key));
    }

    /// A key of its own for one layer of one pass.
    pub fn draw(&self) -> u64 {
        self.with(SplitMix64::next_u64)
    }

    /// For each of `count` what it is scaled by: 0 with probability `rate`, else 1 / (1 - `rate`).
    pub fn kept(&self, count: usize, rate: f64) -> Vec<f32> {
        let mut stream = SplitMix64::new(self.draw());
        let scale = (1.0 / (1.0 - rate)) as f32;
        (0..count).map(|_| if stream.unit() < rate { 0.0 } else { scale }).collect()
    }

    /// A layer that panicked has left the stream whole.
    fn with<T>(&self, change: impl FnOnce(&mut SplitMix64) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PASS: TrainingPass = TrainingPass { seed: 42, epoch: 3, batch: 17, rank: 0 };

    fn draws(noise: &Noise, pass: TrainingPass) -> Vec<u64> {
        noise.begin(pass);
        (0..3).map(|_| noise.draw()).collect()
    }

    #[test]
    fn a_pass_draws_the_same_whatever_came_before() {
        let (one, other) = (Noise::new(1), Noise::new(2));
        let first = draws(&one, PASS);
        one.draw();
        assert_eq!(draws(&one, PASS), first);
        assert_eq!(draws(&other, PASS), first);
        assert_eq!(draws(&other.clone(), PASS), first);
    }

    #[test]
    fn every_pass_and_every_draw_of_it_differs() {
        let noise = Noise::new(1);
        let mut seen = HashSet::new();
        for at in 0..20 {
            for pass in [
                TrainingPass { seed: 100 + at, ..PASS },
                TrainingPass { epoch: 100 + at as u32, ..PASS },
                TrainingPass { batch: 100 + at as u32, ..PASS },
                TrainingPass { rank: 100 + at as u32, ..PASS },
            ] {
                assert!(draws(&noise, pass).into_iter().all(|draw| seen.insert(draw)), "{pass:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_scaled_so_that_the_mean_stays() {
        let kept = Noise::new(9).kept(40_000, 0.2);
        assert!(kept.iter().all(|scale| [0.0, 1.25].contains(scale)));
        let mean = kept.iter().sum::<f32>() / kept.len() as f32;
        // The standard deviation of the mean is 0.0025.
        assert!((mean - 1.0).abs() < 0.0125, "{mean}");
    }

    #[test]
    fn the_draws_of_a_pass_never_change() {
        // SplitMix64, seeded by mixing the parts of the place in turn, computed elsewhere.
        assert_eq!(
            draws(&Noise::new(0), PASS),
            [17_320_406_834_822_648_751, 3_449_671_592_142_331_433, 5_788_522_001_979_553_384]
        );
    }
}

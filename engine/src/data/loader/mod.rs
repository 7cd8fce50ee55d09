//! Batches, decoded and augmented on threads of their own, ahead of whoever trains on them.
//!
//! The threads are the loader's and outlive an epoch. One epoch is one [`EpochIter`]: the threads take its batches' numbers
//! from a bounded queue and hand batches back through another; the iterator puts them in order. No more than
//! [`LoaderConfig::ahead`] batches exist that were not yet taken.
//!
//! A sample's bytes are touched as rarely as can be: decoded by the codec, then turned, selected and converted on their way to
//! their place in the batch, then changed there.

mod crew;
mod epoch;

use std::sync::{Arc, OnceLock};

pub use epoch::EpochIter;

use super::error::DataError;
use super::folder::{DataFolder, Sample};
use crate::augment::{self, Pipeline, Symmetry};
use crate::training::parallel::{Shard, rows_of_epoch};
use crew::Crew;
use epoch::Plan;

/// How samples become batches.
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// Samples a batch.
    pub batch_size: usize,
    /// Seed of the order of samples, another one each epoch; `None` keeps the order of the rows.
    pub shuffle: Option<u64>,
    /// Whether a last batch with fewer samples is left out.
    pub drop_last: bool,
    /// Threads that decode; 0 is read as 1.
    pub workers: usize,
    /// Whether a decoded sample is kept for the next epoch.
    pub in_memory: bool,
    /// What to do to each sample after decoding.
    pub augment: Option<Arc<Pipeline>>,
    /// Seed of the augmentations.
    pub augment_seed: u64,
    /// Batches prepared before they are asked for; at least one a thread.
    pub ahead: usize,
    /// This process's share of the samples, taken after they are shuffled; `None` = all of them.
    pub shard: Option<Shard>,
}

/// Some samples, one after another.
///
/// # Shapes
/// - `x`: `[n, c, h, w]`
/// - `y`, `target`: `[n, h, w]`
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Values.
    pub x: Vec<f32>,
    /// Labels: 0 negative, 1 positive, 2 ignored.
    pub y: Vec<u8>,
    /// The same labels as a tensor of integers takes them: widened here, ahead of training.
    pub target: Vec<i64>,
    /// Rows of the samples in the folder.
    pub rows: Vec<usize>,
    /// Samples.
    pub n: usize,
    /// Bands.
    pub c: usize,
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
}

/// Loads the same rows epoch after epoch.
#[derive(Debug)]
pub struct Loader {
    source: Arc<Source>,
    rows: Vec<usize>,
    config: LoaderConfig,
    /// Started with the first epoch.
    crew: OnceLock<Arc<Crew>>,
}

/// What the threads share.
#[derive(Debug)]
struct Source {
    folder: Arc<DataFolder>,
    /// Decoded samples by row, if they are kept.
    kept: Option<Vec<OnceLock<Sample>>>,
    augment: Option<Arc<Pipeline>>,
    augment_seed: u64,
}

impl Loader {
    /// A loader of the given rows of a folder, in the given order if they are not shuffled.
    ///
    /// # Errors
    /// No rows, a row that is not there, a batch size of 0, no whole batch where the last is dropped, or
    /// augmentations that do not fit the samples' size.
    pub fn new(folder: Arc<DataFolder>, rows: Vec<usize>, config: LoaderConfig) -> Result<Self, DataError> {
        let path = || folder.path().to_path_buf();
        if rows.is_empty() {
            return Err(DataError::NothingToLoad { path: path() });
        }
        if let Some(row) = rows.iter().find(|row| **row >= folder.len()) {
            return Err(DataError::RowOutOfRange { row: *row, samples: folder.len(), path: path() });
        }
        if config.batch_size == 0 {
            return Err(DataError::BatchOfNone { path: path() });
        }
        let samples = config.shard.map_or(rows.len(), |shard| shard.len(rows.len()));
        if config.drop_last && config.batch_size > samples {
            let batch_size = config.batch_size;
            return Err(DataError::BatchLargerThanSet { batch_size, samples, path: path() });
        }
        let (_, height, width) = folder.shape();
        if let Some(pipeline) = &config.augment {
            pipeline
                .check_size(height, width)
                .map_err(|source| DataError::Augment { path: path(), source })?;
        }
        let kept =
            config.in_memory.then(|| std::iter::repeat_with(OnceLock::new).take(folder.len()).collect());
        let augment = config.augment.clone();
        let source = Arc::new(Source { folder, kept, augment, augment_seed: config.augment_seed });
        Ok(Self { source, rows, config, crew: OnceLock::new() })
    }

    /// Batches of one epoch. None where this process has no share of the samples.
    pub fn batches_per_epoch(&self) -> usize {
        if self.config.drop_last {
            self.samples() / self.config.batch_size
        } else {
            self.samples().div_ceil(self.config.batch_size)
        }
    }

    /// Samples of one epoch, those of a dropped last batch left out.
    pub fn samples_per_epoch(&self) -> usize {
        self.samples().min(self.batches_per_epoch() * self.config.batch_size)
    }

    /// Samples of this process.
    fn samples(&self) -> usize {
        self.config.shard.map_or(self.rows.len(), |shard| shard.len(self.rows.len()))
    }

    /// Starts loading an epoch. What is drawn at random depends on the seeds, the epoch and the row alone.
    ///
    /// Loading goes on while the iterator is not asked. Dropped, it has no more loaded; its threads end with the loader and
    /// all of its iterators.
    pub fn epoch(&self, epoch: u32) -> EpochIter {
        let rows = rows_of_epoch(&self.rows, self.config.shuffle, self.config.shard, epoch);
        let batches = self.batches_per_epoch();
        let workers = self.config.workers.clamp(1, batches.max(1));
        let ahead = self.config.ahead.clamp(workers, batches.max(workers));
        let crew = self.crew.get_or_init(|| Arc::new(Crew::start(workers, ahead)));
        let source = Arc::clone(&self.source);
        EpochIter::begin(
            Arc::clone(crew),
            Plan::new(source, rows, self.config.batch_size, epoch),
            batches,
            ahead,
        )
    }
}

impl Source {
    /// Appends one sample as it goes into a batch.
    fn append(&self, row: usize, epoch: u32, x: &mut Vec<f32>, y: &mut Vec<u8>) -> Result<(), DataError> {
        let Some(pipeline) = &self.augment else {
            return self.append_moved(row, Symmetry::IDENTITY, x, y);
        };
        let begun = pipeline.begin(augment::key(self.augment_seed, u64::from(epoch), row as u64));
        let (first_x, first_y) = (x.len(), y.len());
        self.append_moved(row, begun.first, x, y)?;
        let (_, height, width) = self.folder.shape();
        begun.go_on(&mut x[first_x..], &mut y[first_y..], height, width);
        Ok(())
    }

    /// Appends one sample, decoded now or kept, moved by a symmetry.
    fn append_moved(
        &self,
        row: usize,
        symmetry: Symmetry,
        x: &mut Vec<f32>,
        y: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let Some(slot) = self.kept.as_ref().map(|kept| &kept[row]) else {
            return self.folder.append(row, symmetry, x, y);
        };
        let sample = match slot.get() {
            Some(sample) => sample,
            None => {
                let sample = self.folder.read(row)?;
                slot.get_or_init(|| sample)
            }
        };
        let (_, height, width) = self.folder.shape();
        for plane in sample.x.chunks_exact(height * width) {
            symmetry.append(plane, height, width, x, |value| value);
        }
        symmetry.append(&sample.y, height, width, y, |label| label);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::synth::{SynthConfig, synthesise};
    use super::*;

    #[test]
    fn a_panic_of_a_thread_is_an_error_of_the_epoch() {
        let directory = tempfile::TempDir::new().unwrap();
        let dir = directory.path().join("data");
        synthesise(&SynthConfig { samples: 6, patch_size: 16, regions: 2, ..SynthConfig::new(&dir) })
            .unwrap();
        let folder = Arc::new(DataFolder::open(&dir, None).unwrap());
        let config = LoaderConfig {
            batch_size: 2,
            shuffle: None,
            drop_last: true,
            workers: 2,
            in_memory: false,
            augment: None,
            augment_seed: 0,
            ahead: 2,
            shard: None,
        };
        let mut loader = Loader::new(Arc::clone(&folder), (0..6).collect(), config).unwrap();
        // Room for three samples: the second batch indexes beyond it.
        let kept = Some(std::iter::repeat_with(OnceLock::new).take(3).collect());
        loader.source = Arc::new(Source { folder, kept, augment: None, augment_seed: 0 });
        let results: Vec<_> = loader.epoch(0).collect();
        assert!(matches!(&results[0], Ok(batch) if batch.rows == [0, 1]));
        let [_, Err(DataError::WorkerPanicked { message, path })] = &results[..] else {
            panic!("expected a batch and an error: {results:?}");
        };
        assert!(message.contains("index out of bounds") && *path == dir, "{message}");
    }
}

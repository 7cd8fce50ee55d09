//! Batches, decoded and augmented on threads of their own, ahead of whoever trains on them.
//!
//! One epoch is one [`EpochIter`]. Its threads take batch numbers from a bounded queue and hand batches back through
//! another; the iterator puts them in order. No more than [`LoaderConfig::ahead`] batches exist that were not yet taken.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::error::DataError;
use super::folder::{DataFolder, Sample};
use super::shard::Shard;
use crate::augment::{self, Pipeline};
use crate::rng::SplitMix64;

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
/// - `y`: `[n, h, w]`
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Values.
    pub x: Vec<f32>,
    /// Labels: 0 negative, 1 positive, 2 ignored.
    pub y: Vec<u8>,
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
        Ok(Self { source, rows, config })
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
    /// Loading goes on while the iterator is not asked; dropping it ends the threads.
    pub fn epoch(&self, epoch: u32) -> EpochIter {
        let mut rows = self.rows.clone();
        if let Some(seed) = self.config.shuffle {
            SplitMix64::keyed(seed, u64::from(epoch)).shuffle(&mut rows);
        }
        if let Some(shard) = self.config.shard {
            rows = shard.of(&rows);
        }
        let batches = self.batches_per_epoch();
        let workers = self.config.workers.clamp(1, batches.max(1));
        let ahead = self.config.ahead.clamp(workers, batches.max(workers));
        let (order, orders) = bounded(ahead);
        let (done, results) = bounded(ahead);
        let plan = Arc::new(Plan {
            source: Arc::clone(&self.source),
            rows,
            batch_size: self.config.batch_size,
            epoch,
            stop: AtomicBool::new(false),
        });
        let mut iter = EpochIter {
            order: Some(order),
            results,
            threads: Vec::with_capacity(workers),
            plan: Arc::clone(&plan),
            early: BTreeMap::new(),
            ordered: 0,
            next: 0,
            batches,
        };
        for number in 0..workers {
            let (plan, orders, done) = (Arc::clone(&plan), orders.clone(), done.clone());
            let thread = std::thread::Builder::new().name(format!("loader-{number}"));
            match thread.spawn(move || plan.work(&orders, &done)) {
                Ok(handle) => iter.threads.push(handle),
                // One thread is enough to go on; none is an error at the first batch.
                Err(source) if iter.threads.is_empty() => {
                    let path = self.source.folder.path().to_path_buf();
                    let error = DataError::Io { action: "start a loading thread", path, source };
                    iter.early.insert(0, Err(error));
                }
                Err(source) => tracing::warn!(%source, number, "loading with fewer threads than asked for"),
            }
            if iter.threads.is_empty() {
                break;
            }
        }
        for _ in 0..ahead {
            iter.order_next();
        }
        iter
    }
}

impl Source {
    /// One sample as it goes into a batch.
    fn sample(&self, row: usize, epoch: u32) -> Result<Sample, DataError> {
        let mut sample = match self.kept.as_ref().map(|kept| &kept[row]) {
            None => self.folder.read(row)?,
            Some(slot) => match slot.get() {
                Some(sample) => sample.clone(),
                None => {
                    let sample = self.folder.read(row)?;
                    slot.get_or_init(|| sample).clone()
                }
            },
        };
        if let Some(pipeline) = &self.augment {
            let key = augment::key(self.augment_seed, u64::from(epoch), row as u64);
            pipeline
                .apply(&mut sample.x, &mut sample.y, self.folder.shape(), key)
                .map_err(|source| DataError::Augment { path: self.folder.path().to_path_buf(), source })?;
        }
        Ok(sample)
    }
}

/// One epoch's work.
#[derive(Debug)]
struct Plan {
    source: Arc<Source>,
    rows: Vec<usize>,
    batch_size: usize,
    epoch: u32,
    stop: AtomicBool,
}

/// A batch's number, and the batch, or `None` if the epoch was dropped meanwhile.
type Done = (usize, Result<Option<Batch>, DataError>);

impl Plan {
    /// A thread's life: until no more batches are ordered.
    fn work(&self, orders: &Receiver<usize>, done: &Sender<Done>) {
        for number in orders {
            let result = catch_unwind(AssertUnwindSafe(|| self.batch(number))).unwrap_or_else(|panic| {
                let path = self.source.folder.path().to_path_buf();
                Err(DataError::WorkerPanicked { message: panic_message(panic.as_ref()), path })
            });
            if done.send((number, result)).is_err() {
                return; // the epoch was dropped
            }
        }
    }

    fn batch(&self, number: usize) -> Result<Option<Batch>, DataError> {
        let first = number * self.batch_size;
        let rows = &self.rows[first..self.rows.len().min(first + self.batch_size)];
        let (c, h, w) = self.source.folder.shape();
        let mut x = Vec::with_capacity(rows.len() * c * h * w);
        let mut y = Vec::with_capacity(rows.len() * h * w);
        for &row in rows {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let sample = self.source.sample(row, self.epoch)?;
            x.extend_from_slice(&sample.x);
            y.extend_from_slice(&sample.y);
        }
        Ok(Some(Batch { x, y, rows: rows.to_vec(), n: rows.len(), c, h, w }))
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The batches of one epoch, in order.
///
/// After an error there are no more. Dropping it waits for its threads, each at most for the sample it is at.
#[derive(Debug)]
pub struct EpochIter {
    /// `None` once no more batches are wanted.
    order: Option<Sender<usize>>,
    results: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    plan: Arc<Plan>,
    /// Results that came before their turn.
    early: BTreeMap<usize, Result<Option<Batch>, DataError>>,
    /// Batches ordered so far.
    ordered: usize,
    /// Number of the batch that is next.
    next: usize,
    batches: usize,
}

impl EpochIter {
    /// Orders the next batch. Never waits: there are no more orders underway than the queue holds.
    fn order_next(&mut self) {
        if self.ordered < self.batches
            && let Some(order) = &self.order
            && order.try_send(self.ordered).is_ok()
        {
            self.ordered += 1;
        }
    }

    fn finish(&mut self) {
        self.next = self.batches;
        self.order = None;
        self.plan.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic of a batch was caught and reported with the batch.
            if thread.join().is_err() {
                tracing::error!("a loading thread ended in a panic outside a batch");
            }
        }
    }
}

impl Iterator for EpochIter {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches {
            return None;
        }
        let result = loop {
            if let Some(result) = self.early.remove(&self.next) {
                break result;
            }
            match self.results.recv() {
                Ok((number, result)) => {
                    self.early.insert(number, result);
                }
                Err(_) => {
                    let path = self.plan.source.folder.path().to_path_buf();
                    break Err(DataError::WorkerPanicked { message: "all threads ended early".into(), path });
                }
            }
        };
        match result {
            Ok(Some(batch)) => {
                self.next += 1;
                self.order_next();
                if self.next == self.batches {
                    self.finish();
                }
                Some(Ok(batch))
            }
            Ok(None) => {
                self.finish();
                None
            }
            Err(error) => {
                self.finish();
                Some(Err(error))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error ends the epoch early.
        (0, Some(self.batches - self.next))
    }
}

impl Drop for EpochIter {
    fn drop(&mut self) {
        self.finish();
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

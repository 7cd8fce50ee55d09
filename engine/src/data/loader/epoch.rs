//! One epoch: what its batches are, and their order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::crew::{Crew, Task};
use super::{Batch, Source};
use crate::data::error::DataError;

/// A batch's number, and the batch, or `None` if the epoch was dropped meanwhile.
pub(super) type Done = (usize, Result<Option<Batch>, DataError>);

/// One epoch's work.
#[derive(Debug)]
pub(super) struct Plan {
    source: Arc<Source>,
    rows: Vec<usize>,
    batch_size: usize,
    epoch: u32,
    stop: AtomicBool,
}

impl Plan {
    pub(super) fn new(source: Arc<Source>, rows: Vec<usize>, batch_size: usize, epoch: u32) -> Self {
        Self { source, rows, batch_size, epoch, stop: AtomicBool::new(false) }
    }

    /// A batch, its panic caught.
    pub(super) fn batch(&self, number: usize) -> Result<Option<Batch>, DataError> {
        catch_unwind(AssertUnwindSafe(|| self.load(number))).unwrap_or_else(|panic| {
            let path = self.source.folder.path().to_path_buf();
            Err(DataError::WorkerPanicked { message: panic_message(panic.as_ref()), path })
        })
    }

    fn load(&self, number: usize) -> Result<Option<Batch>, DataError> {
        let first = number * self.batch_size;
        let rows = &self.rows[first..self.rows.len().min(first + self.batch_size)];
        let (c, h, w) = self.source.folder.shape();
        let mut x = Vec::with_capacity(rows.len() * c * h * w);
        let mut y = Vec::with_capacity(rows.len() * h * w);
        for &row in rows {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.source.append(row, self.epoch, &mut x, &mut y)?;
        }
        let target = y.iter().copied().map(i64::from).collect();
        Ok(Some(Batch { x, y, target, rows: rows.to_vec(), n: rows.len(), c, h, w }))
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The batches of one epoch, in order.
///
/// After an error there are no more. Dropping it waits for nothing; what its threads are at ends with the sample.
#[derive(Debug)]
pub struct EpochIter {
    crew: Arc<Crew>,
    plan: Arc<Plan>,
    done: Sender<Done>,
    results: Receiver<Done>,
    /// Results that came before their turn.
    early: BTreeMap<usize, Result<Option<Batch>, DataError>>,
    /// Batches ordered so far.
    ordered: usize,
    /// Number of the batch that is next.
    next: usize,
    batches: usize,
    waited: Duration,
}

impl EpochIter {
    /// Orders the first batches: `ahead` of them are under way or wait to be taken from now on.
    pub(super) fn begin(crew: Arc<Crew>, plan: Plan, batches: usize, ahead: usize) -> Self {
        let (done, results) = bounded(ahead);
        let plan = Arc::new(plan);
        let (early, waited) = (BTreeMap::new(), Duration::ZERO);
        let mut iter = Self { crew, plan, done, results, early, ordered: 0, next: 0, batches, waited };
        for _ in 0..ahead {
            iter.order_next();
        }
        iter
    }

    /// How long whoever asked for batches has waited for one to be ready.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Orders the next batch, if there is one.
    fn order_next(&mut self) {
        if self.ordered < self.batches {
            let (plan, done) = (Arc::clone(&self.plan), self.done.clone());
            self.crew.ask(Task { plan, number: self.ordered, done });
            self.ordered += 1;
        }
    }

    /// The next result that comes in. There is one under way, as the batch that is next was ordered.
    fn receive(&mut self) -> Option<Done> {
        if let Ok(done) = self.results.try_recv() {
            return Some(done);
        }
        let asked = Instant::now();
        let done = self.results.recv().ok();
        self.waited += asked.elapsed();
        done
    }

    fn finish(&mut self) {
        if self.next < self.batches {
            self.next = self.batches;
            self.ordered = self.batches;
        }
        self.plan.stop.store(true, Ordering::Relaxed);
        let (epoch, batches) = (self.plan.epoch, self.batches);
        let waited_micros = self.waited.as_micros();
        tracing::debug!(epoch, batches, waited_micros, "batches were waited for");
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
            let (number, result) = self.receive()?;
            self.early.insert(number, result);
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
        if self.next < self.batches {
            self.finish();
        }
    }
}

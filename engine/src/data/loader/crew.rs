//! The threads of a loader.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, SendError, Sender, bounded};

use super::epoch::{Done, Plan};

/// Freed at once and never touched, so it costs nothing.
const LARGEST_FREED_BYTES: usize = 24 << 20;

/// Lets the allocator keep the memory of a batch for the next one.
///
/// glibc gives freed memory back to the system beyond twice the largest block it has seen freed. Without a large block first, half
/// the time of handing over decoded samples goes into pages taken anew for each batch. A network's own tensors are as
/// large; no more than that is kept. Elsewhere this does nothing.
///
/// # Sources
/// glibc, mallopt(3), `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`, the dynamic thresholds.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGEST_FREED_BYTES)));
}

/// One batch to load.
pub(super) struct Task {
    pub(super) plan: Arc<Plan>,
    pub(super) number: usize,
    /// Holds as many results as its epoch has tasks under way: a thread never waits here.
    pub(super) done: Sender<Done>,
}

impl Task {
    fn perform(self) {
        let result = self.plan.batch(self.number);
        // Of an epoch that was dropped nobody takes results.
        let _: Result<(), _> = self.done.send((self.number, result));
    }
}

/// Threads that load batches, of one epoch after another. Dropped, it waits for them, each at most for the sample it is at
/// where all epochs were dropped before.
#[derive(Debug)]
pub(super) struct Crew {
    /// `None` once no more batches are wanted.
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts the threads, or as many as the system allows. `bound` tasks may wait for them.
    pub(super) fn start(threads: usize, bound: usize) -> Self {
        keep_freed_memory();
        let (tasks, waiting) = bounded(bound);
        let mut crew = Self { tasks: Some(tasks), threads: Vec::with_capacity(threads) };
        for number in 0..threads {
            let waiting: Receiver<Task> = waiting.clone();
            let thread = std::thread::Builder::new().name(format!("loader-{number}"));
            match thread.spawn(move || waiting.iter().for_each(Task::perform)) {
                Ok(handle) => crew.threads.push(handle),
                Err(source) => {
                    let started = crew.threads.len();
                    tracing::warn!(%source, started, "loading with fewer threads than asked for");
                    break;
                }
            }
        }
        crew
    }

    /// Has a batch loaded: by a thread, or here and now where there is none. Waits only for threads that take other tasks.
    pub(super) fn ask(&self, task: Task) {
        match &self.tasks {
            Some(tasks) if !self.threads.is_empty() => {
                if let Err(SendError(task)) = tasks.send(task) {
                    task.perform();
                }
            }
            _ => task.perform(),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // A panic of a batch was caught and reported with the batch.
            if thread.join().is_err() {
                tracing::error!("a loading thread ended in a panic outside a batch");
            }
        }
    }
}

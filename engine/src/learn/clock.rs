//! Time and throughput of a training.

use std::time::{Duration, Instant};

use engine_tracking::Metrics;

/// Time and throughput, which are logged but decide nothing.
pub(super) struct Clock {
    started: Instant,
    before: Duration,
    window: Instant,
    batches: u64,
    samples: u64,
}

impl Clock {
    /// Goes on after `before`, the time trained in earlier attempts.
    pub(super) fn start(before: Duration) -> Self {
        let now = Instant::now();
        Self { started: now, before, window: now, batches: 0, samples: 0 }
    }

    /// Time trained, earlier attempts included.
    pub(super) fn elapsed(&self) -> Duration {
        self.before + self.started.elapsed()
    }

    /// Begins a new window: what came before (a validation, a checkpoint) is no training.
    pub(super) fn reopen(&mut self) {
        (self.window, self.batches, self.samples) = (Instant::now(), 0, 0);
    }

    /// Counts one batch.
    pub(super) fn count(&mut self, samples: usize) {
        self.batches += 1;
        self.samples += samples as u64;
    }

    /// Time and throughput of the window, which then begins anew; empty if it holds no batch.
    pub(super) fn log(&mut self) -> Metrics {
        if self.batches == 0 {
            return Metrics::new();
        }
        let seconds = self.window.elapsed().as_secs_f64().max(f64::EPSILON);
        let metrics = [
            ("train/device/samples_per_second", self.samples as f64 / seconds),
            ("train/device/batches_per_second", self.batches as f64 / seconds),
            ("train/time", self.elapsed().as_secs_f64()),
        ];
        self.reopen();
        metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

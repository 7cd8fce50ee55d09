//! Times of many repetitions, and how they are shown: quantiles, and ratios to a floor measured in the same run.

use std::fmt;
use std::time::{Duration, Instant};

/// Times of the repetitions of one thing.
#[derive(Debug, Clone)]
pub struct Times {
    sorted: Vec<Duration>,
    wall: Duration,
}

impl Times {
    /// Times `repetitions` calls one by one, after a tenth as many that are not counted.
    pub fn of(repetitions: usize, mut call: impl FnMut()) -> Self {
        for _ in 0..repetitions / 10 {
            call();
        }
        let times = (0..repetitions).map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        });
        Self::new(times.collect())
    }

    /// Times of calls that were made one after another; at least one.
    pub fn new(times: Vec<Duration>) -> Self {
        let wall = times.iter().sum();
        Self::side_by_side(times, wall)
    }

    /// Times of calls that overlapped, and the time all of them took together.
    pub fn side_by_side(mut times: Vec<Duration>, wall: Duration) -> Self {
        times.sort_unstable();
        Self { sorted: times, wall }
    }

    /// The time that a share of `quantile` (0 to 1) of the repetitions stayed within.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        // A count of repetitions is far below 2^52.
        let at = (quantile.clamp(0.0, 1.0) * last as f64).round() as usize;
        self.sorted.get(at).copied().unwrap_or_default()
    }

    /// The middle one.
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Repetitions a second.
    pub fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.wall.as_secs_f64().max(f64::EPSILON)
    }

    /// How many of `floor` are done in the time of one of these.
    pub fn ratio(&self, floor: &Self) -> f64 {
        floor.per_second() / self.per_second()
    }
}

/// One line of a report: what, how long, beside what.
pub struct Line<'a> {
    /// What was measured.
    pub what: &'a str,
    /// Its times.
    pub times: &'a Times,
    /// What it is compared with; nothing for the floor itself.
    pub floor: Option<&'a Times>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, times, floor } = self;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{what:<44} {:>12.4} ms  p99 {:>12.4} ms  {:>12.0}/s",
            ms(times.median()),
            ms(times.quantile(0.99)),
            times.per_second()
        )?;
        match floor {
            Some(floor) => write!(f, "  {:>8.2} x", times.ratio(floor)),
            None => write!(f, "   (floor)"),
        }
    }
}

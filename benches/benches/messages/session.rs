//! What a run of the harness keeps: its report, and how a thing is measured beside its floor.

use std::time::{Duration, Instant};

use engine_benches::budgets::{Figure, Report};
use engine_benches::counting::Taken;

/// Pairs of a floor and what stands beside it.
pub const PAIRS: usize = 7;

/// Measures, and says what it measured.
pub struct Session {
    report: Report,
    /// Time a run took in the shortest tune that was measured, to see whether it grows.
    pub per_run: Option<f64>,
}

impl Session {
    pub fn new(report: Report) -> Self {
        Self { report, per_run: None }
    }

    pub fn complaints(&self, ran: &[&str]) -> Vec<String> {
        self.report.complaints(ran)
    }

    pub fn note(&mut self, id: &str, measure: &'static str, value: f64) {
        self.add(Figure { id: id.to_owned(), measure, value, spread: None });
    }

    pub fn middle(&mut self, id: &str, measure: &'static str, values: Vec<f64>) -> f64 {
        let figure = middle(id, measure, values);
        let value = figure.value;
        self.add(figure);
        value
    }

    fn add(&mut self, figure: Figure) {
        println!("{}", self.report.add(figure));
    }

    /// What so many messages took from the heap, for each.
    pub fn taken(&mut self, id: &str, Taken { requests, bytes }: Taken, messages: usize) {
        self.note(id, "allocations", requests as f64 / messages as f64);
        self.note(id, "bytes", bytes as f64 / messages as f64);
    }

    /// Measures blocks of the floor and of the thing by turns; each tells the time of one message. One block of each is not
    /// counted.
    pub fn beside(
        &mut self,
        id: &str,
        mut floor: impl FnMut() -> Duration,
        mut thing: impl FnMut() -> Duration,
    ) {
        floor();
        thing();
        let pairs: Vec<(Duration, Duration)> = (0..PAIRS).map(|_| (floor(), thing())).collect();
        let ratio =
            |(floor, thing): &(Duration, Duration)| thing.as_secs_f64() / floor.as_secs_f64().max(1e-12);
        self.middle(id, "microseconds", pairs.iter().map(|pair| pair.1.as_secs_f64() * 1e6).collect());
        self.middle(id, "times_floor", pairs.iter().map(ratio).collect());
    }

    /// A floor, which is compared with nothing.
    pub fn alone(&mut self, id: &str, mut floor: impl FnMut() -> Duration) {
        floor();
        self.middle(id, "microseconds", (0..PAIRS).map(|_| floor().as_secs_f64() * 1e6).collect());
    }
}

/// The middle one of several, with the lowest and the highest.
fn middle(id: &str, measure: &'static str, mut values: Vec<f64>) -> Figure {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let spread = Some((at(0), at(values.len().saturating_sub(1))));
    Figure { id: id.to_owned(), measure, value: at(values.len() / 2), spread }
}

/// Time of one of so many.
pub fn each(count: usize, block: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    block();
    begun.elapsed() / u32::try_from(count).unwrap()
}

//! When a table that a later one replaces is worth writing.

use std::time::{Duration, Instant};

/// A table that was written is written again once so many times the time this took are over: at most a twentieth of the time
/// goes into tables that a later one replaces, however fast runs end, and a table never lags behind by more.
const PAUSE: u32 = 20;

/// The pace of a table, or of all tables of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pace {
    not_before: Option<Instant>,
}

impl Pace {
    /// The moment from which on the table may be written: none if it may at any.
    pub(super) fn due_at(self) -> Option<Instant> {
        self.not_before
    }

    /// Whether the table may be written now.
    pub(super) fn is_due(self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// It was written, or could not be, from `begun` on and until `now`.
    pub(super) fn wrote(&mut self, begun: Instant, now: Instant) {
        let took: Duration = now.saturating_duration_since(begun);
        self.not_before = Some(now + took.saturating_mul(PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_comes_again_after_long() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        assert!(pace.is_due(begun) && pace.due_at().is_none(), "the first is written at once");
        let now = begun + Duration::from_millis(5);
        pace.wrote(begun, now);
        let due = now + Duration::from_millis(100);
        assert_eq!(pace.due_at(), Some(due));
        assert!(pace.is_due(due) && !pace.is_due(due - Duration::from_nanos(1)));
    }
}

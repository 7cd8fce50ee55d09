//! Which answers are tried again, and when. No clock, no randomness.
//!
//! # Sources
//! The retry table of the official client 0.31.0.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use crate::wandb::settings::Pace;

/// Longest time a server can ask us to wait: what is longer is a mistake of a clock or a proxy.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Shortest time before the same is sent again, whatever the server says: `Retry-After: 0` is no leave to spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Kinds of requests, which differ in what is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// GraphQL.
    Query,
    /// GraphQL that creates or updates a run.
    Upsert,
    /// `file_stream`.
    Stream,
    /// A file to a signed address.
    Transfer,
}

impl Kind {
    /// The kind of a GraphQL operation.
    pub(super) fn of(operation: &str) -> Self {
        if operation == "UpsertBucket" { Self::Upsert } else { Self::Query }
    }

    /// Attempts after the first one. About 20 minutes; of rows about 7 days.
    pub(super) fn retries(self) -> u32 {
        match self {
            Self::Query | Self::Upsert | Self::Transfer => 20,
            Self::Stream => 10_085,
        }
    }

    /// Whether a status other than 2xx is tried again.
    pub(super) fn retries_status(self, status: u16) -> bool {
        let final_ones: &[u16] = match self {
            Self::Query | Self::Stream => &[400, 401, 403, 404, 409, 410, 413, 422, 501],
            Self::Upsert => &[400, 401, 403, 404, 410, 413, 422, 501],
            Self::Transfer => return status == 429 || (status >= 500 && status != 501),
        };
        status >= 400 && !final_ones.contains(&status)
    }
}

/// Pause before attempt `failed + 1` where `failed` attempts failed before this one; `jitter` in 0..0.25.
pub(super) fn wait(pace: &Pace, failed: u32, jitter: f64) -> Duration {
    // 2^32 s is beyond any longest wait; keeps the product finite.
    let seconds = pace.first_wait.as_secs_f64() * 2f64.powi(failed.min(32).cast_signed()) * (1.0 + jitter);
    Duration::try_from_secs_f64(seconds).unwrap_or(pace.longest_wait).min(pace.longest_wait)
}

/// What `Retry-After` asks for: seconds or an HTTP date.
pub(super) fn retry_after(pace: &Pace, value: &str, now: SystemTime) -> Option<Duration> {
    let asked = seconds(value).or_else(|| {
        let date = DateTime::parse_from_rfc2822(value.trim()).ok()?;
        Some((date.to_utc() - DateTime::<Utc>::from(now)).to_std().unwrap_or(Duration::ZERO))
    })?;
    Some(asked.clamp(SHORTEST_WAIT.min(pace.first_wait), LONGEST_ASKED))
}

/// Seconds of a header; `None` if it holds none.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    let seconds: f64 = value.trim().parse().ok()?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_ASKED).min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_first_to_the_longest() {
        let pace = Pace::default();
        let waits: Vec<u64> = [0, 1, 2, 3, 4, 5, 6, 10_000].map(|n| wait(&pace, n, 0.0).as_secs()).to_vec();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(&pace, 0, 0.25), Duration::from_millis(2500));
    }

    #[test]
    fn each_kind_has_its_own_final_statuses() {
        let all: Vec<u16> = (400..600).collect();
        let finals = |kind: Kind| -> Vec<u16> {
            all.iter().copied().filter(|status| !kind.retries_status(*status)).collect()
        };
        assert_eq!(finals(Kind::Query), [400, 401, 403, 404, 409, 410, 413, 422, 501]);
        assert_eq!(finals(Kind::Stream), finals(Kind::Query));
        assert_eq!(finals(Kind::Upsert), [400, 401, 403, 404, 410, 413, 422, 501]);
        assert!(
            finals(Kind::Transfer).iter().all(|status| *status < 500 && *status != 429 || *status == 501)
        );
        assert!([429, 500, 503].iter().all(|status| Kind::Transfer.retries_status(*status)));
        assert!((200..400).all(|status| !Kind::Stream.retries_status(status)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_absurd() {
        let pace = Pace::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let after = |value: &str| retry_after(&pace, value, now);
        assert_eq!(after("3"), Some(Duration::from_secs(3)));
        assert_eq!(after(" 1.5 "), Some(Duration::from_millis(1500)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(SHORTEST_WAIT));
        assert_eq!(after("0"), Some(SHORTEST_WAIT));
        assert_eq!(after("1e300"), Some(LONGEST_ASKED));
        assert_eq!(after("-1"), None);
        assert_eq!(after("NaN"), None);
        assert_eq!(after("soon"), None);
    }
}

//! What is wrong with a server, and what a fake server gives a scenario.

use std::time::Duration;

use super::seen::Seen;

/// A server that can be told to be at fault, and asked what it was sent.
pub trait FakeServer: Sized {
    /// One on a port, any where none is given.
    fn start(port: Option<u16>, faults: &Faults) -> Self;

    /// Its address.
    fn url(&self) -> String;

    /// What it was sent so far.
    fn seen(&self) -> Seen;

    /// Somebody presses Stop for a run.
    fn press_stop(&self, run_id: &str);

    /// Ends all faults. It may forget what it was sent until then.
    fn heal(&mut self);
}

/// What is wrong with a server. Used up in this order: a wait before every answer, then cut connections, refusals and
/// rate limits, each on requests that come first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Only requests whose `METHOD /path Operation` holds this; all where it is empty. Not for the key and the wait.
    pub only: &'static str,
    /// So many requests are let through before any fault: one in the middle of a run.
    pub behind: u32,
    /// So many connections are cut.
    pub drop: u32,
    /// They are cut when the request is processed, not before.
    pub drop_after: bool,
    /// So many requests are refused.
    pub fail: u32,
    /// With this status.
    pub fail_status: u16,
    /// So many are answered with 429.
    pub rate_limit: u32,
    /// With this `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// So many requests in so many seconds, 429 to all beyond.
    pub quota: Option<(u32, f64)>,
    /// A wait before each answer.
    pub latency: Duration,
    /// 401 to any other key.
    pub require_key: Option<&'static str>,
}

/// Requests of metrics, for [`Faults::only`].
pub const STREAM: &str = "/file_stream";

/// A port that was free a moment ago: for a server that is down at first.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

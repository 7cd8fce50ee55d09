//! CPU time, as the kernel accounts for it.

use std::fs;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second: the same on every Linux there is.
const TICKS: f64 = 100.0;

/// CPU time of all threads of this process since its start, to a hundredth of a second; `None` where there is no `/proc`.
#[must_use]
pub fn of_process() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    ticks(&stat).map(|ticks| Duration::from_secs_f64(ticks / TICKS))
}

/// CPU time of the calling thread since its start, to the nanosecond; `None` where the kernel does not tell.
#[must_use]
pub fn of_thread() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// User and system time behind the name of the process, which may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(field(11)? + field(12)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_no_trouble() {
        let stat = "12 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 1200 34 0 0 20 0";
        assert_eq!(ticks(stat), Some(1234.0));
        assert_eq!(ticks("12 (a) R 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_shows_in_both_clocks() {
        let before = (of_process().unwrap(), of_thread().unwrap());
        let begun = std::time::Instant::now();
        let mut sum = 0_u64;
        while of_thread().unwrap() - before.1 < Duration::from_millis(60) {
            sum = (0..10_000).fold(sum, |sum, next| std::hint::black_box(sum ^ next));
            assert!(begun.elapsed() < Duration::from_secs(300), "{sum}");
        }
        assert!(of_process().unwrap() - before.0 >= Duration::from_millis(40));
    }
}

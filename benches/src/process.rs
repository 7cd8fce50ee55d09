//! What this process has taken so far; nothing off Linux.

/// Ticks of a second in `/proc`: `USER_HZ`, 100 on every architecture.
///
/// # Sources
/// include/asm-generic/param.h of Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// Time on a core, of all threads, those that have ended too.
///
/// # Sources
/// proc_pid_stat(5), fields 14 and 15.
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    // A count of ticks is far below 2^52.
    Some((user + system) as f64 / TICKS_PER_SEC)
}

/// Largest resident memory.
///
/// # Sources
/// proc_pid_status(5), `VmHWM`.
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn work_and_memory_are_seen() {
        let before = cpu_seconds().unwrap();
        let mut filled = vec![0_u8; 64 << 20];
        let start = std::time::Instant::now();
        while cpu_seconds().unwrap() - before < 0.03 {
            filled.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
            assert!(start.elapsed().as_secs() < 300, "no time was counted");
        }
        assert!(peak_bytes().unwrap() >= filled.len() as u64);
    }
}

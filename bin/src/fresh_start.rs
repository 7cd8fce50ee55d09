//! Beginning anew with what the arithmetic needs in the environment.

#[cfg(unix)]
use crate::print::errln;

/// Starts this program again in its own place if its environment lacks what a worker's has: libraries read it once, as they are
/// loaded. For commands that compute in this process. Call it before anything is begun; where it can not be done, the command
/// goes on as it is, with the same results.
#[cfg(unix)]
pub fn compute_as_a_worker() {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let lacking = engine::worker::computing_environment(engine::DeviceKind::Cpu);
    if lacking.is_empty() {
        return;
    }
    let words = std::env::args_os().skip(1);
    let begun = std::env::current_exe().map(|program| Command::new(program).args(words).envs(lacking).exec());
    let (Ok(error) | Err(error)) = begun;
    errln!(
        "note: threads may wait longer than they should, for the program can not be started again: {error}"
    );
}

/// There is no other environment to compute with here.
#[cfg(not(unix))]
pub fn compute_as_a_worker() {}

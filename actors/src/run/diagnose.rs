//! From how a worker went to why: an [`ExitReport`] read as a [`Failure`].

use engine_devices::{Exit, ExitReport};

use crate::outcome::{Cause, Failure};

/// What libtorch, CUDA, burn and Rust's allocator say when memory runs out, in lower case.
///
/// # Sources
/// c10/cuda/CUDACachingAllocator.cpp and c10/core/impl/alloc_cpu.cpp of libtorch; `cudaErrorMemoryAllocation` (CUDA
/// runtime); `alloc::handle_alloc_error` of Rust's std; the kernel's oom-killer.
const OUT_OF_MEMORY: [&str; 9] = [
    "cuda out of memory",
    "cuda error: out of memory",
    "hip out of memory",
    "mps backend out of memory",
    "defaultcpuallocator: can't allocate memory",
    "defaultcpuallocator: not enough memory",
    "cublas_status_alloc_failed",
    "cannot allocate memory",
    "oom-kill",
];

/// Exit code of a Rust process whose main thread panicked.
const PANIC_CODE: i32 = 101;

/// Reads why a worker went that did not say so itself.
#[must_use]
pub fn diagnose(report: &ExitReport) -> Failure {
    let said = report.stderr_tail.join("\n");
    let (cause, message) = match &report.exit {
        Exit::Panicked(panic) if is_out_of_memory(panic) => (Cause::OutOfMemory, panic.clone()),
        Exit::Panicked(panic) => (Cause::Panic, format!("the worker panicked: {panic}")),
        exit if is_out_of_memory(&said) => {
            (Cause::OutOfMemory, format!("the worker ran out of memory ({})", describe(exit)))
        }
        exit @ Exit::Silent(_) => (Cause::Hang, format!("the worker was killed: {}", describe(exit))),
        Exit::Code(PANIC_CODE) => (Cause::Panic, panic_line(&report.stderr_tail)),
        exit => (Cause::Lost, format!("the worker ended without a word: {}", describe(exit))),
    };
    Failure { cause, message, stderr_tail: report.stderr_tail.clone() }
}

/// Completes what a worker said of its own failure by what is known from outside.
pub(super) fn refine(mut failure: Failure, report: &ExitReport) -> Failure {
    if failure.stderr_tail.is_empty() {
        failure.stderr_tail.clone_from(&report.stderr_tail);
    }
    if failure.cause == Cause::Panic && is_out_of_memory(&failure.message) {
        failure.cause = Cause::OutOfMemory;
    }
    failure
}

fn is_out_of_memory(text: &str) -> bool {
    let text = text.to_lowercase();
    let rust_allocator =
        text.lines().any(|line| line.contains("memory allocation of ") && line.contains(" bytes failed"));
    rust_allocator || OUT_OF_MEMORY.iter().any(|sign| text.contains(sign))
}

/// The panic's first line and the message under it, as std's hook prints them.
fn panic_line(stderr: &[String]) -> String {
    let Some(at) = stderr.iter().rposition(|line| line.contains("panicked at")) else {
        return format!("the worker ended with code {PANIC_CODE}");
    };
    let message = stderr.get(at + 1).map_or("", |line| line.trim());
    format!("the worker panicked: {message} ({})", stderr[at].trim())
}

fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::Returned => "it returned".into(),
        Exit::Panicked(panic) => format!("panic: {panic}"),
        Exit::Silent(time) => format!("no sign of life for {} s", time.as_secs()),
        Exit::Protocol(what) => format!("it broke the protocol: {what}"),
        Exit::Detached => "it did not end when it was told to".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(exit: Exit, stderr: &[&str]) -> Cause {
        let stderr_tail = stderr.iter().map(ToString::to_string).collect();
        diagnose(&ExitReport { stderr_tail, ..ExitReport::bare(exit) }).cause
    }

    #[test]
    fn a_panic_is_a_panic_by_unwinding_and_by_exit_code() {
        assert_eq!(cause(Exit::Panicked("index out of bounds".into()), &[]), Cause::Panic);
        assert_eq!(
            cause(Exit::Code(101), &["thread 'main' panicked at src/a.rs:1:2:", "boom"]),
            Cause::Panic
        );
    }

    #[test]
    fn the_message_of_a_panic_in_a_process_is_found_in_its_stderr() {
        let stderr_tail = vec!["thread 'main' panicked at src/a.rs:1:2:".to_string(), "boom".to_string()];
        let report = ExitReport { stderr_tail, ..ExitReport::bare(Exit::Code(101)) };
        assert_eq!(
            diagnose(&report).message,
            "the worker panicked: boom (thread 'main' panicked at src/a.rs:1:2:)"
        );
    }

    #[test]
    fn out_of_memory_is_told_from_panic_and_from_loss() {
        assert_eq!(cause(Exit::Panicked("CUDA out of memory. Tried to…".into()), &[]), Cause::OutOfMemory);
        let torch = "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried";
        assert_eq!(cause(Exit::Code(101), &[torch]), Cause::OutOfMemory);
        assert_eq!(cause(Exit::Signal(6), &["memory allocation of 1024 bytes failed"]), Cause::OutOfMemory);
        assert_eq!(cause(Exit::Signal(9), &["memory allocation of a new plan"]), Cause::Lost);
    }

    #[test]
    fn whatever_else_ends_a_worker_is_a_loss() {
        for exit in [Exit::Signal(9), Exit::Code(3), Exit::Returned, Exit::Protocol("torn frame".into())] {
            assert_eq!(cause(exit, &["loading"]), Cause::Lost);
        }
    }

    #[test]
    fn the_workers_own_word_keeps_its_cause_and_gains_the_stderr() {
        let own = Failure { cause: Cause::Data, message: "no sample".into(), stderr_tail: vec![] };
        let report = ExitReport { stderr_tail: vec!["bye".into()], ..ExitReport::bare(Exit::Code(0)) };
        let refined = refine(own, &report);
        assert_eq!((refined.cause, refined.stderr_tail), (Cause::Data, vec!["bye".to_string()]));
    }
}

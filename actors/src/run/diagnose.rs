//! From how a worker went to why: an [`ExitReport`] read as a [`Failure`].

use engine_devices::{Exit, ExitReport};

use crate::outcome::{Cause, Failure};

/// What libtorch, CUDA, HIP, Metal, burn and XLA say when the memory of a GPU runs out, in lower case.
///
/// # Sources
/// c10/cuda/CUDACachingAllocator.cpp, c10/cuda/CUDAException.h and aten/src/ATen/mps/MPSAllocator.mm of libtorch;
/// `cudaErrorMemoryAllocation` (CUDA runtime), `CUDA_ERROR_OUT_OF_MEMORY` (driver), cuBLAS and cuDNN status codes;
/// `Error::OutOfMemory` of wgpu; `tsl::errors::ResourceExhausted` of XLA (JAX, TensorFlow).
const DEVICE_OUT_OF_MEMORY: [&str; 11] = [
    "cuda out of memory",
    "cuda error: out of memory",
    "cuda driver error: out of memory",
    "cuda_error_out_of_memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "hip out of memory",
    "hip error: out of memory",
    "mps backend out of memory",
    "wgpu error: out of memory",
    "resource_exhausted: out of memory",
];

/// What says so when the memory of the machine does, in lower case; Rust's own message besides.
///
/// # Sources
/// c10/core/impl/alloc_cpu.cpp of libtorch; `std::bad_alloc` of C++; `strerror(ENOMEM)`; the kernel's oom-killer as
/// batch systems report it; `MemoryError` of Python, which NumPy's `_ArrayMemoryError` ends in.
const HOST_OUT_OF_MEMORY: [&str; 6] = [
    "defaultcpuallocator: can't allocate memory",
    "defaultcpuallocator: not enough memory",
    "std::bad_alloc",
    "cannot allocate memory",
    "oom-kill",
    "memoryerror",
];

/// Exit code of a Rust process whose main thread panicked.
const PANIC_CODE: i32 = 101;

/// Reads why a worker went that did not say so itself.
#[must_use]
pub fn diagnose(report: &ExitReport) -> Failure {
    let said = report.stderr_tail.join("\n");
    let (cause, message) = match &report.exit {
        Exit::OutOfMemory => (Cause::HostOutOfMemory, describe(&report.exit)),
        Exit::Panicked(panic) => match out_of_memory(panic) {
            Some(cause) => (cause, panic.clone()),
            None => (Cause::Panic, format!("the worker panicked: {panic}")),
        },
        exit => match (out_of_memory(&said), exit) {
            (Some(cause), exit) => (cause, format!("the worker ran out of memory ({})", describe(exit))),
            (None, Exit::Silent(_)) => (Cause::Hang, format!("the worker was killed: {}", describe(exit))),
            (None, Exit::Code(PANIC_CODE)) => (Cause::Panic, panic_line(&report.stderr_tail)),
            (None, Exit::Signal(_)) => (Cause::Killed, format!("the worker was {}", describe(exit))),
            (None, exit) => (Cause::Lost, format!("the worker ended without a word: {}", describe(exit))),
        },
    };
    Failure { cause, message: of_rank(report.rank, message), stderr_tail: report.stderr_tail.clone() }
}

/// Completes what a worker said of its own failure by what is known from outside.
pub(super) fn refine(mut failure: Failure, report: &ExitReport) -> Failure {
    if failure.stderr_tail.is_empty() {
        failure.stderr_tail.clone_from(&report.stderr_tail);
    }
    if failure.cause == Cause::Panic {
        failure.cause = out_of_memory(&failure.message).unwrap_or(Cause::Panic);
    }
    failure
}

fn of_rank(rank: Option<u32>, message: String) -> String {
    match rank {
        Some(rank) => format!("rank {rank}: {message}"),
        None => message,
    }
}

/// Whose memory ran out, if the text says that one did. A GPU's is looked for first: its messages are the longer ones.
#[must_use]
pub fn out_of_memory(text: &str) -> Option<Cause> {
    let text = text.to_lowercase();
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let rust_allocator =
        || text.lines().any(|line| line.contains("memory allocation of ") && line.contains(" bytes failed"));
    if says(&DEVICE_OUT_OF_MEMORY) {
        Some(Cause::DeviceOutOfMemory)
    } else if says(&HOST_OUT_OF_MEMORY) || rust_allocator() {
        Some(Cause::HostOutOfMemory)
    } else {
        None
    }
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
        Exit::Signal(signal) => format!("killed by {}", signal_name(*signal)),
        Exit::OutOfMemory => {
            "the kernel ended the worker for want of memory: use a smaller batch, fewer loading \
                              threads or fewer runs at once"
                .into()
        }
        Exit::Rested => "it was done and waits for other work".into(),
        Exit::Returned => "it returned".into(),
        Exit::Panicked(panic) => format!("panic: {panic}"),
        Exit::Silent(time) => format!("no sign of life for {} s", time.as_secs()),
        Exit::Protocol(what) => format!("it broke the protocol: {what}"),
        Exit::Detached => "it did not end when it was told to".into(),
    }
}

/// A signal as people look it up: `SIGKILL (9)`. Only numbers that all systems share have their names here.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("{name} ({signal})")
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
    fn out_of_memory_is_told_from_panic_and_from_loss_and_by_whose_memory() {
        let gpu = "CUDA out of memory. Tried to allocate 2.00 GiB. CPU: cannot allocate memory";
        assert_eq!(cause(Exit::Panicked(gpu.into()), &[]), Cause::DeviceOutOfMemory);
        assert_eq!(cause(Exit::Code(101), &["CUDNN_STATUS_ALLOC_FAILED"]), Cause::DeviceOutOfMemory);
        let torch = "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried";
        assert_eq!(cause(Exit::Code(101), &[torch]), Cause::HostOutOfMemory);
        assert_eq!(
            cause(Exit::Signal(6), &["memory allocation of 1024 bytes failed"]),
            Cause::HostOutOfMemory
        );
        let cpp = "terminate called after throwing an instance of 'std::bad_alloc'";
        assert_eq!(cause(Exit::Signal(6), &[cpp]), Cause::HostOutOfMemory);
        let python = "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array";
        assert_eq!(cause(Exit::Code(1), &[python]), Cause::HostOutOfMemory);
        let jax = "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying";
        assert_eq!(cause(Exit::Code(1), &[jax]), Cause::DeviceOutOfMemory);
        assert_eq!(cause(Exit::OutOfMemory, &[]), Cause::HostOutOfMemory);
        assert_eq!(cause(Exit::Signal(9), &["memory allocation of a new plan"]), Cause::Killed);
    }

    #[test]
    fn a_signal_is_named() {
        let message = |signal| diagnose(&ExitReport::bare(Exit::Signal(signal))).message;
        assert_eq!(message(9), "the worker was killed by SIGKILL (9)");
        assert_eq!(message(11), "the worker was killed by SIGSEGV (11)");
        assert_eq!(message(64), "the worker was killed by signal 64");
        let report = ExitReport { rank: Some(2), ..ExitReport::bare(Exit::Signal(9)) };
        assert_eq!(diagnose(&report).message, "rank 2: the worker was killed by SIGKILL (9)");
    }

    #[test]
    fn whatever_else_ends_a_worker_is_a_loss() {
        for exit in [Exit::Code(3), Exit::Returned, Exit::Rested, Exit::Protocol("torn frame".into())] {
            assert_eq!(cause(exit, &["loading"]), Cause::Lost);
        }
        assert_eq!(cause(Exit::Silent(std::time::Duration::from_secs(3)), &[]), Cause::Hang);
    }

    #[test]
    fn a_panic_that_the_worker_tells_itself_may_be_out_of_memory() {
        let own =
            |message: &str| Failure { cause: Cause::Panic, message: message.into(), stderr_tail: vec![] };
        let report = ExitReport::bare(Exit::Code(0));
        assert_eq!(refine(own("HIP out of memory"), &report).cause, Cause::DeviceOutOfMemory);
        assert_eq!(refine(own("boom"), &report).cause, Cause::Panic);
    }

    #[test]
    fn the_workers_own_word_keeps_its_cause_and_gains_the_stderr() {
        let own = Failure { cause: Cause::Data, message: "no sample".into(), stderr_tail: vec![] };
        let report = ExitReport { stderr_tail: vec!["bye".into()], ..ExitReport::bare(Exit::Code(0)) };
        let refined = refine(own, &report);
        assert_eq!((refined.cause, refined.stderr_tail), (Cause::Data, vec!["bye".to_string()]));
    }
}

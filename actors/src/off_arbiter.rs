//! Short blocking work, done away from the arbiter.

use engine_devices::threads;
use tokio::sync::oneshot;

/// The work did not come back: its thread could not be started, or it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the thread `{name}` ended without an answer")]
pub(crate) struct NoAnswer {
    name: String,
}

/// Runs `work` once on a thread of its own, which may have worked before, and waits for the answer.
///
/// The number of such threads is bounded by the number of runs at work, one each.
///
/// # Errors
/// [`NoAnswer`] if the thread could not be started or panicked.
///
/// # Cancel safety
/// The work goes on when dropped; its answer is dropped when it is there.
pub(crate) async fn off_arbiter<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let (answer, asked) = oneshot::channel();
    let spawned = threads::spawn(&name, move || {
        // A receiver that is gone drops the answer, which releases whatever it holds.
        drop(answer.send(work()));
    });
    match spawned {
        Ok(()) => asked.await.map_err(|_| NoAnswer { name }),
        Err(_) => Err(NoAnswer { name }),
    }
}

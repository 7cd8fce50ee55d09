//! The worker's side of a run: hears its order, does the workload, says what happens.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};
use engine_actors::limits::BEAT_SECS;
use engine_actors::protocol::{FromWorker, PROTOCOL_VERSION, ToWorker};
use engine_devices::{ThreadLauncher, WorkerPort, attach_process, is_worker_process};

use crate::workload::{RunContext, Workload};

/// Makes this process a worker if the engine started it as one.
///
/// Call it first thing in `main`, before anything starts threads or prints: an application that runs its
/// workloads in child processes is started again by the engine as each of them. Returns `None` in the
/// application itself; in a worker it does the run and returns the exit code to leave `main` with.
///
/// # Example
/// ```no_run
/// # use engine::{segmentation::SegmentationWorkload, worker};
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = worker::run_if_worker(SegmentationWorkload) {
///         return code;
///     }
///     // ... the application
///     std::process::ExitCode::SUCCESS
/// }
/// ```
#[expect(
    clippy::needless_pass_by_value,
    reason = "an application hands its workload over, as to the builder"
)]
pub fn run_if_worker(workload: impl Workload) -> Option<ExitCode> {
    if !is_worker_process() {
        return None;
    }
    match attach_process::<ToWorker, FromWorker>() {
        Ok(port) => {
            serve(port, &workload);
            Some(ExitCode::SUCCESS)
        }
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "the pipe to the engine is what failed; it keeps these lines"
            )]
            {
                eprintln!("this worker process could not reach its engine: {error}");
            }
            Some(ExitCode::FAILURE)
        }
    }
}

/// A launcher that runs `workload` on named threads of this process.
pub(crate) fn thread_launcher(workload: Arc<dyn Workload>) -> ThreadLauncher<ToWorker, FromWorker> {
    ThreadLauncher::new(Arc::new(move |port| serve(port, workload.as_ref())))
}

/// Does the one run this worker exists for. A panic of the workload leaves through here to the worker's edge.
fn serve(port: WorkerPort<ToWorker, FromWorker>, workload: &dyn Workload) {
    let (mut ears, voice) = port.split();
    let pid = std::process::id();
    if voice.send(FromWorker::Hello { protocol: PROTOCOL_VERSION, pid }).is_err() {
        return;
    }
    let order = loop {
        match ears.recv() {
            Some(ToWorker::Start(order)) => break order,
            Some(ToWorker::Stop) => {} // nothing runs yet; the engine ends this worker itself
            None => return,
        }
    };

    let stop = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&stop);
    let listener = std::thread::Builder::new().name("engine-ears".into()).spawn(move || {
        loop {
            match ears.recv() {
                Some(ToWorker::Stop) => heard.store(true, Ordering::Relaxed),
                Some(ToWorker::Start(_)) => tracing::warn!("a second order was ignored"),
                None => break heard.store(true, Ordering::Relaxed),
            }
        }
    });
    let (alive, ended) = bounded::<()>(0);
    let pulse = voice.clone();
    let beater = std::thread::Builder::new().name("engine-beat".into()).spawn(move || {
        while ended.recv_timeout(Duration::from_secs(BEAT_SECS)) == Err(RecvTimeoutError::Timeout) {
            if pulse.send(FromWorker::Beat).is_err() {
                break;
            }
        }
    });
    if let Err(error) = listener.and(beater) {
        tracing::warn!(%error, "a worker thread could not be started: stop requests or beats are missing");
    }

    let speaker = voice.clone();
    let context = RunContext::new(
        // A closed pipe means that the engine is gone: the run is told to stop by its listener.
        move |message| drop(speaker.send(message)),
        stop,
    );
    let result = workload.run(&order, &context);
    context.flush();
    drop(alive);
    let last = match result {
        Ok(summary) => FromWorker::Finished(summary),
        Err(failure) => FromWorker::Failed(failure),
    };
    if voice.send(last).is_err() {
        tracing::warn!("the engine was gone before the run's end could be told");
    }
}

//! The worker's side of a run: hears its order, does the workload, says what happens.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use engine_actors::limits::BEAT_SECS;
use engine_actors::outcome::{Cause, Failure};
use engine_actors::protocol::{FromWorker, PROTOCOL_VERSION, RunOrder, RunSummary, ToWorker};
/// With what in its environment a program that computes in its own process is best started.
pub use engine_devices::worker::computing_environment;
use engine_devices::{
    AfterWork, ThreadLauncher, WorkerPort, WorkerReceiver, WorkerSender, attach_process, is_worker_process,
    threads,
};

use crate::workload::{Answers, RunContext, Workload};

/// Makes this process a worker if the engine started it as one.
///
/// Call it first thing in `main`, before anything starts threads or prints: an application that runs its
/// workloads in child processes is started again by the engine as each of them. Returns `None` in the
/// application itself; in a worker it does the runs it is given, one after another, and returns the exit code to leave
/// `main` with. On a CPU a worker may do several runs of one configuration: a workload keeps nothing from one run to
/// the next that could change its result.
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

/// Does the runs this worker is given, one after another: one for a thread, and for a process as many as its launcher
/// lets it. A panic of the workload leaves through here to the worker's edge.
///
/// A run that failed or was stopped is the worker's last: what it leaves behind is not known well enough.
fn serve(port: WorkerPort<ToWorker, FromWorker>, workload: &dyn Workload) {
    let (ears, voice) = port.split();
    let (orders, given) = bounded(1);
    let desk = Arc::new(Desk::default());
    let listening = Arc::clone(&desk);
    let listener = threads::spawn("engine-ears", move || listen(ears, &listening, &orders));
    if let Err(error) = listener {
        let message = format!("a worker's thread could not be started: {error}");
        let failed = Failure { cause: Cause::Lost, message, stderr_tail: Vec::new() };
        return drop(voice.send(FromWorker::Failed(failed)));
    }
    loop {
        let hello = FromWorker::Hello { protocol: PROTOCOL_VERSION, pid: std::process::id() };
        if voice.send(hello).is_err() {
            return;
        }
        let Ok(given) = given.recv() else { return };
        let end = run(workload, given, &voice);
        desk.clear();
        let wish = match &end {
            Ok(summary) if !summary.stopped => AfterWork::Rests,
            _ => AfterWork::Leaves,
        };
        let last = end.map_or_else(FromWorker::Failed, FromWorker::Finished);
        if voice.send(last).is_err() {
            return tracing::warn!("the engine was gone before the run's end could be told");
        }
        if voice.work_is_over(wish) == AfterWork::Leaves {
            return;
        }
    }
}

/// A run to be done, and what it looks at to see what is asked of it.
struct Given {
    order: Box<RunOrder>,
    ears: Ears,
}

/// Where a run hears what is said to it.
#[derive(Clone, Default)]
struct Ears {
    stop: Arc<AtomicBool>,
    checkpoint: Arc<AtomicBool>,
    answers: Arc<Answers>,
}

/// The run under way, as the listening thread knows it.
#[derive(Default)]
struct Desk {
    ears: Mutex<Option<Ears>>,
}

impl Desk {
    fn ears_of_run(&self) -> MutexGuard<'_, Option<Ears>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an order that has come; none if a run is under way.
    fn take(&self, order: Box<RunOrder>) -> Option<Given> {
        let mut ears_of_run = self.ears_of_run();
        if ears_of_run.is_some() {
            return None;
        }
        let ears = ears_of_run.insert(Ears::default()).clone();
        Some(Given { order, ears })
    }

    fn clear(&self) {
        self.ears_of_run().take();
    }

    /// Asks the run under way to stop; without one nobody is asked.
    fn stop(&self) {
        if let Some(ears) = &*self.ears_of_run() {
            ears.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Asks the run under way for a checkpoint; without one nobody is asked.
    fn checkpoint(&self) {
        if let Some(ears) = &*self.ears_of_run() {
            ears.checkpoint.store(true, Ordering::Relaxed);
        }
    }

    /// What the run under way waits for is kept.
    fn settled(&self) {
        if let Some(ears) = &*self.ears_of_run() {
            ears.answers.answer();
        }
    }

    /// The engine is gone: the run is to stop, and waits for no answer.
    fn close(&self) {
        self.stop();
        if let Some(ears) = &*self.ears_of_run() {
            ears.answers.end();
        }
    }
}

/// Hears the engine until it is gone. Ends by dropping `orders`, which ends a worker that waits for one.
fn listen(mut ears: WorkerReceiver<ToWorker>, desk: &Desk, orders: &Sender<Given>) {
    while let Some(message) = ears.recv() {
        match message {
            ToWorker::Stop => desk.stop(),
            ToWorker::Checkpoint => desk.checkpoint(),
            ToWorker::Settled => desk.settled(),
            ToWorker::Start(order) => match desk.take(order) {
                // Nobody waits for an order any more: the worker has left.
                Some(given) => drop(orders.send(given)),
                None => tracing::warn!("a second order was ignored"),
            },
        }
    }
    desk.close();
}

/// Does one run, beating while it lasts.
fn run(
    workload: &dyn Workload,
    Given { order, ears }: Given,
    voice: &WorkerSender<FromWorker>,
) -> Result<RunSummary, Failure> {
    let speaker = voice.clone();
    let context = RunContext::new(
        // A closed pipe means that the engine is gone: the run is told to stop by its listener.
        move |message| drop(speaker.send(message)),
        ears.stop,
    )
    .with_checkpoints(ears.checkpoint)
    .answered(ears.answers);
    let (alive, ended) = bounded::<()>(0);
    let pulse = voice.clone();
    let (beats, silent) = bounded::<()>(0);
    let beater = threads::spawn("engine-beat", move || {
        let _until_silent = beats;
        while ended.recv_timeout(Duration::from_secs(BEAT_SECS)) == Err(RecvTimeoutError::Timeout) {
            if pulse.send(FromWorker::Beat).is_err() {
                break;
            }
        }
    });
    if let Err(error) = &beater {
        context.warn(format!("the worker does not beat, for its thread could not be started: {error}"));
    }
    let result = workload.run(&order, &context);
    context.flush();
    drop(alive);
    // A beat that came after the last word would be heard as the next run's.
    if beater.is_ok() {
        // Nothing is ever sent: the line closes once the last beat is out.
        silent.recv().unwrap_or_default();
    }
    result
}

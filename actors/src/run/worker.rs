//! A worker under way, as the RunActor holds it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine_devices::{EventSink, Launch, SendError, Worker, WorkerEvent};
use tokio::sync::mpsc;

use crate::devices::LeaseGuard;
use crate::limits::WORKER_EVENTS;
use crate::off_arbiter::off_arbiter;
use crate::outcome::{Cause, Failure};
use crate::plan::RunPlan;
use crate::ports::WorkerLauncher;
use crate::protocol::{FromWorker, ToWorker};

/// What a worker says, to be taken one at a time.
pub(super) type WorkerEvents = mpsc::Receiver<WorkerEvent<FromWorker>>;

/// The handle of a worker. Dropping it kills the worker.
pub(super) struct Running {
    worker: Box<dyn Worker<ToWorker>>,
}

impl Running {
    pub(super) fn send(&self, message: ToWorker) -> Result<(), SendError> {
        self.worker.send(message)
    }

    pub(super) fn kill(&self) {
        self.worker.kill();
    }
}

/// Makes the run's folder and starts a worker in it, away from the arbiter.
///
/// The worker's sink holds the lease besides the RunActor, until the worker is gone: were the actor lost to a panic,
/// the device would still not be given to another before.
///
/// # Errors
/// `Io` if the folder can not be made, `Lost` if there is no worker.
///
/// # Cancel safety
/// Dropped, the worker is killed as soon as it stands.
pub(super) async fn launch(
    launcher: Arc<WorkerLauncher>,
    plan: Arc<RunPlan>,
    lease: Arc<LeaseGuard>,
) -> Result<(Running, WorkerEvents), Failure> {
    let launch = move || {
        make_folder(&plan.run_dir)?;
        let (says, events) = mpsc::channel(WORKER_EVENTS);
        let grant = lease.grant().clone();
        // Runs of one job may follow each other in one process.
        let family = plan.tune_name.as_deref().or(plan.cv_name.as_deref());
        let order = Launch { name: &plan.run_name, family, grant: &grant };
        let worker = launcher
            .launch(&order, sink(says, lease))
            .map_err(|error| failure(Cause::Lost, format!("no worker could be started: {error}")))?;
        Ok((Running { worker }, events))
    };
    off_arbiter("launch".into(), launch).await.map_err(|error| failure(Cause::Lost, error.to_string()))?
}

fn sink(says: mpsc::Sender<WorkerEvent<FromWorker>>, lease: Arc<LeaseGuard>) -> EventSink<FromWorker> {
    let mut lease = Some(lease);
    let mut is_finished = false;
    Box::new(move |event| {
        match &event {
            WorkerEvent::Printed(_) => {}
            WorkerEvent::Message(word) => is_finished |= matches!(word, FromWorker::Finished(_)),
            WorkerEvent::Exited(report) => {
                // A run that broke off may not have used what the next one will.
                if let Some(lease) = lease.take().filter(|_| is_finished) {
                    lease.measured(report.peak_memory_bytes, report.peak_device_memory_bytes);
                }
            }
        }
        says.blocking_send(event).is_ok()
    })
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        let message = format!(
            "the run's folder can not be made ({error}); check that its disk has free space and may be written to: {}",
            path.display()
        );
        failure(Cause::Io, message)
    })
}

fn failure(cause: Cause, message: String) -> Failure {
    Failure { cause, message, stderr_tail: Vec::new() }
}

//! How busy machine and worker are, measured from time to time for one run.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use engine_devices::Grant;
use engine_devices::usage::{HostMeter, Meter};
use tokio::sync::mpsc;

use super::Record;
use super::drive::Order;

/// Whom a run's measurements are of: set by its RunActor, read by its meter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject(Arc<Mutex<Whom>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Whom {
    /// The worker; none between two.
    pid: Option<u32>,
    /// UUIDs of its GPUs.
    gpus: Vec<String>,
}

impl Subject {
    /// A worker is about to start on these devices.
    pub(crate) fn is_on(&self, grant: &Grant) {
        let tokens = grant.places.iter().filter_map(|place| place.token.as_ref());
        let gpus = tokens.map(|token| token.value.clone()).collect();
        *self.whom() = Whom { pid: None, gpus };
    }

    /// The worker runs as this process.
    pub(crate) fn is_process(&self, pid: u32) {
        self.whom().pid = Some(pid);
    }

    /// There is no worker any more: its number may be another's.
    pub(crate) fn is_gone(&self) {
        *self.whom() = Whom::default();
    }

    fn whom(&self) -> MutexGuard<'_, Whom> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    pub(super) first: Duration,
    pub(super) period: Duration,
}

/// A thread that measures, until this is dropped.
///
/// A thread of its own, because a driver that hangs must hold up neither the arbiter nor the records of the run. It is
/// not waited for: a driver that hangs would hold up the end too.
#[derive(Debug)]
pub(super) struct Metering {
    _stop: SyncSender<()>,
}

impl Metering {
    /// Measures from now on, into `queue`; a sample that finds no room there is lost.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(
        name: String,
        rhythm: Rhythm,
        (host, folder): (Arc<HostMeter>, &Path),
        subject: Subject,
        queue: mpsc::WeakSender<Order>,
    ) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let meter = Meter::new(host, folder);
        thread::Builder::new()
            .name(name)
            .spawn(move || measure(meter, rhythm, &subject, &queue, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn measure(
    mut meter: Meter,
    rhythm: Rhythm,
    subject: &Subject,
    queue: &mpsc::WeakSender<Order>,
    stopped: &Receiver<()>,
) {
    let mut pause = rhythm.first;
    // Nothing is ever sent: the line closes with the run's tracking.
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = rhythm.period;
        let Whom { pid, gpus } = subject.whom().clone();
        let sample = meter.sample(pid, &gpus);
        let Some(queue) = queue.upgrade() else { return };
        if let Err(lost) = queue.try_send(Order::Keep(Record::Measured(sample))) {
            tracing::debug!(%lost, "a sample of the machine was lost");
        }
    }
}

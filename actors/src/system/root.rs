//! The root actor: starts jobs, and ends the system.

use std::sync::{Arc, Mutex};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, System, WrapFuture,
};
use engine_devices::DeviceLocks;
use engine_devices::usage::HostMeter;
use tokio::sync::{oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::ending::Ending;
use super::{SystemConfig, SystemOptions};
use crate::bus::EventBus;
use crate::cv::{CvActor, Planned, StartCv, plan_runs, recalled};
use crate::devices::DeviceManager;
use crate::journal::{Ledger, PastRun};
use crate::limits::{JOB_MAILBOX, SHUTDOWN_DEADLINE};
use crate::outcome::{CvOutcome, RunOutcome};
use crate::plan::{CvPlan, RunPlan};
use crate::run::{DeviceMemory, RunActor, StartRun};
use crate::sink::ParquetSink;
use crate::stop::{StopLine, StopMode, StopSignal};
use crate::tune::{StartTune, TuneActor};
use crate::wiring::Wiring;

/// A job for the root. Sent once per job by [`ActorSystem`](super::ActorSystem), from any thread; answered by the job's own
/// reply.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StartJob {
    pub(super) job: Job,
    /// Held by the root too, so that a caller may drop its handle, and shutdown reaches every job.
    pub(super) line: StopLine,
    /// Where what happens to the job is published.
    pub(super) bus: EventBus,
}

pub(super) enum Job {
    Tune(StartTune),
    Cv { plan: Arc<CvPlan>, ledger: Ledger, outcome: oneshot::Sender<CvOutcome>, stop: StopSignal },
    Run { plan: Arc<RunPlan>, ledger: Ledger, outcome: oneshot::Sender<RunOutcome>, stop: StopSignal },
}

pub(super) struct Root {
    wiring: Arc<Wiring>,
    jobs: Vec<StopLine>,
    shutdown: Option<StopSignal>,
}

impl Root {
    /// The root and the actors all jobs share; to be called on the arbiter.
    pub(super) fn new(
        config: SystemConfig,
        options: SystemOptions,
        locks: Option<DeviceLocks>,
        bus: EventBus,
        (shutdown, checkpoints): (StopSignal, watch::Receiver<u64>),
    ) -> Self {
        let SystemConfig {
            devices,
            packing,
            lock_dir: _,
            placement,
            launcher,
            progress_timeout,
            ids,
            trackers,
        } = config;
        let SystemOptions { timers, gpus } = options;
        let memory = Arc::new(DeviceMemory::of(&devices));
        let manager =
            DeviceManager::new(devices, packing, bus.clone()).with_locks(locks).with_gpu_reader(gpus);
        let wiring = Wiring {
            devices: manager.start(),
            sink: ParquetSink::new().start(),
            bus,
            launcher,
            trackers,
            ids: Arc::new(Mutex::new(ids)),
            placement,
            memory,
            host: Arc::new(HostMeter::new()),
            timers: crate::limits::Timers { progress: progress_timeout, ..timers },
            checkpoints,
        };
        Self { wiring: Arc::new(wiring), jobs: Vec::new(), shutdown: Some(shutdown) }
    }

    fn listen_for_shutdown(&mut self, mut shutdown: StopSignal, ctx: &mut Context<Self>) {
        let asked = async move { (shutdown.next().await, shutdown) };
        ctx.spawn(asked.into_actor(self).map(|(mode, shutdown), root, ctx| {
            let jobs = std::mem::take(&mut root.jobs);
            let ended = async move { end_all(&jobs, mode, shutdown).await };
            ctx.wait(ended.into_actor(root).map(|ended, _root, ctx| {
                if ended.is_err() {
                    tracing::error!(
                        "jobs did not end before the shutdown's deadline: their workers are killed"
                    );
                }
                ctx.stop();
            }));
        }));
    }
}

/// Stops the jobs and waits until they are over: after a kill no longer than [`SHUTDOWN_DEADLINE`], before one as long as they take.
async fn end_all(jobs: &[StopLine], mut mode: StopMode, mut shutdown: StopSignal) -> Result<(), Elapsed> {
    let all_released = async {
        for line in jobs {
            line.released().await;
        }
    };
    let mut all_released = std::pin::pin!(all_released);
    loop {
        for line in jobs {
            line.raise(mode);
        }
        if mode == StopMode::Kill {
            return timeout(SHUTDOWN_DEADLINE, all_released).await;
        }
        tokio::select! {
            () = &mut all_released => return Ok(()),
            harder = shutdown.next() => mode = harder,
        }
    }
}

impl Actor for Root {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(JOB_MAILBOX);
        if let Some(shutdown) = self.shutdown.take() {
            self.listen_for_shutdown(shutdown, ctx);
        }
    }
}

impl Drop for Root {
    /// Whatever ends the root ends the system, so that no caller waits for a thread that does nothing.
    fn drop(&mut self) {
        if let Some(system) = System::try_current() {
            system.stop();
        }
    }
}

impl Handler<StartJob> for Root {
    type Result = ();

    fn handle(&mut self, StartJob { job, line, bus }: StartJob, _ctx: &mut Self::Context) {
        self.jobs.retain(|line| !line.is_released());
        self.jobs.push(line);
        let wiring = Arc::new(Wiring { bus, ..Wiring::clone(&self.wiring) });
        match job {
            Job::Tune(mut start) => {
                let ending = Ending::of(&start.ledger, &wiring, &start.stop);
                start.outcome = ending.of_tune(start.outcome);
                drop(TuneActor::new(start, wiring).start());
            }
            Job::Cv { plan, ledger, outcome, stop } => start_cv(plan, ledger, outcome, stop, wiring),
            Job::Run { plan, ledger, outcome, stop } => start_run(plan, ledger, outcome, stop, wiring),
        }
    }
}

/// Starts a cv once the ids of its runs are kept.
fn start_cv(
    plan: Arc<CvPlan>,
    ledger: Ledger,
    outcome: oneshot::Sender<CvOutcome>,
    stop: StopSignal,
    wiring: Arc<Wiring>,
) {
    let Planned { runs, past, record } = plan_runs(&plan, ledger.past.as_deref(), &wiring.ids);
    let outcome = Ending::of(&ledger, &wiring, &stop).of_cv(outcome);
    let journal = ledger.line;
    let start = StartCv { plan, runs, past, journal: journal.clone(), tune_table: None, outcome, stop };
    let Some(record) = record.filter(|_| journal.keeps()) else {
        drop(CvActor::new(start, wiring).start());
        return;
    };
    actix::spawn(async move {
        if let Err(unwritten) = journal.append(vec![record]).await {
            // Its first run that ends can not be kept either, and ends the cv.
            tracing::warn!(cv = %start.plan.cv_name, %unwritten, "ids of runs not kept");
        }
        drop(CvActor::new(start, wiring).start());
    });
}

/// Starts a run alone; one that is over already is told as it ended.
fn start_run(
    plan: Arc<RunPlan>,
    ledger: Ledger,
    outcome: oneshot::Sender<RunOutcome>,
    stop: StopSignal,
    wiring: Arc<Wiring>,
) {
    let past = ledger.past.as_ref().and_then(|past| past.run(&plan.run_id)).cloned();
    // Its journal names a run from its first record on: whoever finds one goes on with it.
    let past = past.or_else(|| ledger.past.as_ref().map(|_| PastRun::of(&plan.run_id)));
    if let Some(ended) = past.as_ref().and_then(|past| past.outcome_of(&plan)) {
        wiring.bus.publish(recalled(None, &ended));
        wiring.bus.end();
        // A caller that is gone has no use for it.
        drop(outcome.send(ended));
        return;
    }
    let outcome = Ending::of(&ledger, &wiring, &stop).of_run(outcome);
    let start = StartRun { plan, scoring: None, lease: None, past, journal: ledger.line, outcome, stop };
    drop(RunActor::new(start, wiring).start());
}

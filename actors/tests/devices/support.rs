//! A DeviceManager, and systems with runs that wait at a gate, on GPUs that are numbers.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use actix::{Actor, Addr, System};
use engine_actors::bus::{EventBus, EventStream};
use engine_actors::devices::{AcquireLease, DeviceManager, GpuReader, LeaseGuard, LeaseRefused};
use engine_actors::events::Event;
use engine_actors::limits::PROGRESS_TIMEOUT;
use engine_actors::plan::{Cell, CvPlan, FailedCells, Hyperparameters, RunPlan, RunTask};
use engine_actors::ports::{Ids, no_trackers};
use engine_actors::protocol::{FromWorker, PROTOCOL_VERSION, RunSummary, ToWorker};
use engine_actors::score::Scoring;
use engine_actors::{ActorSystem, StartError, SystemConfig, SystemOptions};
use engine_devices::inventory::GpuMemory;
use engine_devices::{
    DeviceInfo, DeviceKind, DeviceLocks, RunsPerDevice, Strategy, ThreadLauncher, Want, WorkerPort,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub const GIB: u64 = 1 << 30;
/// Beyond this a test hangs and fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub type Answer = oneshot::Receiver<Result<LeaseGuard, LeaseRefused>>;

pub fn on_arbiter(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

pub fn block_on<T>(wait: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(wait)
}

async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

pub async fn is_given(answer: Answer) -> Result<LeaseGuard, LeaseRefused> {
    in_time(answer).await.unwrap()
}

/// The next event of that kind.
pub async fn seen(events: &mut EventStream, is_it: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = in_time(events.next()).await.unwrap();
        if is_it(&event) {
            return event;
        }
    }
}

/// What is warned of next.
pub async fn warned(events: &mut EventStream) -> String {
    loop {
        if let Event::Warned { message } = in_time(events.next()).await.unwrap() {
            return message;
        }
    }
}

/// GPUs of 40 GiB with UUIDs.
pub fn gpus(count: u32) -> Vec<DeviceInfo> {
    let gpu = |index| DeviceInfo {
        uuid: Some(format!("GPU-{index}")),
        memory_bytes: Some(40 * GIB),
        ..DeviceInfo::bare(DeviceKind::Cuda, index, vec![], 1)
    };
    (0..count).map(gpu).collect()
}

pub fn used(used_bytes: u64) -> GpuMemory {
    GpuMemory { total_bytes: 40 * GIB, used_bytes, free_bytes: 40 * GIB - used_bytes }
}

/// A driver of GPUs that are all alike.
#[derive(Clone, Default)]
pub struct Gpus {
    used_bytes: Arc<AtomicU64>,
    is_lost: Arc<AtomicBool>,
    looks: Arc<AtomicU32>,
}

impl Gpus {
    pub fn reader(&self) -> GpuReader {
        let gpus = self.clone();
        GpuReader::new(move |_| {
            gpus.looks.fetch_add(1, Ordering::SeqCst);
            let is_there = !gpus.is_lost.load(Ordering::SeqCst);
            is_there.then(|| used(gpus.used_bytes.load(Ordering::SeqCst)))
        })
    }

    pub fn use_bytes(&self, bytes: u64) {
        self.used_bytes.store(bytes, Ordering::SeqCst);
    }

    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
    }

    pub fn looks(&self) -> u32 {
        self.looks.load(Ordering::SeqCst)
    }

    /// Waits for so many more looks.
    pub async fn looked_at(&self, times: u32) {
        let enough = self.looks() + times;
        in_time(async {
            while self.looks() < enough {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// A DeviceManager on the current arbiter.
pub struct Bench {
    manager: Addr<DeviceManager>,
    bus: EventBus,
}

impl Bench {
    pub fn new(count: u32, packing: RunsPerDevice, locks: Option<DeviceLocks>, reader: GpuReader) -> Self {
        let bus = EventBus::new();
        let manager = DeviceManager::new(gpus(count), packing, bus.clone());
        Self { manager: manager.with_locks(locks).with_gpu_reader(reader).start(), bus }
    }

    pub fn events(&self) -> EventStream {
        self.bus.subscribe()
    }

    /// Asks, in the order of the calls.
    pub fn ask(&self, holder: &str, want: Want) -> Answer {
        let (reply, answer) = oneshot::channel();
        let bus = self.bus.clone();
        self.manager.try_send(AcquireLease { holder: holder.into(), want, bus, reply }).unwrap();
        answer
    }

    pub async fn acquire(&self, holder: &str, want: Want) -> Result<LeaseGuard, LeaseRefused> {
        is_given(self.ask(holder, want)).await
    }

    /// A lease if the manager has one to give once it has heard all there is to hear.
    pub async fn acquire_or_withdraw(&self, holder: &str, want: Want) -> Option<LeaseGuard> {
        let mut events = self.events();
        seen_return(&mut events).await;
        let mut answer = self.ask(holder, want);
        let (reply, refused) = oneshot::channel();
        drop(refused);
        // Heard after the request above, and gone already: a sign that the request was decided.
        let (want, bus) = (Want::Alone, self.bus.clone());
        in_time(self.manager.send(AcquireLease { holder: "sign".into(), want, bus, reply })).await.unwrap();
        answer.try_recv().ok().and_then(Result::ok)
    }
}

async fn seen_return(events: &mut EventStream) {
    seen(events, |event| matches!(event, Event::LeaseReturned { .. })).await;
}

/// Systems whose runs wait at a gate, and a count of those at work on each GPU.
pub struct Rig {
    folder: TempDir,
    count: u32,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    /// At work now, and at the most.
    at_work: BTreeMap<String, (u32, u32)>,
}

impl Gate {
    fn enter(&self, device: &str) {
        let mut state = self.state.lock().unwrap();
        let (now, most) = state.at_work.entry(device.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        self.changed.notify_all();
    }

    fn leave(&self, device: &str) {
        self.state.lock().unwrap().at_work.get_mut(device).unwrap().0 -= 1;
    }

    fn wait_until(&self, is_so: impl Fn(&GateState) -> bool) {
        let state = self.state.lock().unwrap();
        let (_state, late) = self.changed.wait_timeout_while(state, PATIENCE, |state| !is_so(state)).unwrap();
        assert!(!late.timed_out());
    }

    fn is_open(&self) -> bool {
        self.state.lock().unwrap().is_open
    }
}

impl Rig {
    pub fn new(count: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("locks")).unwrap();
        Self { folder, count, gate: Arc::default() }
    }

    pub fn lock_dir(&self) -> PathBuf {
        self.folder.path().join("locks")
    }

    pub fn system(&self, options: SystemOptions) -> ActorSystem {
        self.start(gpus(self.count), &self.lock_dir(), options).unwrap()
    }

    pub fn start(
        &self,
        devices: Vec<DeviceInfo>,
        lock_dir: &Path,
        options: SystemOptions,
    ) -> Result<ActorSystem, StartError> {
        let gate = Arc::clone(&self.gate);
        let body = move |port: WorkerPort<ToWorker, FromWorker>| work(port, &gate);
        ActorSystem::start_with(
            SystemConfig {
                packing: RunsPerDevice::ONE,
                lock_dir: Some(lock_dir.to_owned()),
                placement: Strategy::CvParallel.placement(devices.len(), RunsPerDevice::ONE).unwrap(),
                devices,
                launcher: Arc::new(ThreadLauncher::new(Arc::new(body))),
                progress_timeout: PROGRESS_TIMEOUT,
                ids: Box::new(Counted(0)),
                trackers: Arc::new(no_trackers),
            },
            options,
        )
    }

    /// Waits until a run is at work on the first GPU.
    pub fn wait_until_busy(&self) {
        self.gate.wait_until(|state| state.at_work.get("cuda:0").is_some_and(|(now, _)| *now > 0));
    }

    /// Lets every run end.
    pub fn open_the_gate(&self) {
        self.gate.state.lock().unwrap().is_open = true;
        self.gate.changed.notify_all();
    }

    /// Largest number of runs seen at once, by device.
    pub fn most_at_once(&self) -> Vec<(String, u32)> {
        let state = self.gate.state.lock().unwrap();
        state.at_work.iter().map(|(device, (_, most))| (device.clone(), *most)).collect()
    }

    pub fn run_plan(&self, name: &str) -> RunPlan {
        RunPlan {
            run_name: name.into(),
            run_id: "abcd1234".into(),
            run_dir: self.folder.path().join(name),
            cv_name: None,
            tune_name: None,
            cell: Cell { fold: 0, seed: 42 },
            task: RunTask::Fit,
            hyperparameters: Hyperparameters::new(),
            settings: Arc::new(serde_json::Value::Null),
        }
    }

    pub fn cv_plan(&self, name: &str, cells: u32) -> CvPlan {
        CvPlan {
            cv_name: name.into(),
            cv_dir: self.folder.path().join(name),
            tune_name: None,
            hp_index: 0,
            hyperparameters: Hyperparameters::new(),
            cells: (0..cells).map(|fold| Cell { fold, seed: 42 }).collect(),
            scoring: Scoring::parse(&["val/iou"], "harmonic").unwrap(),
            failed_cells: FailedCells::FailCv,
            max_failures: None,
            settings: Arc::new(serde_json::Value::Null),
        }
    }
}

/// Works until the gate is open; ends at once where the engine lets go of it.
fn work(mut port: WorkerPort<ToWorker, FromWorker>, gate: &Gate) {
    port.send(FromWorker::Hello { protocol: PROTOCOL_VERSION, pid: std::process::id() }).unwrap();
    let Some(ToWorker::Start(order)) = port.recv() else { return };
    let device = order.grant.device_names();
    gate.enter(&device);
    let prepared = FromWorker::Prepared {
        train_samples: 8,
        val_samples: 2,
        parameters: 1,
        device: device.clone(),
        from: None,
        metrics: engine_tracking::Metrics::new(),
    };
    let mut is_wanted = port.send(prepared).is_ok();
    while is_wanted && !gate.is_open() {
        std::thread::sleep(Duration::from_millis(2));
        is_wanted = port.send(FromWorker::Beat).is_ok();
    }
    gate.leave(&device);
    let metrics = [("val/iou".to_string(), 0.5)].into();
    let summary = RunSummary { metrics, epochs: 1, steps: 1, ..RunSummary::default() };
    // An engine that let go does not hear it.
    drop(port.send(FromWorker::Finished(summary)));
}

struct Counted(u32);

impl Ids for Counted {
    fn run_id(&mut self) -> String {
        self.0 += 1;
        format!("{:08}", self.0)
    }
}

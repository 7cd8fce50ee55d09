//! A system of actors on devices that do not matter, with a workload that is a closure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_actors::bus::EventStream;
use engine_actors::events::Event;
use engine_actors::limits::Timers;
use engine_actors::plan::{
    AfterTune, Cell, CvPlan, FailedCells, Hyperparameters, RunPlan, RunTask, TunePlan,
};
use engine_actors::ports::{Ids, Sampler, TrackerFactory, no_trackers};
use engine_actors::protocol::{FromWorker, PROTOCOL_VERSION, RunOrder, RunSummary, ToWorker};
use engine_actors::score::Scoring;
use engine_actors::{ActorSystem, SystemConfig, SystemOptions};
use engine_devices::{
    Accelerator, DeviceInfo, EventSink, Launch, LaunchError, Launcher, RunsPerDevice, SendError, Strategy,
    ThreadLauncher, WorkerEvent, WorkerPort, select,
};
use engine_tracking::{MetricPoint, Metrics};
use tempfile::TempDir;

type Worker = WorkerPort<ToWorker, FromWorker>;

/// What a workload does last.
pub enum Act {
    /// Say this and return.
    Say(FromWorker),
    /// Return without a word.
    Leave,
}

/// The final word of a run that ended well with this metric.
pub fn complete(iou: f64) -> Act {
    let metrics = [("val/iou".to_string(), iou)].into();
    Act::Say(FromWorker::Finished(RunSummary { metrics, epochs: 1, steps: 1, ..RunSummary::default() }))
}

/// A workload's way to talk.
pub struct Talk(pub Worker);

impl Talk {
    pub fn hear(&mut self) -> Option<ToWorker> {
        self.0.recv()
    }

    pub fn log(&mut self, epoch: u32, step: u64, iou: f64) {
        let values = [("val/iou".to_string(), iou)].into();
        self.0.send(FromWorker::Logged(vec![MetricPoint { epoch, step, values }])).unwrap();
    }
}

type AtOnce = Arc<Mutex<BTreeMap<String, (u32, u32)>>>;

/// Counts the runs at work on a device, also when the workload panics.
struct OnDevice {
    at_once: AtOnce,
    device: String,
}

impl OnDevice {
    fn enter(at_once: &AtOnce, device: String) -> Self {
        let mut devices = at_once.lock().unwrap();
        let (now, most) = devices.entry(device.clone()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        drop(devices);
        Self { at_once: Arc::clone(at_once), device }
    }
}

impl Drop for OnDevice {
    fn drop(&mut self) {
        self.at_once.lock().unwrap().get_mut(&self.device).unwrap().0 -= 1;
    }
}

/// A system with everything around it.
pub struct Stage {
    pub system: ActorSystem,
    pub folder: TempDir,
    at_once: AtOnce,
    leases: EventStream,
}

/// What a worker says that begins anew.
pub fn prepared(device: String) -> FromWorker {
    let metrics = Metrics::new();
    FromWorker::Prepared { train_samples: 8, val_samples: 2, parameters: 1, device, from: None, metrics }
}

impl Stage {
    pub fn new(
        strategy: Strategy,
        devices: u32,
        work: impl Fn(&RunOrder, &mut Talk) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::custom(strategy, devices, Custom::default(), work)
    }

    pub fn with(
        strategy: Strategy,
        devices: u32,
        timers: Timers,
        work: impl Fn(&RunOrder, &mut Talk) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::custom(strategy, devices, Custom { timers, ..Custom::default() }, work)
    }

    pub fn custom(
        strategy: Strategy,
        devices: u32,
        Custom { timers, trackers, ids, prints, workers }: Custom,
        work: impl Fn(&RunOrder, &mut Talk) -> Act + Send + Sync + 'static,
    ) -> Self {
        let at_once = AtOnce::default();
        let counted = Arc::clone(&at_once);
        let body = move |mut port: Worker| {
            port.send(FromWorker::Hello { protocol: PROTOCOL_VERSION, pid: std::process::id() }).unwrap();
            let Some(ToWorker::Start(order)) = port.recv() else { return };
            let on_device = OnDevice::enter(&counted, order.grant.device_names());
            let device = order.grant.device_names();
            port.send(prepared(device)).unwrap();
            let mut talk = Talk(port);
            let last = work(&order, &mut talk);
            drop(on_device);
            if let Act::Say(word) = last {
                talk.0.send(word).unwrap();
            }
        };
        let config = SystemConfig {
            devices: cpus(devices),
            packing: RunsPerDevice::ONE,
            lock_dir: None,
            placement: strategy.placement(devices as usize, RunsPerDevice::ONE).unwrap(),
            launcher: Arc::new(Printing { threads: ThreadLauncher::new(Arc::new(body)), prints, workers }),
            progress_timeout: timers.progress,
            ids,
            trackers,
        };
        let options = SystemOptions { timers, ..SystemOptions::default() };
        let system = ActorSystem::start_with(config, options).unwrap();
        let leases = system.subscribe();
        Self { system, folder: tempfile::tempdir().unwrap(), at_once, leases }
    }

    /// Largest number of runs seen at once, by device.
    pub fn most_at_once(&self) -> Vec<(String, u32)> {
        self.at_once.lock().unwrap().iter().map(|(device, (_, most))| (device.clone(), *most)).collect()
    }

    /// Shuts down; every lease must have been granted and returned this often, and nothing be at work.
    pub fn end_with_every_lease_returned(mut self, leases: usize) {
        let (mut granted, mut returned) = (vec![], vec![]);
        while granted.len() < leases || returned.len() < leases {
            match next(&mut self.leases) {
                Event::LeaseGranted { lease, .. } => granted.push(lease),
                Event::LeaseReturned { lease, .. } => returned.push(lease),
                _ => {}
            }
        }
        self.system.shutdown().unwrap();
        while let Some(event) = self.leases.try_next() {
            let more = matches!(event, Event::LeaseGranted { .. } | Event::LeaseReturned { .. });
            assert!(!more, "more leases than expected: {event:?}");
        }
        granted.sort_unstable();
        returned.sort_unstable();
        assert_eq!(granted, returned);
        assert!(self.at_once.lock().unwrap().values().all(|(now, _)| *now == 0));
    }

    pub fn run_plan(&self, name: &str) -> RunPlan {
        RunPlan {
            run_name: name.into(),
            run_id: "abcd1234".into(),
            run_dir: self.folder.path().join(format!("_runs/{name}-abcd1234")),
            cv_name: None,
            tune_name: None,
            cell: Cell { fold: 0, seed: 42 },
            task: RunTask::Fit,
            hyperparameters: rate(1),
            settings: Arc::new(serde_json::json!({"max_epochs": 1})),
        }
    }

    pub fn cv_plan(&self, name: &str, cells: u32, failed_cells: FailedCells) -> CvPlan {
        cv_plan(self.folder.path(), name, cells, failed_cells)
    }

    pub fn tune_plan(&self, n_trials: u32, cells: u32) -> TunePlan {
        let cv = self.cv_plan("", cells, FailedCells::FailCv);
        TunePlan {
            tune_name: "t".into(),
            tune_dir: self.folder.path().join("t"),
            n_trials,
            cells: cv.cells,
            scoring: cv.scoring,
            failed_cells: cv.failed_cells,
            max_failures: cv.max_failures,
            after: AfterTune::Nothing,
            retrain_seed: 7,
            settings: cv.settings,
        }
    }
}

/// The next event; a test that waits for one that never comes fails.
pub fn next(events: &mut EventStream) -> Event {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let next = async { tokio::time::timeout(Duration::from_secs(60), events.next()).await };
    runtime.block_on(next).expect("the event never came").unwrap()
}

pub fn cv_plan(folder: &Path, name: &str, cells: u32, failed_cells: FailedCells) -> CvPlan {
    CvPlan {
        cv_name: name.into(),
        cv_dir: folder.join("_cross_validations").join(name),
        tune_name: None,
        hp_index: 0,
        hyperparameters: rate(1),
        cells: (0..cells).map(|fold| Cell { fold, seed: 42 }).collect(),
        scoring: Scoring::parse(&["val/iou"], "harmonic").unwrap(),
        failed_cells,
        max_failures: None,
        settings: Arc::new(serde_json::Value::Null),
    }
}

fn rate(rate: u32) -> Hyperparameters {
    [("learning_rate".to_string(), serde_json::json!(rate))].into_iter().collect()
}

fn cpus(count: u32) -> Vec<DeviceInfo> {
    let named: Vec<String> = (0..count).map(|index| index.to_string()).collect();
    select(Accelerator::Cpu, &named).unwrap()
}

/// What is rarely other than the default.
pub struct Custom {
    pub timers: Timers,
    pub trackers: Arc<TrackerFactory>,
    pub ids: Box<dyn Ids>,
    /// What a worker prints before each of its words and before its end.
    pub prints: Vec<String>,
    pub workers: Workers,
}

/// What becomes of an actor that speaks to its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    Hear,
    /// It panics.
    Break,
}

impl Default for Custom {
    fn default() -> Self {
        let (trackers, ids) = (Arc::new(no_trackers), Box::new(Counted(0)));
        Self { timers: Timers::default(), trackers, ids, prints: Vec::new(), workers: Workers::Hear }
    }
}

/// Threads that print as processes do.
struct Printing {
    threads: ThreadLauncher<ToWorker, FromWorker>,
    prints: Vec<String>,
    workers: Workers,
}

impl Launcher<ToWorker, FromWorker> for Printing {
    fn launch(
        &self,
        launch: &Launch<'_>,
        mut sink: EventSink<FromWorker>,
    ) -> Result<Box<dyn engine_devices::Worker<ToWorker>>, LaunchError> {
        let prints = self.prints.clone();
        let sink = move |event| {
            let is_heard = prints.is_empty() || sink(WorkerEvent::Printed(prints.clone()));
            sink(event) && is_heard
        };
        let worker = self.threads.launch(launch, Box::new(sink))?;
        Ok(match self.workers {
            Workers::Hear => worker,
            Workers::Break => Box::new(Broken(worker)),
        })
    }
}

/// A worker whose handle takes the actor that uses it along.
struct Broken(Box<dyn engine_devices::Worker<ToWorker>>);

impl engine_devices::Worker<ToWorker> for Broken {
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    fn send(&self, message: ToWorker) -> Result<(), SendError> {
        panic!("on purpose, instead of {message:?}");
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }
}

struct Counted(u32);

impl Ids for Counted {
    fn run_id(&mut self) -> String {
        self.0 += 1;
        format!("{:08}", self.0)
    }
}

/// Proposes the learning rates 0, 1, 2 and so on; panics if it is broken.
pub struct Grid {
    holds: Option<u32>,
}

impl Grid {
    pub fn of(holds: u32) -> Box<dyn Sampler> {
        Box::new(Self { holds: Some(holds) })
    }

    pub fn broken() -> Box<dyn Sampler> {
        Box::new(Self { holds: None })
    }
}

impl Sampler for Grid {
    fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        let holds = self.holds.expect("a broken sampler");
        (trial < holds).then(|| rate(trial))
    }

    fn tell(&mut self, trial: u32, _score: Option<f64>) {
        assert!(trial < self.holds.unwrap_or_default(), "told of a trial that was never proposed");
    }
}

//! Real actors over real thread workers whose body does what the bench says.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use engine_actors::limits::PROGRESS_TIMEOUT;
use engine_actors::ports::{Ids, no_trackers};
use engine_actors::protocol::{FromWorker, ToWorker};
use engine_actors::system::{ActorSystem, SystemConfig};
use engine_devices::{DeviceInfo, DeviceKind, RunsPerDevice, Strategy, ThreadLauncher, WorkerPort};
use tempfile::TempDir;

use crate::samples;

/// No worker takes longer to tell what happened to it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Holds every folder of this process.
static ROOT: Mutex<Option<TempDir>> = Mutex::new(None);

fn root() -> MutexGuard<'static, Option<TempDir>> {
    ROOT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder for the files of a bench. It stays until [`remove_folders`]: ext4 looks through what was removed in the last seconds
/// whenever it makes a file, which then takes several times as long.
pub struct Folder(PathBuf);

impl Folder {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// An empty folder.
pub fn folder() -> Folder {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut root = root();
    let root = root.get_or_insert_with(|| match std::env::var_os("ENGINE_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
    });
    let path = root.path().join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir(&path).unwrap();
    Folder(path)
}

/// Removes what all benches wrote.
pub fn remove_folders() {
    drop(root().take());
}

/// What the workers are to do next; whichever stands takes it.
pub enum Cue {
    /// Say these and wait until they are kept; answered with the time that took.
    Say(Vec<FromWorker>),
    /// Say what comes from there, as it comes, until nothing does any more.
    Pass(Receiver<FromWorker>),
    /// Say so whenever one of so many checkpoints is asked for.
    HearCheckpoints(usize),
    /// Say so when a stop is asked for, and stop.
    HearStop,
    /// The last word.
    End(FromWorker),
}

/// When what happened to a worker.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// From its hello to its order.
    Ordered(Duration),
    /// What it was to say is kept.
    Kept(Duration),
    /// It was asked for something.
    Asked(Instant),
    /// It said its last word.
    Ended(Instant),
}

/// Counted ids.
struct Counted(u64);

impl Ids for Counted {
    fn run_id(&mut self) -> String {
        self.0 += 1;
        format!("{:08}", self.0)
    }
}

/// A system of one device, and the lines to its workers.
pub struct Stage {
    pub system: ActorSystem,
    pub cues: Sender<Cue>,
    told: Receiver<Told>,
}

impl Stage {
    pub fn new(slots: u32) -> Self {
        let (cues, heard) = bounded(64);
        let (tells, told) = bounded(64);
        let launcher = ThreadLauncher::new(Arc::new(move |port| act(port, &heard, &tells)));
        let devices: Vec<DeviceInfo> =
            (0..slots).map(|index| DeviceInfo::bare(DeviceKind::Cpu, index, Vec::new(), 1)).collect();
        let config = SystemConfig {
            placement: Strategy::CvParallel.placement(devices.len(), RunsPerDevice::ONE).unwrap(),
            devices,
            packing: RunsPerDevice::ONE,
            lock_dir: None,
            launcher: Arc::new(launcher),
            progress_timeout: PROGRESS_TIMEOUT,
            ids: Box::new(Counted(0)),
            trackers: Arc::new(no_trackers),
        };
        Self { system: ActorSystem::start(config).unwrap(), cues, told }
    }

    /// A run under way, which waits for its first cue.
    pub fn run(&self, folder: &Path) -> engine_actors::JobHandle<engine_actors::outcome::RunOutcome> {
        let handle = self.system.run(samples::run_plan("r", folder.join("r"))).unwrap();
        assert!(matches!(self.heard(), Told::Ordered(_)));
        handle
    }

    /// What a worker told last. One that is lost ends the bench.
    pub fn heard(&self) -> Told {
        self.told.recv_timeout(PATIENCE).unwrap()
    }

    /// Has the worker say these; the time until all of them are kept.
    pub fn say(&self, words: Vec<FromWorker>) -> Duration {
        self.cues.send(Cue::Say(words)).unwrap();
        match self.heard() {
            Told::Kept(took) => took,
            other => panic!("{other:?} in place of what was kept"),
        }
    }
}

/// A worker: hello, its order, then cue by cue.
fn act(mut port: WorkerPort<ToWorker, FromWorker>, cues: &Receiver<Cue>, tells: &Sender<Told>) {
    let begun = Instant::now();
    port.send(samples::hello()).unwrap();
    assert!(matches!(port.recv(), Some(ToWorker::Start(_))));
    tells.send(Told::Ordered(begun.elapsed())).unwrap();
    // A stage that is gone has no more cues.
    while let Ok(cue) = cues.recv() {
        match cue {
            Cue::Say(words) => {
                let begun = Instant::now();
                words.into_iter().for_each(|word| port.send(word).unwrap());
                port.send(FromWorker::Settle).unwrap();
                assert_eq!(port.recv(), Some(ToWorker::Settled));
                tells.send(Told::Kept(begun.elapsed())).unwrap();
            }
            Cue::Pass(words) => words.iter().for_each(|word| port.send(word).unwrap()),
            Cue::HearCheckpoints(count) => {
                for _ in 0..count {
                    assert_eq!(port.recv(), Some(ToWorker::Checkpoint));
                    tells.send(Told::Asked(Instant::now())).unwrap();
                }
                // Who only hears is taken for hung in the end.
                port.send(FromWorker::Beat).unwrap();
            }
            Cue::HearStop => {
                assert_eq!(port.recv(), Some(ToWorker::Stop));
                tells.send(Told::Asked(Instant::now())).unwrap();
            }
            Cue::End(word) => {
                let ended = Instant::now();
                port.send(word).unwrap();
                return tells.send(Told::Ended(ended)).unwrap();
            }
        }
    }
}

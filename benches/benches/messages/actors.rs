//! Messages between actors, from their sending to their answer.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, System};
use engine_actors::bus::EventBus;
use engine_actors::devices::{AcquireLease, DeviceManager};
use engine_actors::sink::{CvScored, ParquetSink, RunInfoReady, TuneClosed};
use engine_actors::tracker::{CloseRun, Record, Settle, Track, TrackerActor};
use engine_benches::counting::counted_while;
use engine_devices::{DeviceInfo, DeviceKind, RunsPerDevice, Want};
use tokio::sync::oneshot;

use crate::session::Session;
use crate::stage::folder;
use crate::{channels, files, samples};

/// Messages of a block that write nothing but rows.
const BLOCK: usize = 2000;
/// Messages of a block that wait for the disk.
const FILES: usize = 20;

pub fn message(id: &'static str, session: &mut Session) {
    let floor = channels::there_and_back_on_one_thread;
    match id {
        "message/acquire-lease" => measured(session, id, BLOCK, floor, &acquire_leases),
        "message/track" => measured(session, id, BLOCK, floor, &track),
        "message/settle" => measured(session, id, BLOCK, floor, &settle),
        "message/close-run" => measured(session, id, FILES, put, &close_runs),
        "message/run-info-ready" => measured(session, id, FILES, put, &write_runs),
        "message/cv-scored" => measured(session, id, FILES, put, &write_scores),
        "message/tune-closed" => measured(session, id, FILES, put, &close_tunes),
        _ => panic!("{id} has no bench"),
    }
}

fn put() -> Duration {
    files::put(folder().path())
}

/// Measures a block beside its floor, then what it takes from the heap. A block sends so many messages and tells the time of all.
fn measured(
    session: &mut Session,
    id: &'static str,
    messages: usize,
    floor: fn() -> Duration,
    block: &impl AsyncFn(&Path, usize, &mut Meter),
) {
    let run = |meter: &mut Meter| {
        let folder = folder();
        System::new().block_on(block(folder.path(), messages, meter));
    };
    session.beside(id, floor, || {
        let mut meter = Meter::Time(Duration::ZERO);
        run(&mut meter);
        match meter {
            Meter::Time(took) => took / u32::try_from(messages).unwrap(),
            Meter::Heap(_) => Duration::MAX,
        }
    });
    let mut meter = Meter::Heap(engine_benches::counting::Taken::default());
    run(&mut meter);
    if let Meter::Heap(taken) = meter {
        session.taken(id, taken, messages);
    }
}

/// What is looked at while messages are sent.
enum Meter {
    Time(Duration),
    Heap(engine_benches::counting::Taken),
}

impl Meter {
    async fn of(&mut self, send: impl Future<Output = ()>) {
        match self {
            Self::Time(took) => {
                let begun = Instant::now();
                send.await;
                *took += begun.elapsed();
            }
            Self::Heap(taken) => {
                let ((), more) = counted_while(send).await;
                taken.requests += more.requests;
                taken.bytes += more.bytes;
            }
        }
    }
}

/// A lease from its request to its return.
async fn acquire_leases(_: &Path, messages: usize, meter: &mut Meter) {
    let devices = (0..8).map(|index| DeviceInfo::bare(DeviceKind::Cpu, index, Vec::new(), 1)).collect();
    let bus = EventBus::new();
    let manager = DeviceManager::new(devices, RunsPerDevice::ONE, bus.clone()).start();
    let acquire = async {
        for _ in 0..messages {
            let (reply, granted) = oneshot::channel();
            let want = Want::Slot { family: None };
            let bus = bus.clone();
            manager.send(AcquireLease { holder: "bench".into(), want, bus, reply }).await.unwrap();
            drop(granted.await.unwrap().unwrap());
        }
    };
    meter.of(acquire).await;
}

fn tracker(folder: &Path) -> Addr<TrackerActor> {
    let plan = Arc::new(samples::run_plan("r", folder.join("r")));
    TrackerActor::of_files(plan, EventBus::new()).start()
}

/// A row of 12 metrics, from the RunActor's hand to `metrics.csv`: the queue before it is bounded.
async fn track(folder: &Path, messages: usize, meter: &mut Meter) {
    let tracker = tracker(folder);
    let points: Vec<Track> =
        (0..messages as u64).map(|step| Track(Record::Points(vec![samples::point(step)]))).collect();
    tracker.send(Track(Record::Points(vec![samples::point(0)]))).await.unwrap();
    tracker.send(Settle).await.unwrap();
    let send = async {
        for point in points {
            tracker.send(point).await.unwrap();
        }
        tracker.send(Settle).await.unwrap();
    };
    meter.of(send).await;
    tracker.send(CloseRun).await.unwrap();
}

/// A question whether all is kept, when it is.
async fn settle(folder: &Path, messages: usize, meter: &mut Meter) {
    let tracker = tracker(folder);
    tracker.send(Settle).await.unwrap();
    let send = async {
        for _ in 0..messages {
            tracker.send(Settle).await.unwrap();
        }
    };
    meter.of(send).await;
    tracker.send(CloseRun).await.unwrap();
}

/// The end of runs with one row each, files on the disk.
async fn close_runs(folder: &Path, messages: usize, meter: &mut Meter) {
    for number in 0..messages {
        let tracker = tracker(&folder.join(number.to_string()));
        tracker.send(Track(Record::Points(vec![samples::point(0)]))).await.unwrap();
        meter.of(async { tracker.send(CloseRun).await.unwrap() }).await;
    }
}

/// The table of a cv under way, each with one run more.
async fn write_runs(folder: &Path, messages: usize, meter: &mut Meter) {
    let sink = ParquetSink::new().start();
    for number in 0..messages {
        let cells = samples::CELLS as usize;
        let (cv, runs) = (folder.join(format!("cv{}", number / cells)), number % cells + 1);
        let runs = vec![samples::run_outcome(&cv.join("r")); runs];
        let ready = RunInfoReady { cv_dir: cv, runs };
        meter.of(async { sink.send(ready).await.unwrap().unwrap() }).await;
    }
}

/// The tables of a cv that is over, and of its tune.
async fn write_scores(folder: &Path, messages: usize, meter: &mut Meter) {
    let sink = ParquetSink::new().start();
    let tune_table = Some(folder.join("t.parquet"));
    for number in 0..u32::try_from(messages).unwrap() {
        let outcome = Box::new(samples::cv_outcome(number, &folder.join(format!("cv{number}"))));
        let scored = CvScored { outcome, tune_table: tune_table.clone() };
        meter.of(async { sink.send(scored).await.unwrap().unwrap() }).await;
    }
}

/// The table of a tune of ten cvs, whole.
async fn close_tunes(folder: &Path, messages: usize, meter: &mut Meter) {
    let sink = ParquetSink::new().start();
    for number in 0..messages {
        let folder = folder.join(number.to_string());
        let cvs = (0..10).map(|index| samples::cv_outcome(index, &folder.join(format!("cv{index}"))));
        let outcome = Arc::new(samples::tune_outcome(&folder, &cvs.collect::<Vec<_>>()));
        let closed = TuneClosed { outcome, tune_table: folder.join("t.parquet"), resumed: true };
        meter.of(async { sink.send(closed).await.unwrap().unwrap() }).await;
    }
}

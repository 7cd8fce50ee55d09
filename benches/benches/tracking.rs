//! What tracking costs: one `log` on the thread that trains, rows into the journal and to a server, memory, and a whole
//! tracked run beside an untracked one.
//!
//! `cargo bench --package engine-benches --bench tracking`, with the names of parts behind `--` where not all are wanted:
//! `log`, `rows`, `memory`, `training`. The cost of a `log` stands beside the official client's where
//! `scripts/python-peers.sh` has installed it. The server is the tests' own, in this process, on loopback.

#![expect(clippy::unwrap_used, reason = "a bench that can not start has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use engine::data::{SynthConfig, synthesise};
use engine::folds::FoldMethod;
use engine::segmentation::{SegmentationSettings, SegmentationWorkload};
use engine::tracking::Wandb;
use engine::workload::{RunContext, Workload};
use engine::{Accelerator, Cell, Engine, Failure, RunRequest, worker};
use engine_actors::protocol::{RunOrder, RunSummary};
use engine_benches::figures::{Line, Times};
use engine_tests::peers::{must, peer, script};
use engine_tests::wandb::faults::{FakeServer, Faults};
use engine_tests::wandb::points;
use engine_tests::wandb::server::Server;
use engine_tests::wandb::tracked::KEY;
use engine_tracking::MetricPoint;
use engine_tracking::wandb::key::Key;
use engine_tracking::wandb::run::RunJournal;
use engine_tracking::wandb::settings::{Mode, Settings};
use engine_tracking::wandb::uploader::Uploader;
use serde_json::{Value, json};

/// Values of one `log`.
const METRICS: u32 = 20;
/// Calls of it, and the pause of the training between two.
const LOGS: usize = 3000;
const PAUSE: Duration = Duration::from_millis(1);
/// Points a worker sends at once.
const BATCH: u64 = 64;
/// Rows of [`METRICS`] values through journal and uploader.
const ROWS: u64 = 50_000;
/// Points of one value, whose memory is compared.
const FEW: u64 = 100_000;
const MANY: u64 = 1_000_000;
/// Pairs of a tracked and an untracked run.
const PAIRS: usize = 5;
/// What a process started by this bench is to do, and with what.
const PART: &str = "TRACKING_BENCH";
/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    if let Some(code) = worker::run_if_worker(Either) {
        return code;
    }
    if let Ok(part) = std::env::var(PART) {
        print!("{}", do_part(&serde_json::from_str(&part).unwrap()));
        return ExitCode::SUCCESS;
    }
    let parts: [(&str, fn()); 4] = [
        ("log", cost_of_a_log),
        ("rows", rows_per_second),
        ("memory", memory),
        ("training", tracked_beside_untracked),
    ];
    // Cargo passes `--bench` besides what the user names.
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, measure) in parts {
        if named.is_empty() || named.iter().any(|one| one == name) {
            measure();
        }
    }
    ExitCode::SUCCESS
}

/// The runs of this bench: real ones, and ones that only log.
struct Either;

impl Workload for Either {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        if order.plan.hyperparameters.contains_key("logs") {
            return Ok(log(&order.plan.run_dir, context));
        }
        SegmentationWorkload.run(order, context)
    }
}

/// Values of the row of a step.
fn point(step: u64) -> MetricPoint {
    let value = |metric: u32| (format!("train/metric_{metric}"), step as f64 * 0.5 + f64::from(metric));
    MetricPoint { epoch: 0, step, values: (0..METRICS).map(value).collect() }
}

/// Logs as a training does, and leaves the times of its calls in the run's folder.
fn log(folder: &Path, context: &RunContext) -> RunSummary {
    let mut nanos = Vec::with_capacity(LOGS);
    for step in 1..=LOGS as u64 {
        let point = point(step);
        let start = Instant::now();
        context.log(point);
        nanos.push(start.elapsed().as_nanos() as u64);
        std::thread::sleep(PAUSE);
    }
    std::fs::write(folder.join("nanos.json"), json!(nanos).to_string()).unwrap();
    RunSummary { metrics: [("val/JaccardIndex".to_owned(), 0.5)].into(), ..RunSummary::default() }
}

fn times(nanos: &Value) -> Times {
    Times::new(
        nanos.as_array().unwrap().iter().map(|one| Duration::from_nanos(one.as_u64().unwrap())).collect(),
    )
}

fn cost_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = peer("wandb-0.31.0", "python").map(|python| {
        let mut command = Command::new(python);
        let calls = [LOGS.to_string(), PAUSE.as_secs_f64().to_string()];
        command.arg(script("log_cost.py")).arg(folder.path()).args(calls).env("HOME", folder.path());
        times(&serde_json::from_slice(&must(&mut command).stdout).unwrap())
    });
    let floor = theirs.as_ref();
    if let Some(times) = floor {
        println!("{}", Line { what: "log of 20 metrics, official client 0.31.0", times, floor: None });
    }
    let ours = times(&part(&json!({"log": folder.path()}), "http://127.0.0.1:9")["nanos"]);
    println!("{}", Line { what: "log of 20 metrics, tracked by us", times: &ours, floor });
}

fn rows_per_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = RunJournal::open(folder.path(), &points::header("benchrow"), Mode::Online).unwrap();
    let mut step = 0;
    let start = Instant::now();
    while step < ROWS {
        let batch: Vec<MetricPoint> = (step..ROWS.min(step + BATCH)).map(point).collect();
        step += batch.len() as u64;
        journal.rows(&batch, SystemTime::now()).unwrap();
    }
    let written = start.elapsed();
    println!("{:<44} {:>12.0} rows/s", "rows of 20 metrics into the journal", per_second(ROWS, written));

    let server = Server::start(None, &Faults::default());
    let uploader = uploader(&server.url());
    let start = Instant::now();
    uploader.follow(journal.folder().clone(), journal.growth(), Box::new(|_| {}));
    journal.finish(0, SystemTime::now()).unwrap();
    let left = uploader.finish(PATIENCE, &mut |_| ControlFlow::Continue(()));
    let sent = start.elapsed();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(server.seen().run("benchrow").history.len() as u64, ROWS);
    println!("{:<44} {:>12.0} rows/s", "the same from the journal to the server", per_second(ROWS, sent));
}

fn per_second(rows: u64, time: Duration) -> f64 {
    rows as f64 / time.as_secs_f64()
}

fn uploader(url: &str) -> Uploader {
    Uploader::start(&points::settings(url), Key::new(KEY.to_owned())).unwrap()
}

fn memory() {
    let mut peaks = Vec::new();
    for count in [FEW, MANY] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(None, &Faults::default());
        let told = part(&json!({"points": count, "folder": folder.path()}), &server.url());
        let seen = server.seen();
        assert_eq!(seen.run("benchmem").history.len() as u64, count);
        let mib = told["peak_kib"].as_f64().unwrap() / 1024.0;
        let what = format!("{count} points through journal and uploader");
        let rate = count as f64 / told["secs"].as_f64().unwrap();
        println!("{what:<44} {mib:>12.1} MiB at most  {rate:>12.0} points/s");
        peaks.push(mib);
    }
    println!("{:<44} {:>12.2} x", "memory of ten times the points", peaks[1] / peaks[0]);
}

fn tracked_beside_untracked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    synthesise(&SynthConfig { samples: 24, patch_size: 32, regions: 3, ..SynthConfig::new(&data) }).unwrap();
    let server = Server::start(None, &Faults::default());
    let (mut plain, mut tracked) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        // In turns, so that both meet the same weather.
        for (name, times) in [("plain", &mut plain), ("tracked", &mut tracked)] {
            let order = json!({"train": name, "folder": folder.path(), "out": format!("{name}{pair}")});
            times.push(Duration::from_secs_f64(part(&order, &server.url())["secs"].as_f64().unwrap()));
        }
    }
    let ratios =
        plain.iter().zip(&tracked).map(|(plain, tracked)| tracked.as_secs_f64() / plain.as_secs_f64());
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    assert!(server.seen().runs.iter().all(|run| run.exit_code == Some(0)));
    let (plain, tracked) = (Times::new(plain), Times::new(tracked));
    println!("{}", Line { what: "a training of four epochs, untracked", times: &plain, floor: None });
    println!("{}", Line { what: "the same, tracked", times: &tracked, floor: Some(&plain) });
    let (least, middle, most) = (ratios[0], ratios[PAIRS / 2], ratios[PAIRS - 1]);
    println!(
        "{:<44} {middle:>12.3} x  of {PAIRS} pairs, {least:.3} to {most:.3}",
        "a tracked over an untracked run"
    );
}

/// Does a part in a process of its own: its peak of memory and its environment are its own too.
fn part(order: &Value, url: &str) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, order.to_string()).env("WANDB_API_KEY", KEY).env("WANDB_BASE_URL", url);
    command.env("NO_PROXY", "127.0.0.1");
    serde_json::from_slice(&must(&mut command).stdout).unwrap()
}

fn do_part(order: &Value) -> Value {
    if let Some(folder) = order["log"].as_str() {
        return log_through_engine(Path::new(folder));
    }
    let folder = Path::new(order["folder"].as_str().unwrap());
    match order["points"].as_u64() {
        Some(count) => send_points(folder, count),
        None => train(folder, order["out"].as_str().unwrap(), order["train"] == "tracked"),
    }
}

fn log_through_engine(folder: &Path) -> Value {
    let engine = Engine::builder(Either)
        .artifact_dir(folder.join("out"))
        .accelerator(Accelerator::Cpu)
        .process_workers()
        .wandb(Wandb::new(Settings { mode: Mode::Offline, ..points::settings("http://127.0.0.1:9") }))
        .build()
        .unwrap();
    let request = RunRequest::new(Cell { fold: 0, seed: 42 })
        .with_name("log")
        .with_hyperparameters(json!({"logs": LOGS}).as_object().cloned().unwrap());
    let outcome = engine.train(request).unwrap().wait().unwrap();
    engine.close(&mut |_| ControlFlow::Continue(()));
    let text = std::fs::read(outcome.run_dir.join("nanos.json")).unwrap();
    json!({"nanos": serde_json::from_slice::<Value>(&text).unwrap()})
}

fn send_points(folder: &Path, count: u64) -> Value {
    let uploader = uploader(&std::env::var("WANDB_BASE_URL").unwrap());
    let mut journal = RunJournal::open(folder, &points::header("benchmem"), Mode::Online).unwrap();
    uploader.follow(journal.folder().clone(), journal.growth(), Box::new(|_| {}));
    let one = |step| MetricPoint { epoch: 0, step, values: [("train/loss".to_owned(), step as f64)].into() };
    let start = Instant::now();
    let mut step = 0;
    while step < count {
        let batch: Vec<MetricPoint> = (step..count.min(step + BATCH)).map(one).collect();
        step += batch.len() as u64;
        journal.rows(&batch, SystemTime::now()).unwrap();
    }
    journal.finish(0, SystemTime::now()).unwrap();
    let left = uploader.finish(PATIENCE, &mut |_| ControlFlow::Continue(()));
    assert!(left.is_empty(), "{left:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap();
    json!({"peak_kib": peak_kib, "secs": start.elapsed().as_secs_f64()})
}

/// Trains one small model, and tells how long it took to its outcome.
fn train(folder: &Path, out: &str, is_tracked: bool) -> Value {
    let builder = Engine::builder(Either)
        .artifact_dir(folder.join(out))
        .accelerator(Accelerator::Cpu)
        .process_workers();
    let url = std::env::var("WANDB_BASE_URL").unwrap();
    let builder = if is_tracked { builder.wandb(Wandb::new(points::settings(&url))) } else { builder };
    let engine = builder.build().unwrap();
    let settings = SegmentationSettings {
        train_data_dir: folder.join("data"),
        test_split: None,
        fold_method: FoldMethod::Kfold,
        total_folds: 3,
        subsample: None,
        in_memory: false,
        max_epochs: 4,
        accumulate_grad_batches: 1,
        gradient_clip: None,
        precision: engine::nn::Precision::Single,
        early_stopping_patience: 0,
        num_workers: 1,
        save_top_k: 1,
        log_every_n_steps: 1,
        check_val_every_n_epoch: 1,
        plot_every_n_val_epochs: 1,
        checkpoint_every_n_steps: None,
        weights_from_checkpoint: None,
        continue_from_checkpoint: None,
        backend: None,
    };
    let hyperparameters = json!({"model_encoder": "resnet18", "batch_size": 4});
    let request = RunRequest::new(Cell { fold: 0, seed: 42 })
        .with_name(out)
        .with_hyperparameters(hyperparameters.as_object().cloned().unwrap())
        .with_settings(serde_json::to_value(settings).unwrap());
    let start = Instant::now();
    let outcome = engine.train(request).unwrap().wait().unwrap();
    let secs = start.elapsed().as_secs_f64();
    assert!(outcome.failure.is_none(), "{outcome:?}");
    let left = engine.close(&mut |_| ControlFlow::Continue(()));
    assert!(left.is_empty(), "{left:?}");
    json!({"secs": secs})
}

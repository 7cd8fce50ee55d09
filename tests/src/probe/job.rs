//! A job as a file, and the engine that carries it out.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::{
    Cell, CvRequest, Engine, Event, EventStream, FailedCells, Hyperparameters, JobError, RunRequest, Sampler,
    Scoring, TuneRequest,
};
use engine_devices::RunsPerDevice;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::workload::{SCORE, Scripted};

/// Which level is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// One run: the first configuration on the first cell.
    Train,
    /// The first configuration over every cell.
    Cv,
    /// Every configuration over every cell.
    Tune,
}

/// Which processes do the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Processes {
    /// As the engine does it.
    Shared,
    /// Each run has its own.
    Fresh,
}

/// What the program `probe` is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Folder for everything; `events.jsonl` in it gets every event, a line as it happens.
    pub artifact_dir: PathBuf,
    /// `cpu`, `gpu` or `auto`.
    pub accelerator: String,
    /// As the option `devices`.
    pub devices: Vec<String>,
    /// As the option `strategy`.
    pub strategy: String,
    /// Runs that may share a device.
    pub runs_per_device: RunsPerDevice,
    /// Where locks on GPUs are.
    pub lock_dir: PathBuf,
    /// Time without progress after which a run has failed.
    pub progress_timeout_secs: f64,
    /// Which processes do the runs.
    pub processes: Processes,
    /// Which level is called.
    pub level: Level,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Hyperparameters of each configuration, `script` among them.
    pub configurations: Vec<Hyperparameters>,
}

impl Job {
    /// A job in the folder, on one slice of the CPU, with the folds 0, 1, … of seed 42 for cells.
    ///
    /// # Panics
    /// For a configuration that is no object.
    pub fn new(folder: &Path, level: Level, configurations: &[Value], folds: u32) -> Self {
        Self {
            artifact_dir: folder.join("artifacts"),
            accelerator: "cpu".into(),
            devices: vec!["auto".into()],
            strategy: "auto".into(),
            runs_per_device: RunsPerDevice::ONE,
            lock_dir: folder.join("locks"),
            progress_timeout_secs: 600.0,
            processes: Processes::Shared,
            level,
            cells: (0..folds).map(|fold| Cell { fold, seed: 42 }).collect(),
            configurations: configurations.iter().map(|one| one.as_object().unwrap().clone()).collect(),
        }
    }

    /// The same over CPU slices `0, 1, …`, so many, by this strategy.
    #[must_use]
    pub fn on(self, slices: u32, strategy: &str) -> Self {
        let devices = (0..slices).map(|slice| slice.to_string()).collect();
        Self { devices, strategy: strategy.into(), ..self }
    }

    /// The folder of its cv; the job's level must be `cv`.
    pub fn cv_dir(&self) -> PathBuf {
        self.artifact_dir.join("_cross_validations").join(NAME)
    }
}

/// How long leases may take to come back after the outcome; what has not is missing among the events.
const LEASES_BACK: Duration = Duration::from_secs(10);

/// Name of the level that is called.
const NAME: &str = "probed";

/// Why a job was not carried out.
pub type ProbeError = Box<dyn std::error::Error + Send + Sync>;

/// Does the job in the file: worker processes are the running program.
///
/// # Errors
/// A job that can not be read, an engine that can not be had.
pub fn carry_out(job: &Path) -> Result<(), ProbeError> {
    let job: Job = serde_json::from_slice(&std::fs::read(job)?)?;
    std::fs::create_dir_all(&job.artifact_dir)?;
    let builder = Engine::builder(Scripted);
    let builder = match job.processes {
        Processes::Shared => builder.process_workers(),
        Processes::Fresh => builder.fresh_process_workers(),
    };
    let engine = builder
        .artifact_dir(&job.artifact_dir)
        .accelerator(job.accelerator.parse()?)
        .devices(job.devices.iter().cloned())
        .strategy(job.strategy.parse()?)
        .runs_per_device(job.runs_per_device)
        .lock_dir(&job.lock_dir)
        .progress_timeout(Duration::from_secs_f64(job.progress_timeout_secs))
        .build()?;
    let file = File::create(job.artifact_dir.join("events.jsonl"))?;
    let events = engine.events();
    let leases_out = Arc::new(AtomicI64::new(0));
    let counted = Arc::clone(&leases_out);
    let write = move || write_events(events, file, &counted);
    let writer = thread::Builder::new().name("events".into()).spawn(write)?;
    let outcome = outcome(&engine, &job)?;
    // The last lease is on its way back when the outcome is told.
    let deadline = Instant::now() + LEASES_BACK;
    while leases_out.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
    // With the engine its events end; what has happened until then is written.
    drop(engine);
    writer.join().map_err(|_| "the thread that writes events panicked")??;
    print_line(&json!({"event": "result", "outcome": outcome}))?;
    Ok(())
}

fn outcome(engine: &Engine, job: &Job) -> Result<Value, ProbeError> {
    let waited = |lost: JobError| -> ProbeError { lost.into() };
    let outcome = match job.level {
        Level::Train => serde_json::to_value(engine.train(run_request(job)?)?.wait().map_err(waited)?)?,
        Level::Cv => serde_json::to_value(engine.cv(cv_request(job)?)?.wait().map_err(waited)?)?,
        Level::Tune => serde_json::to_value(tune(engine, job)?)?,
    };
    Ok(outcome)
}

fn first_configuration(job: &Job) -> Result<Hyperparameters, ProbeError> {
    Ok(job.configurations.first().ok_or("a job needs a configuration")?.clone())
}

fn scoring() -> Result<Scoring, ProbeError> {
    Ok(Scoring::parse(&[SCORE], "harmonic")?)
}

fn run_request(job: &Job) -> Result<RunRequest, ProbeError> {
    let cell = *job.cells.first().ok_or("a job needs a cell")?;
    Ok(RunRequest::new(cell).with_name(NAME).with_hyperparameters(first_configuration(job)?))
}

fn cv_request(job: &Job) -> Result<CvRequest, ProbeError> {
    Ok(CvRequest::new(job.cells.clone(), scoring()?)
        .with_name(NAME)
        .with_hyperparameters(first_configuration(job)?)
        .with_failed_cells(FailedCells::Ignore))
}

fn tune(engine: &Engine, job: &Job) -> Result<engine::TuneOutcome, ProbeError> {
    let trials = u32::try_from(job.configurations.len())?;
    let request = TuneRequest::new(trials, job.cells.clone(), scoring()?)
        .with_name(NAME)
        .with_failed_cells(FailedCells::Ignore);
    let sampler = Listed { left: job.configurations.iter().cloned().collect() };
    Ok(engine.tune(request, Box::new(sampler))?.wait()?)
}

/// Proposes what is listed, in its order.
struct Listed {
    left: VecDeque<Hyperparameters>,
}

impl Sampler for Listed {
    fn propose(&mut self, _trial: u32) -> Option<Hyperparameters> {
        self.left.pop_front()
    }

    fn tell(&mut self, _trial: u32, _score: Option<f64>) {}
}

fn write_events(mut events: EventStream, mut file: File, leases_out: &AtomicI64) -> std::io::Result<()> {
    while let Some(event) = events.next_blocking() {
        match &event {
            Event::LeaseGranted { .. } => leases_out.fetch_add(1, Ordering::AcqRel),
            Event::LeaseReturned { .. } => leases_out.fetch_sub(1, Ordering::AcqRel),
            _ => 0,
        };
        let line = serde_json::to_string(&event)?;
        writeln!(file, "{line}")?;
        print_line(&event)?;
    }
    Ok(())
}

fn print_line(value: &impl Serialize) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(value)?)?;
    stdout.flush()
}

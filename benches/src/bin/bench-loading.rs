//! How many samples a second the data path hands over, beside which cores and memory it takes.
//!
//! `bench-loading --data DIR --augment HorizontalFlip,VerticalFlip,RandomBrightnessContrast --workers 2 --epochs 5` loads every
//! sample of the folder so many times, as training does, and throws the batches away. It prints one line of JSON:
//! `samples_per_second` and `waited_seconds` (for a batch to be ready) of each epoch, `cpu_seconds` and `peak_bytes` of the
//! process. With `--step-ms` it computes so long on each batch, as training does. Without `--data` it makes a folder
//! of `--samples` samples first, and counts the making in neither figure but the peak.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::augment::Pipeline;
use engine::data::{DataFolder, Loader, LoaderConfig, SynthConfig, synthesise};
use engine_benches::process;

const USAGE: &str = "bench-loading [--data DIR | --samples N] [--augment A,B,C] [--workers N] [--batch N] [--epochs N] [--step-ms N] [--in-memory]";

/// Seed of order and augmentations.
const SEED: u64 = 42;

struct Options {
    data: Option<PathBuf>,
    samples: usize,
    augment: Vec<String>,
    workers: usize,
    batch: usize,
    epochs: u32,
    step: Duration,
    in_memory: bool,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            data: None,
            samples: 256,
            augment: Vec::new(),
            workers: 1,
            batch: 8,
            epochs: 5,
            step: Duration::ZERO,
            in_memory: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                "--data" => options.data = Some(value()?.into()),
                "--samples" => options.samples = value()?.parse()?,
                "--augment" => {
                    options.augment =
                        value()?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                }
                "--workers" => options.workers = value()?.parse()?,
                "--batch" => options.batch = value()?.parse()?,
                "--epochs" => options.epochs = value()?.parse()?,
                "--step-ms" => options.step = Duration::from_millis(value()?.parse()?),
                "--in-memory" => options.in_memory = true,
                _ => return Err(format!("{word} means nothing here; {USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::read(std::env::args().skip(1)).and_then(|options| measure(&options)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-loading: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<serde_json::Value, Box<dyn Error>> {
    let made = tempfile::TempDir::new()?;
    let path = match &options.data {
        Some(path) => path.clone(),
        None => {
            let path = made.path().join("data");
            synthesise(&SynthConfig { samples: options.samples, ..SynthConfig::new(&path) })?;
            path
        }
    };
    let folder = Arc::new(DataFolder::open(&path, None)?);
    let pipeline = Pipeline::parse(&options.augment)?;
    let config = LoaderConfig {
        batch_size: options.batch,
        shuffle: Some(SEED),
        drop_last: false,
        workers: options.workers,
        in_memory: options.in_memory,
        augment: (!pipeline.steps().is_empty()).then(|| Arc::new(pipeline)),
        augment_seed: SEED,
        ahead: options.workers.max(1) + 2,
        shard: None,
    };
    let rows: Vec<usize> = (0..folder.len()).collect();
    let loader = Loader::new(folder, rows, config)?;
    let (mut rates, mut waits) = (Vec::new(), Vec::new());
    let before = process::cpu_seconds();
    for epoch in 0..options.epochs {
        let start = Instant::now();
        let mut samples = 0;
        let mut batches = loader.epoch(epoch);
        for batch in batches.by_ref() {
            samples += batch?.n;
            compute(options.step);
        }
        // A count of samples is far below 2^52.
        rates.push(samples as f64 / start.elapsed().as_secs_f64());
        waits.push(batches.waited().as_secs_f64());
    }
    let cpu_seconds = process::cpu_seconds().zip(before).map(|(after, before)| after - before);
    Ok(serde_json::json!({
        "id": "loading",
        "workers": options.workers,
        "samples_per_second": rates,
        "waited_seconds": waits,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": process::peak_bytes(),
    }))
}

/// Keeps a core busy, as arithmetic does.
fn compute(step: Duration) {
    let start = Instant::now();
    while start.elapsed() < step {
        std::hint::spin_loop();
    }
}

//! Runs that do as their hyperparameters say, and requests for them.

use std::path::Path;
use std::thread;
use std::time::Duration;

use engine::workload::{Metrics, RunContext, RunOrder, RunSummary, Workload};
use engine::{
    Accelerator, Cell, CvRequest, Engine, EngineBuilder, Failure, Hyperparameters, Phase, Progress, Scoring,
};
use serde_json::{Value, json};

/// The workload of these tests: the hyperparameter `deed` is one of its methods.
pub struct Deeds;

/// Time of a step.
const STEP: Duration = Duration::from_millis(1);

impl Workload for Deeds {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let of = |name: &str| order.plan.hyperparameters.get(name).cloned().unwrap_or_default();
        let steps = of("steps").as_u64().unwrap_or(5);
        let mut done = 0;
        match of("deed").as_str().unwrap() {
            "train" => {
                while done < steps && !context.stop_requested() {
                    done += 1;
                    step(context, done);
                }
            }
            "forever" => {
                while !context.stop_requested() {
                    done += 1;
                    step(context, done);
                }
            }
            "panic" if order.plan.cell.fold == 0 => panic!("this fold panics"),
            "panic" => {}
            // It looks at nothing but a file.
            "deaf" => {
                let file = of("file");
                while !Path::new(file.as_str().unwrap()).exists() {
                    done += 1;
                    step(context, done);
                }
            }
            "chatter" => {
                for epoch in 0..u32::try_from(steps).unwrap() {
                    done += 1;
                    step(context, done);
                    context.validated(epoch, done, [("val/score".to_owned(), f64::from(epoch))].into());
                }
            }
            other => panic!("no deed is called {other}"),
        }
        let metrics: Metrics = [("val/score".to_owned(), 0.5)].into();
        let stopped = context.stop_requested();
        Ok(RunSummary { metrics, steps: done, epochs: 1, stopped, ..RunSummary::default() })
    }
}

fn step(context: &RunContext, done: u64) {
    thread::sleep(STEP);
    let batch = u32::try_from(done).unwrap();
    context.progress(Progress { epoch: 0, max_epochs: 1, batch, batches: batch, phase: Phase::Train });
}

/// An engine on so many slices of the CPU.
pub fn engine_on(folder: &Path, slices: u32) -> EngineBuilder {
    Engine::builder(Deeds)
        .artifact_dir(folder)
        .accelerator(Accelerator::Cpu)
        .devices((0..slices).map(|slice| slice.to_string()))
        .strategy(engine::Strategy::CvParallel)
}

pub fn scoring() -> Scoring {
    Scoring::parse(&["val/score"], "harmonic").unwrap()
}

pub fn cells(folds: u32) -> impl Iterator<Item = Cell> {
    (0..folds).map(|fold| Cell { fold, seed: 42 })
}

/// What a run is to do.
pub fn deed(of: &Value) -> Hyperparameters {
    of.as_object().unwrap().clone()
}

/// A cv of so many cells that do this.
pub fn cv(folds: u32, of: &Value) -> CvRequest {
    CvRequest::new(cells(folds), scoring())
        .with_hyperparameters(deed(of))
        .with_failed_cells(engine::FailedCells::Ignore)
}

/// A cv whose cells train a moment.
pub fn short_cv(folds: u32) -> CvRequest {
    cv(folds, &json!({"deed": "train", "steps": 5}))
}

/// A cv of one cell that trains until it is told to stop.
pub fn endless_cv() -> CvRequest {
    cv(1, &json!({"deed": "forever"}))
}

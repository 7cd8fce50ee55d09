//! A training loop written by hand, tuned and cross-validated: `cargo run -p engine --example plain_loop -- FOLDER`.
//!
//! It fits `y = a x + b` to points by gradient descent: two learning rates, three folds each, on two slices of the CPU.
#![expect(clippy::print_stdout, reason = "it is what a user looks at")]

use std::error::Error;

use engine::space::{Distribution, GridSampler, SearchSpace};
use engine::workload::{MetricPoint, Metrics, RunContext, RunOrder, RunSummary, Workload};
use engine::{Accelerator, Cause, Cell, Engine, Failure, Phase, Progress, Scoring, Strategy, TuneRequest};
use serde_json::json;

const EPOCHS: u32 = 50;
const FOLDS: u32 = 3;

/// What a run does: one model, one fold.
pub(crate) struct Line;

impl Workload for Line {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let Some(rate) = order.plan.hyperparameters.get("rate").and_then(|rate| rate.as_f64()) else {
            let message = "`rate` is to be a number".to_owned();
            return Err(Failure { cause: Cause::Configuration, message, stderr_tail: Vec::new() });
        };
        let points =
            (0..90_u32).map(|i| (i, f64::from(i) / 90.0)).map(|(i, x)| (i, x, 3.0 * x - 1.0 + wobble(i)));
        let (held_out, seen): (Vec<_>, Vec<_>) =
            points.partition(|(i, ..)| i % FOLDS == order.plan.cell.fold);
        let (mut a, mut b) = (0.0, 0.0);
        let (mut metrics, mut epochs) = (Metrics::new(), 0);
        while epochs < EPOCHS && !context.stop_requested() {
            for (_, x, y) in &seen {
                let error = a * x + b - y;
                (a, b) = (a - rate * error * x, b - rate * error);
            }
            let squares = held_out.iter().map(|(_, x, y)| (a * x + b - y).powi(2));
            metrics = [("val/loss".to_owned(), squares.sum::<f64>() / held_out.len() as f64)].into();
            context.log(MetricPoint { epoch: epochs, step: u64::from(epochs) + 1, values: metrics.clone() });
            context.validated(epochs, u64::from(epochs) + 1, metrics.clone());
            epochs += 1;
            let (max_epochs, phase) = (EPOCHS, Phase::Train);
            context.progress(Progress { epoch: epochs - 1, max_epochs, batch: 1, batches: 1, phase });
        }
        let stopped = context.stop_requested();
        Ok(RunSummary { metrics, epochs, steps: u64::from(epochs), stopped, ..RunSummary::default() })
    }
}

/// Noise that is the same on every machine.
fn wobble(i: u32) -> f64 {
    0.1 * (f64::from(i) * 12.9898).sin()
}

/// A tune over these learning rates, and what proposes them.
pub(crate) fn over(rates: &[f64]) -> Result<(TuneRequest, Box<GridSampler>), Box<dyn Error + Send + Sync>> {
    let rates = Distribution::Choice(rates.iter().map(|rate| json!(rate)).collect());
    let sampler = GridSampler::new(SearchSpace::new([("rate".to_owned(), rates)])?)?;
    let cells = (0..FOLDS).map(|fold| Cell { fold, seed: 42 });
    let scoring = Scoring::parse(&["val/loss:lower"], "harmonic")?;
    Ok((TuneRequest::new(sampler.trials(), cells, scoring), Box::new(sampler)))
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "artifacts".to_owned());
    let engine = Engine::builder(Line)
        .artifact_dir(folder)
        .accelerator(Accelerator::Cpu)
        .devices(["0", "1"])
        .strategy(Strategy::TuneParallel)
        .build()?;
    let (request, sampler) = over(&[0.001, 0.1])?;
    let tune = engine.tune(request, sampler)?;
    println!("{} in {}", tune.name(), tune.folder().display());
    let outcome = tune.wait()?;
    for cv in &outcome.cvs {
        println!(
            "{}: rate {}, loss {:.4}",
            cv.cv_name,
            cv.hyperparameters["rate"],
            cv.score.unwrap_or(f64::NAN)
        );
    }
    println!("best {}", outcome.best.map_or("none", |best| outcome.cvs[best].cv_name.as_str()));
    Ok(())
}

//! Tunes a training script in Python: two learning rates and two penalties, each on two folds, two runs at a time.
//!
//! `cargo run --example external_script` from the repository; `PYTHON` names another interpreter than `python3`.

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::error::Error;
use std::path::{Path, PathBuf};

use engine::command::CommandWorkload;
use engine::space::{Distribution, GridSampler, SearchSpace};
use engine::{Accelerator, Engine, Scoring, Strategy, TuneRequest, seeds};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python");
    let script = CommandWorkload::builder(python)
        .args(["train.py", "--epochs", "10", "--folds", "2", "--fold", "{fold}", "--seed", "{seed}"])
        .resume_args(["--resume", "{checkpoint}"])
        .working_dir(folder)
        .build()?;

    let space = SearchSpace::new([
        ("learning_rate".to_owned(), Distribution::Choice(vec![json!(0.001), json!(0.1)])),
        ("l2".to_owned(), Distribution::Choice(vec![json!(0.0), json!(0.1)])),
    ])?;
    let sampler = GridSampler::new(space)?;

    let scoring = Scoring::parse(&["val/loss:lower"], "arithmetic")?;
    // The settings stand in the job's journal: a job that is resumed with another program is refused.
    let request =
        TuneRequest::new(sampler.trials(), seeds::cells(2, 1), scoring).with_settings(script.settings());

    let artifacts = std::env::args().nth(1).map_or_else(|| PathBuf::from("artifacts"), PathBuf::from);
    let engine = Engine::builder(script)
        .artifact_dir(artifacts)
        .accelerator(Accelerator::Cpu)
        .devices(["0", "1"])
        .strategy(Strategy::CvParallel)
        .build()?;
    let outcome = engine.tune(request, Box::new(sampler))?.wait()?;

    for cv in &outcome.cvs {
        let score = cv.score.map_or("none".to_owned(), |score| format!("{score:.4}"));
        println!("{}: val/loss {score}", json!(cv.hyperparameters));
    }
    let best = outcome.best.and_then(|best| outcome.cvs.get(best)).ok_or("no configuration was stable")?;
    println!("best: {} in {}", json!(best.hyperparameters), best.cv_dir.display());
    Ok(())
}

//! Recognises handwritten digits with a burn model: one run, a cross-validation, or a search.
//!
//!     cargo run --release --example digits -- train|cv|tune [ARTIFACT_DIR [EPOCHS]]
#![expect(clippy::print_stdout, reason = "an example shows what came of it")]

use std::process::ExitCode;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use engine::backend::burn;
use engine::learn::{BoxError, Data, Learner, Learning, LearningSettings, Run, Step, accuracy};
use engine::space::{SearchSpace, Trials};
use engine::training::ScheduleConfig;
use engine::{Accelerator, Engine, worker};
use serde_json::json;
use smartcore::dataset::{Dataset, digits};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    out: Linear,
}

#[derive(serde::Deserialize)]
struct Space {
    learning_rate: f64,
    width: usize,
}

/// 1797 digits of 8 x 8 pixels, from 0 to 16.
struct Digits(Dataset<f32, f32>);

impl Digits {
    fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let pixels: Vec<f32> = rows.iter().flat_map(|row| &self.0.data[64 * row..][..64]).copied().collect();
        let labels: Vec<i64> = rows.iter().map(|row| self.0.target[*row] as i64).collect();
        let x = Tensor::from_data(TensorData::new(pixels, [rows.len(), 64]), device);
        (x.div_scalar(16.0), Tensor::from_data(TensorData::new(labels, [rows.len()]), device))
    }
}

impl Learner for Digits {
    type Hyperparameters = Space;
    type Model = Net;
    type Batch = (Tensor<2>, Tensor<1, Int>);

    fn model(&self, run: &Run<Space>) -> Result<Net, BoxError> {
        let linear = |from, to| LinearConfig::new(from, to).init(run.device());
        Ok(Net { hidden: linear(64, run.hyperparameters.width), out: linear(run.hyperparameters.width, 10) })
    }

    fn data<'a>(&'a self, run: &Run<Space>) -> Result<Data<'a, Self::Batch>, BoxError> {
        Data::kfold(run, self.0.num_samples, 64, |rows, device| Ok(self.batch(rows, device)))
    }

    fn step(&self, net: &Net, (x, target): Self::Batch, _: &Run<Space>) -> Step {
        let logits = net.out.forward(relu(net.hidden.forward(x)));
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), target.clone());
        Step::new(loss).metric("accuracy", accuracy(&logits, &target))
    }

    fn schedule(&self, hyperparameters: &Space) -> ScheduleConfig {
        ScheduleConfig::constant(hyperparameters.learning_rate)
    }
}

fn main() -> Result<ExitCode, BoxError> {
    let learning = Learning::new(Digits(digits::load_dataset()));
    // The engine starts this program again for each of its workers.
    if let Some(code) = worker::run_if_worker(learning.clone()) {
        return Ok(code);
    }
    let [level, artifacts, epochs] = [1, 2, 3].map(|number| std::env::args().nth(number));
    let (max_epochs, monitor) = (epochs.map_or(Ok(10), |epochs| epochs.parse())?, "val/accuracy".parse()?);
    let settings = LearningSettings { max_epochs, total_folds: 3, monitor, ..LearningSettings::default() };
    let given = json!({"learning_rate": 3e-3, "width": 32});
    let builder = Engine::builder(learning.clone()).artifact_dir(artifacts.unwrap_or("artifacts".into()));
    let engine = builder.accelerator(Accelerator::Cpu).process_workers().build()?;
    match level.as_deref() {
        Some("train") => println!("{:#?}", engine.train(learning.train(&settings, given)?)?.wait()?.metrics),
        Some("cv") => println!("accuracy {:?}", engine.cv(learning.cv(&settings, given)?)?.wait()?.score),
        _ => {
            let space = SearchSpace::builder().log_uniform("learning_rate", 1e-3, 3e-2);
            let space = space.choice("width", [16, 64]).build()?;
            let (tune, sampler) = learning.tune(&settings, space, Trials::Count(4))?;
            let tuned = engine.tune(tune, sampler)?.wait()?;
            let best = tuned.best.map(|best| &tuned.cvs[best]);
            println!("accuracy {:?}", best.map(|cv| (cv.score, &cv.hyperparameters)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! A learner as a user would write it, with layers that draw and layers that keep statistics.

use burn::module::{Module, Param, ParamId};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use engine::backend::burn;
use engine::folds::Division;
use engine::learn::{BoxError, Data, Learner, Learning, Run, Step, accuracy};
use engine::training::{OptimizerConfig, ScheduleConfig, SgdConfig};
use serde::Deserialize;

/// Samples of the set: of three folds of 20 each run trains on 40, in batches of 12, 12, 12 and 4.
pub const SAMPLES: usize = 60;
pub const BATCHES: u64 = 4;
/// Values of a sample.
const VALUES: usize = 6;
const CLASSES: usize = 3;

/// What goes wrong, where something is to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    #[default]
    None,
    /// The model can not be built.
    Model,
    /// A batch of validation can not be had.
    Data,
    /// A step panics.
    Panic,
    /// The loss is not finite.
    Nan,
    /// The model holds whole numbers.
    Whole,
    /// The model is not trained.
    Frozen,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hyperparameters {
    pub learning_rate: f64,
    pub width: usize,
    #[serde(default)]
    pub momentum: Option<f64>,
    #[serde(default)]
    pub trouble: Trouble,
}

#[derive(Module, Debug)]
pub struct Net {
    hidden: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    out: Linear,
    whole: Option<Param<Tensor<1, Int>>>,
}

pub struct Blobs;

/// The workload of all tests.
pub fn learning() -> Learning<Blobs> {
    Learning::new(Blobs)
}

impl Blobs {
    /// Values around a centre of their class, none of them drawn: any process has the same.
    fn batch(rows: &[usize], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let label = |row: usize| (row * 7 + row / 5) % CLASSES;
        let value = |row: usize, at: usize| {
            let noise = ((row * 31 + at * 17) % 23) as f32 / 23.0 - 0.5;
            if at % CLASSES == label(row) { 1.0 + noise } else { noise }
        };
        let values: Vec<f32> = rows.iter().flat_map(|row| (0..VALUES).map(|at| value(*row, at))).collect();
        let labels: Vec<i64> = rows.iter().map(|row| label(*row) as i64).collect();
        let x = Tensor::from_data(TensorData::new(values, [rows.len(), VALUES]), device);
        (x, Tensor::from_data(TensorData::new(labels, [rows.len()]), device))
    }
}

impl Learner for Blobs {
    type Hyperparameters = Hyperparameters;
    type Model = Net;
    type Batch = (Tensor<2>, Tensor<1, Int>);

    fn model(&self, run: &Run<Hyperparameters>) -> Result<Net, BoxError> {
        let Hyperparameters { width, trouble, .. } = run.hyperparameters;
        if trouble == Trouble::Model {
            return Err(format!("no model of width {width} is to be had").into());
        }
        let whole = || Param::initialized(ParamId::new(), Tensor::<1, Int>::zeros([2], run.device()));
        let net = Net {
            hidden: LinearConfig::new(VALUES, width).init(run.device()),
            norm: BatchNormConfig::new(width).init(run.device()),
            dropout: DropoutConfig::new(0.2).init(),
            out: LinearConfig::new(width, CLASSES).init(run.device()),
            whole: (trouble == Trouble::Whole).then(whole),
        };
        Ok(if trouble == Trouble::Frozen { net.no_grad() } else { net })
    }

    fn data<'a>(&'a self, run: &Run<Hyperparameters>) -> Result<Data<'a, Self::Batch>, BoxError> {
        let spoils_val = run.hyperparameters.trouble == Trouble::Data;
        let load = move |rows: &[usize], device: &Device| {
            if spoils_val && rows.contains(&0) {
                return Err("row 0 is damaged".into());
            }
            Ok(Self::batch(rows, device))
        };
        if run.fold().is_some() {
            return Data::kfold(run, SAMPLES, 12, load);
        }
        let (train, test): (Vec<usize>, Vec<usize>) = (0..SAMPLES).partition(|row| row % 4 > 0);
        Ok(Data::of_rows(run, Division { val: train.clone(), train, test }, 12, load))
    }

    fn step(&self, net: &Net, (x, target): Self::Batch, run: &Run<Hyperparameters>) -> Step {
        let is_training = x.device().is_autodiff();
        let hidden = net.dropout.forward(relu(net.norm.forward(net.hidden.forward(x))));
        let logits = net.out.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), target.clone());
        let step = Step::new(match run.hyperparameters.trouble {
            Trouble::Panic if is_training => panic!("the net is torn"),
            Trouble::Nan if is_training => loss.log().sub_scalar(1.0).log(),
            _ => loss,
        });
        step.metric("accuracy", accuracy(&logits, &target)).metric("width", run.hyperparameters.width as f64)
    }

    fn optimizer(&self, hyperparameters: &Hyperparameters) -> OptimizerConfig {
        match hyperparameters.momentum {
            Some(momentum) => OptimizerConfig::Sgd(SgdConfig { momentum, ..SgdConfig::default() }),
            None => OptimizerConfig::default(),
        }
    }

    fn schedule(&self, hyperparameters: &Hyperparameters) -> ScheduleConfig {
        ScheduleConfig::constant(hyperparameters.learning_rate)
    }
}

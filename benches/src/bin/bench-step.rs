//! One training step: forward pass, loss, gradients, train metrics and AdamW, as a run takes it; the times of many, as one line
//! of JSON for `benches/peers/compare.py`, or whoever asks.
//!
//! `bench-step --model unet-resnet18 --threads 2 --steps 20`

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::time::{Duration, Instant};

use engine::backend::burn;
use engine::backend::burn::module::{Module, Param, ParamId};
use engine::backend::burn::tensor::module::max_pool2d;
use engine::backend::burn::tensor::ops::MaxPoolOptions;
use engine::backend::burn::tensor::{Device, Int, Tensor, TensorData};
use engine::backend::{BackendName, ComputeDevice};
use engine::loss::FocalLoss;
use engine::metrics::DeviceCounts;
use engine::models::SegmentationModel;
use engine::nn::{
    BatchNorm2d, Bias, Conv2d, ConvGeometry, Initializer, WeightInit, relu, upsample_nearest_and_join,
};
use engine::training::{Optimizer, OptimizerConfig};
use engine_devices::DeviceKind;
use engine_devices::worker::computing_environment;
use serde_json::json;

const USAGE: &str =
    "bench-step [--model unet-resnet18|small] [--backend NAME] [--threads N] [--warmup N] [--steps N]";
/// Set in the process that measures.
const MEASURES: &str = "BENCH_STEP_MEASURES";
/// Share of positive pixels.
const POSITIVE: f64 = 0.3;

struct Options {
    model: String,
    backend: Option<BackendName>,
    threads: usize,
    warmup: usize,
    steps: usize,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options =
            Self { model: "unet-resnet18".into(), backend: None, threads: 2, warmup: 3, steps: 15 };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"))?;
            match name.as_str() {
                "--model" => options.model = value,
                "--backend" => options.backend = Some(parsed(&name, &value)?),
                "--threads" => options.threads = parsed(&name, &value)?,
                "--warmup" => options.warmup = parsed(&name, &value)?,
                "--steps" => options.steps = parsed(&name, &value)?,
                _ => return Err(format!("unknown option {name}; {USAGE}")),
            }
        }
        Ok(options)
    }
}

fn parsed<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} can not be `{value}`; {USAGE}"))
}

fn main() -> ExitCode {
    if std::env::var_os(MEASURES).is_none() {
        return as_a_worker_does();
    }
    match Options::read().and_then(|options| bench(&options)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures in a process with a worker's environment: its libraries read it as they start.
fn as_a_worker_does() -> ExitCode {
    let ended = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).env(MEASURES, "1");
        command.envs(computing_environment(DeviceKind::Cpu)).status()
    });
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<serde_json::Value, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let backend = match options.backend {
        Some(backend) => backend,
        None => BackendName::best(ComputeDevice::Cpu).map_err(|error| told(&error))?,
    };
    backend.set_threads(options.threads).map_err(|error| told(&error))?;
    let device = backend.device(ComputeDevice::Cpu).map_err(|error| told(&error))?.autodiff();
    let phases = match options.model.as_str() {
        "unet-resnet18" => {
            let model =
                SegmentationModel::build("Unet", "resnet18", 6, 42, &device).map_err(|error| told(&error))?;
            let names = model
                .parameter_infos()
                .into_iter()
                .filter(|info| info.is_trained)
                .map(|info| (info.id, info.name));
            let optimizer = Optimizer::new(OptimizerConfig::default(), names.collect());
            times(model, optimizer, [8, 6, 128, 128], &device, options, SegmentationModel::forward)?
        }
        "small" => {
            let model = SmallUnet::new(&mut Initializer::new(42, &device));
            let names = model.trained().into_iter().map(|id| (id, id.to_string())).collect();
            let optimizer = Optimizer::new(OptimizerConfig::default(), names);
            times(model, optimizer, [4, 3, 128, 128], &device, options, SmallUnet::forward)?
        }
        other => return Err(format!("no model is called {other}; {USAGE}")),
    };
    Ok(json!({
        "id": format!("step/{}", options.model),
        "backend": backend.as_str(),
        "threads": options.threads,
        "step_ms": phases.step_ms,
        "forward_ms": phases.forward_ms,
        "backward_ms": phases.backward_ms,
        "optimizer_ms": phases.optimizer_ms,
    }))
}

fn times<M: Module>(
    mut model: M,
    mut optimizer: Optimizer,
    shape: [usize; 4],
    device: &Device,
    options: &Options,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<4>,
) -> Result<Phases, String> {
    let [n, _, h, w] = shape;
    let loss = FocalLoss { alpha: Some(0.9), gamma: 2.0 };
    let mut counts = DeviceCounts::new(device);
    let mut values = Values(1);
    let mut phases = Phases::default();
    for step in 0..options.warmup + options.steps {
        let image: Vec<f32> = (0..shape.iter().product()).map(|_| values.next() as f32).collect();
        let labels: Vec<i32> = (0..n * h * w).map(|_| i32::from(values.next() < POSITIVE)).collect();
        let begun = Instant::now();
        let x = Tensor::from_data(TensorData::new(image, shape), device);
        let target = Tensor::<3, Int>::from_data(TensorData::new(labels, [n, h, w]), device);
        let logits = forward(&model, x).reshape([n, h, w]);
        let sums = loss.sums(logits.clone(), target.clone());
        let mean = sums.mean();
        if !mean.clone().into_scalar::<f32>().is_finite() {
            return Err(format!("the loss of step {step} is not finite"));
        }
        let forward = begun.elapsed();
        let gradients = mean.backward();
        let backward = begun.elapsed();
        model = optimizer.step(1e-3, model, gradients);
        let stepped = begun.elapsed();
        counts.add(logits, target).map_err(|error| error.to_string())?;
        if step >= options.warmup {
            phases.push([forward, backward, stepped, begun.elapsed()]);
        }
    }
    Ok(phases)
}

/// Milliseconds of each step and of its parts.
#[derive(Default)]
struct Phases {
    step_ms: Vec<f64>,
    forward_ms: Vec<f64>,
    backward_ms: Vec<f64>,
    optimizer_ms: Vec<f64>,
}

impl Phases {
    /// Adds a step by when its parts ended, from its beginning.
    fn push(&mut self, ends: [Duration; 4]) {
        let [forward, backward, stepped, end] = ends.map(|end| end.as_secs_f64() * 1e3);
        self.forward_ms.push(forward);
        self.backward_ms.push(backward - forward);
        self.optimizer_ms.push(stepped - backward);
        self.step_ms.push(end);
    }
}

/// Values in [0, 1) that are the same each time.
struct Values(u64);

impl Values {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A U-Net of half a million parameters: four levels of two convolutions, joined by nearest upsampling.
#[derive(Module, Debug)]
struct SmallUnet {
    down: Vec<Level>,
    up: Vec<Level>,
    head: Conv2d,
}

#[derive(Module, Debug)]
struct Level {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
}

impl Level {
    fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        let conv = |inputs, init: &mut Initializer| {
            let geometry = ConvGeometry::new(inputs, outputs, 3);
            Conv2d::new(geometry, WeightInit::KaimingUniformFanIn, Bias::Absent, init)
        };
        Self {
            conv1: conv(inputs, init),
            bn1: BatchNorm2d::new(outputs, init),
            conv2: conv(outputs, init),
            bn2: BatchNorm2d::new(outputs, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = relu(self.bn1.forward(self.conv1.forward(x)));
        relu(self.bn2.forward(self.conv2.forward(x)))
    }
}

impl SmallUnet {
    const WIDTHS: [usize; 4] = [16, 32, 64, 128];

    fn new(init: &mut Initializer) -> Self {
        let inputs = [3, 16, 32, 64];
        let down = inputs.into_iter().zip(Self::WIDTHS).map(|(i, o)| Level::new(i, o, init)).collect();
        let up = (0..3)
            .rev()
            .map(|at| Level::new(Self::WIDTHS[at + 1] + Self::WIDTHS[at], Self::WIDTHS[at], init));
        let up = up.collect();
        let head = Conv2d::new(ConvGeometry::new(16, 1, 1), WeightInit::XavierUniform, Bias::Absent, init);
        Self { down, up, head }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        let mut skips = Vec::new();
        for (at, level) in self.down.iter().enumerate() {
            if at > 0 {
                skips.push(x.clone());
                let mut halving = MaxPoolOptions::new([2, 2]);
                halving.stride = [2, 2];
                x = max_pool2d(x, halving);
            }
            x = level.forward(x);
        }
        for (level, skip) in self.up.iter().zip(skips.into_iter().rev()) {
            x = level.forward(upsample_nearest_and_join(x, skip));
        }
        self.head.forward(x)
    }

    fn trained(&self) -> Vec<ParamId> {
        #[derive(Default)]
        struct Trained(Vec<ParamId>);
        impl burn::module::ModuleVisitor for Trained {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if param.val().is_require_grad() {
                    self.0.push(param.id);
                }
            }
        }
        let mut trained = Trained::default();
        self.visit(&mut trained);
        trained.0
    }
}

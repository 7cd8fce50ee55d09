//! What a training thread is held by that is no training, beside what it would be: checkpoints that are written on it, a
//! step without counts, a validation without counting. Unet/resnet18 on batches of 8 x 6 x 128 x 128, one thread.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench says what it measured, or fails")]

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use engine::backend::burn::module::Module;
use engine::backend::burn::tensor::{Device, Int, Tensor, TensorData};
use engine::backend::{BackendName, ComputeDevice};
use engine::loss::FocalLoss;
use engine::metrics::{DeviceCounts, EvaluationCounts};
use engine::models::SegmentationModel;
use engine::training::checkpoint::{
    Checkpoint, CheckpointError, Checkpoints, DataOrder, FORMAT_VERSION, ModelShape, RunIdentity, Snapshot,
    State, Writer,
};
use engine::training::{EarlyStopping, ExponentialLr, Kept, Optimizer, OptimizerConfig, TopK};
use serde_json::Value;

const PAIRS: usize = 9;
const BATCH: [usize; 4] = [8, 6, 128, 128];
const RATE: f64 = 1e-3;
const LOSS: FocalLoss = FocalLoss { alpha: Some(0.75), gamma: 2.0 };

/// Something that is trained, as a run has it.
struct Trained {
    model: SegmentationModel,
    optimizer: Optimizer,
    device: Device,
    labels: Vec<u8>,
}

impl Trained {
    fn new() -> Self {
        let backend = BackendName::best(ComputeDevice::Cpu).unwrap();
        backend.set_threads(1).unwrap();
        let device = backend.device(ComputeDevice::Cpu).unwrap().autodiff();
        let model = SegmentationModel::build("unet", "resnet18", BATCH[1], 1, &device).unwrap();
        let named = model.parameter_infos().into_iter().filter(|info| info.is_trained);
        let names: HashMap<_, _> = named.map(|info| (info.id, info.name)).collect();
        let optimizer = Optimizer::new(OptimizerConfig::default(), names);
        let pixels = BATCH[0] * BATCH[2] * BATCH[3];
        let labels = (0..pixels).map(|pixel| [0, 0, 1, 0, 2, 1, 0][pixel * 31 % 7]).collect();
        Self { model, optimizer, device, labels }
    }

    fn x(&self) -> Tensor<4> {
        let values = (0..BATCH.iter().product()).map(|at: usize| (at * 7_919 % 2_003) as f32 / 1_001.0 - 1.0);
        Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), BATCH), &self.device)
    }

    fn target(&self) -> Tensor<3, Int> {
        let labels: Vec<i32> = self.labels.iter().map(|label| i32::from(*label)).collect();
        Tensor::from_data(TensorData::new(labels, [BATCH[0], BATCH[2], BATCH[3]]), &self.device)
    }

    fn logits(&self, model: &SegmentationModel, x: Tensor<4>) -> Tensor<3> {
        model.forward(x).reshape([BATCH[0], BATCH[2], BATCH[3]])
    }

    /// A step, and the logits and labels it was taken by.
    fn step(&mut self, x: Tensor<4>) -> (Tensor<3>, Tensor<3, Int>) {
        let (logits, target) = (self.logits(&self.model, x), self.target());
        let gradients = LOSS.sums(logits.clone(), target.clone()).mean().backward();
        self.model = self.optimizer.step(RATE, self.model.clone(), gradients);
        (logits, target)
    }

    fn snapshot(&self) -> Snapshot {
        let optimizer = self.optimizer.state(&self.model).unwrap();
        let state = state(optimizer.steps);
        let weights = self.model.state_dict().unwrap();
        Snapshot { weights, counters: Vec::new(), optimizer: optimizer.tensors, state }
    }

    fn checkpoint(&self) -> Checkpoint {
        let optimizer = self.optimizer.state(&self.model).unwrap();
        let state = state(optimizer.steps);
        Checkpoint {
            weights: self.model.to_safetensors(1).unwrap(),
            optimizer_tensors: optimizer.tensors,
            state,
        }
    }
}

fn state(optimizer_steps: BTreeMap<String, u64>) -> State {
    State {
        format_version: FORMAT_VERSION,
        epoch: 0,
        step: 1,
        data_order: DataOrder { seed: 1, next_epoch: 1, batches_done: 0 },
        epoch_sums: Value::Null,
        optimizer_steps,
        schedule: ExponentialLr::new(RATE, 0.9).into(),
        early_stopping: EarlyStopping::new(0),
        top_k: TopK::new(Kept::Best(1)),
        monitored: None,
        metrics: BTreeMap::new(),
        open_row: None,
        history: Vec::new(),
        elapsed_secs: 1.0,
        run: RunIdentity {
            run_name: "bench".into(),
            run_id: "abcd1234".into(),
            cv_name: None,
            tune_name: None,
            fold: 0,
            seed: 1,
        },
        model: Some(ModelShape {
            arch: "unet".into(),
            encoder: "resnet18".into(),
            bands: Vec::new(),
            in_channels: BATCH[1],
        }),
        hyperparameters: Value::Null,
        settings: Value::Null,
    }
}

/// Shows the middle of both and of their ratios, with the least and the largest of these.
fn show(what: &str, pairs: &[(Duration, Duration)]) {
    let middle = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        (of[of.len() / 2], of[0], of[of.len() - 1])
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (part, ..) = middle(pairs.iter().map(|pair| ms(pair.0)).collect());
    let (whole, ..) = middle(pairs.iter().map(|pair| ms(pair.1)).collect());
    let (ratio, least, most) = middle(pairs.iter().map(|pair| ms(pair.0) / ms(pair.1)).collect());
    println!("{what:<56} {part:>10.2} ms of {whole:>10.2} ms   {ratio:>7.4} ({least:.4} to {most:.4})");
}

fn timed<T>(call: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = call();
    (start.elapsed(), done)
}

/// How long a validation's checkpoints, the ranked one and `last`, hold the training thread: copied at once and written
/// beside it, against written one after the other on it.
fn checkpoints(trained: &Trained) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path().join("beside")).unwrap();
    let on_it = Checkpoints::open(folder.path().join("on-it")).unwrap();
    let mut writer: Writer<CheckpointError> = Writer::new(checkpoints);
    let (mut held, mut whole) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let name = format!("epoch={pair}");
        let (all, beside) = timed(|| {
            let (beside, ()) = timed(|| {
                let (snapshot, name) = (trained.snapshot(), name.clone());
                let write = move |checkpoints: &Checkpoints| {
                    checkpoints.write(&name, snapshot)?;
                    checkpoints.write_last_as(&name).map(drop)
                };
                writer.begin(write).unwrap();
            });
            writer.finish().unwrap();
            beside
        });
        let (on_thread, ()) = timed(|| {
            on_it.write(&name, &trained.checkpoint()).unwrap();
            on_it.write_last(&trained.checkpoint()).unwrap();
        });
        held.push((beside, on_thread));
        whole.push((all, on_thread));
    }
    show("training thread held by checkpoints / written on it", &held);
    show("checkpoints until they are on disk / written on it", &whole);
}

/// What the metrics of a step cost beside the step.
fn steps(trained: &mut Trained) {
    let x = trained.x();
    let mut counts = DeviceCounts::new(&trained.device);
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let (step, (logits, target)) = timed(|| trained.step(x.clone()));
        let (counted, ()) = timed(|| counts.add(logits, target).unwrap());
        pairs.push((counted, step));
    }
    assert!(counts.take().unwrap().pixels() > 0);
    show("metrics of a step / a step", &pairs);
}

/// What the curves and metrics of a validation cost beside its forward pass.
fn validations(trained: &Trained) {
    let (model, x) = (trained.model.valid(), trained.x().without_autodiff());
    let mut counts = EvaluationCounts::default();
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let (forward, logits) = timed(|| trained.logits(&model, x.clone()));
        let (counted, ()) = timed(|| counts.add_logits(logits, &trained.labels).unwrap());
        pairs.push((counted, forward));
    }
    assert!(counts.confusion.pixels() > 0);
    show("counting a batch of a validation / its forward pass", &pairs);
}

fn main() {
    let mut trained = Trained::new();
    let x = trained.x();
    drop(trained.step(x));
    println!("{:<56} {:>10}    of {:>10}      ratio (least to most of {PAIRS})", "what", "part", "whole");
    steps(&mut trained);
    validations(&trained);
    checkpoints(&trained);
}

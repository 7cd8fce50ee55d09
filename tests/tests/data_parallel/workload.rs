//! The segmentation workload over several ranks.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::data::{DataFolder, divide};
use engine::segmentation::{SegmentationSettings, SegmentationWorkload, TestSplit};
use engine::training::checkpoint::State;
use engine::workload::{RunContext, Workload};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::plan::RunTask;
use engine_actors::protocol::{FromWorker, RunOrder, RunSummary};
use engine_tests::ground::{Ground, last, set};
use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::harness::Test;
use crate::launch::{self, alone, own_rank, ranks, say};

pub const TESTS: &[Test] = &[
    ("ranks_share_the_data_and_validate_exactly", run_of_two),
    ("a_stop_of_one_rank_stops_all_and_the_run_goes_on_as_if_it_had_not", stop_and_resume),
    ("what_ranks_can_not_train_is_refused_by_all", refusals),
    ("a_loss_that_is_not_finite_ends_every_rank", divergence),
];

/// 23 samples in three folds of 8, 8 and 7: of 15 to train on, each of 2 ranks has 8, one of them twice.
const SAMPLES: usize = 23;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    order: RunOrder,
    /// What rank 1 is told instead.
    strayed: Option<RunOrder>,
    /// The rank that is asked to stop before it begins.
    stopped_rank: Option<u32>,
}

/// How a rank ended, and how much it said.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    end: Result<RunSummary, Failure>,
    messages: usize,
    device: Option<String>,
}

impl Told {
    fn summary(&self) -> &RunSummary {
        self.end.as_ref().unwrap()
    }

    fn failure(&self) -> &Failure {
        self.end.as_ref().unwrap_err()
    }
}

pub fn play(part: &Part) {
    let heard = Arc::new(Mutex::new((0, None)));
    let hears = Arc::clone(&heard);
    let send = move |message: FromWorker| {
        let mut heard = hears.lock().unwrap();
        heard.0 += 1;
        if let FromWorker::Prepared { device, .. } = message {
            heard.1 = Some(device);
        }
    };
    let rank = own_rank().map(|rank| rank.rank);
    let stop = Arc::new(AtomicBool::new(rank.is_some() && rank == part.stopped_rank));
    let context = RunContext::new(send, stop);
    let order = part.strayed.as_ref().filter(|_| rank == Some(1)).unwrap_or(&part.order);
    let end = SegmentationWorkload.run(order, &context);
    context.flush();
    let (messages, device) = heard.lock().unwrap().clone();
    say(&Told { end, messages, device });
}

fn order_on(ground: &Ground, name: &str, epochs: u32) -> RunOrder {
    let settings = SegmentationSettings { backend: Some("tch".into()), ..ground.settings(epochs) };
    let hyperparameters =
        json!({"model_encoder": "resnet18", "batch_size": 4, "focal_loss_alpha": 0.9, "augment": ["D4"]});
    ground.order(name, &settings, &hyperparameters, 2)
}

fn part(order: &RunOrder, stopped_rank: Option<u32>) -> launch::Part {
    launch::Part::Workload(Box::new(Part { order: order.clone(), strayed: None, stopped_rank }))
}

fn by_two(order: &RunOrder, stopped_rank: Option<u32>) -> Vec<Told> {
    ranks(&part(order, stopped_rank), 2, Duration::from_secs(60)).hear_all()
}

fn by_one(order: &RunOrder) -> Told {
    alone(&part(order, None)).hear_all().remove(0)
}

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap()
}

/// Rows to train and to validate on, and the regions of the latter.
fn division(order: &RunOrder) -> (usize, usize, BTreeSet<String>) {
    let settings: SegmentationSettings =
        serde_json::from_value(order.plan.settings.as_ref().clone()).unwrap();
    let folder = DataFolder::open(&settings.train_data_dir, None).unwrap();
    let division = divide(folder.table(), &settings, 0).unwrap();
    let regions = division.val.iter().map(|row| folder.table().region[*row].clone()).collect();
    (division.train.len(), division.val.len(), regions)
}

fn run_of_two() {
    let ground = Ground::new(20);
    let mut order = order_on(&ground, "two", 1);
    set(&mut order, "fold_method", json!("region"));
    let (train, val, regions) = division(&order);
    assert!(train % 2 == 1 && val % 2 == 1, "{train} and {val} samples divide evenly, which tests less");
    let told = by_two(&order, None);
    let (first, second) = (told[0].summary(), told[1].summary());
    // Each rank has half of the samples, rounded up, in whole batches of 4.
    let steps = (train.div_ceil(2) / 4) as u64;
    assert_eq!((first.steps, second.steps), (steps, steps));
    assert!(told[0].device.as_ref().unwrap().ends_with("rank 0 of 2"), "{:?}", told[0].device);
    assert_eq!(told[1].messages, 0, "one rank speaks for the run");
    assert_eq!(timeless(&first.metrics), timeless(&second.metrics), "all ranks come to the same numbers");

    // The same weights on the same samples by one process: as a test, of exactly those samples.
    let mut test = order_on(&ground, "one", 1);
    set(&mut test, "test_split", json!(TestSplit::Region(regions.into_iter().collect())));
    test.plan.task = RunTask::Test { checkpoint: last(&order) };
    let tested = by_one(&test);
    let mut compared = 0;
    // Instances are counted in tests alone.
    for (name, value) in tested.summary().metrics.iter().filter(|(name, _)| !name.contains("Instance")) {
        let validated = first.metrics[&name.replace("test/", "val/")];
        let bound = if name == "test/loss" { 1e-6 } else { 0.0 };
        assert!((value - validated).abs() <= bound, "{name}: {value} tested, {validated} validated");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

/// All but the clock's, as bits.
fn timeless(metrics: &Metrics) -> Vec<(String, u64)> {
    let is_timeless = |name: &str| name != "train/time" && !name.starts_with("train/device/");
    let timeless = metrics.iter().filter(|(name, _)| is_timeless(name));
    timeless.map(|(name, value)| (name.clone(), value.to_bits())).collect()
}

fn stop_and_resume() {
    let ground = Ground::new(SAMPLES);
    let mut whole = order_on(&ground, "whole", 1);
    // Of four batches of 2, three make one step, the fourth another.
    whole.plan.hyperparameters.insert("batch_size".into(), json!(2));
    set(&mut whole, "accumulate_grad_batches", json!(3));
    let uninterrupted = by_two(&whole, None);
    assert_eq!(uninterrupted[0].summary().steps, 2);

    let mut order = order_on(&ground, "stopped", 1);
    order.plan.hyperparameters = whole.plan.hyperparameters.clone();
    set(&mut order, "accumulate_grad_batches", json!(3));
    let told = by_two(&order, Some(1));
    for one in &told {
        assert!(one.summary().stopped);
        assert_eq!((one.summary().steps, one.summary().epochs), (1, 0));
    }
    assert_eq!(State::read(&last(&order)).unwrap().data_order.batches_done, 3);

    let strayed = Some(order.clone());
    order.attempt = 2;
    order.goes_on = true;
    let strays = launch::Part::Workload(Box::new(Part { order: order.clone(), strayed, stopped_rank: None }));
    for one in ranks(&strays, 2, Duration::from_secs(60)).hear_all::<Told>() {
        let text = &one.failure().message;
        let expected =
            "rank 1 goes on from step 0, batch 0 of epoch 0, rank 0 from step 1, batch 3 of epoch 0";
        assert!(text.contains(expected), "{text}");
    }

    let resumed = by_two(&order, None);
    assert!(resumed.iter().all(|one| !one.summary().stopped && one.summary().steps == 2));
    for file in ["weights.safetensors", "optimizer.safetensors"] {
        assert!(bytes(&last(&order), file) == bytes(&last(&whole), file), "{file}");
    }
    for metric in ["train/loss", "train/JaccardIndex", "val/loss", "val/JaccardIndex"] {
        let of = |told: &[Told]| told[0].summary().metrics[metric];
        assert_eq!(of(&resumed).to_bits(), of(&uninterrupted).to_bits(), "{metric}");
    }
}

fn refusals() {
    let ground = Ground::new(SAMPLES);
    let mut large = order_on(&ground, "large", 1);
    large.plan.hyperparameters.insert("batch_size".into(), json!(8));
    for one in by_two(&large, None) {
        assert_eq!(one.failure().cause, Cause::Configuration);
        let text = &one.failure().message;
        assert!(
            text.contains("`batch_size` is 8 on each of 2 devices, 16 in all") && text.contains("15"),
            "{text}"
        );
        assert!(text.contains("choose 7 or less"), "{text}");
    }
    let mut flex = order_on(&ground, "flex", 1);
    set(&mut flex, "backend", json!("flex"));
    for one in by_two(&flex, None) {
        assert_eq!(one.failure().cause, Cause::Configuration);
        assert!(one.failure().message.contains("backend `tch`"), "{}", one.failure().message);
    }
}

fn divergence() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "diverging", 3);
    order.plan.hyperparameters.insert("learning_rate".into(), json!(1e30));
    for one in by_two(&order, None) {
        assert_eq!(one.failure().cause, Cause::Diverged, "{:?}", one.failure());
    }
    assert!(!last(&order).exists(), "nothing of it is kept");
}

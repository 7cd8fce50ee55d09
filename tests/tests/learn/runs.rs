//! Single runs, without an engine around them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use engine::learn::LearningSettings;
use engine::training::checkpoint::{Checkpoint, State};
use engine::workload::{RunContext, Workload};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::plan::RunTask;
use engine_actors::protocol::{FromWorker, Phase, RunOrder, RunSummary};
use engine_tests::ground::{self, last, set};
use engine_tracking::Metrics;
use serde_json::{Value, json};

use crate::harness::Test;
use crate::learner::{BATCHES, learning};

pub const TESTS: &[Test] = &[
    ("a_run_learns_logs_and_keeps_its_best", learns),
    ("a_run_that_is_stopped_anywhere_goes_on_to_the_same_bits", stop_and_resume),
    ("the_same_seed_gives_the_same_and_another_seed_another", seeds),
    ("a_run_without_improvement_ends_early", early_stop),
    ("what_a_user_got_wrong_says_so", troubles),
    ("the_best_weights_are_tested", tests_the_best),
    ("a_checkpoint_is_no_segmentation_networks", not_a_segmentation_checkpoint),
];

/// Says which message asks the run to stop.
type Stops = fn(&FromWorker) -> bool;

struct Told {
    end: Result<RunSummary, Failure>,
    messages: Vec<FromWorker>,
}

impl Told {
    fn summary(&self) -> &RunSummary {
        self.end.as_ref().unwrap_or_else(|failure| panic!("the run failed: {failure:?}"))
    }

    /// Everything logged, with its place, but what the clock says; as bits.
    fn bits(&self) -> Vec<(u32, u64, String, u64)> {
        let logged = self.messages.iter().filter_map(|message| match message {
            FromWorker::Logged(points) => Some(points),
            _ => None,
        });
        let values = logged.flatten().flat_map(|point| {
            let values = timeless(&point.values).into_iter();
            values.map(|(name, value)| (point.epoch, point.step, name, value.to_bits()))
        });
        values.collect()
    }
}

fn timeless(metrics: &Metrics) -> Metrics {
    let is_timeless = |name: &str| name != "train/time" && !name.starts_with("train/device/");
    metrics.iter().filter(|(name, _)| is_timeless(name)).map(|(name, value)| (name.clone(), *value)).collect()
}

fn run_until(order: &RunOrder, stops: impl Fn(&FromWorker) -> bool + Send + Sync + 'static) -> Told {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let (heard, asked) = (Arc::clone(&messages), Arc::clone(&stop));
    let send = move |message: FromWorker| {
        if stops(&message) {
            asked.store(true, Ordering::Relaxed);
        }
        heard.lock().unwrap().push(message);
    };
    let context = RunContext::new(send, stop);
    let end = learning().run(order, &context);
    context.flush();
    let messages = std::mem::take(&mut *messages.lock().unwrap());
    Told { end, messages }
}

fn run(order: &RunOrder) -> Told {
    run_until(order, |_| false)
}

pub fn settings(epochs: u32) -> LearningSettings {
    LearningSettings {
        max_epochs: epochs,
        total_folds: 3,
        log_every_n_steps: 1,
        ..LearningSettings::default()
    }
}

fn order(folder: &Path, name: &str, epochs: u32) -> RunOrder {
    ground::order(folder, name, &settings(epochs), &json!({"learning_rate": 0.02, "width": 8}), 1)
}

fn learns() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), "r", 12);
    let told = run(&order);
    let summary = told.summary();
    assert_eq!((summary.epochs, summary.steps, summary.stopped), (12, 12 * BATCHES, false));
    let metrics = &summary.metrics;
    assert!(metrics["val/accuracy"] > 0.9, "{metrics:?}");
    for name in [
        "train/loss",
        "train/accuracy",
        "val/loss",
        "train/loss_step",
        "train/accuracy_step",
        "learning_rate",
    ] {
        assert!(metrics.contains_key(name), "{name} is missing: {metrics:?}");
    }
    assert_eq!((metrics["val/width"], metrics["train/width"]), (8.0, 8.0), "a mean of equals is that");
    let best = summary.best_checkpoint.as_ref().unwrap();
    let name = best.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("epoch=") && name.contains("-val_loss=0."), "{name}");
    let lowest = told.messages.iter().filter_map(|message| match message {
        FromWorker::Validated { metrics, .. } => Some(metrics["val/loss"]),
        _ => None,
    });
    let state = State::read(best).unwrap();
    assert_eq!(state.monitored.unwrap().to_bits(), lowest.fold(f64::INFINITY, f64::min).to_bits());
    let is_prepared = |message: &FromWorker| {
        // 6 x 8 + 8, twice 8, 8 x 3 + 3.
        matches!(message, FromWorker::Prepared { train_samples: 40, val_samples: 20, parameters: 99, .. })
    };
    assert!(told.messages.iter().any(is_prepared), "{:?}", told.messages[0]);
}

fn bytes(order: &RunOrder) -> [Vec<u8>; 2] {
    ["weights.safetensors", "optimizer.safetensors"]
        .map(|file| std::fs::read(last(order).join(file)).unwrap())
}

/// What is drawn, averaged and kept apart (dropout, Adam, running statistics) is part of it.
fn stop_and_resume() {
    let folder = tempfile::tempdir().unwrap();
    let whole = order(folder.path(), "whole", 3);
    let uninterrupted = run(&whole);
    let bits = uninterrupted.bits();
    // The first word of a pass is heard at once: after the first step, and between two epochs.
    let midway: Stops =
        |message| matches!(message, FromWorker::Progress(progress) if progress.phase == Phase::Train);
    let between: Stops = |message| matches!(message, FromWorker::Validated { epoch: 0, .. });
    for (name, stops, step) in [("midway", midway, 1), ("between", between, BATCHES)] {
        let mut order = order(folder.path(), name, 3);
        assert!(run_until(&order, stops).summary().stopped, "{name}");
        let state = State::read(&last(&order)).unwrap();
        assert_eq!((state.step, u64::from(state.data_order.batches_done)), (step, step % BATCHES), "{name}");
        (order.attempt, order.goes_on) = (2, true);
        let resumed = run(&order);
        assert_eq!(resumed.summary().steps, 3 * BATCHES);
        assert!(bytes(&order) == bytes(&whole), "{name}: weights and optimizer are the same to the bit");
        let from = resumed.bits();
        assert!(!from.is_empty() && bits.ends_with(&from), "{name}: {from:?}\nis no end of {bits:?}");
    }
}

fn seeds() {
    let folder = tempfile::tempdir().unwrap();
    let [first, again, mut other] = ["first", "again", "other"].map(|name| order(folder.path(), name, 1));
    other.plan.cell.seed = 21;
    assert_eq!(run(&first).bits(), run(&again).bits());
    run(&other);
    assert!(bytes(&first) == bytes(&again) && bytes(&first) != bytes(&other));
}

fn early_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut order = order(folder.path(), "r", 9);
    // Always the same: never better than the first.
    set(&mut order, "monitor", json!("val/width"));
    set(&mut order, "early_stopping_patience", json!(2));
    let told = run(&order);
    assert_eq!((told.summary().epochs, told.summary().stopped), (3, false));
    let state = State::read(&last(&order)).unwrap();
    assert!(state.early_stopping.is_exhausted());
    assert_eq!(state.top_k.ranked()[0].name, "epoch=0-step=4-val_width=8.00");
}

fn troubles() {
    type Spoils = (&'static str, fn(&mut RunOrder), Cause, &'static [&'static str]);
    fn give(order: &mut RunOrder, name: &str, value: Value) {
        order.plan.hyperparameters.insert(name.into(), value);
    }
    let cases: &[Spoils] = &[
        (
            "type",
            |order| give(order, "width", json!("wide")),
            Cause::Configuration,
            &["`width`", "\"wide\"", "usize"],
        ),
        (
            "missing",
            |order| drop(order.plan.hyperparameters.remove("width")),
            Cause::Configuration,
            &["missing", "`width`"],
        ),
        ("unknown", |order| give(order, "widht", json!(1)), Cause::Configuration, &["`widht`", "`width`"]),
        (
            "model",
            |order| give(order, "trouble", json!("model")),
            Cause::Configuration,
            &["can not be built", "no model of width 8"],
        ),
        (
            "data",
            |order| give(order, "trouble", json!("data")),
            Cause::Data,
            &["can not be used", "row 0 is damaged"],
        ),
        (
            "nan",
            |order| give(order, "trouble", json!("nan")),
            Cause::Diverged,
            &["the loss is NaN at step 1 of epoch 0"],
        ),
        (
            "whole",
            |order| give(order, "trouble", json!("whole")),
            Cause::Configuration,
            &["`whole`", "whole numbers"],
        ),
        (
            "frozen",
            |order| give(order, "trouble", json!("frozen")),
            Cause::Configuration,
            &["nothing to train"],
        ),
        ("fold", |order| order.plan.cell.fold = 3, Cause::Data, &["fold 3 is not there", "there are 3"]),
        (
            "monitor",
            |order| set(order, "monitor", json!("val/IoU")),
            Cause::Configuration,
            &["val/IoU", "val/accuracy, val/loss"],
        ),
        (
            "suffix",
            |order| set(order, "monitor", json!("val/loss:least")),
            Cause::Configuration,
            &["\"least\""],
        ),
        ("epochs", |order| set(order, "max_epochs", json!(0)), Cause::Configuration, &["`max-epochs` is 0"]),
        (
            "test",
            |order| {
                let checkpoint = order.plan.run_dir.join("none");
                order.plan.task = RunTask::Test { checkpoint };
            },
            Cause::Configuration,
            &["no checkpoint is there"],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, spoil, cause, needles) in cases {
        let mut order = order(folder.path(), name, 1);
        spoil(&mut order);
        let failure = run(&order).end.expect_err(name);
        assert_eq!(failure.cause, *cause, "{name}: {failure:?}");
        assert!(needles.iter().all(|needle| failure.message.contains(needle)), "{name}: {failure:?}");
    }
}

fn tests_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let mut order = order(folder.path(), "r", 4);
    order.plan.task = RunTask::FitAndTest;
    let fitted = run(&order);
    let metrics = &fitted.summary().metrics;
    assert!(metrics.contains_key("val/accuracy") && metrics.contains_key("test/accuracy"), "{metrics:?}");
    let best = fitted.summary().best_checkpoint.clone().unwrap();
    order.plan.task = RunTask::Test { checkpoint: best };
    let tested = run(&order);
    let bits = |metrics: &Metrics| {
        let of_test = metrics.iter().filter(|(name, _)| name.starts_with("test/"));
        of_test.map(|(name, value)| (name.clone(), value.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(bits(metrics), bits(&tested.summary().metrics));
    assert_eq!(bits(metrics).len(), 3);
}

fn not_a_segmentation_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), "r", 1);
    run(&order);
    let checkpoint = Checkpoint::read(&last(&order)).unwrap();
    assert_eq!(checkpoint.state.model, None);
    let to = folder.path().join("out.safetensors");
    let refused = engine::export::export(&last(&order), &to, engine::export::Framework::Engine).unwrap_err();
    assert!(refused.to_string().contains("another workload"), "{refused}");
}

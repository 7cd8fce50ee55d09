//! Whole runs of the segmentation workload on a small synthetic folder.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::backend::BackendName;
use engine::segmentation::{SegmentationSettings, SegmentationWorkload, TestSplit};
use engine::training::checkpoint::State;
use engine::workload::{RunContext, Workload};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::plan::RunTask;
use engine_actors::protocol::{FromWorker, Phase, RunOrder, RunSummary};
use engine_tests::ground::{Ground, last, set};
use engine_tests::same::assert_same;
use engine_tracking::csv::MetricsCsv;
use engine_tracking::{Figure, FigureContent, MetricPoint, Metrics, RunPlace};
use serde_json::{Value, json};

/// 18 samples in three folds: 12 to train on in steps of 4, 6 to validate on.
const SAMPLES: usize = 18;
const STEPS_PER_EPOCH: u64 = 3;

/// Says which message asks the run to stop.
type StopsAt = fn(&FromWorker) -> bool;
/// Makes an order one that can not be run.
type Spoils = fn(&mut RunOrder);

fn order_on(ground: &Ground, name: &str, epochs: u32) -> RunOrder {
    let settings = SegmentationSettings { in_memory: false, save_top_k: 1, ..ground.settings(epochs) };
    let hyperparameters = json!({
        "model_encoder": "resnet18",
        "batch_size": 4,
        "focal_loss_alpha": 0.9,
        "augment": ["D4", "RandomBrightnessContrast"],
    });
    ground.order(name, &settings, &hyperparameters, 1)
}

/// What a run said, and how it ended.
struct Told {
    end: Result<RunSummary, Failure>,
    messages: Vec<FromWorker>,
}

impl Told {
    fn summary(&self) -> &RunSummary {
        self.end.as_ref().unwrap_or_else(|failure| panic!("the run failed: {failure:?}"))
    }

    fn failure(&self) -> &Failure {
        self.end.as_ref().expect_err("the run should fail")
    }

    fn points(&self) -> Vec<MetricPoint> {
        let logged = self.messages.iter().filter_map(|message| match message {
            FromWorker::Logged(points) => Some(points.clone()),
            _ => None,
        });
        logged.flatten().collect()
    }

    /// Everything logged, with its place, but what the clock says; as bits.
    fn bits(&self) -> Vec<(u32, u64, String, u64)> {
        let mut bits = Vec::new();
        for MetricPoint { epoch, step, values } in self.points() {
            bits.extend(
                timeless(&values).into_iter().map(|(name, value)| (epoch, step, name, value.to_bits())),
            );
        }
        bits
    }
}

fn timeless(metrics: &Metrics) -> Metrics {
    let is_timeless = |name: &str| name != "train/time" && !name.starts_with("train/device/");
    metrics.iter().filter(|(name, _)| is_timeless(name)).map(|(name, value)| (name.clone(), *value)).collect()
}

fn as_bits(metrics: &Metrics) -> Vec<(String, u64)> {
    timeless(metrics).into_iter().map(|(name, value)| (name, value.to_bits())).collect()
}

/// Runs until the end, or asks to stop when a message says so.
fn run_until(order: &RunOrder, stops: impl Fn(&FromWorker) -> bool + Send + Sync + 'static) -> Told {
    std::fs::create_dir_all(&order.plan.run_dir).unwrap();
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
    let end = SegmentationWorkload.run(order, &context);
    context.flush();
    let messages = std::mem::take(&mut *messages.lock().unwrap());
    Told { end, messages }
}

fn run(order: &RunOrder) -> Told {
    run_until(order, |_| false)
}

fn checkpoints(order: &RunOrder) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(order.plan.run_dir.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn same_file(a: &Path, b: &Path, file: &str) -> bool {
    std::fs::read(a.join(file)).unwrap() == std::fs::read(b.join(file)).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let ground = Ground::new(SAMPLES);
    let first = order_on(&ground, "first", 2);
    let mut second = order_on(&ground, "second", 2);
    // Order never depends on the number of loading threads, nor on whether samples are kept.
    set(&mut second, "num_workers", json!(3));
    set(&mut second, "in_memory", json!(true));
    let (a, b) = (run(&first), run(&second));
    assert_eq!(a.summary().steps, 2 * STEPS_PER_EPOCH);
    assert!(!a.bits().is_empty());
    assert_eq!(a.bits(), b.bits());
    assert!(same_file(&last(&first), &last(&second), "weights.safetensors"));

    let mut third = order_on(&ground, "third", 1);
    third.plan.cell.seed = 21;
    assert_ne!(run(&third).bits()[..9], a.bits()[..9]);
}

#[test]
fn a_run_logs_every_metric_where_it_belongs() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "run", 3);
    set(&mut order, "check_val_every_n_epoch", json!(2));
    set(&mut order, "log_every_n_steps", json!(2));
    let told = run(&order);
    let with = |name: &str| -> Vec<(u32, u64)> {
        let points = told.points().into_iter().filter(|point| point.values.contains_key(name));
        points.map(|point| (point.epoch, point.step)).collect()
    };
    // Steps 3, 6 and 9 end an epoch; every second epoch and the last is validated.
    assert_eq!(with("train/loss_step"), [(0, 2), (1, 4), (1, 6), (2, 8)]);
    assert_eq!(with("train/loss"), [(0, 3), (1, 6), (2, 9)]);
    assert_eq!(with("val/loss"), [(1, 6), (2, 9)]);
    assert_eq!(with("learning_rate"), [(0, 2), (0, 3), (1, 4), (1, 6), (2, 8), (2, 9)]);

    let summary = told.summary();
    let shared = "loss Accuracy Precision Specificity Recall F1Score JaccardIndex CohenKappa HammingDistance";
    for name in shared.split(' ') {
        for prefix in ["train", "val"] {
            assert!(summary.metrics.contains_key(&format!("{prefix}/{name}")), "{prefix}/{name}");
        }
    }
    for name in [
        "val/AUROC",
        "val/AveragePrecision",
        "learning_rate",
        "train/time",
        "train/device/samples_per_second",
        "train/device/batches_per_second",
    ] {
        assert!(summary.metrics[name].is_finite(), "{name}");
    }
    let rate = told.points().last().unwrap().values["learning_rate"];
    assert_eq!(rate.to_bits(), (1e-3 * 0.9 * 0.9_f64).to_bits());
    assert!(order.plan.run_dir.join("figures/val_curves.json").is_file());
}

/// Keeps what a run said in its `metrics.csv`, as its tracker would.
fn keep(order: &RunOrder, told: &Told) {
    let mut csv = MetricsCsv::create(&order.plan.run_dir.join("metrics.csv")).unwrap();
    for message in &told.messages {
        match message {
            FromWorker::Prepared { from, .. } => csv.go_on_from(*from).unwrap(),
            FromWorker::Logged(points) => csv.append(points).unwrap(),
            _ => {}
        }
    }
    csv.close().unwrap();
}

#[test]
fn a_stopped_run_that_goes_on_ends_as_if_it_had_never_stopped() {
    let ground = Ground::new(SAMPLES);
    let order = |folder: &str, log_every: u32| {
        let mut order = order_on(&ground, "run", 3);
        order.plan.run_dir = ground.path().join(format!("{folder}-{log_every}"));
        set(&mut order, "log_every_n_steps", json!(log_every));
        order
    };
    let stops: [(&str, StopsAt); 3] = [
        ("in-an-epoch", |message| matches!(message, FromWorker::Progress(_))),
        ("in-a-validation", |message| {
            let FromWorker::Progress(progress) = message else { return false };
            // Progress is told four times a second: so each is.
            std::thread::sleep(Duration::from_millis(260));
            progress.phase == Phase::Validate
        }),
        ("between-epochs", |message| matches!(message, FromWorker::Validated { .. })),
    ];
    // With a row for the last step of an epoch, which is that of its end too, and without.
    for log_every in [1, 2] {
        let whole = order("whole", log_every);
        let uninterrupted = run(&whole);
        keep(&whole, &uninterrupted);
        for (name, stops) in
            stops.into_iter().filter(|(name, _)| log_every == 1 || *name == "in-a-validation")
        {
            let mut order = order(name, log_every);
            let stopped = run_until(&order, stops);
            assert!(stopped.summary().stopped, "{name}");
            keep(&order, &stopped);
            let state = State::read(&last(&order)).unwrap();
            assert!(state.step < uninterrupted.summary().steps, "{name}: stopped at step {}", state.step);

            order.attempt = 2;
            order.goes_on = true;
            let resumed = run(&order);
            assert!(!resumed.summary().stopped, "{name}");
            let (ended, wanted) = (resumed.summary(), uninterrupted.summary());
            assert_eq!(as_bits(&ended.metrics), as_bits(&wanted.metrics), "{name}");
            keep(&order, &resumed);
            assert_same(&whole.plan.run_dir, &order.plan.run_dir);
        }
    }
}

/// What is dropped follows from the place in the training, which the checkpoint has: two batches make a step, so that a stop lies
/// between the right two.
#[test]
fn a_network_that_drops_channels_goes_on_as_if_it_had_never_stopped() {
    let ground = Ground::new(SAMPLES);
    let order = |folder: &str| {
        let mut order = order_on(&ground, "run", 3);
        order.plan.run_dir = ground.path().join(folder);
        order.plan.hyperparameters.insert("model_arch".into(), json!("PSPNet"));
        order.plan.hyperparameters.insert("batch_size".into(), json!(2));
        set(&mut order, "accumulate_grad_batches", json!(2));
        order
    };
    let whole = order("whole");
    let uninterrupted = run(&whole);
    keep(&whole, &uninterrupted);
    let mut order = order("in-an-epoch");
    let stopped = run_until(&order, |message| matches!(message, FromWorker::Progress(_)));
    assert!(stopped.summary().stopped);
    keep(&order, &stopped);
    assert!(State::read(&last(&order)).unwrap().step < uninterrupted.summary().steps);
    order.attempt = 2;
    order.goes_on = true;
    let resumed = run(&order);
    assert_eq!(as_bits(&resumed.summary().metrics), as_bits(&uninterrupted.summary().metrics));
    keep(&order, &resumed);
    assert_same(&whole.plan.run_dir, &order.plan.run_dir);
}

/// The engine is killed after a checkpoint, and all that was logged behind it comes anew.
#[test]
fn what_was_logged_behind_the_checkpoint_gives_way_to_what_is_logged_anew() {
    let ground = Ground::new(SAMPLES);
    let whole = order_on(&ground, "run", 3);
    keep(&whole, &run(&whole));
    let mut order = order_on(&ground, "run", 3);
    order.plan.run_dir = ground.path().join("killed");
    run_until(&order, |message| matches!(message, FromWorker::Validated { .. }));
    // As if it had gone on, and nothing of it but rows were left.
    let mut csv = MetricsCsv::create(&order.plan.run_dir.join("metrics.csv")).unwrap();
    csv.append(&run(&whole).points()).unwrap();
    csv.close().unwrap();
    order.attempt = 2;
    order.goes_on = true;
    let resumed = run(&order);
    let from = resumed.messages.iter().find_map(|message| match message {
        FromWorker::Prepared { from, metrics, .. } => Some((*from, metrics.contains_key("val/loss"))),
        _ => None,
    });
    let place = RunPlace { epoch: 1, step: STEPS_PER_EPOCH + 1 };
    assert_eq!(from, Some((Some(place), true)), "it knows the metrics of the epoch before");
    keep(&order, &resumed);
    assert_same(&whole.plan.run_dir, &order.plan.run_dir);
}

#[test]
fn a_run_can_continue_from_the_checkpoint_of_another() {
    let ground = Ground::new(SAMPLES);
    let short = order_on(&ground, "short", 1);
    run(&short).summary();
    let mut long = order_on(&ground, "long", 2);
    set(&mut long, "continue_from_checkpoint", json!(last(&short)));
    let told = run(&long);
    let points = told.points();
    assert_eq!((points[0].epoch, points[0].step), (1, STEPS_PER_EPOCH + 1));
    assert_eq!(told.summary().steps, 2 * STEPS_PER_EPOCH);

    let mut other = order_on(&ground, "other", 2);
    set(&mut other, "continue_from_checkpoint", json!(last(&short)));
    other.plan.hyperparameters.insert("model_encoder".into(), json!("resnet34"));
    let refused = run(&other);
    assert_eq!(refused.failure().cause, Cause::Configuration);
    assert!(refused.failure().message.contains("resnet34"), "{:?}", refused.failure());

    std::fs::remove_file(last(&short).join("optimizer.safetensors")).unwrap();
    let broken = run(&long);
    assert!(broken.failure().message.contains("optimizer.safetensors"), "{:?}", broken.failure());
}

#[test]
fn only_the_best_checkpoints_and_the_last_stay() {
    let ground = Ground::new(SAMPLES);
    for (kept, expected) in [(0, 1), (2, 3), (-1, 5)] {
        let mut order = order_on(&ground, &format!("kept{kept}"), 4);
        set(&mut order, "save_top_k", json!(kept));
        let told = run(&order);
        let names = checkpoints(&order);
        assert_eq!(names.len(), expected, "save_top_k {kept}: {names:?}");
        assert!(names.contains(&"last".to_owned()));
        assert_eq!(told.summary().best_checkpoint.is_some(), kept != 0);
        let Some(best) = &told.summary().best_checkpoint else { continue };
        let ious =
            told.points().into_iter().filter_map(|point| point.values.get("val/JaccardIndex").copied());
        let highest = ious.fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(State::read(best).unwrap().monitored.unwrap().to_bits(), highest.to_bits());
    }
}

#[test]
fn training_goes_on_while_a_checkpoint_is_written_and_changes_nothing_of_it() {
    let ground = Ground::new(SAMPLES);
    let short = order_on(&ground, "short", 1);
    run(&short).summary();
    let mut long = order_on(&ground, "long", 2);
    set(&mut long, "save_top_k", json!(-1));
    let (validated, hears) = std::sync::mpsc::sync_channel(1);
    let (hears, waited) = (Mutex::new(hears), Arc::new(AtomicBool::new(false)));
    let has_waited = Arc::clone(&waited);
    let told = run_until(&long, move |message| {
        match message {
            FromWorker::Validated { epoch: 1, .. } => validated.try_send(()).unwrap(),
            // Told by who writes, before `last` is written.
            FromWorker::CheckpointWritten { epoch: 0, path, .. } if !path.ends_with("last") => {
                hears.lock().unwrap().recv_timeout(Duration::from_secs(300)).unwrap();
                has_waited.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        false
    });
    assert!(waited.load(Ordering::Relaxed));
    assert_eq!(told.summary().steps, 2 * STEPS_PER_EPOCH);
    let names = checkpoints(&long);
    let first = names.iter().find(|name| name.starts_with("epoch=0-")).unwrap();
    let first = long.plan.run_dir.join("checkpoints").join(first);
    assert_eq!(State::read(&first).unwrap().step, STEPS_PER_EPOCH);
    for file in ["weights.safetensors", "optimizer.safetensors"] {
        assert!(same_file(&first, &last(&short), file), "{file}");
    }
    let written: Vec<(u32, bool)> = told
        .messages
        .iter()
        .filter_map(|message| match message {
            FromWorker::CheckpointWritten { epoch, path, .. } => Some((*epoch, path.ends_with("last"))),
            _ => None,
        })
        .collect();
    assert_eq!(written, [(0, false), (0, true), (1, false), (1, true)]);
}

#[test]
fn a_checkpoint_that_can_not_be_written_fails_the_run_that_trains_on_meanwhile() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "refused", 50);
    set(&mut order, "save_top_k", json!(0));
    // A file where the folder would be filled.
    let in_the_way = order.plan.run_dir.join("checkpoints/.writing-last");
    let told = run_until(&order, move |message| {
        if let FromWorker::Validated { epoch: 1, .. } = message {
            std::fs::write(&in_the_way, "").unwrap();
        }
        false
    });
    assert_eq!(told.failure().cause, Cause::Io);
    assert!(told.failure().message.contains(".writing-last"), "{:?}", told.failure());
    // Known at the next checkpoint at the latest.
    let validations = told.messages.iter().filter(|m| matches!(m, FromWorker::Validated { .. })).count();
    assert!((2..=3).contains(&validations), "{validations} validations");
    assert_eq!(State::read(&last(&order)).unwrap().epoch, 0, "the one before stays");
}

#[test]
fn gradients_are_clipped_before_each_step_and_a_loose_bound_changes_nothing() {
    let ground = Ground::new(SAMPLES);
    let clipped = |name: &str, clip: Option<Value>| {
        let mut order = order_on(&ground, name, 1);
        if let Some(clip) = clip {
            Arc::make_mut(&mut order.plan.settings)["gradient_clip"] = clip;
        }
        run(&order)
    };
    let free = clipped("free", None);
    for algorithm in ["norm", "value"] {
        let loose = clipped(&format!("loose-{algorithm}"), Some(json!({ algorithm: 1e6 })));
        assert_eq!(loose.bits(), free.bits(), "{algorithm}");
        let tight = clipped(&format!("tight-{algorithm}"), Some(json!({ algorithm: 1e-4 })));
        assert_ne!(tight.bits(), free.bits(), "{algorithm}");
    }
    let refused = clipped("refused", Some(json!({ "norm": 0.0 })));
    assert!(refused.failure().message.contains("gradient-clip-val"), "{:?}", refused.failure());
}

#[test]
fn in_mixed_precision_a_run_computes_otherwise_and_keeps_its_weights_in_32_bits() {
    let ground = Ground::new(SAMPLES);
    let in_precision = |name: &str, backend: &str| {
        let mut order = order_on(&ground, name, 1);
        let settings = Arc::make_mut(&mut order.plan.settings);
        settings["precision"] = json!("bf16-mixed");
        settings["backend"] = json!(backend);
        (run(&order), order)
    };
    let (refused, _) = in_precision("refused", "flex");
    assert_eq!(refused.failure().cause, Cause::Configuration);
    assert!(refused.failure().message.contains("32-true"), "{:?}", refused.failure());
    if !BackendName::Tch.is_compiled_in() {
        return engine_tests::skipped("mixed precision, which needs libtorch");
    }
    let single = run(&order_on(&ground, "single", 1));
    let (mixed, order) = in_precision("mixed", "tch");
    let (ours, theirs) = (mixed.summary().metrics["train/loss"], single.summary().metrics["train/loss"]);
    assert!(
        ours != theirs && (ours - theirs).abs() < 0.02 * theirs.abs(),
        "{ours} in 16 bits, {theirs} in 32"
    );
    assert_eq!(mixed.bits(), in_precision("again", "tch").0.bits(), "the same bits every time");
    let written = engine::training::checkpoint::Checkpoint::read(&last(&order)).unwrap();
    let weights = engine::models::read_safetensors(&written.weights).unwrap();
    // Trained values would be few if they were kept in 16 bits.
    let beyond = |value: f32| value.to_bits() & 0xffff != 0;
    assert!(
        weights.iter().flat_map(|tensor| &tensor.values).filter(|value| beyond(**value)).count() > 1_000_000
    );
}

#[test]
fn patience_ends_a_run_that_does_not_improve() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "patient", 60);
    set(&mut order, "early_stopping_patience", json!(2));
    // At a rate so small nothing moves but the running statistics, and those settle.
    order.plan.hyperparameters.insert("learning_rate".into(), json!(1e-30));
    let told = run(&order);
    let ious: Vec<f64> =
        told.points().iter().filter_map(|point| point.values.get("val/JaccardIndex").copied()).collect();
    assert_eq!(told.summary().epochs as usize, ious.len());
    assert!(!told.summary().stopped && ious.len() < 60, "{} epochs", ious.len());
    // The best is followed by two that are no better, and was no earlier than that.
    let highest = ious.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(ious.iter().position(|iou| *iou == highest), Some(ious.len() - 3));

    order.attempt = 2;
    order.goes_on = true;
    assert_eq!(run(&order).summary().epochs as usize, ious.len(), "a run out of patience stays so");
}

#[test]
fn a_run_that_tests_trains_on_all_that_is_not_held_out_and_tests_its_best_weights() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "final", 2);
    order.plan.task = RunTask::FitAndTest;
    let refused = run(&order);
    assert_eq!(refused.failure().cause, Cause::Configuration, "{:?}", refused.failure());

    set(&mut order, "test_split", json!(TestSplit::Random(0.3)));
    let told = run(&order);
    let prepared = told.messages.iter().find_map(|message| match message {
        FromWorker::Prepared { train_samples, val_samples, .. } => Some((*train_samples, *val_samples)),
        _ => None,
    });
    let (train, val) = prepared.unwrap();
    assert!(train < 18 && train == val, "{train} and {val} samples");
    let best = told.summary().best_checkpoint.clone().unwrap();

    let mut test = order_on(&ground, "test", 2);
    test.plan.settings = Arc::clone(&order.plan.settings);
    test.plan.task = RunTask::Test { checkpoint: best };
    let tested = run(&test);
    assert_eq!(tested.summary().metrics.len(), 17);
    for (name, value) in &tested.summary().metrics {
        assert!(name.starts_with("test/"), "{name}");
        assert_eq!(told.summary().metrics[name].to_bits(), value.to_bits(), "{name}");
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_leaves_the_checkpoints() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "diverging", 1);
    run(&order).summary();
    let path = last(&order).join("state.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    state["schedule"]["current"] = json!(1e30);
    std::fs::write(&path, serde_json::to_vec(&state).unwrap()).unwrap();
    let before = (checkpoints(&order), std::fs::read(last(&order).join("weights.safetensors")).unwrap());

    set(&mut order, "max_epochs", json!(30));
    order.attempt = 2;
    order.goes_on = true;
    let told = run(&order);
    assert_eq!(told.failure().cause, Cause::Diverged);
    // The first step is taken at that rate, the second one's loss shows it.
    assert!(told.failure().message.contains("at step 5 of epoch 1"), "{:?}", told.failure());
    let after = (checkpoints(&order), std::fs::read(last(&order).join("weights.safetensors")).unwrap());
    assert!(before == after, "{:?} became {:?}", before.0, after.0);
}

#[test]
fn what_can_not_be_run_says_so_before_anything_is_written() {
    let ground = Ground::new(SAMPLES);
    let refusals: [(&str, Spoils); 8] = [
        ("batch_size", |order| drop(order.plan.hyperparameters.insert("batch_size".into(), json!(13)))),
        ("Unet", |order| drop(order.plan.hyperparameters.insert("model_arch".into(), json!("Unett")))),
        ("resnet", |order| {
            drop(order.plan.hyperparameters.insert("model_encoder".into(), json!("resnet19")));
        }),
        ("imagenet", |order| {
            drop(order.plan.hyperparameters.insert("model_encoder_weights".into(), json!("imagenet")));
        }),
        ("at least 128, not 32 x 32", |order| {
            drop(order.plan.hyperparameters.insert("model_arch".into(), json!("pan")));
        }),
        ("at least 2 images, not 1", |order| {
            drop(order.plan.hyperparameters.insert("model_arch".into(), json!("DeepLabV3")));
            drop(order.plan.hyperparameters.insert("batch_size".into(), json!(1)));
        }),
        ("max-epochs", |order| set(order, "max_epochs", json!(0))),
        ("learning_rat", |order| drop(order.plan.hyperparameters.insert("learning_rat".into(), json!(1)))),
    ];
    for (word, spoil) in refusals {
        let mut order = order_on(&ground, "refused", 1);
        spoil(&mut order);
        let told = run(&order);
        assert_eq!(told.failure().cause, Cause::Configuration, "{word}: {:?}", told.failure());
        assert!(told.failure().message.contains(word), "{word}: {:?}", told.failure());
        assert!(!last(&order).exists(), "{word}");
    }
    let mut order = order_on(&ground, "refused", 1);
    set(&mut order, "train_data_dir", json!(ground.path().join("nowhere")));
    let told = run(&order);
    assert_eq!(told.failure().cause, Cause::Data);
    assert!(told.failure().message.contains("nowhere"), "{:?}", told.failure());
}

/// What was drawn, in order.
fn drawn(told: &Told) -> Vec<Figure> {
    let figures = told.messages.iter().filter_map(|message| match message {
        FromWorker::Drawn(figures) => Some(figures.clone()),
        _ => None,
    });
    figures.flatten().collect()
}

/// Each picture's place in the run's folder, and its bytes.
fn pictures(figures: &[Figure], order: &RunOrder) -> Vec<(String, Vec<u8>)> {
    let images = figures.iter().filter_map(|figure| match &figure.content {
        FigureContent::Images(images) => Some(images.clone()),
        _ => None,
    });
    let place = |path: &Path| path.strip_prefix(&order.plan.run_dir).unwrap().to_str().unwrap().to_owned();
    images.flatten().map(|image| (place(&image.path), std::fs::read(&image.path).unwrap())).collect()
}

#[test]
fn a_run_draws_the_same_samples_every_so_many_validations_and_at_the_end() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "drawing", 3);
    set(&mut order, "plot_every_n_val_epochs", json!(2));
    let told = run(&order);
    let all = drawn(&told);
    let (beginning, figures) = all.split_at(2);
    let begun: Vec<_> =
        beginning.iter().map(|figure| (figure.name.as_str(), figure.epoch, figure.step)).collect();
    assert_eq!(begun, [("data/distribution", 0, 0), ("data/augmentations", 0, 0)]);
    let places: Vec<(&str, u32, u64)> =
        figures.iter().map(|figure| (figure.name.as_str(), figure.epoch, figure.step)).collect();
    let names = ["val/roc", "val/precision_recall", "val/confusion_matrix", "val/samples", "val/charts"];
    let expected: Vec<(&str, u32, u64)> = [1, 2]
        .iter()
        .flat_map(|epoch| names.map(|name| (name, *epoch, u64::from(*epoch + 1) * STEPS_PER_EPOCH)))
        .collect();
    assert_eq!(places, expected);

    // The last confusion matrix is that of the last validation's values.
    let FigureContent::ConfusionMatrix { classes, counts } = &figures[7].content else { panic!() };
    assert_eq!(classes, &["negative", "positive"]);
    let [[tn, fp], [fn_, tp]] = [[counts[0][0], counts[0][1]], [counts[1][0], counts[1][1]]];
    let metrics = &told.summary().metrics;
    let iou = if tp == 0 { 0.0 } else { tp as f64 / (tp + fp + fn_) as f64 };
    assert_eq!(metrics["val/JaccardIndex"], iou);
    assert!(tn + fp + fn_ + tp <= 6 * 32 * 32);
    let FigureContent::Roc(lines) = &figures[5].content else { panic!() };
    let area: f64 = lines[0]
        .x
        .windows(2)
        .zip(lines[0].y.windows(2))
        .map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0)
        .sum();
    assert_eq!(metrics["val/AUROC"].to_bits(), area.to_bits());

    let found = pictures(figures, &order);
    let charts = ["roc", "precision_recall", "confusion_matrix", "regions", "learning_curves"];
    let samples = found.len() / 2 - charts.len();
    assert!((1..=6).contains(&samples), "{samples} samples");
    let of_epoch = |epoch: usize| {
        let samples = (0..samples).map(move |place| format!("figures/val_samples_epoch{epoch}/{place}.png"));
        samples.chain(charts.map(move |name| format!("figures/val_charts_epoch{epoch}/{name}.png")))
    };
    let expected: Vec<String> = [1, 2].into_iter().flat_map(of_epoch).collect();
    assert_eq!(found.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>(), expected);
    for (place, bytes) in &found {
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n", "{place}");
        let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        // Panels of 32 pixels are shown eight times as large.
        let expected =
            if place.contains("samples") { (4 * 256 + 2 * 12 + 3 * 8, 58 + 256 + 34) } else { (800, 600) };
        assert_eq!((side(16), side(20)), expected, "{place}");
    }
    // Nothing else was left there.
    let folders: Vec<_> =
        std::fs::read_dir(order.plan.run_dir.join("figures/val_samples_epoch2")).unwrap().collect();
    assert_eq!(folders.len(), samples);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(order.plan.run_dir.join("figures").join(name)).unwrap())
            .unwrap()
    };
    // The table by region is of the same pixels as the curves.
    let (curves, regions) = (read("val_curves.json"), read("val_regions.json"));
    let tp: u64 = regions["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["true_positives"].as_u64().unwrap())
        .sum();
    assert_eq!(curves["cmx_counts"][1][1].as_u64(), Some(tp), "{curves} {regions}");
    assert_eq!((&regions["all"]["samples"], &regions["epoch"]), (&json!(6), &curves["epoch"]));
    assert_eq!(read("data_distribution.json")["fold"], json!(order.plan.cell.fold));

    // The same run draws the same pixels, and drawing changes nothing that is trained.
    let mut again = order_on(&ground, "again", 3);
    set(&mut again, "plot_every_n_val_epochs", json!(2));
    let told_again = run(&again);
    assert_eq!(pictures(&drawn(&told_again)[2..], &again), found);
    let undrawn = run(&order_on(&ground, "undrawn", 3));
    assert_eq!(undrawn.bits(), told.bits());
    assert!(drawn(&undrawn).is_empty());
}

#[test]
fn a_test_is_drawn_once_and_a_figure_that_can_not_be_written_is_a_warning() {
    let ground = Ground::new(SAMPLES);
    let mut order = order_on(&ground, "final", 1);
    order.plan.task = RunTask::FitAndTest;
    set(&mut order, "test_split", json!(TestSplit::Random(0.3)));
    set(&mut order, "plot_every_n_val_epochs", json!(1));
    let told = run(&order);
    let figures = drawn(&told);
    let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    let of = |prefix: &str, own: &[&str]| {
        let charts = ["roc", "precision_recall", "confusion_matrix"];
        let names = charts.iter().chain(own).chain(&["samples", "charts"]);
        names.map(|name| format!("{prefix}/{name}")).collect::<Vec<_>>()
    };
    let instances = ["instance_precision_recall", "instance_confusion_matrix"];
    let begun = ["data/distribution", "data/augmentations"].map(str::to_owned).to_vec();
    let expected = [begun, of("val", &[]), of("test", &instances)].concat();
    assert_eq!(names, expected);
    assert!(!pictures(&figures[7..], &order).is_empty());
    let measured: Vec<&String> =
        told.summary().metrics.keys().filter(|name| name.starts_with("test/Instance")).collect();
    assert_eq!(measured.len(), 6, "{measured:?}");

    // A file where the folder of figures should be.
    let mut order = order_on(&ground, "refused", 1);
    set(&mut order, "plot_every_n_val_epochs", json!(1));
    std::fs::create_dir_all(&order.plan.run_dir).unwrap();
    std::fs::write(order.plan.run_dir.join("figures"), "in the way").unwrap();
    let told = run(&order);
    assert_eq!(told.summary().epochs, 1, "training goes on");
    let warnings: Vec<&str> = told
        .messages
        .iter()
        .filter_map(|message| match message {
            FromWorker::Warned { message } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    let files = ["data_distribution.json", "val_curves.json", "val_samples_epoch0"];
    assert_eq!(warnings.len(), files.len(), "{warnings:?}");
    assert!(warnings.iter().zip(files).all(|(warning, file)| warning.contains(file)), "{warnings:?}");
    assert_eq!(drawn(&told).len(), 3, "charts need no disk");
}

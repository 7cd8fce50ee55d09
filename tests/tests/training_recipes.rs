//! Whole runs with other losses, optimizers and schedules than the usual ones, on a small synthetic folder.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what cannot be had fails the test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use engine::segmentation::SegmentationWorkload;
use engine::training::checkpoint::State;
use engine::workload::{RunContext, Workload};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::protocol::{FromWorker, RunOrder, RunSummary};
use engine_tests::ground::{Ground, last, set};
use serde_json::{Value, json};

/// 12 samples in three folds: 8 to train on in steps of 2, 4 to validate on.
const SAMPLES: usize = 12;
const STEPS_PER_EPOCH: u64 = 4;

fn order_on(ground: &Ground, name: &str, epochs: u32, recipe: &Value) -> RunOrder {
    let mut hyperparameters = json!({"model_encoder": "resnet18", "batch_size": 2, "augment": ["D4"]});
    for (name, value) in recipe.as_object().unwrap() {
        hyperparameters[name] = value.clone();
    }
    ground.order(name, &ground.settings(epochs), &hyperparameters, 1)
}

struct Told {
    end: Result<RunSummary, Failure>,
    messages: Vec<FromWorker>,
}

impl Told {
    fn summary(&self) -> &RunSummary {
        self.end.as_ref().expect("the run should end well")
    }

    fn failure(&self) -> &Failure {
        self.end.as_ref().expect_err("the run should fail")
    }

    /// Each value of a metric by its step.
    fn logged(&self, name: &str) -> Vec<(u64, f64)> {
        let points = self.messages.iter().filter_map(|message| match message {
            FromWorker::Logged(points) => Some(points),
            _ => None,
        });
        points.flatten().filter_map(|point| Some((point.step, *point.values.get(name)?))).collect()
    }

    fn warnings(&self) -> String {
        let warnings = self.messages.iter().filter_map(|message| match message {
            FromWorker::Warned { message } => Some(message.as_str()),
            _ => None,
        });
        warnings.collect::<Vec<_>>().join("\n")
    }

    /// All that is trained and does not hang on the clock.
    fn bits(&self) -> Vec<(String, u64)> {
        let of_clock = |name: &str| name == "train/time" || name.starts_with("train/device/");
        let metrics = self.summary().metrics.iter().filter(|(name, _)| !of_clock(name));
        metrics.map(|(name, value)| (name.clone(), value.to_bits())).collect()
    }
}

/// Runs until the end, or asks to stop at this message.
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

#[test]
fn a_run_of_any_recipe_goes_on_to_the_same_bits() {
    let ground = Ground::new(SAMPLES);
    let recipes = [
        json!({
            "loss": "0.5*bce + 0.5*dice + 0.1*lovasz", "bce_pos_weight": 4.0, "optimizer": "sgd", "nesterov": true,
            "weight_decay": 1e-3, "learning_rate": 0.05, "schedule": "cosine", "warmup_epochs": 0.5,
        }),
        json!({"loss": "tversky", "tversky_beta": 0.9, "optimizer": "adam", "schedule": "plateau", "plateau_patience": 0}),
    ];
    for (number, recipe) in recipes.iter().enumerate() {
        let whole = order_on(&ground, &format!("whole{number}"), 2, recipe);
        let uninterrupted = run(&whole);
        assert_eq!(uninterrupted.summary().steps, 2 * STEPS_PER_EPOCH, "{recipe}");
        let losses = uninterrupted.logged("train/loss_step");
        assert!(losses.iter().all(|(_, loss)| loss.is_finite()), "{recipe}: {losses:?}");

        let mut order = order_on(&ground, &format!("stopped{number}"), 2, recipe);
        let stopped = run_until(&order, |message| matches!(message, FromWorker::Progress(_)));
        assert!(stopped.summary().stopped, "{recipe}");
        let state = State::read(&last(&order)).unwrap();
        assert!(state.step < 2 * STEPS_PER_EPOCH, "{recipe}: stopped at step {}", state.step);
        (order.attempt, order.goes_on) = (2, true);
        let resumed = run(&order);
        assert_eq!(resumed.bits(), uninterrupted.bits(), "{recipe}");
        for file in ["weights.safetensors", "optimizer.safetensors"] {
            let [ours, theirs] = [&order, &whole].map(|order| std::fs::read(last(order).join(file)).unwrap());
            assert!(ours == theirs, "{recipe}: {file}");
        }
        let [ours, theirs] = [&order, &whole].map(|order| State::read(&last(order)).unwrap().schedule);
        assert_eq!(ours, theirs, "{recipe}");
        assert!(resumed.warnings().is_empty(), "{}", resumed.warnings());
    }
}

#[test]
fn the_rate_of_each_step_is_logged_also_where_it_changes_with_every_step() {
    let ground = Ground::new(SAMPLES);
    let recipe = json!({"schedule": "onecycle", "learning_rate": 0.01, "loss": "jaccard"});
    let mut order = order_on(&ground, "onecycle", 2, &recipe);
    let every = run(&order).logged("learning_rate");
    assert_eq!(every.iter().map(|(step, _)| *step).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!((every[0].1 - 0.01 / 25.0).abs() < 1e-12 && every[7].1 < 1e-7, "{every:?}");
    // Without rows of steps, the row of an epoch has the rate of its last step.
    order.plan.run_dir = ground.path().join("epochs");
    set(&mut order, "log_every_n_steps", json!(0));
    let epochs = run(&order).logged("learning_rate");
    assert_eq!(epochs, [every[3], every[7]]);
}

#[test]
fn a_plateau_lowers_the_rate_after_validations_that_are_no_better() {
    let ground = Ground::new(SAMPLES);
    // Steps too small to change a prediction.
    let recipe = json!({
        "schedule": "plateau", "plateau_patience": 0, "plateau_factor": 0.5, "learning_rate": 1e-7, "optimizer": "sgd", "momentum": 0.0,
        "min_learning_rate": 3e-8,
    });
    let mut order = order_on(&ground, "plateau", 4, &recipe);
    set(&mut order, "log_every_n_steps", json!(0));
    let told = run(&order);
    let (rates, values) = (told.logged("learning_rate"), told.logged("val/JaccardIndex"));
    let mut best = f64::NEG_INFINITY;
    let mut expected = vec![1e-7];
    for (_, value) in &values[..3] {
        let is_better = best == f64::NEG_INFINITY || *value > best * (1.0 + 1e-4);
        let rate = expected[expected.len() - 1];
        expected.push(if is_better { rate } else { (rate * 0.5_f64).max(3e-8) });
        best = best.max(*value);
    }
    let rates: Vec<f64> = rates.into_iter().map(|(_, rate)| rate).collect();
    assert_eq!(rates, expected, "{values:?}");
    assert!(expected[3] < 1e-7, "the rate never fell: {values:?}");
}

#[test]
fn another_loss_or_optimizer_does_not_go_on_silently() {
    let ground = Ground::new(SAMPLES);
    let short = order_on(&ground, "short", 1, &json!({}));
    run(&short).summary();
    for (recipe, needles) in [
        (json!({"loss": "dice"}), ["loss: `focal`", "`dice` here"]),
        (json!({"focal_loss_gamma": 1.0}), ["focal_loss_gamma 2 there", "focal_loss_gamma 1 here"]),
        (json!({"optimizer": "sgd"}), ["optimizer: adamw there", "sgd of momentum 0.9 here"]),
    ] {
        let mut order = order_on(&ground, "refused", 2, &recipe);
        set(&mut order, "continue_from_checkpoint", json!(last(&short)));
        let told = run(&order);
        let failure = told.failure();
        assert_eq!(failure.cause, Cause::Configuration, "{recipe}");
        let text = &failure.message;
        assert!(needles.iter().all(|needle| text.contains(needle)), "{recipe}: {text}");
        assert!(text.contains("weights-from-checkpoint"), "{recipe}: {text}");
    }
    // A job that was forced to go on as another: it is told.
    let mut forced = order_on(&ground, "short", 2, &json!({"loss": "0.5*bce + dice", "optimizer": "sgd"}));
    (forced.attempt, forced.goes_on) = (2, true);
    let told = run(&forced);
    assert_eq!(told.summary().steps, 2 * STEPS_PER_EPOCH);
    let text = told.warnings();
    assert!(text.contains("0.5*bce + dice") && text.contains("the optimizer begins anew"), "{text}");
}

#[test]
fn recipes_that_train_nothing_are_refused_with_what_to_do() {
    let ground = Ground::new(SAMPLES);
    for (recipe, needles) in [
        (json!({"loss": "dise"}), ["dise", "mean dice?"]),
        (json!({"optimizer": "rmsprop"}), ["rmsprop", "adamw"]),
        (json!({"momentum": 1.0}), ["`momentum` is 1", "below 1"]),
        (json!({"optimizer": "sgd", "momentum": 0.0, "nesterov": true}), ["`momentum` is 0", "nesterov"]),
        (json!({"schedule": "cosine", "warmup_epochs": 2.0}), ["`warmup_epochs` is 2", "max-epochs"]),
        (json!({"schedule": "cosine", "min_learning_rate": 0.1}), ["`min_learning_rate` is 0.1", "at most"]),
        (json!({"loss": "tversky", "tversky_alpha": 0.0, "tversky_beta": 0.0}), ["tversky_alpha", "weight"]),
        (json!({"plateau_factor": 1.5}), ["`plateau_factor` is 1.5", "between 0 and 1"]),
    ] {
        let order = order_on(&ground, "refused", 2, &recipe);
        let told = run(&order);
        assert_eq!(told.failure().cause, Cause::Configuration, "{recipe}");
        let text = &told.failure().message;
        assert!(needles.iter().all(|needle| text.contains(needle)), "{recipe}: {text}");
        assert!(!last(&order).exists(), "{recipe}");
    }
}

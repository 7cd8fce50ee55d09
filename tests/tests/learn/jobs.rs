//! Jobs of an engine that is built with a learner.

use std::path::Path;

use engine::backend::burn::tensor::{Int, Tensor};
use engine::learn::{Closures, Learner, Learning, LearningSettings, Run};
use engine::space::{SearchSpace, Trials};
use engine::{Accelerator, Cause, CvOutcome, CvRequest, Engine, EngineBuilder, Status, Strategy};
use engine_tests::same::assert_same;
use serde_json::{Value, json};

use crate::harness::Test;
use crate::learner::{Blobs, Hyperparameters, Net, learning};
use crate::runs::settings;

pub const TESTS: &[Test] = &[
    ("threads_and_processes_give_the_same_cv", threads_and_processes),
    ("closures_do_what_a_learner_does", closures),
    ("a_panic_of_a_step_ends_one_run_with_its_message", panic),
    ("hyperparameters_of_another_type_are_refused_before_anything_starts", refused),
    ("a_tune_finds_the_better_configuration_with_process_workers", tune),
    #[cfg(feature = "tch")]
    ("two_ranks_train_one_model", ranks),
];

fn on_one_device(folder: &Path) -> EngineBuilder {
    Engine::builder(learning()).artifact_dir(folder).accelerator(Accelerator::Cpu).devices(["0"])
}

fn cv_request(settings: &LearningSettings, hyperparameters: &Value) -> CvRequest {
    let request = learning().cv(settings, hyperparameters).unwrap();
    request.with_name("c")
}

fn cv(builder: EngineBuilder, settings: &LearningSettings, hyperparameters: &Value) -> CvOutcome {
    let engine = builder.build().unwrap();
    engine.cv(cv_request(settings, hyperparameters)).unwrap().wait().unwrap()
}

fn threads_and_processes() {
    let [threads, processes] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let given = json!({"learning_rate": 0.02, "width": 8});
    let on_threads = cv(on_one_device(threads.path()), &settings(4), &given);
    let in_processes = cv(on_one_device(processes.path()).process_workers(), &settings(4), &given);
    assert_eq!(on_threads.runs.len(), 3);
    assert!(on_threads.runs.iter().all(|run| run.status == Status::Complete), "{on_threads:?}");
    assert_eq!(on_threads.score.map(f64::to_bits), in_processes.score.map(f64::to_bits));
    let mean = on_threads.runs.iter().map(|run| run.metrics["val/loss"]).sum::<f64>() / 3.0;
    assert!((on_threads.score.unwrap() - mean).abs() < 1e-12, "the score is the mean of what is monitored");
    let folder = |place: &Path| place.join("_cross_validations/c");
    assert_same(&folder(threads.path()), &folder(processes.path()));
}

/// Three closures that do what the learner does come to the same bits.
fn closures() {
    static BLOBS: Blobs = Blobs;
    let closures = Closures::new(
        |run: &Run<Hyperparameters>| BLOBS.model(run),
        |run: &Run<Hyperparameters>| BLOBS.data(run),
        |net: &Net, batch: (Tensor<2>, Tensor<1, Int>), run: &Run<Hyperparameters>| {
            BLOBS.step(net, batch, run)
        },
    );
    let closures = closures.optimizer(|given| BLOBS.optimizer(given)).schedule(|given| BLOBS.schedule(given));
    let of_closures = Learning::new(closures);
    let given = json!({"learning_rate": 0.02, "width": 8, "momentum": 0.9});
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let request = of_closures.cv(&settings(2), &given).unwrap().with_name("c");
    assert_eq!(request, cv_request(&settings(2), &given));
    let builder = Engine::builder(of_closures).artifact_dir(folders[0].path());
    let engine = builder.accelerator(Accelerator::Cpu).devices(["0"]).build().unwrap();
    let by_closures = engine.cv(request).unwrap().wait().unwrap();
    let by_learner = cv(on_one_device(folders[1].path()), &settings(2), &given);
    assert!(by_closures.score.is_some());
    assert_eq!(by_closures.score.map(f64::to_bits), by_learner.score.map(f64::to_bits));
}

fn panic() {
    for processes in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let builder = on_one_device(folder.path());
        let builder = if processes { builder.process_workers() } else { builder };
        let given = json!({"learning_rate": 0.02, "width": 8, "trouble": "panic"});
        let outcome = cv(builder, &settings(1), &given);
        for run in &outcome.runs {
            let failure = run.failure.as_ref().unwrap();
            assert_eq!((run.status, failure.cause), (Status::Failed, Cause::Panic), "{failure:?}");
            assert!(failure.message.contains("the net is torn"), "{failure:?}");
        }
        assert_eq!((outcome.score, outcome.status), (None, Status::Failed));
    }
}

fn refused() {
    let learning = learning();
    let wrong = json!({"learning_rate": "fast", "width": 8});
    let says = |error: engine::learn::LearnError| {
        let text = error.to_string();
        assert!(text.contains("`learning_rate`") && text.contains("\"fast\""), "{text}");
    };
    says(learning.train(&settings(1), &wrong).unwrap_err());
    says(learning.cv(&settings(1), &wrong).unwrap_err());
    let space = SearchSpace::builder().choice("learning_rate", [json!(1e-3), json!("fast")]);
    let space = space.constant("width", 8).build().unwrap();
    says(learning.tune(&settings(1), space, Trials::Grid).map(|_| ()).unwrap_err());
}

fn tune() {
    let folder = tempfile::tempdir().unwrap();
    let engine = on_one_device(folder.path())
        .devices(["0", "1"])
        .strategy(Strategy::CvParallel)
        .process_workers()
        .build()
        .unwrap();
    let space = SearchSpace::builder().choice("learning_rate", [1e-6, 0.02]).constant("width", 8);
    let space = space.build().unwrap();
    let settings = LearningSettings { monitor: "val/accuracy".parse().unwrap(), ..settings(6) };
    let (request, sampler) = learning().tune(&settings, space, Trials::Grid).unwrap();
    let outcome = engine.tune(request, sampler).unwrap().wait().unwrap();
    assert_eq!(outcome.cvs.len(), 2);
    let best = &outcome.cvs[outcome.best.unwrap()];
    assert_eq!(best.hyperparameters["learning_rate"], 0.02);
    assert!(best.score.unwrap() > 0.9, "{:?}", best.score);
}

/// Each rank trains on its half; what is validated is all of it.
#[cfg(feature = "tch")]
fn ranks() {
    let [two, one] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let given = json!({"learning_rate": 0.02, "width": 8});
    let ranks = on_one_device(two.path()).devices(["0", "1"]).strategy(Strategy::DdpFork).process_workers();
    let engine = ranks.build().unwrap();
    let told = engine.train(learning().train(&settings(6), &given).unwrap()).unwrap().wait().unwrap();
    assert_eq!(told.status, Status::Complete, "{told:?}");
    assert!(told.metrics["val/accuracy"] > 0.9, "{:?}", told.metrics);
    assert_eq!(told.metrics["val/width"], 8.0);
    let engine = on_one_device(one.path()).process_workers().build().unwrap();
    let alone = engine.train(learning().train(&settings(6), &given).unwrap()).unwrap().wait().unwrap();
    assert_ne!(told.metrics["val/loss"], alone.metrics["val/loss"], "larger steps, and half as many");
}

//! From launch to the first optimizer step, and to the end of the run: a fresh worker process, and one that has done
//! a run before.
//!
//! `cargo bench --package engine-benches --bench workers`. The run is a real one: Unet with resnet18, an epoch of three
//! steps on synthetic samples, and a validation. The last column is what counts: how many runs of a fresh process are
//! done in the time of one.

#![expect(clippy::unwrap_used, reason = "a bench that can not start has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use engine::data::{SynthConfig, synthesise};
use engine::folds::FoldMethod;
use engine::segmentation::{SegmentationSettings, SegmentationWorkload};
use engine::{Cell, Hyperparameters, RunTask, worker};
use engine_actors::plan::RunPlan;
use engine_actors::protocol::{FromWorker, RunOrder, ToWorker};
use engine_benches::figures::{Line, Times};
use engine_devices::{
    Accelerator, Grant, Launch, Launcher, ProcessLauncher, WarmLauncher, WorkerEvent, select,
};
use serde_json::json;

const REPETITIONS: usize = 8;

/// What the runs of one configuration have in common.
const FAMILY: Option<&str> = Some("bench");

fn main() -> ExitCode {
    if let Some(code) = worker::run_if_worker(SegmentationWorkload) {
        return code;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    synthesise(&SynthConfig { samples: 18, patch_size: 32, regions: 3, ..SynthConfig::new(&data) }).unwrap();
    let grant = Grant::from(select(Accelerator::Cpu, &["0".to_owned()]).unwrap()[0].place());

    let cold = ProcessLauncher::current_exe().unwrap();
    let warm = WarmLauncher::new(ProcessLauncher::current_exe().unwrap());
    run(&warm, &grant, folder.path(), 0); // warms the one that then rests
    let (mut of_cold, mut of_warm) = (Vec::new(), Vec::new());
    for number in 0..REPETITIONS {
        // In turns, so that both meet the same weather.
        of_cold.push(run(&cold, &grant, folder.path(), 1 + 2 * number));
        of_warm.push(run(&warm, &grant, folder.path(), 2 + 2 * number));
    }
    let part = |times: &[(Duration, Duration)], which: fn(&(Duration, Duration)) -> Duration| {
        Times::new(times.iter().map(which).collect())
    };
    for (what, which) in [
        ("to the first step", (|times| times.0) as fn(&(Duration, Duration)) -> Duration),
        ("to the end of a run of three steps", |times| times.1),
    ] {
        let floor = part(&of_cold, which);
        let what_cold = format!("fresh process, {what}");
        println!("{}", Line { what: &what_cold, times: &floor, floor: None });
        let what_warm = format!("warm process, {what}");
        println!("{}", Line { what: &what_warm, times: &part(&of_warm, which), floor: Some(&floor) });
    }
    ExitCode::SUCCESS
}

/// Time to the first step, and to the end, of a run.
fn run(
    launcher: &dyn Launcher<ToWorker, FromWorker>,
    grant: &Grant,
    folder: &Path,
    number: usize,
) -> (Duration, Duration) {
    let (tell, events) = sync_channel(64);
    let start = Instant::now();
    let launch = Launch { name: "bench", family: FAMILY, grant };
    let worker = launcher.launch(&launch, Box::new(move |event| tell.send(event).is_ok())).unwrap();
    let mut first_step = None;
    for event in &events {
        match event {
            WorkerEvent::Message(FromWorker::Hello { .. }) => {
                worker.send(ToWorker::Start(Box::new(order(folder, grant, number)))).unwrap();
            }
            WorkerEvent::Message(FromWorker::Progress(_)) => {
                first_step.get_or_insert_with(|| start.elapsed());
            }
            WorkerEvent::Message(FromWorker::Failed(why)) => assert_eq!(why.message, ""),
            WorkerEvent::Message(_) | WorkerEvent::Printed(_) => {}
            WorkerEvent::Exited(_) => break,
        }
    }
    (first_step.unwrap(), start.elapsed())
}

fn order(folder: &Path, grant: &Grant, number: usize) -> RunOrder {
    let settings = SegmentationSettings {
        train_data_dir: folder.join("data"),
        test_split: None,
        fold_method: FoldMethod::Kfold,
        total_folds: 3,
        subsample: None,
        in_memory: false,
        max_epochs: 1,
        accumulate_grad_batches: 1,
        gradient_clip: None,
        precision: engine::nn::Precision::Single,
        early_stopping_patience: 0,
        num_workers: 1,
        save_top_k: 0,
        log_every_n_steps: 0,
        check_val_every_n_epoch: 1,
        plot_every_n_val_epochs: 0,
        checkpoint_every_n_steps: None,
        weights_from_checkpoint: None,
        continue_from_checkpoint: None,
        backend: None,
    };
    let hyperparameters = json!({"model_encoder": "resnet18", "batch_size": 4});
    let run_name = format!("run-{number}");
    let plan = RunPlan {
        run_dir: folder.join(&run_name),
        run_name,
        run_id: "abcd1234".into(),
        cv_name: None,
        tune_name: None,
        cell: Cell { fold: 0, seed: 42 },
        task: RunTask::Fit,
        hyperparameters: hyperparameters.as_object().cloned().map(Hyperparameters::from_iter).unwrap(),
        settings: Arc::new(serde_json::to_value(settings).unwrap()),
    };
    std::fs::create_dir_all(&plan.run_dir).unwrap();
    RunOrder { plan, grant: grant.clone(), attempt: 1, goes_on: false }
}

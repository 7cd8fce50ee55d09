//! A data-parallel run at the command line: two processes, one model.

#![cfg(feature = "tch")]

use std::fs;

use engine::training::checkpoint::State;
use engine_tests::cli::Workplace;

#[test]
fn two_devices_train_one_run() {
    let place = Workplace::with_data();
    let arguments = [
        "train",
        "--train-data-dir",
        "data",
        "--artifact-dir",
        "out",
        "--accelerator",
        "cpu",
        "--backend",
        "tch",
        "--strategy",
        "ddp_fork",
        "--devices",
        "0",
        "1",
        "--total-folds",
        "2",
        "--max-epochs",
        "1",
        "--check-val-every-n-epoch",
        "1",
        "--log-every-n-steps",
        "1",
        "--model-encoder",
        "resnet18",
        "--batch-size",
        "2",
    ];
    let ended = place.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let runs = place.path("out/_runs");
    let run = fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
    // 12 samples to train on are 6 a device: three batches of 2, where one device would take six.
    assert_eq!(State::read(&run.join("checkpoints/last")).unwrap().step, 3);
    let metrics = fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert!(metrics.lines().count() > 3 && metrics.contains("val/JaccardIndex"), "{metrics}");
    #[cfg(target_os = "linux")]
    place.assert_left_by_all();
}

//! SIGKILL at random moments of a tune, of the engine and its workers; resumed each time by the same command with `--resume`, it ends
//! as one that nobody disturbed. `TEST_KILLS` says how often, `TEST_SEED` repeats a failure.

#![cfg(target_os = "linux")]

use engine_tests::resume::kills::{kill_and_compare, kills};
use engine_tests::resume::{Job, Random};

/// Kills of each tune unless told otherwise.
const FEW: usize = 2;
const TUNE: &str = "tune --name t --hpconfig space.toml --n-trials 2 --max-epochs 3 \
                    --data-split-method random --data-split-by 0.2";

fn killed(of: &str, how: &str) {
    let mut random = Random::new(of);
    let job = Job::small(&format!("{TUNE} {how}"));
    kill_and_compare(&job, "t", kills(FEW), &mut random);
}

#[test]
fn a_tune_killed_again_and_again_ends_as_if_it_had_not_been() {
    killed("kills of a tune", "--devices 0 --retrain-and-test");
}

#[test]
fn one_whose_cells_run_side_by_side_too() {
    killed("kills of a tune, cells side by side", "--strategy cv-parallel --devices 0 1");
}

#[test]
fn one_whose_configurations_run_side_by_side_too() {
    killed(
        "kills of a tune, configurations side by side",
        "--strategy tune-parallel --devices 0 1 --retrain-and-test",
    );
}

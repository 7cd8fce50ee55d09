//! As `resume_kills`, with the real data, where they are at hand.

#![cfg(target_os = "linux")]

use engine_tests::cli::Workplace;
use engine_tests::real_data;
use engine_tests::resume::kills::{kill_and_compare, kills};
use engine_tests::resume::{Job, Random, SPACE};

/// Kills unless told otherwise.
const FEW: usize = 2;

#[test]
fn a_tune_of_the_real_data_killed_again_and_again_ends_as_if_it_had_not_been() {
    let Some(data) = real_data() else { return };
    let mut random = Random::new("kills of a tune of the real data");
    let words = format!(
        "tune --name t --hpconfig space.toml --n-trials 2 --max-epochs 2 --train-data-dir {data} --subsample 160 \
         --fold-method region-stratified --total-folds 3 --n-folds 2 --n-randoms 1 --check-val-every-n-epoch 1 \
         --log-every-n-steps 1 --accelerator cpu --early-stopping-patience 0 --strategy cv-parallel --devices 0 1"
    );
    let job = Job::on(Workplace::new(), &words);
    job.place.write("space.toml", &SPACE.replace("batch_size = 4", "batch_size = 8"));
    kill_and_compare(&job, "t", kills(FEW), &mut random);
}

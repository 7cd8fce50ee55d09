//! The main job on the real data, where they are at hand.

use engine_tests::cli::Workplace;
use engine_tests::real_data;
use engine_tests::table::{Table, assert_columns};

const REGIONS: [&str; 6] =
    ["AlaskaBrooks", "Chukotka", "LenaYakutia", "MackenzieYukon", "Taimyr", "YamalGydan"];

#[test]
fn the_real_data_are_valid() {
    let Some(data) = real_data() else { return };
    let place = Workplace::new();
    let ended = place.run(&["data", "validate", "--json", "--train-data-dir", &data]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = &ended.json()[0];
    assert_eq!(report["all"]["samples"], 518);
    let regions = report["all"]["regions"].as_array().unwrap();
    assert_eq!(regions.iter().map(|region| region["region"].as_str().unwrap()).collect::<Vec<_>>(), REGIONS);
    let text = place.run(&["data", "validate", "--train-data-dir", &data]);
    assert!(text.stdout.contains("518 samples of 128 x 128 pixels"), "{}", text.stdout);
}

#[test]
fn a_tune_on_the_real_data_ends_with_both_tables() {
    let Some(data) = real_data() else { return };
    let place = Workplace::new();
    place.write(
        "space.toml",
        "[hyperparameters]\nmodel_arch = \"Unet\"\nmodel_encoder = \"resnet18\"\nbatch_size = 4\n\
         learning_rate = {distribution = \"loguniform\", low = 1e-4, high = 1e-2}\n",
    );
    let ended = place.run(&[
        "tune",
        "--json",
        "--name",
        "t",
        "--artifact-dir",
        "out",
        "--train-data-dir",
        &data,
        "--hpconfig",
        "space.toml",
        "--fold-method",
        "region-stratified",
        "--total-folds",
        "3",
        "--n-folds",
        "2",
        "--n-randoms",
        "1",
        "--n-trials",
        "2",
        "--subsample",
        "48",
        "--max-epochs",
        "1",
        "--check-val-every-n-epoch",
        "1",
        "--log-every-n-steps",
        "1",
        "--strategy",
        "cv-parallel",
        "--devices",
        "0",
        "1",
        "--accelerator",
        "cpu",
    ]);
    // Without a stable configuration after so little training the tune ends all the same, and says so by its code.
    assert!(matches!(ended.code, Some(0 | 6)), "{:?}: {}", ended.code, ended.stderr);
    let table = Table::read(&place.path("out/t/t.parquet"));
    let hyperparameters = ["model_arch", "model_encoder", "batch_size", "learning_rate"];
    assert_columns(&table, Some(&hyperparameters), &["train/", "val/"]);
    assert_eq!(table.texts("cv_name"), ["t-cv0", "t-cv0", "t-cv1", "t-cv1"]);
    assert_eq!(table.integers("fold"), [0, 1, 0, 1]);
    for cv in ["t-cv0", "t-cv1"] {
        let table = Table::read(&place.path(&format!("out/t/{cv}/run_infos.parquet")));
        assert_columns(&table, None, &["train/", "val/"]);
        assert!(table.texts("status").iter().all(|status| status == "complete" || status == "unstable"));
        assert!(table.floats("val/loss").iter().all(|loss| loss.is_finite() && *loss > 0.0));
    }
}

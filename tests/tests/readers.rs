//! Tables as pandas, polars and DuckDB read them: NaN and null apart, infinities kept, lists as lists.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::path::Path;
use std::process::Command;

use engine_tests::cli::Workplace;
use engine_tests::peers::{must, peer, script};
use engine_tests::table::Table;
use engine_tracking::Metrics;
use engine_tracking::run_info::{CvScore, RunInfo, TuneTable, write_cv};
use serde_json::{Value, json};

const READERS: [&str; 3] = ["pandas", "polars", "duckdb"];

fn read(python: &Path, table: &Path) -> Value {
    let output = must(Command::new(python).arg(script("read_tables.py")).arg(table));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn run(fold: u32, metrics: Metrics) -> RunInfo {
    RunInfo {
        run_name: format!("c-run-f{fold}s42"),
        run_id: format!("abcdef0{fold}"),
        fold,
        seed: 42,
        duration_secs: 1.5,
        metrics,
        checkpoint: (fold == 0).then(|| "checkpoints/last".to_owned()),
        is_unstable: Some(fold > 0),
        status: "complete".to_owned(),
        failure: None,
        attempts: 1,
        device: Some("cpu:0".to_owned()),
        peak_memory_bytes: Some(1 << 40),
        peak_device_memory_bytes: None,
    }
}

fn runs() -> [RunInfo; 3] {
    let named =
        |values: &[(&str, f64)]| values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    [
        run(0, named(&[("val/a", f64::NAN), ("val/b", f64::INFINITY)])),
        run(1, named(&[("val/a", 0.1), ("val/b", f64::NEG_INFINITY)])),
        run(2, named(&[("val/a", -0.0)])),
    ]
}

fn assert_column(found: &Value, name: &str, expected: &Value) {
    for reader in READERS {
        assert_eq!(found[reader][name], *expected, "{name} as {reader} reads it");
    }
}

#[test]
fn a_table_of_a_cv_keeps_what_is_not_finite_apart_from_what_is_not_there() {
    let Some(python) = peer("readers", "python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run_infos.parquet");
    write_cv(&path, &runs(), Some(CvScore { score: Some(f64::NAN), score_is_unstable: true })).unwrap();
    let found = read(&python, &path);
    assert_column(&found, "val/a", &json!(["nan", 0.1, -0.0]));
    assert_column(&found, "val/b", &json!(["inf", "-inf", null]));
    assert_column(&found, "score", &json!(["nan", "nan", "nan"]));
    assert_column(&found, "is_unstable", &json!([false, true, true]));
    assert_column(&found, "checkpoint", &json!(["checkpoints/last", null, null]));
    assert_column(&found, "failure", &json!([null, null, null]));
    assert_column(&found, "peak_memory_bytes", &json!([1u64 << 40, 1u64 << 40, 1u64 << 40]));
    assert_column(&found, "fold", &json!([0, 1, 2]));
}

#[test]
fn a_table_of_a_tune_keeps_hyperparameters_by_their_kind() {
    let Some(python) = peer("readers", "python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let mut table = TuneTable::new(path.clone());
    let first =
        json!({"sizes": [16, 32], "names": ["a", "b"], "rate": 1, "flag": true, "mixed": 1, "only": "x"});
    let second = json!({"sizes": [64], "names": [], "rate": 0.5, "flag": false, "mixed": "one"});
    for (name, values, score) in [("t-cv0", &first, Some(0.5)), ("t-cv1", &second, None)] {
        let score = CvScore { score, score_is_unstable: false };
        table.append_cv(name, values.as_object().unwrap(), &runs()[..1], score).unwrap();
    }
    let found = read(&python, &path);
    assert_column(&found, "cv_name", &json!(["t-cv0", "t-cv1"]));
    assert_column(&found, "sizes", &json!([[16, 32], [64]]));
    assert_column(&found, "names", &json!([["a", "b"], []]));
    assert_column(&found, "rate", &json!([1.0, 0.5]));
    assert_column(&found, "flag", &json!([true, false]));
    assert_column(&found, "mixed", &json!(["1", "\"one\""]));
    assert_column(&found, "only", &json!(["x", null]));
    assert_column(&found, "score", &json!([0.5, null]));
    assert_column(&found, "val/a", &json!(["nan", "nan"]));
}

#[test]
fn tables_of_a_real_cv_are_read_as_we_read_them() {
    let Some(python) = peer("readers", "python") else { return };
    let place = Workplace::with_data();
    let words = "cv --json --name c --n-randoms 1 --max-epochs 1 --train-data-dir data --artifact-dir out \
                 --fold-method region-stratified --total-folds 2 --check-val-every-n-epoch 1 --accelerator cpu \
                 --model-encoder resnet18 --batch-size 4";
    let ended = place.run(&words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let path = place.path("out/_cross_validations/c/run_infos.parquet");
    let (table, found) = (Table::read(&path), read(&python, &path));
    for reader in READERS {
        let columns: Vec<&String> = found[reader].as_object().unwrap().keys().collect();
        assert_eq!(columns, table.columns(), "{reader}");
    }
    assert_column(&found, "val/JaccardIndex", &json!(table.floats("val/JaccardIndex")));
    assert_column(&found, "score", &json!(table.floats("score")));
    assert_column(&found, "run_id", &json!(table.texts("run_id")));
    assert_column(&found, "duration", &json!(table.floats("duration")));
}

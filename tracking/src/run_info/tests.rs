use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::{prop_assert_eq, proptest};
use serde_json::{Map, Value, json};

use super::columns::{Content, Layout, TABLE_VERSION};
use super::tune::FULL_GROUP_ROWS;
use super::*;

fn scene(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

fn run(fold: u32, metrics: &[(&str, f64)]) -> RunInfo {
    RunInfo {
        run_name: format!("blue-noether-1-cv0-run-f{fold}s42"),
        run_id: format!("abcdefg{fold}"),
        fold,
        seed: 42,
        duration_secs: 12.5,
        metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        checkpoint: Some("checkpoints/best".to_owned()),
        is_unstable: Some(false),
        status: "complete".to_owned(),
        failure: None,
        attempts: 1,
        device: Some("cpu:0".to_owned()),
        peak_memory_bytes: Some(3 << 30),
        peak_device_memory_bytes: None,
    }
}

fn failed_run(fold: u32) -> RunInfo {
    let (checkpoint, failure) = (None, Some("panicked: index out of bounds".to_owned()));
    let status = "failed".to_owned();
    let run = RunInfo { is_unstable: None, device: None, peak_memory_bytes: None, ..run(fold, &[]) };
    RunInfo { seed: u64::MAX, checkpoint, status, failure, peak_device_memory_bytes: Some(u64::MAX), ..run }
}

fn map(value: impl std::borrow::Borrow<Value>) -> Map<String, Value> {
    value.borrow().as_object().unwrap().clone()
}

const STABLE: CvScore = CvScore { score: Some(0.5), score_is_unstable: false };

fn column_names(path: &Path) -> Vec<String> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema();
    schema.get_fields().iter().map(|field| field.name().to_owned()).collect()
}

fn rows_by_group(path: &Path) -> Vec<i64> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
}

#[test]
fn cv_table_has_the_columns_of_the_design_in_its_order() {
    let (folder, path) = scene("run_infos.parquet");
    let runs = [run(0, &[("val/loss", 0.5), ("train/loss", 0.25)]), failed_run(1)];
    write_cv(&path, &runs, Some(STABLE)).unwrap();
    let expected = "run_name run_id fold seed duration train/loss val/loss checkpoint is_unstable \
                    score score_is_unstable status failure attempts device peak_memory_bytes peak_device_memory_bytes";
    assert_eq!(column_names(&path).join(" "), expected);
    let read = read_run_infos(&path).unwrap();
    let expected = runs.map(|run| TableRow { run, score: Some(STABLE), ..TableRow::default() });
    assert_eq!(read, expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
}

#[test]
fn table_2_missing_metrics_are_null_and_nan_is_nan() {
    let (_folder, path) = scene("run_infos.parquet");
    let runs = [run(0, &[("a", f64::NAN), ("b", f64::NEG_INFINITY)]), run(1, &[("b", -0.0)])];
    write_cv(&path, &runs, None).unwrap();
    let read = read_run_infos(&path).unwrap();
    assert!(read[0].run.metrics["a"].is_nan());
    assert_eq!(read[0].run.metrics["b"], f64::NEG_INFINITY);
    assert_eq!(read[1].run.metrics.keys().collect::<Vec<_>>(), ["b"]);
    assert!(read[1].run.metrics["b"].is_sign_negative());
    assert_eq!(read[0].score, None);
    let unscored = CvScore { score: None, score_is_unstable: true };
    write_cv(&path, &runs[1..], Some(unscored)).unwrap();
    assert_eq!(read_run_infos(&path).unwrap()[0].score, Some(unscored));
}

#[test]
fn a_cv_without_runs_is_a_table_without_rows() {
    let (_folder, path) = scene("run_infos.parquet");
    write_cv(&path, &[], None).unwrap();
    assert_eq!(read_run_infos(&path).unwrap(), []);
    assert_eq!(column_names(&path).len(), 15);
}

#[test]
fn tune_table_adds_name_and_hyperparameters_and_renames_metrics_that_collide() {
    let (_folder, path) = scene("tune.parquet");
    let mut table = TuneTable::new(path.clone());
    let metrics = [("learning_rate", 1e-4), ("val/loss", 0.5), ("score", 3.0)];
    let hyperparameters = map(json!({"learning_rate": 1e-3, "model_arch": "Unet", "seed": 7}));
    table.append_cv("t-cv0", &hyperparameters, &[run(0, &metrics)], STABLE).unwrap();
    let expected = "run_name run_id fold seed duration metric/learning_rate metric/score val/loss checkpoint \
                    is_unstable score score_is_unstable cv_name learning_rate model_arch hyperparameter/seed \
                    status failure attempts device peak_memory_bytes peak_device_memory_bytes";
    assert_eq!(column_names(&path).join(" "), expected);
    let read = read_run_infos(&path).unwrap();
    let cv_name = Some("t-cv0".to_owned());
    assert_eq!(read, [TableRow { run: run(0, &metrics), score: Some(STABLE), cv_name, hyperparameters }]);
}

#[test]
fn hyperparameters_of_every_kind_read_back() {
    let (_folder, path) = scene("tune.parquet");
    let hyperparameters = map(json!({
        "int": -3, "float": 0.1, "text": "Unet", "bool": true, "none": null, "ints": [1, 2], "empty": [],
        "floats": [0.5, 1.5], "texts": ["red", null], "mixed": [1, "red"], "object": {"a": [1]}, "huge": u64::MAX,
    }));
    TuneTable::new(path.clone()).append_cv("t-cv0", &hyperparameters, &[run(0, &[])], STABLE).unwrap();
    assert_eq!(read_run_infos(&path).unwrap()[0].hyperparameters, hyperparameters);
}

#[test]
fn a_column_gets_wider_when_a_later_cv_needs_it() {
    let (_folder, path) = scene("tune.parquet");
    let mut table = TuneTable::new(path.clone());
    let cvs = [
        json!({"a": 1, "b": null, "c": 1, "d": []}),
        json!({"a": 0.5, "b": ["x"], "c": "one", "d": [2]}),
        json!({"a": 2, "b": null, "c": null, "d": [0.5], "e": true}),
    ];
    for (index, cv) in cvs.into_iter().enumerate() {
        let metrics = [(["loss", "iou", "loss"][index], 0.5)];
        table.append_cv(&format!("t-cv{index}"), &map(cv), &[run(0, &metrics)], STABLE).unwrap();
    }
    let read = read_run_infos(&path).unwrap();
    let of =
        |name: &str| -> Vec<Value> { read.iter().map(|row| row.hyperparameters[name].clone()).collect() };
    assert_eq!(of("a"), [json!(1.0), json!(0.5), json!(2.0)]);
    assert_eq!(of("b"), [json!(null), json!(["x"]), json!(null)]);
    assert_eq!(of("c"), [json!(1), json!("one"), json!(null)]);
    assert_eq!(of("d"), [json!([]), json!([2.0]), json!([0.5])]);
    assert_eq!(of("e"), [json!(null), json!(null), json!(true)]);
    let metrics: Vec<_> =
        read.iter().map(|row| row.run.metrics.keys().cloned().collect::<Vec<_>>()).collect();
    assert_eq!(metrics, [["loss"], ["iou"], ["loss"]]);
}

#[test]
fn table_4_a_cv_added_again_replaces_its_rows() {
    let (_folder, path) = scene("tune.parquet");
    let mut table = TuneTable::new(path.clone());
    let hyperparameters = map(json!({"lr": 0.1}));
    for cv_name in ["t-cv0", "t-cv1", "t-cv0"] {
        table.append_cv(cv_name, &hyperparameters, &[run(0, &[]), run(1, &[])], STABLE).unwrap();
    }
    let read = read_run_infos(&path).unwrap();
    let names: Vec<_> = read.iter().filter_map(|row| row.cv_name.as_deref()).collect();
    assert_eq!(names, ["t-cv1", "t-cv1", "t-cv0", "t-cv0"]);
}

#[test]
fn cvs_added_together_are_the_rows_of_cvs_added_one_after_another() {
    let (_folder, one_by_one) = scene("one-by-one.parquet");
    let together = one_by_one.with_file_name("together.parquet");
    let hyperparameters = [json!({"lr": 1}), json!({"lr": 0.5}), json!({"lr": 2, "arch": "Unet"})].map(map);
    let name = |index: usize| format!("t-cv{index}");
    let runs = |index: usize| vec![run(u32::try_from(index).unwrap(), &[("a", 0.5)]), failed_run(7)];
    // The first comes again.
    let order = [0, 1, 2, 0];
    let mut table = TuneTable::new(one_by_one.clone());
    for index in order {
        table.append_cv(&name(index), &hyperparameters[index], &runs(index), STABLE).unwrap();
    }
    let names = [0, 1, 2].map(name);
    let cv = |index: usize| CvRows {
        cv_name: &names[index],
        hyperparameters: &hyperparameters[index],
        runs: runs(index),
        score: STABLE,
    };
    let mut table = TuneTable::new(together.clone());
    table.append_cvs(&[]).unwrap();
    assert!(!together.exists(), "without cvs there is nothing to write");
    table.append_cvs(&[cv(0)]).unwrap();
    table.append_cvs(&[cv(1), cv(2), cv(0)]).unwrap();
    assert_eq!(read_run_infos(&together).unwrap(), read_run_infos(&one_by_one).unwrap());
    assert_eq!(column_names(&together), column_names(&one_by_one));
    assert_eq!(table.cv_names().unwrap(), TuneTable::new(one_by_one).cv_names().unwrap());
}

#[test]
fn a_table_that_is_rewritten_is_the_same_however_it_came_about() {
    let (_folder, path) = scene("t.parquet");
    let runs =
        |fold: u32| vec![run(fold, &[("val/iou", 0.5), (if fold == 0 { "val/a" } else { "val/b" }, 0.1)])];
    let hyperparameters = map(json!({"learning_rate": 0.1}));
    let mut written = Vec::new();
    for order in [[0, 1], [1, 0]] {
        std::fs::remove_file(&path).ok();
        let mut table = TuneTable::new(path.clone());
        assert_eq!(table.cv_names().unwrap(), Vec::<String>::new());
        for fold in order {
            table.append_cv(&format!("t-cv{fold}"), &hyperparameters, &runs(fold), STABLE).unwrap();
        }
        assert_eq!(table.cv_names().unwrap(), order.map(|fold| format!("t-cv{fold}")));
        let cv = |cv_name, fold| CvRows {
            cv_name,
            hyperparameters: &hyperparameters,
            runs: runs(fold),
            score: STABLE,
        };
        table.rewrite(&[cv("t-cv0", 0), cv("t-cv1", 1)]).unwrap();
        written.push(std::fs::read(&path).unwrap());
    }
    assert!(written[0] == written[1], "the bytes differ");
    TuneTable::new(path.clone()).rewrite(&[]).unwrap();
    assert!(std::fs::read(&path).unwrap() == written[0], "nothing to write, nothing written");
}

#[test]
fn full_groups_are_copied_byte_for_byte_and_small_ones_are_filled() {
    let (_folder, path) = scene("tune.parquet");
    let mut table = TuneTable::new(path.clone());
    let hyperparameters = |index: u32| map(json!({"lr": index, "bands": ["red", "nir"]}));
    let runs = |count: usize, from: usize| -> Vec<RunInfo> {
        (from..from + count)
            .map(|fold| run(u32::try_from(fold).unwrap(), &[("val/loss", fold as f64)]))
            .collect()
    };
    let mut expected = Vec::new();
    let mut first_group = Vec::new();
    for (index, count) in [FULL_GROUP_ROWS - 1, 1, 5, 7].into_iter().enumerate() {
        let runs = runs(count, expected.len());
        let index = u32::try_from(index).unwrap();
        table.append_cv(&format!("t-cv{index}"), &hyperparameters(index), &runs, STABLE).unwrap();
        expected.extend(runs);
        if index == 1 {
            first_group = first_group_bytes(&path);
        }
    }
    let full = i64::try_from(FULL_GROUP_ROWS).unwrap();
    assert_eq!(rows_by_group(&path), [full, 12]);
    assert_eq!(first_group_bytes(&path), first_group);
    let read: Vec<_> = read_run_infos(&path).unwrap().into_iter().map(|row| row.run).collect();
    assert_eq!(read, expected);
}

fn first_group_bytes(path: &Path) -> Vec<u8> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let bytes = fs::read(path).unwrap();
    let ranges = reader.metadata().row_group(0).columns().iter().map(|column| column.byte_range());
    ranges.flat_map(|(from, length)| bytes[from as usize..(from + length) as usize].to_vec()).collect()
}

#[test]
fn tables_that_can_not_be_used_are_told_with_their_path_and_kept() {
    let (_folder, path) = scene("tune.parquet");
    let hyperparameters = map(json!({}));
    let mut table = TuneTable::new(path.clone());
    assert!(matches!(read_run_infos(&path), Err(RunInfoError::Open { .. })));

    fs::write(&path, "no parquet").unwrap();
    let error = table.append_cv("t-cv0", &hyperparameters, &[run(0, &[])], STABLE).unwrap_err();
    assert!(matches!(error, RunInfoError::Read { .. }));
    assert!(error.to_string().contains("tune.parquet"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"no parquet");

    write_cv(&path, &[run(0, &[])], None).unwrap();
    let error = table.append_cv("t-cv0", &hyperparameters, &[run(0, &[])], STABLE).unwrap_err();
    assert!(error.to_string().contains("the table of a cv"), "{error}");

    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(matches!(read_run_infos(&path), Err(RunInfoError::Read { .. })));

    let nowhere = path.with_file_name("not-there").join("run_infos.parquet");
    let error = write_cv(&nowhere, &[], None).unwrap_err();
    assert!(error.to_string().contains("not-there"), "{error}");
}

#[test]
fn a_table_of_a_later_version_is_refused() {
    let (_folder, path) = scene("run_infos.parquet");
    write_cv(&path, &[run(0, &[])], None).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let written = b"{\"version\":2";
    let place = bytes.windows(written.len()).position(|window| window == written).unwrap();
    bytes[place + written.len() - 1] = b'9';
    fs::write(&path, bytes).unwrap();
    assert!(matches!(read_run_infos(&path), Err(RunInfoError::Version { found: 9, .. })));
}

/// Tables as each version of the format wrote them; they must open for good.
fn kept_table(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/tune-v{version}.parquet"))
}

fn as_of_version_1(run: RunInfo) -> RunInfo {
    RunInfo { peak_memory_bytes: None, peak_device_memory_bytes: None, ..run }
}

#[test]
fn tables_of_every_version_still_open() {
    for version in 1..=TABLE_VERSION {
        let read = read_run_infos(&kept_table(version)).unwrap();
        let known = |run| if version == 1 { as_of_version_1(run) } else { run };
        assert_eq!(read.len(), 3);
        assert_eq!(
            read[0].hyperparameters,
            map(json!({"learning_rate": 0.001, "bands": ["red", "nir"], "augment": null}))
        );
        assert_eq!(read[0].run, known(run(0, &[("learning_rate", 1e-4), ("val/loss", 0.5)])));
        assert_eq!(read[1].run, known(failed_run(1)));
        assert_eq!(read[2].cv_name.as_deref(), Some("t-cv1"));
        assert_eq!(read[2].score, Some(CvScore { score: None, score_is_unstable: true }));
    }
}

#[test]
fn a_table_of_version_1_is_continued_in_the_latest() {
    let (_folder, path) = scene("tune.parquet");
    fs::copy(kept_table(1), &path).unwrap();
    let before = read_run_infos(&path).unwrap();
    TuneTable::new(path.clone()).append_cv("t-cv2", &map(json!({})), &[run(0, &[])], STABLE).unwrap();
    let after = read_run_infos(&path).unwrap();
    // The third row holds a NaN.
    assert_eq!((&after[..2], after.len()), (&before[..2], 4));
    assert_eq!((&after[2].cv_name, after[2].score), (&before[2].cv_name, before[2].score));
    assert_eq!(after[3].run, run(0, &[]));
    assert!(column_names(&path).ends_with(&["peak_memory_bytes".into(), "peak_device_memory_bytes".into()]));
}

proptest! {
    #[test]
    fn table_3_no_two_columns_share_a_name(
        metrics in proptest::collection::btree_set("(metric/|hyperparameter/){0,2}(a|score|fold|cv_name)", 0..12),
        hyperparameters in proptest::collection::btree_set("(metric/|hyperparameter/){0,2}(a|score|fold|cv_name)", 0..12),
    ) {
        let row = TableRow {
            run: RunInfo { metrics: metrics.iter().map(|name| (name.clone(), 0.5)).collect(), ..RunInfo::default() },
            hyperparameters: hyperparameters.iter().map(|name| (name.clone(), json!(1))).collect(),
            ..TableRow::default()
        };
        let mut layout = Layout::of_tune();
        layout.admit(&[row]);
        let columns = layout.columns(TABLE_VERSION);
        let names: BTreeSet<_> = columns.iter().map(|column| &column.name).collect();
        prop_assert_eq!(names.len(), columns.len());
        prop_assert_eq!(columns.len(), 16 + metrics.len() + hyperparameters.len());
        let cv_name = columns.iter().find(|column| column.name == "cv_name").unwrap();
        prop_assert_eq!(&cv_name.content, &Content::CvName);
    }
}

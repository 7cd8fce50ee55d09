use std::fs;

use proptest::prelude::{prop_assert_eq, proptest};

use super::*;

fn point(epoch: u32, step: u64, values: &[(&str, f64)]) -> MetricPoint {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    MetricPoint { epoch, step, values }
}

fn scene() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    (folder, path)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_new_metric_becomes_a_column_and_old_rows_are_padded() {
    let (folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[point(0, 10, &[("train/loss", 0.5)]), point(0, 20, &[("train/loss", 0.25)])]).unwrap();
    assert_eq!(text(&path), "epoch,step,train/loss\n0,10,0.5\n0,20,0.25\n");
    csv.append(&[point(0, 20, &[("val/loss", 1.0), ("learning_rate", 1e-3)])]).unwrap();
    csv.append(&[point(1, 30, &[("train/loss", 0.125)])]).unwrap();
    csv.close().unwrap();
    let expected = "epoch,step,train/loss,learning_rate,val/loss\n0,10,0.5,,\n0,20,0.25,,\n0,20,,0.001,1.0\n1,30,0.125,,\n";
    assert_eq!(text(&path), expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
}

#[test]
fn points_of_one_place_share_a_row_and_empty_ones_leave_none() {
    let (_folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[]).unwrap();
    csv.append(&[
        point(0, 1, &[("a", 1.0)]),
        point(0, 2, &[]),
        point(0, 3, &[("a", 3.0)]),
        point(0, 1, &[("b", 2.0), ("a", 4.0)]),
    ])
    .unwrap();
    csv.close().unwrap();
    assert_eq!(text(&path), "epoch,step,a,b\n0,1,4.0,2.0\n0,3,3.0,\n");
}

#[test]
fn values_that_are_not_finite_are_written_in_words_pandas_reads() {
    let (_folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    let values =
        [("a", f64::NAN), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY), ("d", 1e-300), ("e", -0.0)];
    csv.append(&[point(0, 1, &values)]).unwrap();
    assert_eq!(text(&path), "epoch,step,a,b,c,d,e\n0,1,nan,inf,-inf,1e-300,-0.0\n");
}

#[test]
fn a_further_attempt_goes_on_where_a_crash_tore_the_last_row() {
    let (_folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[point(0, 1, &[("a", 1.0), ("b,\"c\"", 2.0)])]).unwrap();
    csv.close().unwrap();
    fs::write(&path, text(&path) + "0,2,0.3").unwrap();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[point(0, 2, &[("b,\"c\"", 3.0)])]).unwrap();
    csv.close().unwrap();
    assert_eq!(text(&path), "epoch,step,a,\"b,\"\"c\"\"\"\n0,1,1.0,2.0\n0,2,,3.0\n");
}

#[test]
fn a_header_torn_by_a_crash_is_begun_again() {
    let (_folder, path) = scene();
    fs::write(&path, "epoch,st").unwrap();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[point(0, 1, &[("a", 1.0)])]).unwrap();
    assert_eq!(text(&path), "epoch,step,a\n0,1,1.0\n");
}

#[test]
fn something_else_under_the_name_is_refused_and_kept() {
    let (_folder, path) = scene();
    for other in ["a,b\n1,2\n", "epoch,step,a,a\n", "epoch\n", "\n"] {
        fs::write(&path, other).unwrap();
        let error = MetricsCsv::create(&path).unwrap_err();
        assert!(matches!(error, CsvError::NotMetrics { .. }), "{other:?}: {error}");
        assert_eq!(text(&path), other);
    }
}

#[test]
fn names_that_can_be_no_column_are_refused_before_anything_is_written() {
    let (_folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&[point(0, 1, &[("a", 1.0)])]).unwrap();
    for name in ["epoch", "step", "two\nlines"] {
        let error = csv.append(&[point(0, 2, &[("a", 1.0), (name, 1.0)])]).unwrap_err();
        assert!(matches!(&error, CsvError::UnusableName { name: told, .. } if told == name), "{error}");
    }
    assert_eq!(text(&path), "epoch,step,a\n0,1,1.0\n");
}

proptest! {
    #[test]
    fn every_value_reads_back_bit_for_bit(value in proptest::num::f64::ANY) {
        let read: f64 = number(value).parse().unwrap();
        prop_assert_eq!(read.is_nan(), value.is_nan());
        if !value.is_nan() {
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn headers_come_apart_as_they_were_joined(names in proptest::collection::btree_set("[a-z/,\" ]{1,6}", 0..5)) {
        let mut columns = Columns::default();
        names.iter().cloned().for_each(|name| columns.push(name));
        let mut expected = vec!["epoch".to_owned(), "step".to_owned()];
        expected.extend(names);
        prop_assert_eq!(fields(columns.header().trim_end_matches('\n')), expected);
    }
}

fn place(epoch: u32, step: u64) -> Option<RunPlace> {
    Some(RunPlace { epoch, step })
}

/// Two epochs of two steps and a test of the first one's weights.
fn course() -> Vec<MetricPoint> {
    vec![
        point(0, 1, &[("train", 0.1)]),
        point(0, 2, &[("train", 0.2), ("val", 0.25)]),
        point(1, 3, &[("train", 0.3)]),
        point(1, 4, &[("train", 0.4), ("val", f64::NAN)]),
    ]
}

#[test]
fn a_run_that_goes_on_leaves_the_file_of_one_that_never_stopped() {
    let (folder, path) = scene();
    let tested = point(0, 2, &[("test", 0.5)]);
    let whole = |path: &Path| {
        let mut csv = MetricsCsv::create(path).unwrap();
        csv.append(&course()).unwrap();
        csv.append(std::slice::from_ref(&tested)).unwrap();
        csv.close().unwrap();
        text(path)
    };
    let expected = whole(&folder.path().join("undisturbed"));
    // From each place on, however much had been logged by then.
    for (from, again) in [
        (None, 0),
        (place(0, 1), 0),
        (place(0, 2), 1),
        (place(0, 3), 2),
        (place(1, 3), 2),
        (place(1, 4), 3),
        (place(2, 5), 4),
    ] {
        for logged in again..=5 {
            drop(fs::remove_file(&path));
            let mut csv = MetricsCsv::create(&path).unwrap();
            csv.append(&course()[..logged.min(4)]).unwrap();
            if logged == 5 {
                csv.append(std::slice::from_ref(&tested)).unwrap();
            }
            drop(csv);
            let mut csv = MetricsCsv::create(&path).unwrap();
            csv.go_on_from(from).unwrap();
            csv.append(&course()[again..]).unwrap();
            csv.append(std::slice::from_ref(&tested)).unwrap();
            csv.close().unwrap();
            assert_eq!(text(&path), expected, "{logged} logged, on from {from:?}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left aside");
}

#[test]
fn a_test_at_the_last_place_of_the_course_is_logged_again() {
    let (_folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&course()).unwrap();
    let before = text(&path);
    csv.append(&[point(1, 4, &[("train", 9.0)])]).unwrap();
    csv.go_on_from(place(2, 5)).unwrap();
    assert_eq!(text(&path), before);
}

#[test]
fn a_run_that_begins_anew_leaves_nothing_of_the_attempt_before() {
    let (_folder, path) = scene();
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.go_on_from(None).unwrap();
    csv.append(&[point(0, 1, &[("a", 1.0)])]).unwrap();
    csv.go_on_from(None).unwrap();
    assert_eq!(text(&path), "");
    csv.append(&[point(0, 1, &[("b", 1.0)])]).unwrap();
    assert_eq!(text(&path), "epoch,step,b\n0,1,1.0\n");
}

#[test]
fn columns_do_not_hang_on_how_rows_came_together() {
    let (folder, path) = scene();
    let rows = [point(0, 1, &[("z", 1.0)]), point(0, 2, &[("a", 1.0), ("z", 2.0)])];
    let mut csv = MetricsCsv::create(&path).unwrap();
    csv.append(&rows).unwrap();
    let other = folder.path().join("other");
    let mut one_by_one = MetricsCsv::create(&other).unwrap();
    rows.iter().for_each(|row| one_by_one.append(std::slice::from_ref(row)).unwrap());
    assert_eq!(text(&path), text(&other));
}

//! Whether two jobs came to the same result: their folders, compared file by file, and what the program said in the end.
//!
//! Same means bit for bit, but for what can not be the same: times, ids, paths, names of devices, memory. The folders are those of
//! one and the same job (a tune, a cv, a run), done in two places: runs are found by their names, for their ids differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

/// Differences that are shown of two jobs; the first of them say enough.
const SHOWN: usize = 40;
/// Characters of an id, behind the name of a run.
const ID_LENGTH: usize = 8;
/// Keys and columns that differ between any two jobs.
const OWN: [&str; 13] = [
    "duration",
    "duration_secs",
    "elapsed_secs",
    "run_id",
    "device",
    "peak_memory_bytes",
    "peak_device_memory_bytes",
    "run_dir",
    "cv_dir",
    "tune_dir",
    "train_data_dir",
    "train/time",
    "stderr_tail",
];

/// That two folders of one job hold the same results.
///
/// # Panics
/// If they do not; says what differs.
pub fn assert_same(expected: &Path, found: &Path) {
    assert_none(&differences(expected, found), expected, found);
}

fn assert_none(differences: &[String], expected: &Path, found: &Path) {
    let more = differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n… and {more} more") } else { String::new() };
    assert!(
        differences.is_empty(),
        "{} differs from {}:\n{}{more}",
        found.display(),
        expected.display(),
        differences[..differences.len().min(SHOWN)].join("\n")
    );
}

/// What differs between two folders of one job, a line each; none if they hold the same results.
///
/// Looks at tables, and at each run's `metrics.csv`, `hparams.yaml`, checkpoints and figures.
pub fn differences(expected: &Path, found: &Path) -> Vec<String> {
    let mut out = Differences::default();
    let (theirs, ours) = (Contents::of(expected), Contents::of(found));
    for name in out.shared("", "table", theirs.tables.keys(), ours.tables.keys()) {
        compare_tables(&mut out, &name, &theirs.tables[&name], &ours.tables[&name]);
    }
    for name in out.shared("", "run", theirs.runs.keys(), ours.runs.keys()) {
        compare_runs(&mut out, &name, &theirs.runs[&name], &ours.runs[&name]);
    }
    if theirs.tables.is_empty() && theirs.runs.is_empty() {
        out.say(&expected.display().to_string(), "it holds no table and no run: nothing is compared");
    }
    out.0
}

/// What differs between the outcomes in the last lines of two `--json`: scores, the best, metrics, statuses.
pub fn outcome_differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut out = Differences::default();
    compare_json(&mut out, "outcome", &timeless(expected), &timeless(found));
    out.0
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn say(&mut self, place: &str, what: &str) {
        self.0.push(format!("  {place}: {what}"));
    }

    /// Names both have; says which only one has.
    fn shared<'a>(
        &mut self,
        place: &str,
        what: &str,
        expected: impl Iterator<Item = &'a String>,
        found: impl Iterator<Item = &'a String>,
    ) -> Vec<String> {
        let (expected, found): (BTreeSet<_>, BTreeSet<_>) = (expected.collect(), found.collect());
        for name in expected.difference(&found) {
            self.say(place, &format!("the {what} {name} is missing"));
        }
        for name in found.difference(&expected) {
            self.say(place, &format!("the {what} {name} should not be there"));
        }
        expected.intersection(&found).map(|name| (*name).clone()).collect()
    }
}

/// Tables and runs of a job by their names, runs without their ids.
#[derive(Default)]
struct Contents {
    tables: BTreeMap<String, PathBuf>,
    runs: BTreeMap<String, PathBuf>,
}

impl Contents {
    fn of(folder: &Path) -> Self {
        let mut contents = Self::default();
        if folder.join("checkpoints").is_dir() {
            contents.runs.insert("run".into(), folder.to_owned());
        } else {
            contents.gather(folder, "");
        }
        contents
    }

    fn gather(&mut self, folder: &Path, within: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let own = path.file_name().unwrap().to_str().unwrap();
            let name = format!("{within}{own}");
            if path.is_file() && own.ends_with(".parquet") {
                self.tables.insert(name, path);
            } else if path.join("events.jsonl").is_file() {
                let run_name = name[..name.len() - ID_LENGTH - 1].to_owned();
                let other = self.runs.insert(run_name, path.clone());
                assert!(other.is_none(), "two folders of one run: {} and {other:?}", path.display());
            } else if path.is_dir() && own != "wandb" {
                self.gather(&path, &format!("{name}/"));
            }
        }
    }
}

// ---- runs ----

fn compare_runs(out: &mut Differences, name: &str, expected: &Path, found: &Path) {
    compare_metrics(out, &format!("{name}/metrics.csv"), &csv(expected), &csv(found));
    let files = |run: &Path| {
        let mut files = files_below(&run.join("figures"), "figures/");
        files.extend(
            [("hparams.yaml".to_owned(), run.join("hparams.yaml"))]
                .into_iter()
                .filter(|(_, path)| path.is_file()),
        );
        files.extend(files_below(&run.join("checkpoints"), "checkpoints/"));
        files
    };
    let (expected, found) = (files(expected), files(found));
    for file in out.shared(name, "file", expected.keys(), found.keys()) {
        let place = format!("{name}/{file}");
        let [theirs, ours] = [&expected[&file], &found[&file]].map(|path| read(path));
        if file.ends_with("state.json") {
            let [theirs, ours] = [theirs, ours].map(|text| timeless(&serde_json::from_slice(&text).unwrap()));
            compare_json(out, &place, &theirs, &ours);
        } else if theirs != ours {
            let first = theirs.iter().zip(&ours).position(|(one, other)| one != other);
            let first = first.unwrap_or(theirs.len().min(ours.len()));
            let sizes = format!("{} and {} bytes", theirs.len(), ours.len());
            out.say(&place, &format!("the bytes differ from byte {first} on ({sizes})"));
        }
    }
}

/// The bytes of a file; of `hparams.yaml` without its lines for what differs between any two jobs.
fn read(path: &Path) -> Vec<u8> {
    if !path.ends_with("hparams.yaml") {
        return fs::read(path).unwrap();
    }
    let text = fs::read_to_string(path).unwrap();
    let is_kept = |line: &&str| !line.trim_start().split_once(':').is_some_and(|(key, _)| is_own(key));
    text.lines().filter(is_kept).collect::<Vec<_>>().join("\n").into_bytes()
}

fn files_below(folder: &Path, within: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    if !folder.is_dir() {
        return found;
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{within}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            found.extend(files_below(&path, &format!("{name}/")));
        } else {
            found.insert(name, path);
        }
    }
    found
}

/// Rows of a `metrics.csv`, each by column, without blanks and without what the clock says.
fn csv(run: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap_or_default();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), header.len(), "a torn row in {}: {line}", run.display());
        let told = header.iter().zip(cells).filter(|(name, cell)| !is_own(name) && !cell.is_empty());
        told.map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()
    };
    lines.map(row).collect()
}

fn compare_metrics(
    out: &mut Differences,
    place: &str,
    expected: &[BTreeMap<String, String>],
    found: &[BTreeMap<String, String>],
) {
    if expected.len() != found.len() {
        out.say(place, &format!("{} rows in place of {}", found.len(), expected.len()));
    }
    for (row, (theirs, ours)) in expected.iter().zip(found).enumerate() {
        if theirs != ours {
            let names: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
            let differing = names.into_iter().filter(|name| theirs.get(*name) != ours.get(*name));
            let told =
                differing.map(|name| format!("{name} {:?} for {:?}", ours.get(name), theirs.get(name)));
            out.say(place, &format!("row {row}: {}", told.collect::<Vec<_>>().join(", ")));
            // What follows differs as a rule for the same reason.
            return;
        }
    }
}

// ---- tables ----

fn compare_tables(out: &mut Differences, name: &str, expected: &Path, found: &Path) {
    let [(columns, theirs), (own_columns, ours)] = [expected, found].map(|path| {
        let batch = read_table(path);
        let fields = batch.schema_ref().fields().iter().enumerate();
        let kept = fields
            .filter(|(_, field)| !is_own(field.name()))
            .map(|(index, field)| (index, field.name().clone()));
        let kept: Vec<(usize, String)> = kept.collect();
        let row = |row| kept.iter().map(|(column, name)| cell(&batch, *column, name, row)).collect();
        let all: Vec<Vec<String>> = (0..batch.num_rows()).map(row).collect();
        (kept.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), all)
    });
    if columns != own_columns {
        return out.say(name, &format!("columns are {own_columns:?} in place of {columns:?}"));
    }
    if theirs.len() != ours.len() {
        return out.say(name, &format!("{} rows in place of {}", ours.len(), theirs.len()));
    }
    for (row, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        for ((column, theirs), ours) in columns.iter().zip(theirs).zip(ours) {
            if theirs != ours {
                out.say(name, &format!("row {row}, {column}: {ours} in place of {theirs}"));
            }
        }
    }
}

pub(crate) fn read_table(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// A cell as text; of a float all its bits.
pub(crate) fn cell(batch: &RecordBatch, column: usize, name: &str, row: usize) -> String {
    let values = batch.column(column);
    match values.data_type() {
        _ if values.is_null(row) => "null".into(),
        DataType::Float64 => {
            let value = values.as_primitive::<Float64Type>().value(row);
            format!("{value:?} ({:016x})", value.to_bits())
        }
        _ if name == "checkpoint" => without_place(&array_value_to_string(values, row).unwrap()),
        _ => array_value_to_string(values, row).unwrap(),
    }
}

// ---- JSON ----

/// Whether a key, column or metric differs between any two jobs.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name) || name.starts_with("train/device/")
}

/// The path of a checkpoint below its run.
fn without_place(checkpoint: &str) -> String {
    checkpoint.rsplit_once("checkpoints/").map_or(checkpoint, |(_, name)| name).to_owned()
}

pub(crate) fn timeless(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let kept = entries.iter().filter(|(name, _)| !is_own(name));
            let one = |(name, value): (&String, &Value)| match value {
                Value::String(path) if name == "checkpoint" => (name.clone(), without_place(path).into()),
                other => (name.clone(), timeless(other)),
            };
            Value::Object(kept.map(one).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.iter().map(timeless).collect()),
        other => other.clone(),
    }
}

fn compare_json(out: &mut Differences, place: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for name in out.shared(place, "key", theirs.keys(), ours.keys()) {
                compare_json(out, &format!("{place}.{name}"), &theirs[&name], &ours[&name]);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                compare_json(out, &format!("{place}[{index}]"), theirs, ours);
            }
        }
        _ if expected == found => {}
        _ => out.say(place, &format!("{found} in place of {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run's folder whose results hang on a number, and whose times and id on another.
    fn run(job: &Path, id: &str, result: f64, clock: f64) -> PathBuf {
        let folder = job.join(format!("cv0/r-{id}"));
        let last = folder.join("checkpoints/last");
        fs::create_dir_all(&last).unwrap();
        fs::write(folder.join("events.jsonl"), id).unwrap();
        fs::write(folder.join("hparams.yaml"), "version: 1\n").unwrap();
        fs::write(folder.join("metrics.csv"), format!("epoch,step,loss,train/time\n0,1,{result},{clock}\n"))
            .unwrap();
        fs::write(last.join("weights.safetensors"), result.to_bits().to_le_bytes()).unwrap();
        let state = json!({"elapsed_secs": clock, "run": {"run_id": id, "fold": 0}, "metrics": {"loss": result, "train/device/x": clock}});
        fs::write(last.join("state.json"), state.to_string()).unwrap();
        folder
    }

    #[test]
    fn times_and_ids_are_no_difference_and_results_are() {
        let place = tempfile::tempdir().unwrap();
        let [one, other, third] = ["one", "other", "third"].map(|name| place.path().join(name));
        run(&one, "aaaaaaaa", 0.1, 1.0);
        run(&other, "bbbbbbbb", 0.1, 2.0);
        run(&third, "cccccccc", 0.1 + f64::EPSILON, 1.0);
        assert_eq!(differences(&one, &other), Vec::<String>::new());
        let found = differences(&one, &third);
        let places = [
            "metrics.csv: row 0: loss",
            "weights.safetensors: the bytes differ from byte",
            "state.json.metrics.loss",
        ];
        assert!(places.iter().all(|place| found.iter().any(|line| line.contains(place))), "{found:?}");
        assert_eq!(found.len(), places.len(), "{found:?}");
    }

    #[test]
    fn what_only_one_has_and_what_holds_nothing_is_told() {
        let place = tempfile::tempdir().unwrap();
        let [one, other, empty] = ["one", "other", "empty"].map(|name| place.path().join(name));
        run(&one, "aaaaaaaa", 0.1, 1.0);
        let folder = run(&other, "bbbbbbbb", 0.1, 1.0);
        fs::create_dir_all(folder.join("checkpoints/epoch=0")).unwrap();
        fs::write(folder.join("checkpoints/epoch=0/weights.safetensors"), "").unwrap();
        fs::create_dir_all(&empty).unwrap();
        assert_eq!(
            differences(&one, &other),
            ["  cv0/r: the file checkpoints/epoch=0/weights.safetensors should not be there"]
        );
        assert_eq!(differences(&one, &empty), ["  : the run cv0/r is missing"]);
        assert_eq!(differences(&empty, &empty).len(), 1);
    }

    #[test]
    fn outcomes_are_the_same_but_for_ids_and_places() {
        let one = json!({"best": 0, "cvs": [{"score": 0.5, "cv_dir": "a", "runs": [{"run_id": "a", "checkpoint": "a/checkpoints/e"}]}]});
        let mut other = json!({"best": 0, "cvs": [{"score": 0.5, "cv_dir": "b", "runs": [{"run_id": "b", "checkpoint": "b/checkpoints/e"}]}]});
        assert_eq!(outcome_differences(&one, &other), Vec::<String>::new());
        other["cvs"][0]["score"] = json!(0.25);
        assert_eq!(outcome_differences(&one, &other), ["  outcome.cvs[0].score: 0.25 in place of 0.5"]);
    }
}

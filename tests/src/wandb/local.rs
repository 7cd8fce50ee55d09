//! What tracked runs left on disk, and that a server has just that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::seen::{Row, Seen, SeenRun, number};

/// Columns of a row that are no metric.
const PLACE: [&str; 5] = ["_step", "_timestamp", "_runtime", "epoch", "trainer/global_step"];

/// A run's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The whole rows of its `metrics.csv`.
    pub rows: Vec<Logged>,
}

/// What was logged at one place of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Optimizer steps.
    pub step: u64,
    /// The values. Any NaN is as good as another: compared by [`same`].
    pub values: BTreeMap<String, f64>,
}

/// Whether two values are one: NaN is NaN, and zero has a sign.
pub fn same(one: f64, other: f64) -> bool {
    one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
}

impl Logged {
    fn is(&self, other: &Self) -> bool {
        (self.epoch, self.step) == (other.epoch, other.step)
            && self.values.len() == other.values.len()
            && self
                .values
                .iter()
                .all(|(name, value)| other.values.get(name).is_some_and(|there| same(*value, *there)))
    }

    /// What a row of the history says; `None` for one without numbers, as pictures and charts have.
    pub fn of(row: &Row) -> Option<Self> {
        let numbers = row.iter().filter(|(name, _)| !PLACE.contains(&name.as_str()));
        let values: BTreeMap<_, _> =
            numbers.filter_map(|(name, value)| Some((name.clone(), number(value)?))).collect();
        let place = |name: &str| row.get(name).and_then(Value::as_u64);
        (!values.is_empty()).then_some(())?;
        Some(Self { epoch: place("epoch")?, step: place("trainer/global_step")?, values })
    }
}

/// The runs below a folder, by name.
///
/// # Panics
/// Where a run's files can not be read.
pub fn runs_below(folder: &Path) -> Vec<LocalRun> {
    let mut found = Vec::new();
    gather(folder, &mut found);
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn gather(folder: &Path, found: &mut Vec<LocalRun>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let csv = path.join("metrics.csv");
        if csv.is_file() {
            let (name, id) = path.file_name().and_then(|name| name.to_str()?.rsplit_once('-')).unwrap();
            let (name, id) = (name.to_owned(), id.to_owned());
            found.push(LocalRun { name, id, rows: read_csv(&csv), folder: path.clone() });
        } else if path.is_dir() && !path.is_symlink() {
            gather(&path, found);
        }
    }
}

/// The whole rows of a `metrics.csv`; what a crash left of a last one is not read.
///
/// # Panics
/// If it can not be read.
pub fn read_csv(path: &Path) -> Vec<Logged> {
    let text = fs::read_to_string(path).unwrap();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut lines = whole.lines();
    // No metric of the tests has a comma in its name.
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), header.len(), "{line} in {}", path.display());
        let values = header.iter().zip(&cells).skip(2).filter(|(_, cell)| !cell.is_empty());
        Logged {
            epoch: cells[0].parse().unwrap(),
            step: cells[1].parse().unwrap(),
            values: values.map(|(name, cell)| ((*name).to_owned(), cell.parse().unwrap())).collect(),
        }
    };
    lines.map(row).collect()
}

/// That a server has the rows of `metrics.csv`, each once, in order, with the very values, and no line missing or
/// written over.
///
/// # Panics
/// If not.
pub fn assert_rows(local: &LocalRun, there: &SeenRun) {
    assert_whole(there);
    let sent: Vec<Logged> = there.history.iter().filter_map(Logged::of).collect();
    assert_same(&local.name, &sent, &local.rows);
}

/// That a server has at least the rows of `metrics.csv`, as [`assert_rows`]: the run was killed, perhaps between the two.
///
/// # Panics
/// If not.
pub fn assert_rows_and_more(local: &LocalRun, there: &SeenRun) {
    assert_whole(there);
    let sent: Vec<Logged> = there.history.iter().filter_map(Logged::of).collect();
    assert!(sent.len() >= local.rows.len(), "{}: {} of {} rows", local.name, sent.len(), local.rows.len());
    assert_same(&local.name, &sent[..local.rows.len()], &local.rows);
}

/// That two lists of rows are the same.
///
/// # Panics
/// If not.
pub fn assert_same(name: &str, there: &[Logged], expected: &[Logged]) {
    assert_eq!(there.len(), expected.len(), "rows of {name} there and in metrics.csv");
    for (one, other) in there.iter().zip(expected) {
        assert!(one.is(other), "{name}: there is\n{one:?}\nbut in metrics.csv\n{other:?}");
    }
}

/// That a run at a server has no line missing or written over, and its rows the numbers 0, 1, 2 …
///
/// # Panics
/// If not.
pub fn assert_whole(there: &SeenRun) {
    assert!(there.gaps.is_empty(), "{}: {:?}", there.id, there.gaps);
    assert!(there.overwrites.is_empty(), "{}: {:?}", there.id, there.overwrites);
    let steps: Vec<u64> = there.history.iter().map(|row| row["_step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (0..steps.len() as u64).collect::<Vec<_>>(), "{}", there.id);
    for row in &there.history {
        assert!(row["_timestamp"].is_f64() && row["_runtime"].is_number(), "{row:?}");
    }
}

/// That a run is over at a server: all its rows are there, its summary holds what was logged last, it ended as
/// `exit_code` says, and what it says was uploaded is there.
///
/// # Panics
/// If not.
pub fn assert_complete(local: &LocalRun, seen: &Seen, exit_code: i64) {
    let there = seen.run(&local.id);
    assert_rows(local, there);
    assert_ended(local, seen, exit_code);
}

/// [`assert_complete`], but for the rows.
///
/// # Panics
/// If not.
pub fn assert_ended(local: &LocalRun, seen: &Seen, exit_code: i64) {
    let there = seen.run(&local.id);
    assert_eq!(there.exit_code, Some(exit_code), "{}", local.name);
    assert_eq!(there.fields["displayName"], local.name.as_str());
    let mut last = BTreeMap::new();
    there.history.iter().filter_map(Logged::of).for_each(|row| last.extend(row.values));
    for (name, value) in last {
        let summarised = number(&there.summary[name.as_str()]);
        assert!(
            summarised.is_some_and(|summarised| same(summarised, value)),
            "{}: {name} is {summarised:?} in the summary, {value} was logged last",
            local.name
        );
    }
    assert_uploaded(seen, there);
}

/// That every picture and table that rows name was put at the server, with the bytes its row tells of.
///
/// # Panics
/// If not.
pub fn assert_uploaded(seen: &Seen, there: &SeenRun) {
    for media in there.history.iter().flat_map(Map::values).filter(|value| value.is_object()) {
        let single = media["path"].as_str();
        let several = media["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for path in single.into_iter().chain(several) {
            let place = format!("runs/{}/{}/{}/{path}", there.entity, there.project, there.id);
            let blob = seen.blobs.get(&place);
            assert!(blob.is_some(), "{path} is not there: {:?}", seen.blobs.keys());
            assert!(there.uploaded.iter().any(|told| told == path), "{path} is there, and nobody was told");
            let told = media["size"].as_u64();
            assert!(told.is_none() || told == blob.map(|blob| blob.bytes), "{path}: {media}, {blob:?}");
        }
    }
}

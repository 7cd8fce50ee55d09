//! As [`crate::same`], of jobs that were asked for more in between: tables and checkpoints alone, since figures are drawn after what was
//! the last epoch then, and in a checkpoint stands what its run was asked for then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use engine_actors::journal::{JOURNAL, history};
use serde_json::Value;

use crate::same::{cell, is_own, outcome_differences, read_table, timeless};

/// Characters of an id, behind the name of a run and a dash.
const ID: usize = 8;

/// That two folders of one job hold the same tables and checkpoints, one folder for each run.
///
/// # Panics
/// If not; says what differs.
pub fn assert_same(expected: &Path, found: &Path) {
    assert_same_contents(expected, found, &|_| true);
}

/// As [`assert_same`], but for folders of runs that the journal of the job does not know: their ids were in a part of it that is lost.
///
/// # Panics
/// If not; says what differs.
pub fn assert_same_known(expected: &Path, found: &Path) {
    let path = found.join(JOURNAL);
    let past = history(&path, &engine_tracking::journal::read(&path).unwrap()).unwrap();
    assert_same_contents(expected, found, &|id| past.run(id).is_some());
}

fn assert_same_contents(expected: &Path, found: &Path, is_known: &dyn Fn(&str) -> bool) {
    let (theirs, ours) = (Contents::of(expected, &|_| true), Contents::of(found, is_known));
    let mut differing = unshared("tables", &theirs.tables, &ours.tables);
    differing.extend(unshared("runs", &theirs.runs, &ours.runs));
    for (name, path) in &theirs.tables {
        let Some(own) = ours.tables.get(name) else { continue };
        if rows(path) != rows(own) {
            differing.push(format!("{name}:\n    {:?}\n    in place of\n    {:?}", rows(own), rows(path)));
        }
    }
    for (name, path) in &theirs.runs {
        if let Some(own) = ours.runs.get(name) {
            compare_checkpoints(name, &path.join("checkpoints"), &own.join("checkpoints"), &mut differing);
        }
    }
    assert!(!theirs.runs.is_empty(), "no run to compare with: {}", expected.display());
    assert!(
        differing.is_empty(),
        "{} differs from {}:\n  {}",
        found.display(),
        expected.display(),
        differing.join("\n  ")
    );
}

/// That two outcomes at the end of `--json` say the same: the best, scores, metrics, how everything ended.
///
/// # Panics
/// If not.
pub fn assert_same_outcome(expected: &Value, found: &Value) {
    assert_eq!(outcome_differences(expected, found), Vec::<String>::new());
}

/// Names only one of the two has.
fn unshared(what: &str, theirs: &BTreeMap<String, PathBuf>, ours: &BTreeMap<String, PathBuf>) -> Vec<String> {
    let only = |one: &BTreeMap<String, PathBuf>, other: &BTreeMap<String, PathBuf>| -> Vec<String> {
        one.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
    };
    let (missing, more) = (only(theirs, ours), only(ours, theirs));
    let told = [("missing", missing), ("too many", more)];
    told.into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(how, names)| format!("{how} {what}: {names:?}"))
        .collect()
}

/// Tables and runs of a job by their names, those of runs without their ids.
#[derive(Default)]
struct Contents {
    tables: BTreeMap<String, PathBuf>,
    runs: BTreeMap<String, PathBuf>,
}

impl Contents {
    fn of(folder: &Path, is_known: &dyn Fn(&str) -> bool) -> Self {
        let mut contents = Self::default();
        contents.gather(folder, "", is_known);
        contents
    }

    fn gather(&mut self, folder: &Path, within: &str, is_known: &dyn Fn(&str) -> bool) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{within}{}", path.file_name().unwrap().to_str().unwrap());
            if name.ends_with(".parquet") {
                self.tables.insert(name, path);
            } else if path.join("events.jsonl").is_file() {
                let (run, id) = name.split_at(name.len() - ID);
                if !is_known(id) {
                    continue;
                }
                let run = run.trim_end_matches('-').to_owned();
                let other = self.runs.insert(run, path.clone());
                assert!(other.is_none(), "two folders of one run: {} and {other:?}", path.display());
            } else if path.is_dir() {
                self.gather(&path, &format!("{name}/"), is_known);
            }
        }
    }
}

// ---- checkpoints ----

fn compare_checkpoints(run: &str, theirs: &Path, ours: &Path, differing: &mut Vec<String>) {
    let (names, own_names) = (names(theirs), names(ours));
    if names != own_names {
        return differing.push(format!("{run}: checkpoints are {own_names:?} in place of {names:?}"));
    }
    for name in names {
        for file in ["weights.safetensors", "optimizer.safetensors"] {
            let [theirs, ours] =
                [theirs, ours].map(|folder| fs::read(folder.join(&name).join(file)).unwrap());
            if theirs != ours {
                differing.push(format!("{run}/{name}/{file}: the bytes differ"));
            }
        }
        let [theirs, ours] = [theirs, ours].map(|folder| {
            let text = fs::read(folder.join(&name).join("state.json")).unwrap();
            lasting(serde_json::from_slice(&text).unwrap())
        });
        if theirs != ours {
            differing.push(format!("{run}/{name}/state.json: {ours} in place of {theirs}"));
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

// ---- tables ----

/// The rows of a table, each by column, floats with all their bits, sorted.
pub fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let batch = read_table(path);
    let names: Vec<&String> = batch.schema_ref().fields().iter().map(|field| field.name()).collect();
    let row = |row| {
        let kept = names.iter().enumerate().filter(|(_, name)| !is_own(name));
        kept.map(|(column, name)| ((*name).clone(), cell(&batch, column, name, row))).collect()
    };
    let mut rows: Vec<BTreeMap<String, String>> = (0..batch.num_rows()).map(row).collect();
    rows.sort();
    rows
}

/// What two checkpoints have in common that came to the same. What a run was asked for stands in them as it was then, and may have become
/// more.
fn lasting(mut state: Value) -> Value {
    if let Some(state) = state.as_object_mut() {
        state.remove("settings");
    }
    timeless(&state)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn run(job: &Path, id: &str, weights: &str) -> PathBuf {
        let folder = job.join(format!("cv0/r-{id}"));
        let last = folder.join("checkpoints/last");
        fs::create_dir_all(&last).unwrap();
        fs::write(folder.join("events.jsonl"), id).unwrap();
        fs::write(last.join("weights.safetensors"), weights).unwrap();
        fs::write(last.join("optimizer.safetensors"), "").unwrap();
        fs::write(last.join("state.json"), format!("{{\"step\": 3, \"run\": {{\"run_id\": \"{id}\"}}}}"))
            .unwrap();
        folder
    }

    #[test]
    fn ids_are_no_difference_and_weights_and_missing_runs_are() {
        let place = tempfile::tempdir().unwrap();
        let [one, other, third, none] = ["one", "other", "third", "none"].map(|name| place.path().join(name));
        run(&one, "aaaaaaaa", "w");
        run(&other, "bbbbbbbb", "w");
        run(&third, "cccccccc", "v");
        fs::create_dir(&none).unwrap();
        assert_same(&one, &other);
        for wrong in [&third, &none] {
            assert!(catch_unwind(|| assert_same(&one, wrong)).is_err(), "{}", wrong.display());
        }
        run(&other, "dddddddd", "w");
        assert!(catch_unwind(|| assert_same(&one, &other)).is_err(), "two folders of one run");
        assert_same_contents(&one, &other, &|id| id == "dddddddd");
    }
}

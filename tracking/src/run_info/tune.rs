//! The table of a tune, one cv after another.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::{Footer, Layout, TABLE_VERSION};
use super::error::RunInfoError;
use super::rows::{CvScore, RunInfo, TableRow};
use super::table::{Kept, Table, write};

/// A row group with fewer rows is decoded and filled up by the next cv. It bounds both the work of adding a cv and
/// the number of groups, whose descriptions are read and written each time.
pub(super) const FULL_GROUP_ROWS: usize = 1024;

/// `{tune_name}.parquet`, grown by one writer.
///
/// Columns are those of [`write_cv`](super::write_cv) up to `score_is_unstable`, then `cv_name`, one column for each
/// hyperparameter under its own name, then those from `status` on. A metric with the name of a
/// hyperparameter (`learning_rate` is both) stands under `metric/{name}`: configurations are grouped and sorted by
/// hyperparameters, so those keep theirs. A hyperparameter with the name of another column stands under
/// `hyperparameter/{name}`.
///
/// A hyperparameter's column is as narrow as its values allow: integers, floats (integers among them become
/// floats), strings, booleans, lists of one of these; mixtures and anything else are JSON text.
#[derive(Debug)]
pub struct TuneTable {
    path: PathBuf,
}

impl TuneTable {
    /// A table at this path, there already or not.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the runs of a cv, whole or not at all. Rows of the same cv that are there already are replaced, so that
    /// a crash between this and what follows may repeat it.
    ///
    /// Rows written before are copied as bytes, save the last group if it is not full. Only a metric or a
    /// hyperparameter that needs a further or a wider column, and a table of an older version, has all of them decoded and written anew.
    ///
    /// # Errors
    /// [`RunInfoError`] if the table can not be read or written; it then stays as it was.
    pub fn append_cv(
        &mut self,
        cv_name: &str,
        hyperparameters: &Map<String, Value>,
        runs: &[RunInfo],
        score: CvScore,
    ) -> Result<(), RunInfoError> {
        let fresh = runs.iter().map(|run| TableRow {
            run: run.clone(),
            score: Some(score),
            cv_name: Some(cv_name.to_owned()),
            hyperparameters: hyperparameters.clone(),
        });
        let fresh: Vec<_> = fresh.collect();
        let Some(table) = Table::open(&self.path)? else {
            let mut layout = Layout::of_tune();
            layout.admit(&fresh);
            let footer = Footer { version: TABLE_VERSION, layout, cv_names: vec![cv_name.to_owned()] };
            return write(&self.path, &footer, None, &fresh);
        };
        if table.footer.layout.hyperparameters.is_none() {
            return Err(RunInfoError::NotATable {
                path: self.path.clone(),
                reason: "it is the table of a cv, not of a tune",
            });
        }

        let mut footer = table.footer.clone();
        footer.version = TABLE_VERSION;
        footer.layout.admit(&fresh);
        let is_there = footer.cv_names.iter().any(|name| name == cv_name);
        if !is_there {
            footer.cv_names.push(cv_name.to_owned());
        }
        let must_decode_all = is_there || footer.columns() != table.footer.columns();
        let kept = if must_decode_all { 0 } else { full_groups(&table) };
        let mut rows = table.rows((kept..table.groups()).collect())?;
        rows.retain(|row| row.cv_name.as_deref() != Some(cv_name));
        rows.extend(fresh);
        write(&self.path, &footer, Some(Kept { table: &table, groups: kept }), &rows)
    }
}

/// Groups to leave alone: all, or all but the last where that is not full.
fn full_groups(table: &Table) -> usize {
    let groups = table.groups();
    match groups.checked_sub(1) {
        Some(last) if table.rows_in_group(last) < FULL_GROUP_ROWS => last,
        _ => groups,
    }
}

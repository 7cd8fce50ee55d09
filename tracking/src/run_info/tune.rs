//! The table of a tune, one cv after another.

use std::collections::HashSet;
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
        self.append_cvs(&[CvRows { cv_name, hyperparameters, runs: runs.to_vec(), score }])
    }

    /// As [`TuneTable::append_cv`], several cvs in one write. Without any the table stays as it is.
    ///
    /// # Errors
    /// As [`TuneTable::append_cv`]; then none of them is there.
    pub fn append_cvs(&mut self, cvs: &[CvRows<'_>]) -> Result<(), RunInfoError> {
        if cvs.is_empty() {
            return Ok(());
        }
        let Some(table) = Table::open(&self.path)? else { return self.rewrite(cvs) };
        if table.footer.layout.hyperparameters.is_none() {
            return Err(RunInfoError::NotATable {
                path: self.path.clone(),
                reason: "it is the table of a cv, not of a tune",
            });
        }

        let fresh = rows_of(cvs);
        let names: HashSet<&str> = cvs.iter().map(|cv| cv.cv_name).collect();
        let mut footer = table.footer.clone();
        footer.version = TABLE_VERSION;
        footer.layout.admit(&fresh);
        let there = footer.cv_names.len();
        let known: HashSet<&str> = table.footer.cv_names.iter().map(String::as_str).collect();
        footer
            .cv_names
            .extend(cvs.iter().map(|cv| cv.cv_name.to_owned()).filter(|name| !known.contains(name.as_str())));
        let is_there = footer.cv_names.len() < there + cvs.len();
        let must_decode_all = is_there || footer.columns() != table.footer.columns();
        let kept = if must_decode_all { 0 } else { full_groups(&table) };
        let mut rows = table.rows((kept..table.groups()).collect())?;
        rows.retain(|row| row.cv_name.as_deref().is_none_or(|name| !names.contains(name)));
        rows.extend(fresh);
        write(&self.path, &footer, Some(Kept { table: &table, groups: kept }), &rows)
    }

    /// Writes the whole table anew, of these cvs in this order: rows and columns are then the same however they came about.
    /// Without cvs there is no table to write.
    ///
    /// # Errors
    /// [`RunInfoError`] if it can not be written; it then stays as it was.
    pub fn rewrite(&mut self, cvs: &[CvRows<'_>]) -> Result<(), RunInfoError> {
        if cvs.is_empty() {
            return Ok(());
        }
        let names = cvs.iter().map(|cv| cv.cv_name.to_owned()).collect();
        write_new(&self.path, names, &rows_of(cvs))
    }

    /// Names of the cvs in the table, in the order in which they were added; none if there is no table.
    ///
    /// # Errors
    /// [`RunInfoError`] if it can not be read.
    pub fn cv_names(&self) -> Result<Vec<String>, RunInfoError> {
        Ok(Table::open(&self.path)?.map(|table| table.footer.cv_names).unwrap_or_default())
    }
}

/// The rows of one cv.
#[derive(Debug, Clone)]
pub struct CvRows<'a> {
    /// Name of the cv.
    pub cv_name: &'a str,
    /// Its configuration.
    pub hyperparameters: &'a Map<String, Value>,
    /// Its runs.
    pub runs: Vec<RunInfo>,
    /// Its score.
    pub score: CvScore,
}

fn rows_of(cvs: &[CvRows<'_>]) -> Vec<TableRow> {
    let of_cv = |cv: &CvRows<'_>| {
        let row = |run: &RunInfo| TableRow {
            run: run.clone(),
            score: Some(cv.score),
            cv_name: Some(cv.cv_name.to_owned()),
            hyperparameters: cv.hyperparameters.clone(),
        };
        cv.runs.iter().map(row).collect::<Vec<_>>()
    };
    cvs.iter().flat_map(of_cv).collect()
}

/// Writes a table in place of whatever is there.
fn write_new(path: &Path, cv_names: Vec<String>, rows: &[TableRow]) -> Result<(), RunInfoError> {
    let mut layout = Layout::of_tune();
    layout.admit(rows);
    write(path, &Footer { version: TABLE_VERSION, layout, cv_names }, None, rows)
}

/// Groups to leave alone: all, or all but the last where that is not full.
fn full_groups(table: &Table) -> usize {
    let groups = table.groups();
    match groups.checked_sub(1) {
        Some(last) if table.rows_in_group(last) < FULL_GROUP_ROWS => last,
        _ => groups,
    }
}

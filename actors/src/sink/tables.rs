//! The tables of cvs and tunes, as their thread writes them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use engine_tracking::run_info::{CvRows, CvScore, RunInfo, TuneTable, write_cv};

use super::SinkError;
use crate::outcome::{CvOutcome, RunOutcome, Status, TuneOutcome};

/// Name of a cv's table in its folder.
const RUN_INFOS: &str = "run_infos.parquet";

/// The tunes' tables that were written to.
#[derive(Default)]
pub(super) struct Tables {
    tunes: HashMap<PathBuf, TuneTable>,
}

impl Tables {
    /// The runs of a cv so far, without score.
    pub(super) fn write_runs(&mut self, cv_dir: &Path, runs: &[RunOutcome]) -> Result<(), SinkError> {
        make_folder(cv_dir)?;
        Ok(write_cv(&cv_dir.join(RUN_INFOS), &rows(runs), None)?)
    }

    /// A cv that is over, in its own table and in its tune's.
    pub(super) fn write_score(&mut self, cv: &CvOutcome, tune_table: Option<&Path>) -> Result<(), SinkError> {
        make_folder(&cv.cv_dir)?;
        let rows = rows(&cv.runs);
        let score = CvScore { score: cv.score, score_is_unstable: cv.score_is_unstable };
        let own = write_cv(&cv.cv_dir.join(RUN_INFOS), &rows, Some(score));
        // One table that can not be written does not keep the other from being written.
        if let Some(path) = tune_table {
            let table = self.tunes.entry(path.to_owned()).or_insert_with(|| TuneTable::new(path.to_owned()));
            table.append_cv(&cv.cv_name, &cv.hyperparameters, &rows, score)?;
        }
        Ok(own?)
    }

    /// The table of a tune that is over: all its cvs in their order.
    pub(super) fn close(
        &mut self,
        tune: &TuneOutcome,
        tune_table: &Path,
        resumed: bool,
    ) -> Result<(), SinkError> {
        let mut table =
            self.tunes.remove(tune_table).unwrap_or_else(|| TuneTable::new(tune_table.to_owned()));
        // One that was not begun again has no rows but those a process wrote that did not get to end it.
        let cvs = || tune.cvs.iter().filter(|cv| !cv.runs.is_empty());
        let names = table.cv_names()?;
        if !resumed && names.iter().eq(cvs().map(|cv| &cv.cv_name)) {
            return Ok(());
        }
        make_folder(&tune.tune_dir)?;
        let cvs: Vec<CvRows<'_>> = cvs()
            .map(|cv| CvRows {
                cv_name: &cv.cv_name,
                hyperparameters: &cv.hyperparameters,
                runs: rows(&cv.runs),
                score: CvScore { score: cv.score, score_is_unstable: cv.score_is_unstable },
            })
            .collect();
        Ok(table.rewrite(&cvs)?)
    }
}

fn make_folder(path: &Path) -> Result<(), SinkError> {
    fs::create_dir_all(path).map_err(|source| SinkError::Folder { path: path.to_owned(), source })
}

fn rows(runs: &[RunOutcome]) -> Vec<RunInfo> {
    runs.iter().map(row).collect()
}

fn row(run: &RunOutcome) -> RunInfo {
    RunInfo {
        run_name: run.run_name.clone(),
        run_id: run.run_id.clone(),
        fold: run.cell.fold,
        seed: run.cell.seed,
        duration_secs: run.duration_secs,
        metrics: run.metrics.clone(),
        checkpoint: run.checkpoint.as_ref().map(|path| path.display().to_string()),
        is_unstable: match run.status {
            Status::Complete => Some(false),
            Status::Unstable => Some(true),
            Status::Failed | Status::Pruned | Status::Cancelled => None,
        },
        status: run.status.name().into(),
        failure: run.failure.as_ref().map(|why| format!("{}: {}", why.cause.name(), why.message)),
        attempts: run.attempts,
        device: run.device.clone(),
        peak_memory_bytes: run.peak_memory_bytes,
        peak_device_memory_bytes: run.peak_device_memory_bytes,
    }
}

#[cfg(test)]
mod tests {
    use crate::outcome::Cause;
    use engine_tracking::run_info::read_run_infos;

    use super::*;
    use crate::outcome::Failure;
    use crate::testing::{cv_outcome, run_outcome};

    fn scored(folder: &Path) -> CvOutcome {
        let why = Failure { cause: Cause::Hang, message: "no progress".into(), stderr_tail: vec![] };
        let failed = RunOutcome { failure: Some(why), ..run_outcome(Status::Failed, f64::NAN) };
        CvOutcome {
            cv_dir: folder.join("t-cv0"),
            runs: vec![run_outcome(Status::Complete, 0.5), failed],
            ..cv_outcome(0, Status::Failed, None)
        }
    }

    #[test]
    fn words_in_tables_are_those_of_the_event_stream() {
        for status in [Status::Complete, Status::Unstable, Status::Failed, Status::Pruned, Status::Cancelled]
        {
            assert_eq!(serde_json::json!(status), status.name());
        }
        for cause in [Cause::Panic, Cause::Hang, Cause::Killed, Cause::Lost, Cause::Data, Cause::Io] {
            assert_eq!(serde_json::json!(cause), cause.name());
        }
        for cause in [Cause::HostOutOfMemory, Cause::DeviceOutOfMemory, Cause::Diverged, Cause::Configuration]
        {
            assert_eq!(serde_json::json!(cause), cause.name());
        }
    }

    #[test]
    fn a_scored_cv_stands_in_its_own_table_and_in_its_tunes() {
        let folder = tempfile::tempdir().unwrap();
        let cv = scored(folder.path());
        let tune = folder.path().join("t.parquet");
        Tables::default().write_score(&cv, Some(&tune)).unwrap();
        let own = read_run_infos(&cv.cv_dir.join(RUN_INFOS)).unwrap();
        let statuses: Vec<_> = own.iter().map(|row| row.run.status.as_str()).collect();
        assert_eq!(statuses, ["complete", "failed"]);
        assert_eq!(own[1].run.failure.as_deref(), Some("hang: no progress"));
        assert_eq!((own[0].run.is_unstable, own[1].run.is_unstable), (Some(false), None));
        let rows = read_run_infos(&tune).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].cv_name.as_deref(), Some("t-cv0"));
    }

    #[test]
    fn sink_3_a_closed_tunes_table_has_its_cvs_in_order_and_what_was_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let cv = |index: u32| CvOutcome {
            cv_name: format!("t-cv{index}"),
            cv_dir: folder.path().join(format!("t-cv{index}")),
            runs: vec![run_outcome(Status::Complete, 0.5)],
            ..cv_outcome(index, Status::Complete, Some(0.5))
        };
        let mut tables = Tables::default();
        for index in [2, 0] {
            tables.write_score(&cv(index), Some(&path)).unwrap();
        }
        let not_begun = CvOutcome { runs: vec![], ..cv(3) };
        let tune = TuneOutcome {
            tune_name: "t".into(),
            tune_dir: folder.path().to_owned(),
            cvs: vec![cv(0), cv(1), cv(2), not_begun],
            best: None,
            retrain: None,
            cancelled: false,
            halted: None,
        };
        for resumed in [false, false, true] {
            tables.close(&tune, &path, resumed).unwrap();
            let names: Vec<_> =
                read_run_infos(&path).unwrap().into_iter().map(|row| row.cv_name.unwrap()).collect();
            assert_eq!(names, ["t-cv0", "t-cv1", "t-cv2"]);
        }
    }

    #[test]
    fn a_table_that_can_not_be_written_names_its_path_and_leaves_the_other_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cv = scored(folder.path());
        // A folder in the place of the file.
        fs::create_dir_all(cv.cv_dir.join(RUN_INFOS)).unwrap();
        let tune = folder.path().join("t.parquet");
        let error = Tables::default().write_score(&cv, Some(&tune)).unwrap_err();
        assert!(error.to_string().contains(RUN_INFOS), "{error}");
        assert_eq!(read_run_infos(&tune).unwrap().len(), 2);
    }
}

//! The tables of cvs and tunes, as their thread writes them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use engine_tracking::run_info::{CvRows, CvScore, RunInfo, TuneTable, write_cv};

use super::SinkError;
use super::pace::Pace;
use crate::outcome::{CvOutcome, RunOutcome, Status, TuneOutcome};

/// Name of a cv's table in its folder.
const RUN_INFOS: &str = "run_infos.parquet";

/// The tables that are written to.
///
/// A table that a later one replaces (a cv's before its score, a tune's before its end) waits where runs end faster than it is
/// worth writing; [`Tables::write_due`] writes it when its time has come, unless a later one came first.
#[derive(Default)]
pub(super) struct Tables {
    tunes: HashMap<PathBuf, TuneRows>,
    /// By folder of the cv.
    runs: HashMap<PathBuf, Vec<RunOutcome>>,
    pace: Pace,
}

/// A tune's table, and what it lacks.
struct TuneRows {
    table: TuneTable,
    waiting: Vec<CvOutcome>,
    pace: Pace,
}

impl TuneRows {
    /// Writes what waits. Where that can not be, it goes on waiting.
    fn write(&mut self) -> Result<(), SinkError> {
        let begun = Instant::now();
        let cvs: Vec<CvRows<'_>> = self.waiting.iter().map(cv_rows).collect();
        let written = self.table.append_cvs(&cvs);
        self.pace.wrote(begun, Instant::now());
        written?;
        self.waiting.clear();
        Ok(())
    }
}

impl Tables {
    /// The runs of a cv so far, without score; perhaps not at once.
    pub(super) fn write_runs(&mut self, cv_dir: PathBuf, runs: Vec<RunOutcome>) -> Result<(), SinkError> {
        if self.pace.is_due(Instant::now()) {
            self.runs.remove(&cv_dir);
            return self.write_runs_now(&cv_dir, &runs);
        }
        self.runs.insert(cv_dir, runs);
        Ok(())
    }

    fn write_runs_now(&mut self, cv_dir: &Path, runs: &[RunOutcome]) -> Result<(), SinkError> {
        let begun = Instant::now();
        let written =
            make_folder(cv_dir).and_then(|()| Ok(write_cv(&cv_dir.join(RUN_INFOS), &rows(runs), None)?));
        self.pace.wrote(begun, Instant::now());
        written
    }

    /// A cv that is over: in its own table at once, in its tune's perhaps not.
    pub(super) fn write_score(
        &mut self,
        cv: Box<CvOutcome>,
        tune_table: Option<&Path>,
    ) -> Result<(), SinkError> {
        self.runs.remove(&cv.cv_dir);
        make_folder(&cv.cv_dir)?;
        let own = write_cv(&cv.cv_dir.join(RUN_INFOS), &rows(&cv.runs), Some(score(&cv)));
        // One table that can not be written does not keep the other from being written.
        if let Some(path) = tune_table {
            let tune = self.tunes.entry(path.to_owned()).or_insert_with(|| TuneRows {
                table: TuneTable::new(path.to_owned()),
                waiting: Vec::new(),
                pace: Pace::default(),
            });
            tune.waiting.retain(|waiting| waiting.cv_name != cv.cv_name);
            tune.waiting.push(*cv);
            if tune.pace.is_due(Instant::now()) {
                tune.write()?;
            }
        }
        Ok(own?)
    }

    /// When the next table that waits is to be written.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let runs = if self.runs.is_empty() { None } else { self.pace.due_at() };
        let tunes = self.tunes.values().filter(|tune| !tune.waiting.is_empty());
        tunes.filter_map(|tune| tune.pace.due_at()).chain(runs).min()
    }

    /// Writes the tables that waited long enough, one of the cvs' at a time; all of them where nobody is left to ask for any. One
    /// that can not be written is written with the next, whose asker hears why.
    pub(super) fn write_due(&mut self, now: Option<Instant>) {
        let is_due = |pace: Pace| now.is_none_or(|now| pace.is_due(now));
        for tune in self.tunes.values_mut().filter(|tune| !tune.waiting.is_empty() && is_due(tune.pace)) {
            if let Err(error) = tune.write() {
                tracing::warn!(%error, "a tune's table is not up to date");
            }
        }
        while is_due(self.pace)
            && let Some(cv_dir) = self.runs.keys().next().cloned()
            && let Some(runs) = self.runs.remove(&cv_dir)
        {
            if let Err(error) = self.write_runs_now(&cv_dir, &runs) {
                tracing::warn!(%error, "a cv's table is not up to date");
            }
            if now.is_some() {
                break;
            }
        }
    }

    /// The table of a tune that is over: all its cvs in their order.
    pub(super) fn close(
        &mut self,
        tune: &TuneOutcome,
        tune_table: &Path,
        resumed: bool,
    ) -> Result<(), SinkError> {
        let known = self.tunes.remove(tune_table);
        let is_behind = known.as_ref().is_some_and(|known| !known.waiting.is_empty());
        let mut table = known.map_or_else(|| TuneTable::new(tune_table.to_owned()), |known| known.table);
        // One that was not begun again has no rows but those a process wrote that did not get to end it.
        let cvs = || tune.cvs.iter().filter(|cv| !cv.runs.is_empty());
        if !resumed && !is_behind && table.cv_names()?.iter().eq(cvs().map(|cv| &cv.cv_name)) {
            return Ok(());
        }
        make_folder(&tune.tune_dir)?;
        let cvs: Vec<CvRows<'_>> = cvs().map(cv_rows).collect();
        Ok(table.rewrite(&cvs)?)
    }
}

fn cv_rows(cv: &CvOutcome) -> CvRows<'_> {
    CvRows {
        cv_name: &cv.cv_name,
        hyperparameters: &cv.hyperparameters,
        runs: rows(&cv.runs),
        score: score(cv),
    }
}

fn score(cv: &CvOutcome) -> CvScore {
    CvScore { score: cv.score, score_is_unstable: cv.score_is_unstable }
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
        Tables::default().write_score(Box::new(cv.clone()), Some(&tune)).unwrap();
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
            tables.write_score(Box::new(cv(index)), Some(&path)).unwrap();
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

    /// Statuses of the rows of a table, by the name of the cv.
    fn rows_of(path: &Path) -> Vec<(Option<String>, String)> {
        let rows = read_run_infos(path).unwrap();
        rows.into_iter().map(|row| (row.cv_name, row.run.run_id)).collect()
    }

    /// The next table of this kind is a long way off.
    fn pause(pace: &mut Pace) -> Instant {
        let now = Instant::now();
        pace.wrote(now, now + std::time::Duration::from_secs(60));
        pace.due_at().unwrap()
    }

    #[test]
    fn sink_4_a_cvs_table_that_comes_again_soon_waits_and_its_newest_rows_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let (cv, path) = (folder.path().to_owned(), folder.path().join(RUN_INFOS));
        let run = |id: &str| RunOutcome { run_id: id.into(), ..run_outcome(Status::Complete, 0.5) };
        let ids = || rows_of(&path).into_iter().map(|(_, id)| id).collect::<Vec<_>>();
        let mut tables = Tables::default();
        tables.write_runs(cv.clone(), vec![run("a")]).unwrap();
        assert_eq!((ids(), tables.due_at()), (vec!["a".to_owned()], None), "the first is written at once");
        let due = pause(&mut tables.pace);
        tables.write_runs(cv.clone(), vec![run("a"), run("b")]).unwrap();
        tables.write_runs(cv.clone(), vec![run("a"), run("b"), run("c")]).unwrap();
        assert_eq!(tables.due_at(), Some(due));
        tables.write_due(Some(due - std::time::Duration::from_millis(1)));
        assert_eq!(ids(), ["a"]);
        tables.write_due(Some(due));
        assert_eq!((ids().len(), tables.due_at()), (3, None));
        pause(&mut tables.pace);
        tables.write_runs(cv.clone(), vec![run("d")]).unwrap();
        let over =
            CvOutcome { cv_dir: cv, runs: vec![run("e")], ..cv_outcome(0, Status::Complete, Some(0.5)) };
        tables.write_score(Box::new(over), None).unwrap();
        tables.write_due(None);
        assert_eq!(ids(), ["e"], "what waited does not come behind the score");
    }

    #[test]
    fn sink_4_a_tunes_table_has_every_cv_when_its_time_has_come_and_when_nobody_is_left_to_ask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let cv = |index: u32| {
            let (cv_name, cv_dir) = (format!("t-cv{index}"), folder.path().join(format!("t-cv{index}")));
            let runs = vec![run_outcome(Status::Complete, 0.5)];
            Box::new(CvOutcome { cv_name, cv_dir, runs, ..cv_outcome(index, Status::Complete, Some(0.5)) })
        };
        let names = || rows_of(&path).into_iter().filter_map(|(name, _)| name).collect::<Vec<_>>();
        let mut tables = Tables::default();
        tables.write_score(cv(0), Some(&path)).unwrap();
        let due = pause(&mut tables.tunes.get_mut(&path).unwrap().pace);
        tables.write_score(cv(1), Some(&path)).unwrap();
        tables.write_score(cv(2), Some(&path)).unwrap();
        assert!(folder.path().join("t-cv2").join(RUN_INFOS).exists(), "its own table is there at once");
        assert_eq!((names(), tables.due_at()), (vec!["t-cv0".to_owned()], Some(due)));
        tables.write_due(Some(due));
        assert_eq!((names().len(), tables.due_at()), (3, None));
        pause(&mut tables.tunes.get_mut(&path).unwrap().pace);
        tables.write_score(cv(3), Some(&path)).unwrap();
        tables.write_due(None);
        assert_eq!(names(), ["t-cv0", "t-cv1", "t-cv2", "t-cv3"]);
    }

    #[test]
    fn a_table_that_can_not_be_written_names_its_path_and_leaves_the_other_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cv = scored(folder.path());
        // A folder in the place of the file.
        fs::create_dir_all(cv.cv_dir.join(RUN_INFOS)).unwrap();
        let tune = folder.path().join("t.parquet");
        let error = Tables::default().write_score(Box::new(cv.clone()), Some(&tune)).unwrap_err();
        assert!(error.to_string().contains(RUN_INFOS), "{error}");
        assert_eq!(read_run_infos(&tune).unwrap().len(), 2);
    }
}

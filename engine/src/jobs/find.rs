//! Which jobs there are.

use std::path::{Path, PathBuf};

use engine_actors::journal::JOURNAL;

use super::error::JobsError;
use crate::artifacts::{ArtifactLayout, Level};
use crate::names::split_run_folder;

/// A job and its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobPlace {
    /// Which level was called.
    pub level: Level,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
}

impl JobPlace {
    /// Its journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.dir.join(JOURNAL)
    }
}

/// Every job of an artifact folder that has a journal: tunes, then cvs alone, then runs alone, each by name.
///
/// # Errors
/// [`JobsError::Artifacts`] if a folder can not be listed.
pub fn list(layout: &ArtifactLayout) -> Result<Vec<JobPlace>, JobsError> {
    let mut places = Vec::new();
    for level in [Level::Tune, Level::Cv, Level::Run] {
        let mut names = layout.folders(level)?;
        names.sort_unstable();
        let of_level = names.into_iter().filter_map(|folder| {
            let dir = layout.parent(level).join(&folder);
            let name = match level {
                Level::Run => split_run_folder(&folder).map_or(folder.as_str(), |(name, _)| name).to_owned(),
                Level::Tune | Level::Cv => folder,
            };
            let place = JobPlace { level, name, dir };
            place.journal().is_file().then_some(place)
        });
        places.extend(of_level);
    }
    Ok(places)
}

/// The job of this name, or in this folder.
///
/// # Errors
/// [`JobsError::Absent`] and [`JobsError::Several`], and as [`list`].
pub fn find(layout: &ArtifactLayout, name: &str) -> Result<JobPlace, JobsError> {
    let all = list(layout)?;
    let is_meant = |place: &&JobPlace| place.name == name || is_same(&place.dir, Path::new(name));
    let mut found: Vec<JobPlace> = all.iter().filter(is_meant).cloned().collect();
    match found.len() {
        0 => Err(JobsError::Absent { name: name.to_owned(), path: layout.dir().to_owned() }),
        1 => Ok(found.remove(0)),
        count => {
            let paths = found.into_iter().map(|place| place.dir).collect();
            Err(JobsError::Several { name: name.to_owned(), count, paths })
        }
    }
}

/// Whether both name one folder, be it by another way.
fn is_same(folder: &Path, given: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize();
    given.components().count() > 1
        && matches!((whole(folder), whole(given)), (Ok(one), Ok(other)) if one == other)
}

/// The job whose beginning this event tells, if it does.
pub(super) fn of_event(layout: &ArtifactLayout, event: &crate::Event) -> Option<JobPlace> {
    use crate::Event;
    Some(match event {
        Event::TuneStarted { tune_name, tune_dir, .. } => {
            JobPlace { level: Level::Tune, name: tune_name.clone(), dir: tune_dir.clone() }
        }
        Event::CvStarted { cv_name, cv_dir, tune_name: None, .. } => {
            JobPlace { level: Level::Cv, name: cv_name.clone(), dir: cv_dir.clone() }
        }
        Event::RunQueued { run_id, run_name, cv_name: None, .. }
        | Event::RunRecalled { run_id, run_name, cv_name: None, .. } => {
            JobPlace { level: Level::Run, name: run_name.clone(), dir: layout.run_dir(run_name, run_id) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_jobs(folders: &[&str]) -> (tempfile::TempDir, ArtifactLayout) {
        let folder = tempfile::tempdir().unwrap();
        for job in folders {
            std::fs::create_dir_all(folder.path().join(job)).unwrap();
            std::fs::write(folder.path().join(job).join(JOURNAL), "").unwrap();
        }
        let layout = ArtifactLayout::new(folder.path());
        (folder, layout)
    }

    #[test]
    fn jobs_of_every_level_are_found_by_name_and_by_folder() {
        let (folder, layout) =
            with_jobs(&["t", "u", "_cross_validations/t", "_runs/r-abcdefg1", "_runs/r-abcdefg2"]);
        // What is no job, or has none of its own.
        std::fs::create_dir_all(folder.path().join("t/t-cv0")).unwrap();
        std::fs::create_dir_all(folder.path().join("old")).unwrap();
        let names: Vec<_> =
            list(&layout).unwrap().into_iter().map(|place| (place.level, place.name)).collect();
        let named = |level, name: &str| (level, name.to_owned());
        let expected = [
            named(Level::Tune, "t"),
            named(Level::Tune, "u"),
            named(Level::Cv, "t"),
            named(Level::Run, "r"),
            named(Level::Run, "r"),
        ];
        assert_eq!(names, expected);
        assert_eq!(find(&layout, "u").unwrap().level, Level::Tune);
        for twice in ["t", "r"] {
            let error = find(&layout, twice).unwrap_err();
            assert!(matches!(error, JobsError::Several { count: 2, .. }), "{error}");
        }
        let by_folder = folder.path().join("_cross_validations/../_cross_validations/t");
        assert_eq!(find(&layout, by_folder.to_str().unwrap()).unwrap().level, Level::Cv);
        let error = find(&layout, "old").unwrap_err().to_string();
        assert!(error.contains("engine status") && error.contains("old"), "{error}");
    }

    #[test]
    fn an_artifact_folder_that_is_not_there_has_no_jobs() {
        let layout = ArtifactLayout::new("not/there");
        assert_eq!(list(&layout).unwrap(), []);
    }
}

//! Where things are written.
//!
//! ```text
//! {artifact_dir}/{tune_name}/{cv_name}/{run_name}-{run_id}/          runs of a tune
//! {artifact_dir}/_cross_validations/{cv_name}/{run_name}-{run_id}/   runs of a cv
//! {artifact_dir}/_runs/{run_name}-{run_id}/                          single runs
//! ```

use std::collections::HashSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::names::split_run_folder;

mod leftovers;

const CVS: &str = "_cross_validations";
const RUNS: &str = "_runs";

/// The level that is called, and so the one that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// A tune.
    Tune,
    /// A cv alone.
    Cv,
    /// A run alone.
    Run,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tune => "tune",
            Self::Cv => "cv",
            Self::Run => "run",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// What can be wrong with the artifact folder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A thing of this name is there already.
    #[error("there is a {level} called {name} already; choose another --name, or go on with it by --resume: {}", path.display())]
    Exists {
        /// What it is.
        level: Level,
        /// Its name.
        name: String,
        /// Its folder.
        path: PathBuf,
    },
    /// Nothing can be written.
    #[error("artifact folder can not be written; give its user write access, or another folder with --artifact-dir: {}", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("disk of the artifact folder is full; free some of it, or give another folder with --artifact-dir: {}", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// What a killed engine left can not be removed.
    #[error("a file that a killed engine left half-written can not be removed; it does no harm, remove it by hand: {}", path.display())]
    Leftover {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The folder, or one above it, is a file.
    #[error("{} is a file; give another artifact folder with --artifact-dir: {}", file.display(), path.display())]
    NotAFolder {
        /// The file.
        file: PathBuf,
        /// The folder.
        path: PathBuf,
    },
    /// What is there can not be seen.
    #[error("artifact folder can not be listed; give its user read access: {}", path.display())]
    NotListed {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No randomness for names and ids.
    #[error("the operating system gives no randomness to make names and ids from")]
    Randomness {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The folders below one artifact folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactLayout {
    dir: PathBuf,
}

impl ArtifactLayout {
    /// The layout of this folder, which need not be there yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The artifact folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of a tune.
    pub fn tune_dir(&self, tune_name: &str) -> PathBuf {
        self.dir.join(tune_name)
    }

    /// Folder of a cv alone.
    pub fn cv_dir(&self, cv_name: &str) -> PathBuf {
        self.dir.join(CVS).join(cv_name)
    }

    /// Folder of a cv of a tune.
    pub fn cv_of_tune_dir(&self, tune_name: &str, cv_name: &str) -> PathBuf {
        self.tune_dir(tune_name).join(cv_name)
    }

    /// Folder of a run alone.
    pub fn run_dir(&self, run_name: &str, run_id: &str) -> PathBuf {
        Self::run_in(&self.dir.join(RUNS), run_name, run_id)
    }

    /// Folder of a run in the folder of its cv, or of a retrained model in that of its tune.
    pub fn run_in(parent: &Path, run_name: &str, run_id: &str) -> PathBuf {
        parent.join(format!("{run_name}-{run_id}"))
    }

    /// That no file stands where the artifact folder is or is to be. Nothing is written.
    ///
    /// # Errors
    /// [`ArtifactError::NotAFolder`].
    pub fn ensure_is_no_file(&self) -> Result<(), ArtifactError> {
        // The first that is there of the folder and those above it; nothing is there of a path that can not be looked at.
        let there = self.dir.ancestors().find_map(|path| path.metadata().ok().map(|found| (path, found)));
        match there {
            Some((path, found)) if !found.is_dir() => {
                Err(ArtifactError::NotAFolder { file: path.to_owned(), path: self.dir.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Makes the artifact folder, if it is not there, and writes to it for a try. What killed engines left directly in it is
    /// removed; below it nothing is looked at.
    ///
    /// # Errors
    /// [`ArtifactError::NotAFolder`], [`ArtifactError::NotWritable`] and [`ArtifactError::Full`].
    pub fn ensure_writable(&self) -> Result<(), ArtifactError> {
        let refused = |source: io::Error| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                ArtifactError::Full { path: self.dir.clone(), source }
            }
            _ => ArtifactError::NotWritable { path: self.dir.clone(), source },
        };
        self.ensure_is_no_file()?;
        std::fs::create_dir_all(&self.dir).map_err(refused)?;
        leftovers::clear_abandoned(&self.dir);
        let probe = self.dir.join(format!("{}{}", leftovers::PROBE_PREFIX, std::process::id()));
        let written = std::fs::write(&probe, b"written to see whether it can be\n");
        let removed = match std::fs::remove_file(&probe) {
            // Another engine of this number, in another container, has removed the one they share.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        written.and(removed).map_err(refused)
    }

    /// Removes what killed engines left half-written in the folder of one job, and says how many things that were. Whatever a
    /// living process writes stays.
    ///
    /// For whoever works on the job alone, before it goes on. Looks at every folder of the job but the checkpoints
    /// themselves, up to a bound: 5,000 runs with 40,000 folders take 1.3 s on a busy machine and a local disk.
    ///
    /// # Errors
    /// [`ArtifactError::Leftover`] for the first thing that can not be removed or looked into; the others are removed
    /// all the same, and nothing depends on any of them.
    pub fn clear_leftovers(job_dir: &Path) -> Result<usize, ArtifactError> {
        leftovers::clear_below(job_dir)
    }

    /// That nothing of this name is there.
    ///
    /// # Errors
    /// [`ArtifactError::Exists`] if there is, [`ArtifactError::NotListed`] if that can not be known.
    pub fn ensure_absent(&self, level: Level, name: &str) -> Result<(), ArtifactError> {
        match self.find(level, name)? {
            Some(path) => Err(ArtifactError::Exists { level, name: name.to_owned(), path }),
            None => Ok(()),
        }
    }

    /// The folder of a tune, a cv alone or a run alone, if it is there.
    ///
    /// # Errors
    /// [`ArtifactError::NotListed`] if that can not be known.
    pub fn find(&self, level: Level, name: &str) -> Result<Option<PathBuf>, ArtifactError> {
        let path = match level {
            Level::Tune => self.tune_dir(name),
            Level::Cv => self.cv_dir(name),
            Level::Run => {
                let runs = self.folders(level)?;
                let same =
                    runs.iter().find(|run| split_run_folder(run).is_some_and(|(before, _)| before == name));
                match same {
                    Some(same) => self.parent(level).join(same),
                    None => return Ok(None),
                }
            }
        };
        match path.symlink_metadata() {
            Ok(_) => Ok(Some(path)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(ArtifactError::NotListed { path, source }),
        }
    }

    /// Name and folder of the job of a level whose `journal` was written to last, if there is one.
    ///
    /// # Errors
    /// [`ArtifactError::NotListed`].
    pub fn newest_job(
        &self,
        level: Level,
        journal: &str,
    ) -> Result<Option<(String, PathBuf)>, ArtifactError> {
        let dated = self.folders(level)?.into_iter().filter_map(|folder| {
            let path = self.parent(level).join(&folder);
            // Without a journal it is no job to go on with.
            let written = path.join(journal).metadata().and_then(|metadata| metadata.modified()).ok()?;
            let name = match level {
                Level::Run => split_run_folder(&folder)?.0.to_owned(),
                Level::Tune | Level::Cv => folder,
            };
            Some((written, name, path))
        });
        Ok(dated.max().map(|(_, name, path)| (name, path)))
    }

    /// How many tunes, cvs alone or runs alone there are.
    ///
    /// # Errors
    /// [`ArtifactError::NotListed`].
    pub fn count(&self, level: Level) -> Result<usize, ArtifactError> {
        Ok(self.folders(level)?.len())
    }

    /// Ids of every run of every level.
    pub(crate) fn run_ids(&self) -> Result<HashSet<String>, ArtifactError> {
        let mut ids = HashSet::new();
        let mut add = |folders: &[String]| {
            ids.extend(
                folders.iter().filter_map(|folder| split_run_folder(folder)).map(|(_, id)| id.to_owned()),
            );
        };
        add(&self.folders(Level::Run)?);
        for cv in self.folders(Level::Cv)? {
            add(&folders(&self.cv_dir(&cv))?);
        }
        for tune in self.folders(Level::Tune)? {
            let tune_dir = self.tune_dir(&tune);
            let inside = folders(&tune_dir)?;
            // A retrained model lies beside the cvs.
            add(&inside);
            for cv in inside {
                add(&folders(&tune_dir.join(cv))?);
            }
        }
        Ok(ids)
    }

    /// Folder of the jobs of a level.
    pub(crate) fn parent(&self, level: Level) -> PathBuf {
        match level {
            Level::Tune => self.dir.clone(),
            Level::Cv => self.dir.join(CVS),
            Level::Run => self.dir.join(RUNS),
        }
    }

    /// Names of the folders of a level's jobs; none if there are none.
    pub(crate) fn folders(&self, level: Level) -> Result<Vec<String>, ArtifactError> {
        folders(&self.parent(level))
    }
}

/// Names of the folders in a folder that are not the engine's own or hidden; none if it is not there.
fn folders(parent: &Path) -> Result<Vec<String>, ArtifactError> {
    let refused = |source| ArtifactError::NotListed { path: parent.to_owned(), source };
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(refused(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(['_', '.']) && entry.file_type().map_err(refused)?.is_dir() {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, ArtifactLayout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = ArtifactLayout::new(folder.path().join("deep/artifacts"));
        (folder, layout)
    }

    #[test]
    fn paths_are_those_of_the_design() {
        let layout = ArtifactLayout::new("a");
        let cv = layout.cv_of_tune_dir("t", "t-cv0");
        assert_eq!(
            ArtifactLayout::run_in(&cv, "t-cv0-run-f0s42", "k3j5h2x9"),
            Path::new("a/t/t-cv0/t-cv0-run-f0s42-k3j5h2x9")
        );
        assert_eq!(layout.cv_dir("c"), Path::new("a/_cross_validations/c"));
        assert_eq!(layout.run_dir("r", "k3j5h2x9"), Path::new("a/_runs/r-k3j5h2x9"));
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing_and_is_made() {
        let (_keep, layout) = layout();
        assert_eq!(layout.count(Level::Tune).unwrap(), 0);
        assert!(layout.run_ids().unwrap().is_empty());
        layout.ensure_absent(Level::Run, "a").unwrap();
        layout.ensure_writable().unwrap();
        assert_eq!(std::fs::read_dir(layout.dir()).unwrap().count(), 0, "the try leaves nothing behind");
        layout.ensure_writable().unwrap();
    }

    #[test]
    fn existing_names_are_refused_at_their_level_only() {
        let (_keep, layout) = layout();
        for folder in [layout.tune_dir("t"), layout.cv_dir("c"), layout.run_dir("r-x", "abcdefg1")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for (level, taken) in [(Level::Tune, "t"), (Level::Cv, "c"), (Level::Run, "r-x")] {
            let error = layout.ensure_absent(level, taken).unwrap_err();
            assert!(matches!(error, ArtifactError::Exists { .. }), "{error}");
            assert!(error.to_string().contains("--name") && error.to_string().contains(taken), "{error}");
            for free in ["t", "c", "r-x", "r"].iter().filter(|free| **free != taken) {
                layout.ensure_absent(level, free).unwrap();
            }
        }
        assert_eq!([Level::Tune, Level::Cv, Level::Run].map(|level| layout.count(level).unwrap()), [1, 1, 1]);
    }

    #[test]
    fn ids_of_every_level_are_known() {
        let (_keep, layout) = layout();
        let cv = layout.cv_of_tune_dir("t", "t-cv0");
        for folder in [
            ArtifactLayout::run_in(&cv, "t-cv0-run-f0s1", "aaaaaaa1"),
            ArtifactLayout::run_in(&layout.tune_dir("t"), "t-retrain", "aaaaaaa2"),
            ArtifactLayout::run_in(&layout.cv_dir("c"), "c-run-f0s1", "aaaaaaa3"),
            layout.run_dir("r", "aaaaaaa4"),
        ] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut ids: Vec<_> = layout.run_ids().unwrap().into_iter().collect();
        ids.sort();
        assert_eq!(ids, ["aaaaaaa1", "aaaaaaa2", "aaaaaaa3", "aaaaaaa4"]);
    }

    #[test]
    fn a_file_in_the_way_is_said() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for path in ["file", "file/below"] {
            let error = ArtifactLayout::new(folder.path().join(path)).ensure_writable().unwrap_err();
            let file = folder.path().join("file");
            assert!(
                matches!(&error, ArtifactError::NotAFolder { file: found, .. } if *found == file),
                "{path}: {error}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_can_not_be_written_is_said() {
        // Nobody, the superuser included, makes folders there.
        let error = ArtifactLayout::new("/proc/artifacts").ensure_writable().unwrap_err();
        assert!(matches!(error, ArtifactError::NotWritable { .. }), "{error}");
        assert!(
            error.to_string().contains("--artifact-dir") && error.to_string().ends_with("/proc/artifacts")
        );
    }
}

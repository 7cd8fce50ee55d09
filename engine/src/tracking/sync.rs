//! Sending what was left on disk: what `engine sync` does.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use engine_tracking::wandb::folder::RunFolder;
use engine_tracking::wandb::key::Key;
use engine_tracking::wandb::settings::{Settings, SettingsError};
use engine_tracking::wandb::sync::sync;
use thiserror::Error;

use super::live;
use super::wandb::key;

/// Why nothing was sent at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncAllError {
    /// A `WANDB_…` variable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no key, or none that can be read.
    #[error("{0}")]
    NoKey(String),
    /// A folder that is to be searched.
    #[error("there is no folder to send runs from; give one that holds runs: {}", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
}

/// How folders are synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncOptions {
    /// Which runs.
    pub which: Which,
    /// Whether anything is sent.
    pub deed: Deed,
}

/// Which runs are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// Those that are not there whole.
    #[default]
    Missing,
    /// All, from their beginning. What the server has already stays as it is.
    Again,
}

/// What is done with the runs that were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deed {
    /// They are sent.
    #[default]
    Send,
    /// They are listed.
    List,
}

/// What became of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synced {
    /// It is there now; `losses` says what is not.
    Sent {
        /// Its page.
        url: String,
        /// Rows the server has.
        rows: u64,
        /// Files sent.
        files: u64,
        /// Artifacts sent.
        artifacts: u64,
        /// What is lost for good; empty if nothing is.
        losses: Vec<String>,
    },
    /// It had been sent before.
    AlreadyThere,
    /// It would be sent; nothing is in a dry run.
    WouldBeSent {
        /// Size of its journal.
        bytes: u64,
    },
    /// It is not there, or not to its end; the next sync goes on where this one ended.
    NotSent {
        /// Why.
        why: String,
    },
}

impl Synced {
    /// Whether the run is at the server with everything it had.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Sent { losses, .. } => losses.is_empty(),
            Self::AlreadyThere => true,
            Self::WouldBeSent { .. } | Self::NotSent { .. } => false,
        }
    }
}

/// Sends every run below the folders, ours or the official client's, oldest first. `tell` is called with each run and what became of
/// it. Blocks. `lookup` reads an environment variable.
///
/// Runs that an engine under way still writes, or another sync sends, are left to it.
///
/// # Errors
/// [`SyncAllError`] if nothing can be sent. What is wrong with one run is told of that run, and the others go on.
pub fn sync_all(
    folders: &[PathBuf],
    options: SyncOptions,
    lookup: &dyn Fn(&str) -> Option<String>,
    tell: &mut dyn FnMut(&Path, &Synced),
) -> Result<(), SyncAllError> {
    let runs = runs_below(folders)?;
    if options.deed == Deed::List {
        for run in &runs {
            tell(&run.path, &listed(run, options.which));
        }
        return Ok(());
    }
    let settings = Settings::from_env(None, None, lookup)?;
    let key = key(&settings, lookup).map_err(SyncAllError::NoKey)?;
    for run in &runs {
        tell(&run.path, &sync_one(run, options.which, &settings, &key));
    }
    Ok(())
}

/// Every run in or below the folders, each once, by the time it began.
///
/// # Errors
/// [`SyncAllError::NoFolder`].
pub fn runs_below(folders: &[PathBuf]) -> Result<Vec<RunFolder>, SyncAllError> {
    let (mut runs, mut seen) = (Vec::new(), BTreeSet::new());
    for folder in folders {
        let runs_here = match RunFolder::at(folder) {
            Some(run) => vec![run],
            None if folder.is_dir() => RunFolder::below(folder),
            None => return Err(SyncAllError::NoFolder { path: folder.clone() }),
        };
        for run in runs_here {
            // It may be reached by several ways.
            let path = run.path.canonicalize().unwrap_or_else(|_| run.path.clone());
            if seen.insert(path) {
                runs.push(run);
            }
        }
    }
    runs.sort_by_cached_key(|run| (began(&run.path), run.path.clone()));
    Ok(runs)
}

/// The time in a folder's name: `20261122_204613`.
fn began(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_prefix("offline-").unwrap_or(&name);
    name.strip_prefix("run-").unwrap_or(name).to_owned()
}

fn listed(run: &RunFolder, which: Which) -> Synced {
    if live::is_live(run) {
        return Synced::NotSent { why: LIVE.to_owned() };
    }
    if which == Which::Missing && run.synced().exists() {
        return Synced::AlreadyThere;
    }
    match run.journal().metadata() {
        Ok(journal) => Synced::WouldBeSent { bytes: journal.len() },
        Err(error) => Synced::NotSent { why: format!("its journal can not be read: {error}") },
    }
}

/// Why a run is left alone.
const LIVE: &str = "an engine that still runs writes it, and sends it itself";

fn sync_one(run: &RunFolder, which: Which, settings: &Settings, key: &Key) -> Synced {
    if live::is_live(run) {
        return Synced::NotSent { why: LIVE.to_owned() };
    }
    let _lock = match live::take(run) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Synced::NotSent { why: "another sync sends it".to_owned() },
        Err(error) => {
            return Synced::NotSent { why: format!("its folder can not be written to: {error}") };
        }
    };
    if which == Which::Again
        && let Err(error) = forget(run)
    {
        return Synced::NotSent { why: format!("how far it was sent can not be forgotten: {error}") };
    }
    match sync(run, settings, key) {
        Ok(synced) if synced.was_synced => Synced::AlreadyThere,
        Ok(synced) => Synced::Sent {
            url: synced.url,
            rows: synced.rows,
            files: synced.files,
            artifacts: synced.artifacts,
            losses: synced.losses,
        },
        Err(error) => Synced::NotSent { why: error.to_string() },
    }
}

/// Makes a run one of which nothing is sent.
fn forget(run: &RunFolder) -> io::Result<()> {
    for path in [run.synced(), run.cursor()] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_ordered_by_their_time_whoever_left_them() {
        let mut names =
            ["run-20261123_000000-b", "offline-run-20261122_235959-z", "offline-run-20261124_000000-a"];
        names.sort_by_key(|name| began(Path::new(name)));
        assert_eq!(
            names,
            ["offline-run-20261122_235959-z", "run-20261123_000000-b", "offline-run-20261124_000000-a"]
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let error = runs_below(&[PathBuf::from("/nowhere/artifacts")]).unwrap_err().to_string();
        assert!(error.ends_with("/nowhere/artifacts"), "{error}");
    }

    #[test]
    fn what_is_lost_is_not_whole() {
        let sent = |losses: &[&str]| Synced::Sent {
            url: String::new(),
            rows: 1,
            files: 0,
            artifacts: 0,
            losses: losses.iter().map(|loss| (*loss).to_owned()).collect(),
        };
        assert!(sent(&[]).is_whole() && Synced::AlreadyThere.is_whole());
        assert!(!sent(&["a row"]).is_whole() && !Synced::NotSent { why: String::new() }.is_whole());
    }
}

//! How far a run is sent: `run-<id>.cursor` beside its journal.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::api::RunPath;
use super::batch::Bases;
use super::log::Position;
use super::stream::Shift;
use crate::atomic::{self, Durability};

/// Version of the file's form; raised with every change.
const CURSOR_VERSION: u32 = 1;
/// Losses that are kept by name; more are only counted.
const LOSSES_KEPT: usize = 200;

/// What the server has acknowledged. Everything else about the run follows from its journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    version: u32,
    /// Where the run is on the server; `None` before it is.
    pub(super) path: Option<RunPath>,
    /// The journal up to here is acknowledged.
    pub(super) position: Position,
    /// Rows up to there.
    pub(super) rows: u64,
    /// Set if the run was on the server before, with lines that are not of this journal.
    pub(super) before: Option<Before>,
    /// Run files named up to here are sent.
    pub(super) files: Position,
    /// Artifacts up to here are committed.
    pub(super) artifacts: Position,
    /// Alerts up to here are sent.
    pub(super) alerts: Position,
    /// Files of the end up to here are sent.
    pub(super) last_files: Position,
    /// Files that are there and not named in `uploaded` yet.
    pub(super) untold: Vec<String>,
    /// Digest of the configuration the server has.
    pub(super) config: String,
    /// Whether the last request, with the exit code, is acknowledged.
    pub(super) is_complete: bool,
    /// Run files sent.
    pub(super) files_sent: u64,
    /// Artifacts sent.
    pub(super) artifacts_sent: u64,
    /// What is lost for the server.
    pub(super) losses: Vec<String>,
    /// Losses that are not named any more.
    pub(super) further_losses: u64,
}

/// What the server held of a run before this journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Before {
    /// Its lines.
    pub(super) bases: Bases,
    /// How far our rows are moved.
    pub(super) shift: Shift,
    /// Its configuration, JSON.
    pub(super) config: Option<String>,
    /// Its summary, JSON.
    pub(super) summary: Option<String>,
}

/// Why a cursor can not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The file can not be read.
    #[error("can not read how far the run was sent: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds something else.
    #[error("this does not tell how far the run was sent: {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// A newer engine wrote it.
    #[error("version {version} is newer than this engine knows: {}", path.display())]
    Newer {
        /// Its version.
        version: u32,
        /// The file.
        path: PathBuf,
    },
    /// The file can not be written.
    #[error("can not note how far the run is sent, check the free space of the disk: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Cursor {
    /// The cursor at a path; `None` if there is none.
    ///
    /// # Errors
    /// [`CursorError`] for one that can not be used: then everything is sent again, which the server takes as the same.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, CursorError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CursorError::Read { path: path.to_owned(), source }),
        };
        let cursor: Self = serde_json::from_slice(&text)
            .map_err(|source| CursorError::Damaged { path: path.to_owned(), source })?;
        if cursor.version > CURSOR_VERSION {
            return Err(CursorError::Newer { version: cursor.version, path: path.to_owned() });
        }
        Ok(Some(cursor))
    }

    /// Writes it aside and gives it its name. Not brought to the disk: after a power cut an older or empty one is as
    /// good, and training shares the disk.
    ///
    /// # Errors
    /// [`CursorError::Write`]; the one before stays.
    pub(super) fn save(&mut self, path: &Path) -> Result<(), CursorError> {
        self.version = CURSOR_VERSION;
        let failed = |source| CursorError::Write { path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|source| failed(source.into()))?;
        atomic::put(path, Durability::Unsynced, |file| file.write_all(&text))
            .map_err(|error| failed(io::Error::other(error)))
    }

    /// Notes something that the server will not have. `false` if it is noted already: a summary is sent again and again.
    pub(super) fn lose(&mut self, what: &str) -> bool {
        if self.losses.iter().any(|known| known == what) {
            return false;
        }
        if self.losses.len() < LOSSES_KEPT {
            self.losses.push(what.to_owned());
        } else {
            self.further_losses += 1;
        }
        true
    }

    /// First places of our lines.
    pub(super) fn bases(&self) -> Bases {
        self.before.as_ref().map(|before| before.bases).unwrap_or_default()
    }

    /// How far our rows are moved.
    pub(super) fn shift(&self) -> Shift {
        self.before.as_ref().map(|before| before.shift).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_as_it_was_written_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run-a.cursor");
        assert_eq!(Cursor::load(&path).unwrap(), None);
        let before = Before {
            bases: Bases { history: 100, events: 2, console: 3 },
            shift: Shift { step: 100, runtime: 1.5 },
            config: Some("{\"a\":NaN}".to_owned()),
            summary: None,
        };
        let mut cursor = Cursor { position: 77, rows: 5, before: Some(before), ..Cursor::default() };
        for at in 0..LOSSES_KEPT + 3 {
            assert!(cursor.lose(&at.to_string()));
        }
        assert!(!cursor.lose("0"), "it is noted already");
        cursor.save(&path).unwrap();
        let read = Cursor::load(&path).unwrap().unwrap();
        assert_eq!(read, cursor);
        assert_eq!((read.losses.len(), read.further_losses), (LOSSES_KEPT, 3));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let text = fs::read(&path).unwrap();
        for cut in [0, 1, text.len() / 2, text.len() - 1] {
            fs::write(&path, &text[..cut]).unwrap();
            assert!(matches!(Cursor::load(&path), Err(CursorError::Damaged { .. })), "cut at {cut}");
        }
        fs::write(&path, String::from_utf8(text).unwrap().replace("\"version\":1", "\"version\":2")).unwrap();
        assert!(matches!(Cursor::load(&path), Err(CursorError::Newer { version: 2, .. })));
    }

    #[test]
    fn a_cursor_that_can_not_be_written_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("run-a.cursor");
        assert!(matches!(Cursor::default().save(&path), Err(CursorError::Write { .. })));
    }
}

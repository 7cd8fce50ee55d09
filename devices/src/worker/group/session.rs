//! The folder in which rank 0 tells the ranks of other processes what to do, and they answer.
//!
//! Every file is one [`frame`], appears whole or not at all, and is written once; but `alive.*`, which is replaced
//! every [`BEAT`]. A file that was left by an earlier session of the same name is told by its nonce.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `alive.R` | rank R | R's process is there: another number each time |
//! | `order.N` | rank 0 | the N-th worker is started: its name, and where its ranks meet |
//! | `message.N.K` | rank 0 | the K-th message to that worker |
//! | `kill.N` | rank 0 | end it now |
//! | `ended.N.R` | rank R | how its part of it ended |
//! | `end` | rank 0 | nothing more will come |
//!
//! Only the order of files in time counts, never a clock of a machine: a rank is there as long as its `alive` file
//! keeps changing. The folder is listed at every look, because a network file system answers a question for a single
//! name from memory for up to a minute, and reads a folder that is opened again from the server.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::SessionError;
use crate::frame;
use crate::worker::ExitReport;

/// Time between two looks into the folder.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Time between two signs of life.
pub(super) const BEAT: Duration = Duration::from_secs(2);

/// One file of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    Alive(u32),
    Order(u64),
    Message(u64, u32),
    Kill(u64),
    Ended(u64, u32),
    End,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive(rank) => write!(f, "alive.{rank}"),
            Self::Order(order) => write!(f, "order.{order}"),
            Self::Message(order, message) => write!(f, "message.{order}.{message}"),
            Self::Kill(order) => write!(f, "kill.{order}"),
            Self::Ended(order, rank) => write!(f, "ended.{order}.{rank}"),
            Self::End => f.write_str("end"),
        }
    }
}

impl Name {
    /// Reads a file's name; `None` for one that is being written, and for what is not ours.
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        Some(match parts.as_slice() {
            ["alive", rank] => Self::Alive(rank.parse().ok()?),
            ["order", order] => Self::Order(order.parse().ok()?),
            ["message", order, message] => Self::Message(order.parse().ok()?, message.parse().ok()?),
            ["kill", order] => Self::Kill(order.parse().ok()?),
            ["ended", order, rank] => Self::Ended(order.parse().ok()?, rank.parse().ok()?),
            ["end"] => Self::End,
            _ => return None,
        })
    }

    /// The order it belongs to.
    pub(super) fn order(self) -> Option<u64> {
        match self {
            Self::Order(order) | Self::Message(order, _) | Self::Kill(order) | Self::Ended(order, _) => {
                Some(order)
            }
            Self::Alive(_) | Self::End => None,
        }
    }
}

/// Tells one session from an earlier one in the same folder: made by rank 0, repeated by all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Nonce(String);

impl Nonce {
    /// Of this process at this moment.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(format!("{:x}-{:x}", std::process::id(), since.as_nanos()))
    }
}

/// What `alive.R` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alive {
    pub(super) nonce: Nonce,
    pub(super) beat: u64,
}

/// What `order.N` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) nonce: Nonce,
    /// Name of the worker, for people.
    pub(super) name: String,
    pub(super) master_addr: String,
    pub(super) master_port: u16,
}

/// What `ended.N.R` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended<Out> {
    pub(super) nonce: Nonce,
    pub(super) report: ExitReport,
    /// The failure it said, if it said one.
    pub(super) last_word: Option<Out>,
}

/// The folder of one session.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder, empty.
    pub(super) fn make(&self) -> Result<(), SessionError> {
        self.remove()?;
        fs::create_dir_all(&self.path).map_err(self.refused("making it", None))
    }

    /// Removes the folder, and the one it stands in if that is empty then.
    pub(super) fn remove(&self) -> Result<(), SessionError> {
        // Others still write to it, and a network file system keeps a removed file that is open under another name.
        for last in [false, false, true] {
            match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) if last => return Err(self.refused("removing it", None)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        // Not empty: another session's.
        let _: Result<(), _> = self.path.parent().map_or(Ok(()), fs::remove_dir);
        Ok(())
    }

    /// The files there are; `None` if the folder is not there.
    pub(super) fn list(&self) -> Result<Option<Vec<Name>>, SessionError> {
        let refused = || self.refused("listing it", None);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused()(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(refused())?.file_name().to_str().and_then(Name::parse));
        }
        Ok(Some(names))
    }

    /// The content of a file; `None` if it is not there.
    pub(super) fn read<T: DeserializeOwned>(&self, name: Name) -> Result<Option<T>, SessionError> {
        let path = self.path.join(name.to_string());
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.refused("reading it", Some(name))(error)),
        };
        // An empty file is one of a server that lost its end: it is not there yet.
        frame::read(&mut file).map_err(|source| SessionError::Damaged { path, source })
    }

    /// Writes a file that others see whole or not at all.
    pub(super) fn write<T: Serialize>(&self, name: Name, content: &T) -> Result<(), SessionError> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, content)
            .map_err(|source| SessionError::Damaged { path: self.path.join(name.to_string()), source })?;
        self.write_framed(name, &bytes)
    }

    /// As [`Folder::write`], for content that is a frame already.
    pub(super) fn write_framed(&self, name: Name, frame: &[u8]) -> Result<(), SessionError> {
        let aside = self.path.join(format!("part.{name}.{}", std::process::id()));
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(frame)?;
            // The next beat replaces one that was lost.
            if !matches!(name, Name::Alive(_)) {
                file.sync_all()?;
            }
            fs::rename(&aside, self.path.join(name.to_string()))
        };
        write().map_err(self.refused("writing it", Some(name)))
    }

    pub(super) fn delete(&self, name: Name) -> Result<(), SessionError> {
        match fs::remove_file(self.path.join(name.to_string())) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.refused("removing it", Some(name))(error))
            }
            _ => Ok(()),
        }
    }

    fn refused(
        &self,
        doing: &'static str,
        name: Option<Name>,
    ) -> impl FnOnce(std::io::Error) -> SessionError + use<> {
        let path = name.map_or_else(|| self.path.clone(), |name| self.path.join(name.to_string()));
        move |source| SessionError::Io { doing, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_half_written_files_are_none() {
        for name in
            [Name::Alive(3), Name::Order(7), Name::Message(7, 0), Name::Kill(7), Name::Ended(7, 3), Name::End]
        {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
            assert_eq!(Name::parse(&format!("part.{name}.99")), None);
        }
    }

    #[test]
    fn a_folder_is_made_empty_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join(".ranks").join("job"));
        assert_eq!(folder.list().unwrap(), None);
        folder.make().unwrap();
        let alive = Alive { nonce: Nonce::now(), beat: 4 };
        folder.write(Name::Alive(2), &alive).unwrap();
        folder.write(Name::Alive(2), &alive).unwrap();
        assert_eq!(folder.list().unwrap().unwrap(), [Name::Alive(2)]);
        assert_eq!(folder.read(Name::Alive(2)).unwrap(), Some(alive));
        assert_eq!(folder.read::<Alive>(Name::Alive(1)).unwrap(), None);
        assert!(matches!(folder.read::<Order>(Name::Alive(2)), Err(SessionError::Damaged { .. })));
        folder.make().unwrap();
        assert_eq!(folder.list().unwrap().unwrap(), []);
        folder.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

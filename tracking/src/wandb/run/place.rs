//! Where the folder of a run lies, and how it is called.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Local};

use super::error::JournalError;
use super::header::RunHeader;
use crate::wandb::folder::RunFolder;
use crate::wandb::settings::Mode;

/// Link to the folder of the run that began last.
const LATEST: &str = "latest-run";

/// Characters of `20261122_204613`.
const STAMP_LENGTH: usize = 15;

/// Longest id the server takes.
const MAX_ID_LENGTH: usize = 128;

/// The folder of a run below `parent`: its newest, called as the mode wants it, or a new one. With `files/` in it.
pub(super) fn find_or_make(parent: &Path, header: &RunHeader, mode: Mode) -> Result<RunFolder, JournalError> {
    let prefix = prefix(mode)?;
    if !is_usable(&header.id) {
        return Err(JournalError::UnusableId { id: header.id.clone() });
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Folder { path, source }
    };
    // Records name files of artifacts absolutely, and an uploader may work from elsewhere.
    let parent = std::path::absolute(parent).map_err(failed(parent))?;
    fs::create_dir_all(&parent).map_err(failed(&parent))?;
    let found = find(&parent, &header.id).map_err(failed(&parent))?;
    let stamp = found.as_ref().map_or_else(|| stamp(header.started), |found| found.stamp.clone());
    let path = parent.join(format!("{prefix}{stamp}-{}", header.id));
    if let Some(found) = found
        && found.path != path
        && !path.exists()
    {
        fs::rename(&found.path, &path).map_err(failed(&found.path))?;
    }
    let folder = RunFolder { path, run_id: header.id.clone() };
    fs::create_dir_all(folder.files()).map_err(failed(&folder.path))?;
    if let Err(error) = point_latest(&folder) {
        // A convenience, which some file systems do not know.
        tracing::debug!(run = %folder.run_id, %error, "no link to the latest run");
    }
    Ok(folder)
}

/// How the official client tells runs that are being sent from those that wait for its `sync`.
fn prefix(mode: Mode) -> Result<&'static str, JournalError> {
    match mode {
        Mode::Online => Ok("run-"),
        Mode::Offline => Ok("offline-run-"),
        Mode::Disabled => Err(JournalError::Disabled),
    }
}

/// Whether an id, or the name of an artifact, is taken by the server and by file systems.
pub(super) fn is_usable(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !id.is_empty() && id.len() <= MAX_ID_LENGTH && id.bytes().all(is_plain) && !id.starts_with('.')
}

fn stamp(started: SystemTime) -> String {
    DateTime::<Local>::from(started).format("%Y%m%d_%H%M%S").to_string()
}

/// A folder that is there.
struct Existing {
    path: PathBuf,
    stamp: String,
}

fn find(parent: &Path, id: &str) -> io::Result<Option<Existing>> {
    let mut newest: Option<Existing> = None;
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(stamp) = name.to_str().and_then(|name| stamp_of(name, id)) else { continue };
        if entry.file_type()?.is_dir() && newest.as_ref().is_none_or(|newest| *newest.stamp < *stamp) {
            newest = Some(Existing { path: entry.path(), stamp: stamp.to_owned() });
        }
    }
    Ok(newest)
}

/// The time in the name of a folder of this run; `None` for other names.
fn stamp_of<'a>(name: &'a str, id: &str) -> Option<&'a str> {
    let rest = name.strip_prefix("offline-run-").or_else(|| name.strip_prefix("run-"))?;
    let (stamp, behind) = rest.split_at_checked(STAMP_LENGTH)?;
    let is_stamp =
        stamp.bytes().enumerate().all(|(i, byte)| if i == 8 { byte == b'_' } else { byte.is_ascii_digit() });
    (is_stamp && behind.strip_prefix('-') == Some(id)).then_some(stamp)
}

/// Lets `latest-run` point to a folder, in one step.
fn point_latest(folder: &RunFolder) -> io::Result<()> {
    let Some(name) = folder.path.file_name() else { return Ok(()) };
    let latest = folder.path.with_file_name(LATEST);
    let aside = crate::atomic::aside(&latest).map_err(io::Error::other)?;
    std::os::unix::fs::symlink(name, &aside)?;
    fs::rename(&aside, latest).inspect_err(|_| drop(fs::remove_file(&aside)))
}

//! Who holds which device, for people.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{Look, look};
use super::locks::SUFFIX;

/// A device, or a slot of it, that a process holds at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The device's UUID.
    pub uuid: String,
    /// The slot of a packed run; none where the device is held alone.
    pub slot: Option<u32>,
    /// The engine process that holds it; 0 for one that has not said so yet.
    pub pid: u32,
    /// The run or cv it is held for.
    pub holder: String,
    /// Since when.
    pub since_unix_secs: u64,
    /// Memory it needs, where runs are packed by memory; else 0.
    pub need_bytes: u64,
}

/// Everything that is held by way of that folder, by UUID and slot. Nobody who holds a device notices; whoever tries
/// to lock one in the same instant may find it busy, and tries again.
///
/// A folder that is not there holds nothing; what can not be read in it is left out with a log line.
#[must_use]
pub fn holders(folder: &Path) -> Vec<Held> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(%error, folder = %folder.display(), "device locks can not be listed");
            }
            return Vec::new();
        }
    };
    let mut held: Vec<Held> = entries.flatten().filter_map(|entry| held(&entry.path())).collect();
    held.sort_by(|a, b| (&a.uuid, a.slot).cmp(&(&b.uuid, b.slot)));
    held
}

fn held(path: &Path) -> Option<Held> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (device, slot) = match name.split_once('.') {
        Some((device, slot)) => (device, Some(slot.parse().ok()?)),
        None => (name, None),
    };
    let note = match look(path) {
        Ok(Look::Free) => return None,
        Ok(Look::Held(note)) => note,
        Err(error) => {
            tracing::warn!(%error, "a device lock can not be read");
            return None;
        }
    };
    Some(match note {
        Some(note) => Held {
            uuid: note.uuid,
            slot,
            pid: note.pid,
            holder: note.holder,
            since_unix_secs: note.since_unix_secs,
            need_bytes: note.need_bytes,
        },
        None => Held {
            uuid: device.to_owned(),
            slot,
            pid: 0,
            holder: String::new(),
            since_unix_secs: 0,
            need_bytes: 0,
        },
    })
}

//! What the disk takes, without the engine.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::session::{Session, each};
use crate::stage::folder;

/// Writes of a block.
const BLOCK: usize = 50;
/// About the length of a record.
const BYTES: usize = 400;

pub fn floor(id: &'static str, session: &mut Session) {
    let folder = folder();
    match id {
        "floor/write" => session.alone(id, || write(folder.path())),
        "floor/fdatasync" => session.alone(id, || fdatasync(folder.path())),
        "floor/put" => session.alone(id, || put(folder.path())),
        _ => panic!("{id} has no bench"),
    }
}

/// Appends to a file.
pub fn write(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("floor")).unwrap();
    each(BLOCK, || (0..BLOCK).for_each(|_| file.write_all(&[7; BYTES]).unwrap()))
}

/// Appends to a file and waits until it is on the disk.
pub fn fdatasync(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("floor")).unwrap();
    each(BLOCK, || {
        for _ in 0..BLOCK {
            file.write_all(&[7; BYTES]).unwrap();
            file.sync_data().unwrap();
        }
    })
}

/// Replaces a file as a whole: written aside, synced, renamed, its folder synced.
pub fn put(folder: &Path) -> Duration {
    let (aside, path) = (folder.join(".floor.tmp"), folder.join("floor"));
    each(BLOCK, || {
        for _ in 0..BLOCK {
            let mut file = File::create(&aside).unwrap();
            file.write_all(&[7; BYTES]).unwrap();
            file.sync_all().unwrap();
            fs::rename(&aside, &path).unwrap();
            File::open(folder).unwrap().sync_all().unwrap();
        }
    })
}

//! Whether a data folder is still the one it was.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::DataError;

/// Files whose bytes are looked at. The chunks of the arrays may be many gigabytes: of them names and lengths are.
const READ_WHOLE: [&str; 2] = ["config.toml", "metadata.parquet"];
/// A file of the arrays that is shorter than this is looked at too: descriptions of arrays, chunks of labels.
const SHORT_BYTES: u64 = 4096;

/// What tells a data folder from another: how many files and bytes, checksums of its descriptions, and of names and lengths of
/// everything else. Compressed chunks of other values have other lengths but for a rare one. Times mean nothing: a copy is the same data.
///
/// # Errors
/// [`DataError::Io`] if something can not be read.
pub fn fingerprint(folder: &Path) -> Result<Value, DataError> {
    let mut described = serde_json::Map::new();
    for name in READ_WHOLE {
        let path = folder.join(name);
        if path.exists() {
            described.insert(name.to_owned(), json!(format!("{:08x}", checksum(&path)?)));
        }
    }
    let mut files = Vec::new();
    list(&folder.join("data.zarr"), &mut files)?;
    files.sort_unstable();
    let (mut listing, mut bytes) = (0, 0);
    for (path, length) in &files {
        let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
        listing = crc32c::crc32c_append(listing, name.as_bytes());
        listing = crc32c::crc32c_append(listing, &length.to_le_bytes());
        if *length < SHORT_BYTES {
            listing = crc32c::crc32c_append(listing, &checksum(path)?.to_le_bytes());
        }
        bytes += length;
    }
    described.insert("files".to_owned(), json!(files.len()));
    described.insert("bytes".to_owned(), json!(bytes));
    described.insert("arrays".to_owned(), json!(format!("{listing:08x}")));
    Ok(Value::Object(described))
}

fn list(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<(), DataError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Io { action: "list the files of the data", path, source }
    };
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        // Links are followed, as reading follows them.
        let metadata = fs::metadata(&path).map_err(io(&path))?;
        if metadata.is_dir() {
            list(&path, files)?;
        } else {
            files.push((path, metadata.len()));
        }
    }
    Ok(())
}

fn checksum(path: &Path) -> Result<u32, DataError> {
    let mut content = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut content)).map_err(|source| DataError::Io {
        action: "read a file of the data",
        path: path.to_owned(),
        source,
    })?;
    Ok(crc32c::crc32c(&content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SynthConfig, synthesise};

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        synthesise(&SynthConfig { samples: 6, patch_size: 16, regions: 2, ..SynthConfig::new(&folder) })
            .unwrap();
        (parent, folder)
    }

    #[test]
    fn a_copy_is_the_same_data() {
        let ((_a, one), (_b, other)) = (folder(), folder());
        assert_eq!(fingerprint(&one).unwrap(), fingerprint(&other).unwrap());
    }

    #[test]
    fn what_is_other_is_seen() {
        let (_parent, folder) = folder();
        let before = fingerprint(&folder).unwrap();
        let mut files = Vec::new();
        list(&folder.join("data.zarr"), &mut files).unwrap();
        let (chunk, length) = files.iter().max_by_key(|(_, length)| *length).unwrap();
        File::options().write(true).open(chunk).unwrap().set_len(length - 1).unwrap();
        let cut = fingerprint(&folder).unwrap();
        assert_ne!(before["arrays"], cut["arrays"]);
        assert_eq!(before["config.toml"], cut["config.toml"]);
        fs::write(folder.join("config.toml"), "[darts]").unwrap();
        assert_ne!(cut["config.toml"], fingerprint(&folder).unwrap()["config.toml"]);
        fs::remove_dir_all(folder.join("data.zarr")).unwrap();
        assert!(fingerprint(&folder).unwrap_err().to_string().contains("data.zarr"));
    }
}

//! Files that appear whole or not at all: written aside, synced, renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a file could not be put in place. The file that stood there before is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtomicError {
    /// The path ends in no file name.
    #[error("no file can be written without a name: {}", path.display())]
    Nameless {
        /// The path as given.
        path: PathBuf,
    },
    /// The file beside the target could not be made.
    #[error("can not write here, check that the folder exists and may be written to: {}", path.display())]
    Create {
        /// The target.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The content could not be brought to the disk.
    #[error("can not bring the content to the disk, check its free space: {}", path.display())]
    Sync {
        /// The target.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The finished file could not take its name.
    #[error("can not move the finished file to its name: {}", path.display())]
    Rename {
        /// The target.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes a file aside, brings it to the disk and gives it its name in one step.
///
/// Readers see the file that was there before, or the whole new one. Where `fill` fails, or anything after it, the
/// file aside is removed and the target stays as it was.
///
/// # Errors
/// What `fill` returns, or an [`AtomicError`] turned into it.
pub fn write<T, E: From<AtomicError>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let aside = aside(path)?;
    let filled = fill_and_rename(path, &aside, fill);
    if filled.is_err() {
        // The first error is the one to tell; a file left aside does no harm, and its name says what it is.
        drop(fs::remove_file(&aside));
    }
    filled
}

fn fill_and_rename<T, E: From<AtomicError>>(
    path: &Path,
    aside: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let owned = || path.to_owned();
    let mut file = File::create(aside).map_err(|source| AtomicError::Create { path: owned(), source })?;
    let answer = fill(&mut file)?;
    file.sync_all().map_err(|source| AtomicError::Sync { path: owned(), source })?;
    drop(file);
    fs::rename(aside, path).map_err(|source| AtomicError::Rename { path: owned(), source })?;
    sync_folder_of(path).map_err(|source| AtomicError::Sync { path: owned(), source })?;
    Ok(answer)
}

/// A name in the same folder that no other writer uses: the target's, hidden, with process and count.
fn aside(path: &Path) -> Result<PathBuf, AtomicError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| AtomicError::Nameless { path: path.to_owned() })?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{}.{}-{count}.tmp", name.to_string_lossy(), process::id())))
}

/// A rename outlives a power cut only once its folder is synced.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Folders can not be opened for syncing here; the file system orders renames by itself.
#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn io_error(path: &Path) -> impl Fn(io::Error) -> AtomicError {
        let path = path.to_owned();
        move |source| AtomicError::Sync { path: path.clone(), source }
    }

    #[test]
    fn nothing_is_visible_until_all_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        fs::write(&path, "old").unwrap();
        write(&path, |file| {
            file.write_all(b"new ").map_err(io_error(&path))?;
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            file.write_all(b"content").map_err(io_error(&path))
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new content");
        assert_eq!(names(folder.path()), ["table"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        fs::write(&path, "old").unwrap();
        let failed: Result<(), _> = write(&path, |file| {
            file.write_all(b"half").map_err(io_error(&path))?;
            Err(io_error(&path)(io::ErrorKind::StorageFull.into()))
        });
        assert!(matches!(failed, Err(AtomicError::Sync { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["table"]);
    }

    #[test]
    fn a_missing_folder_and_a_missing_name_are_told_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not-there").join("table");
        let error = write(&path, |_| Ok::<_, AtomicError>(())).unwrap_err();
        assert!(matches!(error, AtomicError::Create { .. }));
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(matches!(
            write(Path::new("/"), |_| Ok::<_, AtomicError>(())),
            Err(AtomicError::Nameless { .. })
        ));
    }
}

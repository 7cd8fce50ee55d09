//! Files that appear whole or not at all: written aside, synced, renamed.
//!
//! A writer that is killed leaves its file aside. The name says which process that was, so that [`clear_leftovers`]
//! takes away what dead writers left, and nothing that is being written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// What the name of every file aside ends in.
const SUFFIX: &str = ".tmp";

/// Why a file could not be put in place. The file that stood there before is untouched, save where only the folder could not
/// be synced: then the new one stands there, and a power cut may take it back.
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
    #[error(
        "can not write here, check that the folder exists, may be written to and its disk has free space: {}",
        path.display()
    )]
    Create {
        /// The target.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The content could not be written.
    #[error("can not write, check the free space of the disk: {}", path.display())]
    Write {
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
    #[error("can not move the finished file to its name, check what stands there: {}", path.display())]
    Rename {
        /// The target.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Whether a file is waited for until it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It outlives a power cut from the moment the call returns.
    Synced,
    /// It outlives the end of the process; a power cut may take it, or leave it empty. Nobody waits for the disk.
    Unsynced,
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
    fill_aside(path, Durability::Synced, fill)
}

/// As [`write()`], but nobody waits for the disk: a power cut may take the file, or leave it empty.
///
/// # Errors
/// As [`write()`].
pub fn write_unsynced<T, E: From<AtomicError>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    fill_aside(path, Durability::Unsynced, fill)
}

/// As [`write()`] or [`write_unsynced`], for content that only the disk can refuse.
///
/// # Errors
/// [`AtomicError`]; a file that was there stays.
pub fn put(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), AtomicError> {
    fill_aside(path, durability, |file| {
        fill(file).map_err(|source| AtomicError::Write { path: path.to_owned(), source })
    })
}

/// Removes the files that dead writers left in a folder, and says how many. Nothing below it is looked at.
///
/// What a living process writes stays, this one included. Where the number of a dead process is another's meanwhile, its
/// file stays as well: a leftover does no harm.
///
/// # Errors
/// [`io::Error`] if the folder can not be listed, or of the first file that can not be removed; the others are removed all
/// the same. A folder that is not there holds nothing.
pub fn clear_leftovers(folder: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let (mut removed, mut refused) = (0, None);
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(writer) = name.to_str().and_then(Writer::of) else { continue };
        if writer.may_live() {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(removed), Err)
}

/// Whether there is a process of this number on this machine. One that can not be asked is there; one that has ended and only
/// waits for its parent to take note is not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    !matches!(test_kill_process(pid), Err(Errno::SRCH)) && !has_ended(pid)
}

/// Whether the kernel says that nothing of the process runs any more. Where it does not tell, it is not so.
///
/// # Sources
/// Linux, proc_pid_stat(5): the state stands behind the name, which is in parentheses and may hold any others.
fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, behind)| behind.chars().next());
    matches!(state, Some('Z' | 'X'))
}

fn fill_aside<T, E: From<AtomicError>>(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let aside = aside(path)?;
    let filled = fill_and_rename(path, &aside, durability, fill);
    if filled.is_err() {
        // The first error is the one to tell; a file left aside does no harm, and its name says what it is.
        drop(fs::remove_file(&aside));
    }
    filled
}

fn fill_and_rename<T, E: From<AtomicError>>(
    path: &Path,
    aside: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let owned = || path.to_owned();
    let mut file = File::create(aside).map_err(|source| AtomicError::Create { path: owned(), source })?;
    let answer = fill(&mut file)?;
    if durability == Durability::Synced {
        file.sync_all().map_err(|source| AtomicError::Sync { path: owned(), source })?;
    }
    drop(file);
    fs::rename(aside, path).map_err(|source| AtomicError::Rename { path: owned(), source })?;
    if durability == Durability::Synced {
        sync_folder_of(path).map_err(|source| AtomicError::Sync { path: owned(), source })?;
    }
    Ok(answer)
}

/// A name in the same folder that no other writer uses: the target's, hidden, with the process, its birth and a count.
pub(crate) fn aside(path: &Path) -> Result<PathBuf, AtomicError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| AtomicError::Nameless { path: path.to_owned() })?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (pid, born) = (process::id(), *BORN);
    Ok(path.with_file_name(format!(".{}.{pid}-{born}-{count}{SUFFIX}", name.to_string_lossy())))
}

/// Nanoseconds at which this process first wrote aside: in a container every engine may have the number of the one before.
static BORN: LazyLock<u128> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());

/// Who writes a file aside, by its name.
#[derive(Debug, PartialEq, Eq)]
struct Writer {
    pid: u32,
    /// None in the names of earlier versions.
    born: Option<u128>,
}

impl Writer {
    /// Reads `.{target}.{pid}-{born}-{count}.tmp`, and `{pid}-{count}` or `{pid}` as earlier versions wrote.
    fn of(name: &str) -> Option<Self> {
        let (target, numbers) = name.strip_prefix('.')?.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        let numbers: Vec<&str> = numbers.split('-').collect();
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if target.is_empty() || !numbers.iter().all(is_number) {
            return None;
        }
        let (pid, born) = match numbers[..] {
            [pid] | [pid, _] => (pid, None),
            [pid, born, _] => (pid, Some(born.parse().ok()?)),
            _ => return None,
        };
        Some(Self { pid: pid.parse().ok()?, born })
    }

    /// Whether it may still be writing.
    fn may_live(&self) -> bool {
        if self.pid == process::id() {
            return self.born.is_none_or(|born| born == *BORN);
        }
        is_alive(self.pid)
    }
}

/// A rename outlives a power cut only once its folder is synced.
#[cfg(unix)]
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Folders can not be opened for syncing here; the file system orders renames by itself.
#[cfg(not(unix))]
pub(crate) fn sync_folder_of(_: &Path) -> io::Result<()> {
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_ended_is_not_alive_though_its_parent_has_not_looked() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        assert!(!is_alive(child.id()) && is_alive(std::process::id()));
        assert!(child.wait().unwrap().success());
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

    /// A number that is nobody's any more.
    fn dead_pid() -> u32 {
        let mut child = process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn what_dead_writers_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let dead = dead_pid();
        let mut living = process::Command::new("sleep").arg("300").spawn().unwrap();
        let (alive, own) = (living.id(), process::id());
        let earlier = *BORN - 1;
        let leftovers = [
            format!(".t.parquet.{dead}-1700000000000000000-3.tmp"),
            format!(".t.parquet.{dead}-0.tmp"),
            format!(".a_0_b.png.{dead}.tmp"),
            // The process before had the number that this one has, as in a container.
            format!(".t.parquet.{own}-{earlier}-0.tmp"),
        ];
        let kept = [
            format!(".t.parquet.{alive}-1700000000000000000-3.tmp"),
            format!(".t.parquet.{alive}-0.tmp"),
            format!(".t.parquet.{own}-{}-99.tmp", *BORN),
            format!(".t.parquet.{own}-99.tmp"),
            format!("t.parquet.{dead}-0.tmp"),
            format!(".{dead}-0.tmp"),
            format!(".t.{dead}-x.tmp"),
            format!(".t.{dead}-1-2-3.tmp"),
            ".t..tmp".to_owned(),
            ".t.99999999999999999999-0.tmp".to_owned(),
            "t.parquet".to_owned(),
        ];
        for name in leftovers.iter().chain(&kept) {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", folder.path().join(format!(".link.{dead}-1.tmp"))).unwrap();
        assert_eq!(clear_leftovers(folder.path()).unwrap(), leftovers.len() + 1);
        let left = std::collections::BTreeSet::from_iter(names(folder.path()));
        assert_eq!(left, kept.into_iter().collect());
        assert_eq!(clear_leftovers(folder.path()).unwrap(), 0);
        living.kill().unwrap();
        living.wait().unwrap();
        assert_eq!(clear_leftovers(folder.path()).unwrap(), 2, "theirs go with them");
    }

    #[test]
    fn a_folder_that_is_not_there_holds_no_leftover() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(clear_leftovers(&folder.path().join("not-there")).unwrap(), 0);
        fs::write(folder.path().join("file"), "").unwrap();
        clear_leftovers(&folder.path().join("file")).unwrap_err();
    }

    #[test]
    fn one_that_can_not_be_removed_does_not_keep_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let dead = dead_pid();
        for place in 0..3 {
            fs::write(folder.path().join(format!(".a.{dead}-{place}.tmp")), "").unwrap();
        }
        fs::create_dir(folder.path().join(format!(".folder.{dead}-0.tmp"))).unwrap();
        clear_leftovers(folder.path()).unwrap_err();
        assert_eq!(names(folder.path()), [format!(".folder.{dead}-0.tmp")]);
    }

    #[test]
    fn a_file_nobody_waits_for_appears_whole_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture");
        put(&path, Durability::Unsynced, |file| file.write_all(b"old")).unwrap();
        let refused = put(&path, Durability::Unsynced, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(&refused, Err(AtomicError::Write { source, .. })
            if source.kind() == io::ErrorKind::StorageFull));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["picture"]);
    }
}

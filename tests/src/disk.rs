//! A small disk that a test fills, empties, enlarges and makes read-only, for real: a file system of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Name of the file that takes up the free space.
const BALLAST: &str = ".ballast";
/// Bytes of a page, in which such a disk gives space away.
const PAGE: usize = 4096;

/// A disk in memory, mounted in a name space of its own, where any user may mount one. It is gone with this value.
pub struct SmallDisk {
    shell: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// One of this size (`64k`, `300m`) over an empty folder. `None`, and said so, where this user may mount none.
    ///
    /// # Panics
    /// Where it can be mounted, but not be used.
    pub fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mut shell = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (commands, answers) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let (answers, mounted_at) = (BufReader::new(answers), folder.canonicalize().unwrap());
        let mut disk = Self { shell, commands, answers, mounted_at };
        let mount = format!("mount -t tmpfs -o size={size} none '{}'", disk.mounted_at.display());
        if disk.say(&mount) != Some(0) {
            crate::skipped("a full disk: this user may mount none, not even in a name space of its own");
            return None;
        }
        assert!(disk.path().is_dir(), "the disk is mounted, but can not be seen: {}", disk.path().display());
        Some(disk)
    }

    /// The root of the disk, as every process of this user sees it.
    pub fn path(&self) -> PathBuf {
        let below = self.mounted_at.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.shell.id().to_string()).join("root").join(below)
    }

    /// Gives it another size.
    ///
    /// # Panics
    /// If that is refused.
    pub fn resize(&mut self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    /// Lets nobody write, not even the superuser.
    ///
    /// # Panics
    /// If that is refused: somebody has a file open for writing.
    pub fn make_read_only(&mut self) {
        self.remount("ro");
    }

    /// Lets everybody write again.
    ///
    /// # Panics
    /// If that is refused.
    pub fn make_writable(&mut self) {
        self.remount("rw");
    }

    /// Takes up all free space but so many pages.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn fill_but(&self, pages: u64) {
        let mut ballast = fs::File::create(self.path().join(BALLAST)).unwrap();
        let mut taken: u64 = 0;
        while ballast.write_all(&[0; PAGE]).is_ok() {
            taken += 1;
        }
        let left = taken.checked_sub(pages).unwrap();
        ballast.set_len(left * PAGE as u64).unwrap();
    }

    /// Gives the space back.
    ///
    /// # Panics
    /// If it was not taken.
    pub fn give_space_back(&self) {
        fs::remove_file(self.path().join(BALLAST)).unwrap();
    }

    fn remount(&mut self, option: &str) {
        let remount = format!("mount -o remount,{option} '{}'", self.mounted_at.display());
        assert_eq!(self.say(&remount), Some(0), "{remount}");
    }

    /// The status of a command in the name space; none if there is no such name space.
    fn say(&mut self, command: &str) -> Option<i32> {
        // Where the shell could not be started, the pipe is closed.
        writeln!(self.commands, "{command}; echo $?").ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        answer.trim().parse().ok()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Both fail for a shell that has ended, which is what is wanted.
        drop(self.shell.kill());
        drop(self.shell.wait());
    }
}

/// Names in a folder, in order, but for the file that takes up space.
///
/// # Panics
/// Where there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != BALLAST)
        .collect();
    names.sort();
    names
}

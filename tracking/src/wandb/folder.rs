//! The folder of a tracked run: what lies where, and how it is called.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// How deep [`RunFolder::below`] looks: artifact folder, tune, trial, fold, seed, `wandb`, run, and one to spare. Deeper trees
/// are somebody's whole disk.
const DEEPEST: usize = 8;

/// `wandb/run-20261122_204613-<id>/`: one tracked run on disk. Called `offline-run-…` while nobody sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// Id of the run.
    pub run_id: String,
}

impl RunFolder {
    /// `run-<id>.wandb`, the journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join(format!("run-{}.wandb", self.run_id))
    }

    /// `run-<id>.cursor`, how far it is sent.
    #[must_use]
    pub fn cursor(&self) -> PathBuf {
        self.path.join(format!("run-{}.cursor", self.run_id))
    }

    /// `run-<id>.wandb.synced`, there when everything is sent; the official client looks for it too.
    #[must_use]
    pub fn synced(&self) -> PathBuf {
        self.path.join(format!("run-{}.wandb.synced", self.run_id))
    }

    /// `files/`, what is sent beside the rows.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// `artifacts/<id>/` beside the folder, links to files of artifacts. The journal names them by absolute paths, which stay
    /// good when the folder is renamed; and not below `files/`: older clients send all that lies there.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.path.with_file_name("artifacts").join(&self.run_id)
    }

    /// The run in this folder, ours or the official client's: a folder with one `run-<id>.wandb`, or that file itself. `None`
    /// if it holds none, or several.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        if path.is_file() {
            let run_id = run_id_of(path.file_name()?)?;
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Some(Self { path: folder.unwrap_or(Path::new(".")).to_owned(), run_id });
        }
        let mut journals = fs::read_dir(path).ok()?.filter_map(|entry| {
            let entry = entry.ok()?;
            let run_id = run_id_of(&entry.file_name())?;
            entry.path().is_file().then_some(run_id)
        });
        match (journals.next(), journals.next()) {
            (Some(run_id), None) => Some(Self { path: path.to_owned(), run_id }),
            _ => None,
        }
    }

    /// Every run below a folder and the run in it, at most eight folders deep, in the order of their names. Links are
    /// not followed, so that `latest-run` does not count twice.
    #[must_use]
    pub fn below(path: &Path) -> Vec<Self> {
        let mut found = Vec::new();
        let mut left = vec![(path.to_owned(), 0)];
        while let Some((folder, depth)) = left.pop() {
            if let Some(run) = Self::at(&folder) {
                found.push(run);
            } else if depth < DEEPEST {
                left.extend(folders_in(&folder).into_iter().map(|inner| (inner, depth + 1)));
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }
}

/// The id in `run-<id>.wandb`.
fn run_id_of(name: &OsStr) -> Option<String> {
    let id = name.to_str()?.strip_prefix("run-")?.strip_suffix(".wandb")?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// The folders in a folder, without links. One that can not be read has none.
fn folders_in(path: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "can not look for runs here");
            return Vec::new();
        }
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter_map(Result::ok).filter(is_folder).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn run(root: &Path, folder: &str, id: &str) {
        fs::create_dir_all(root.join(folder).join("files")).unwrap();
        fs::write(root.join(folder).join(format!("run-{id}.wandb")), "").unwrap();
        fs::write(root.join(folder).join(format!("run-{id}.wandb.synced")), "").unwrap();
    }

    #[test]
    fn a_run_is_found_by_its_folder_its_journal_and_a_link_to_it() {
        let root = tempfile::tempdir().unwrap();
        run(root.path(), "offline-run-1-a", "a");
        symlink("offline-run-1-a", root.path().join("latest-run")).unwrap();
        let folder = root.path().join("offline-run-1-a");
        let found = RunFolder::at(&folder).unwrap();
        assert_eq!((found.run_id.as_str(), &found.path), ("a", &folder));
        assert_eq!(RunFolder::at(&found.journal()), Some(found));
        assert_eq!(RunFolder::at(&root.path().join("latest-run")).unwrap().run_id, "a");
        assert_eq!(RunFolder::at(root.path()), None);
        assert_eq!(RunFolder::at(&root.path().join("gone")), None);
        assert_eq!(RunFolder::at(&folder.join("run-a.wandb.synced")), None);
        fs::write(folder.join("run-b.wandb"), "").unwrap();
        assert_eq!(RunFolder::at(&folder), None);
    }

    #[test]
    fn all_runs_below_are_found_once_and_in_order() {
        let root = tempfile::tempdir().unwrap();
        for (folder, id) in
            [("t/2/wandb/run-2-b", "b"), ("t/1/wandb/run-1-a", "a"), ("t/2/wandb/run-3-c", "c")]
        {
            run(root.path(), folder, id);
        }
        symlink("run-3-c", root.path().join("t/2/wandb/latest-run")).unwrap();
        symlink("..", root.path().join("t/round")).unwrap();
        let deep = (0..DEEPEST).map(|depth| depth.to_string()).collect::<Vec<_>>().join("/");
        run(root.path(), &format!("{deep}/deeper"), "d");
        let ids = |path: &Path| RunFolder::below(path).into_iter().map(|run| run.run_id).collect::<Vec<_>>();
        assert_eq!(ids(root.path()), ["a", "b", "c"]);
        assert_eq!(ids(&root.path().join("t/2/wandb/run-2-b")), ["b"]);
        assert_eq!(ids(&root.path().join("gone")), Vec::<String>::new());
    }
}

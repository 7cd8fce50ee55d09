//! What is cleared, and what stays, on a real disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{self, Command};
use std::time::SystemTime;

use super::*;
use crate::artifacts::ArtifactLayout;

/// A number that is nobody's any more.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn make(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "half").unwrap();
}

/// Every file below, by its path.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

#[test]
fn a_job_is_cleared_from_its_table_down_to_the_media_of_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let tune = folder.path().join("t");
    let run = tune.join("t-cv0/t-cv0-run-f0s1-aaaaaaa1");
    let wandb = run.join("wandb/run-20261122_204613-aaaaaaa1");
    let dead = dead_pid();
    let left = [
        tune.join(format!(".t.parquet.{dead}-1-0.tmp")),
        tune.join(format!("t-cv0/.run_infos.parquet.{dead}-1-1.tmp")),
        run.join(format!(".metrics.csv.{dead}-1-2.tmp")),
        run.join(format!("figures/.val_curves.json.{dead}-1-3.tmp")),
        run.join(format!("figures/val_samples_epoch0/.7.png.{dead}-1-4.tmp")),
        run.join("checkpoints/.writing-last/weights.safetensors"),
        run.join("checkpoints/.leaving-epoch=0-step=1-val_iou=0.10/weights.safetensors"),
        run.join(format!("wandb/.latest-run.{dead}-1-5.tmp")),
        wandb.join(format!(".run-aaaaaaa1.cursor.{dead}-1-6.tmp")),
        wandb.join(format!("files/media/images/.a.png.{dead}.tmp")),
    ];
    let kept = [
        tune.join("t.parquet"),
        tune.join(format!(".t.parquet.{}-0.tmp", process::id())),
        run.join("metrics.csv"),
        run.join("figures/val_curves.json"),
        run.join("checkpoints/last/weights.safetensors"),
        // Not the engine's to judge: a checkpoint is whole, and so is whatever is in it.
        run.join(format!("checkpoints/last/.x.{dead}-0.tmp")),
        wandb.join("run-aaaaaaa1.wandb"),
        // Another job's.
        folder.path().join(format!("other/.other.parquet.{dead}-0.tmp")),
    ];
    left.iter().chain(&kept).for_each(|path| make(path));
    std::os::unix::fs::symlink(folder.path().join("other"), tune.join("elsewhere")).unwrap();
    assert_eq!(ArtifactLayout::clear_leftovers(&tune).unwrap(), left.len());
    let mut expected = BTreeSet::from(kept);
    expected.insert(tune.join("elsewhere"));
    assert_eq!(files(folder.path()), expected);
    assert_eq!(ArtifactLayout::clear_leftovers(&tune).unwrap(), 0);
    assert_eq!(ArtifactLayout::clear_leftovers(&folder.path().join("not-there")).unwrap(), 0);
}

#[test]
fn what_can_not_be_removed_is_told_and_the_rest_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let dead = dead_pid();
    // A folder of that name is no file to be removed.
    let stays = folder.path().join(format!("a/.x.{dead}-0.tmp"));
    fs::create_dir_all(&stays).unwrap();
    make(&folder.path().join(format!("b/.x.{dead}-0.tmp")));
    make(&folder.path().join("b/checkpoints/.writing-last/weights.safetensors"));
    let error = ArtifactLayout::clear_leftovers(folder.path()).unwrap_err();
    assert!(matches!(&error, ArtifactError::Leftover { path, .. } if path.ends_with("a")), "{error}");
    assert_eq!(files(folder.path()), BTreeSet::new());
    assert!(stays.is_dir());
}

#[test]
fn a_start_removes_what_was_forgotten_in_the_artifact_folder_and_nothing_that_is_young_or_held() {
    let folder = tempfile::tempdir().unwrap();
    let layout = ArtifactLayout::new(folder.path());
    let old = SystemTime::now() - 2 * ABANDONED_AFTER;
    let put = |name: &str, is_old: bool| {
        let path = folder.path().join(name);
        make(&path);
        let file = File::options().write(true).open(&path).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
        file
    };
    put(".writable-4242", true);
    put(".live-4242-1.lock", true);
    let held = put(".live-4242-2.lock", true);
    held.lock().unwrap();
    put(".writable-4243", false);
    put(".live-4243-3.lock", false);
    put(".live-note", true);
    put("my.lock", true);
    layout.ensure_writable().unwrap();
    let left: BTreeSet<_> = files(folder.path())
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let kept = [".live-4242-2.lock", ".live-4243-3.lock", ".live-note", ".writable-4243", "my.lock"];
    assert_eq!(left, kept.map(str::to_owned).into());
    drop(held);
    layout.ensure_writable().unwrap();
    assert!(!folder.path().join(".live-4242-2.lock").exists());
}

//! A crate outside of this workspace, made of the quickstart's text alone: it tunes a burn model in worker processes, is
//! killed, goes on, and reads its table.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use engine_tests::cli::Workplace;
use engine_tests::table::Table;
use engine_tests::text::{blocks, section};
use rustix::process::Signal;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where the page says the engine is; the one thing of it that the test replaces.
const PLACE: &str = "../engine/engine";

/// Makes the crate below a folder, and builds it without a network. The folder of its dependencies' build lasts, so that
/// a second time only the engine is built.
fn build(folder: &Path) -> PathBuf {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/quickstart.md")).unwrap();
    let part = section(&page, "## With a model of your own");
    let only = |language: &str| {
        let found = blocks(part, language);
        assert_eq!(found.len(), 1, "{language}");
        found.into_iter().next().unwrap()
    };
    let manifest = only("toml");
    assert_eq!(manifest.matches(PLACE).count(), 1, "{manifest}");
    let engine = std::fs::canonicalize(Path::new(ROOT).join("engine")).unwrap();
    std::fs::create_dir(folder.join("src")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest.replace(PLACE, engine.to_str().unwrap())).unwrap();
    std::fs::write(folder.join("src/main.rs"), only("rust,no_run")).unwrap();
    // The versions that are here.
    std::fs::copy(Path::new(ROOT).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap().join("outside-crate");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the cargo that runs this test, and of no one else's build.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "RUSTFLAGS" {
            cargo.env_remove(name);
        }
    }
    let built = cargo
        .args(["build", "--offline"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Another build of the same name may follow in that folder.
    let program = folder.join("program");
    std::fs::copy(target.join("debug/ring"), &program).unwrap();
    program
}

/// Names of runs that a program said to be complete.
fn completed(said: &str) -> BTreeSet<String> {
    said.lines().filter_map(|line| line.strip_suffix(" is complete")).map(str::to_owned).collect()
}

/// When the metrics of each of these runs were written last.
fn written(tune: &Path, runs: &BTreeSet<String>) -> Vec<(PathBuf, SystemTime)> {
    let metrics: Vec<_> = Workplace::files_below(tune)
        .into_iter()
        .filter(|(path, _)| path.ends_with("metrics.csv"))
        .filter(|(path, _)| runs.iter().any(|run| path.to_string_lossy().contains(&format!("{run}-"))))
        .map(|(path, (_, time))| (path, time))
        .collect();
    assert_eq!(metrics.len(), runs.len(), "{metrics:?}");
    metrics
}

#[test]
fn a_crate_made_of_the_quickstart_tunes_is_killed_goes_on_and_reads_its_table() {
    let crate_dir = tempfile::tempdir().unwrap();
    let program = build(crate_dir.path());
    let place = Workplace::new();
    let tune = place.path("artifacts/ring");

    let mut killed = place.start_command(place.program(&program));
    killed.until_line("is complete");
    killed.signal(Signal::KILL);
    let killed = killed.end();
    assert_eq!(killed.code, None, "{killed:?}");
    let before = completed(&killed.stdout);
    assert!((1..6).contains(&before.len()), "{killed:?}");
    #[cfg(target_os = "linux")]
    place.assert_left_by_all();
    let finished = written(&tune, &before);

    let resumed = place.start_command(place.program(&program)).end();
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let after = completed(&resumed.stdout);
    assert!(before.is_disjoint(&after), "trained again: {before:?}, {after:?}");
    assert_eq!(written(&tune, &before), finished);

    let all: BTreeSet<String> =
        (0..2).flat_map(|cv| (0..3).map(move |fold| format!("ring-cv{cv}-run-f{fold}s42"))).collect();
    assert!(before.union(&after).all(|run| all.contains(run)), "{before:?}, {after:?}");
    let table = Table::read(&tune.join("ring.parquet"));
    let names = table.texts("run_name");
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), all);
    assert!(table.texts("status").iter().all(|status| status == "complete"));
    assert_eq!(table.texts("run_id").into_iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(table.integers("width").into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([4, 64]));

    // What the program itself read of it.
    let rows: Vec<&str> = resumed.stdout.lines().filter(|line| line.starts_with("run_name=")).collect();
    assert_eq!(rows.len(), 6, "{}", resumed.stdout);
    for run in &all {
        let of_run: Vec<_> = rows.iter().filter(|row| row.contains(run.as_str())).collect();
        assert!(matches!(of_run[..], [row] if row.contains("complete")), "{run}: {rows:?}");
    }
    // Chance alone would be right for two thirds.
    let best = table.floats("val/accuracy").into_iter().fold(0.0, f64::max);
    assert!(best > 0.85, "{best}");

    // There is nothing left to do.
    let again = place.start_command(place.program(&program)).end();
    assert_eq!((again.code, completed(&again.stdout)), (Some(0), BTreeSet::new()), "{again:?}");
}

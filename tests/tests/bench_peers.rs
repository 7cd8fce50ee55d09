//! `make bench-peers`: its driver does what it says, and the engine takes the job that both sides are given.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::path::PathBuf;
use std::process::Command;

use engine_tests::cli::Workplace;
use engine_tests::peers::must;
use engine_tests::skipped;

/// Python on the driver's folder; `None`, and said so, where there is none that is new enough.
fn python() -> Option<Command> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/peers");
    let has_toml = Command::new("python3").args(["-c", "import tomllib"]).output();
    if !has_toml.is_ok_and(|output| output.status.success()) {
        skipped("the driver of bench-peers wants Python 3.11");
        return None;
    }
    let mut python = Command::new("python3");
    // No compiled files beside the sources.
    python.arg("-B").current_dir(std::fs::canonicalize(folder).unwrap());
    Some(python)
}

#[test]
fn the_driver_passes_its_own_tests() {
    let Some(mut python) = python() else { return };
    let output = must(python.args(["-m", "unittest", "discover"]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("\nOK") && !told.contains("Ran 0 tests"), "{told}");
}

#[test]
fn the_engine_takes_the_job_and_the_space_of_both_sides() {
    let Some(mut python) = python() else { return };
    let place = Workplace::with_data();
    let write = "import sides, sys; sides.Place('.', 'python', sys.argv[1], sys.argv[2], 2).write()";
    must(python.args(["-c", write]).arg(place.path("data")).arg(place.path("written")));
    let shown = place.run(&["config", "show", "--json", "--config-file", "written/job.toml"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    // 24 samples are fewer than the job wants: refused for that alone, after every option and the space were read.
    let words = "tune --config-file written/job.toml --hpconfig written/space.toml --n-trials grid \
                 --strategy cv-parallel --accelerator cpu --devices 0";
    let refused = place.run(&words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("subsample of 160"), "{}", refused.stderr);
}

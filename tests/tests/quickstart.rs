//! The commands of the quickstart, as they stand on its page.
#![cfg(unix)]

use std::path::Path;

use engine_tests::cli::{Workplace, engine_binary};
use engine_tests::table::Table;
use engine_tests::text::{blocks, section};

#[test]
fn the_commands_of_the_quickstart_do_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quickstart.md");
    let page = std::fs::read_to_string(page).unwrap();
    let part = section(&page, "## With the program");
    let spaces = blocks(part, "toml");
    assert_eq!(spaces.len(), 1);
    let scripts = blocks(part, "sh");
    assert!(scripts.iter().any(|script| script.contains("engine tune") && script.contains("--resume")));

    let place = Workplace::new();
    place.write("space.toml", &spaces[0]);
    let engine = engine_binary();
    let path = std::env::var("PATH").unwrap();
    let mut table = None;
    for script in &scripts {
        let mut shell = place.program(Path::new("/bin/sh"));
        shell.args(["-e", "-c", script]).env("PATH", format!("{}:{path}", engine.parent().unwrap().display()));
        let ended = place.start_command(shell).end();
        assert_eq!(ended.code, Some(0), "{script}\n{ended:?}");
        // What is over is not done again.
        let written = std::fs::read(place.path("artifacts/first/first.parquet")).ok();
        if script.contains("--resume") {
            assert_eq!(written, table, "the table changed");
        }
        table = written;
    }

    let runs = Table::read(&place.path("artifacts/first/first.parquet"));
    let statuses = runs.texts("status");
    assert_eq!(statuses.len(), 4);
    assert!(statuses.iter().all(|status| status == "complete"), "{statuses:?}");
    let made = Workplace::files_below(&place.path("predictions"));
    let predicted = made.keys().filter(|path| path.extension().is_some_and(|ending| ending == "tif")).count();
    assert!(predicted >= 48, "{made:?}");
}

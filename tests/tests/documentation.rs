//! The pages of the documentation: they are found, what they link to is there, and the quickstart's commands do what it says.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine_tests::cli::{Workplace, engine_binary};
use engine_tests::table::Table;
use engine_tests::text::{anchors, blocks, links, section};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The pages below a folder.
fn pages(folder: &Path) -> BTreeSet<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

#[test]
fn the_index_lists_every_page_once() {
    let docs = Path::new(ROOT).join("docs");
    let index = std::fs::read_to_string(docs.join("README.md")).unwrap();
    let mut listed = links(&index);
    listed.sort();
    let mut expected: Vec<String> =
        pages(&docs).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    expected.retain(|name| name != "README.md");
    expected.push("decisions".to_owned());
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn links_lead_to_what_is_there() {
    let root = Path::new(ROOT);
    let all = ["", "docs", "docs/decisions"].iter().flat_map(|folder| pages(&root.join(folder)));
    let mut followed = 0;
    for page in all {
        for link in links(&std::fs::read_to_string(&page).unwrap()) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, to)| (path, Some(to)));
            let to = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(to.exists(), "{}: {link} is not there", page.display());
            if let Some(anchor) = anchor {
                let there = anchors(&std::fs::read_to_string(&to).unwrap());
                assert!(there.contains(anchor), "{}: {link} is none of {there:?}", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}

#[test]
fn the_commands_of_the_quickstart_do_what_it_says() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/quickstart.md")).unwrap();
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
        shell
            .args(["-e", "-c", script])
            .env("PATH", format!("{}:{path}", engine.parent().unwrap().display()));
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

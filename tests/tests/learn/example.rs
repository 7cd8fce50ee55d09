//! The example `digits`, and the ten lines of the README.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::Test;

pub const TESTS: &[Test] =
    &[("the_example_learns_digits", digits), ("the_readme_has_the_ten_lines_that_are_compiled", ten_lines)];

/// Where cargo builds the examples of the workspace.
fn example(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().with_file_name("examples").join(name);
    assert!(path.is_file(), "build it first: cargo build --example {name}: {}", path.display());
    path
}

/// What the example prints.
fn run(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(example("digits"));
    let output = command.arg(arguments[0]).arg(folder.path()).args(&arguments[1..]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

/// The number behind a word.
fn number_after(text: &str, word: &str) -> f64 {
    let (_, behind) = text.split_once(word).unwrap_or_else(|| panic!("no {word} in {text}"));
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
    let digits = behind.trim_start_matches(|letter| !is_part(letter));
    let end = digits.find(|letter| !is_part(letter)).unwrap_or(digits.len());
    digits[..end].parse().unwrap()
}

/// A tenth would be right by chance.
fn digits() {
    assert!(number_after(&run(&["train", "5"]), "\"val/accuracy\"") > 0.85);
    assert!(number_after(&run(&["cv", "5"]), "accuracy") > 0.85);
    let tuned = run(&["tune", "6"]);
    assert!(tuned.contains("learning_rate") && number_after(&tuned, "accuracy") > 0.85, "{tuned}");
}

fn read(path: &str) -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../").to_owned() + path).unwrap()
}

fn ten_lines() {
    let readme = read("README.md");
    let (_, behind) = readme.split_once("```rust\n").unwrap();
    let (block, _) = behind.split_once("```").unwrap();
    assert_eq!(block.lines().filter(|line| !line.trim().is_empty()).count(), 10, "{block}");
    // What `docs/models.md` shows is compiled by the documentation's tests.
    let of = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert!(of(&read("docs/models.md")).contains(of(block).trim()), "{block}");
}

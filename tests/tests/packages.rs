//! Every crate that is published is whole in itself; the documentation names the features there are.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(program).args(arguments).current_dir(ROOT).output().unwrap();
    assert!(told.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

fn packages() -> Vec<Value> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]))
            .unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// `publish = false` is an empty list of registries.
fn is_published(package: &Value) -> bool {
    package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
}

#[test]
fn published_crates_say_what_they_are_and_bring_licences_and_readme() {
    let published: Vec<Value> = packages().into_iter().filter(is_published).collect();
    let names: BTreeSet<&str> = published.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let expected = ["engine", "engine-actors", "engine-cli", "engine-devices", "engine-tracking"];
    assert_eq!(names, BTreeSet::from(expected));
    for package in &published {
        let name = package["name"].as_str().unwrap();
        for field in ["description", "license", "repository", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            assert_ne!(dependency["req"], "*", "{name} takes any version of {}", dependency["name"]);
        }
        let files = cargo(&["package", "--list", "--allow-dirty", "--offline", "--package", name]);
        for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "Cargo.toml"] {
            assert!(
                files.lines().any(|listed| listed == file),
                "{file} is not packaged with {name}: {files}"
            );
        }
    }
}

#[test]
fn code_that_is_published_includes_no_file_from_outside_its_crate() {
    for package in packages().iter().filter(|package| is_published(package)) {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let source = manifest.parent().unwrap().join("src");
        let mut folders = vec![source.clone()];
        let mut looked_at = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let depth = path.strip_prefix(&source).unwrap().components().count();
                    // As many steps up as lead out of the crate: out of the folders below `src`, of `src` and of the crate.
                    let outside = "../".repeat(depth + 1);
                    let text = std::fs::read_to_string(&path).unwrap();
                    for line in text.lines().filter(|line| line.contains("include_")) {
                        assert!(!line.contains(&outside), "{}: {line}", path.display());
                    }
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > 0, "{}", source.display());
    }
}

#[test]
fn every_feature_of_the_engine_is_documented() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/extending.md")).unwrap();
    let table: BTreeSet<String> = text
        .lines()
        .skip_while(|line| !line.starts_with("| feature of `engine`"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| line.split('|').nth(1).unwrap().split(',').map(|name| name.trim().replace('`', "")))
        .collect();
    let packages = packages();
    let engine = packages.iter().find(|package| package["name"] == "engine").unwrap();
    let features = engine["features"].as_object().unwrap();
    let there: BTreeSet<String> = features.keys().filter(|name| *name != "default").cloned().collect();
    assert_eq!(table, there);
    let by_default: BTreeSet<&str> =
        features["default"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for line in text.lines().filter(|line| line.starts_with("| `") && line.contains("| yes |")) {
        let name = line.split('`').nth(1).unwrap();
        assert!(by_default.contains(name), "{name} is not on by default");
    }
    assert_eq!(by_default.len(), text.lines().filter(|line| line.contains("| yes |")).count());
}

//! The dependency direction of ARCHITECTURE.md, read from what cargo itself resolves.

#![expect(clippy::expect_used, reason = "a test that can not read the workspace has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Workspace packages each package may depend on.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("engine-devices", &[]),
    ("engine-tracking", &[]),
    ("engine-actors", &["engine-devices", "engine-tracking"]),
    ("engine", &["engine-actors", "engine-devices", "engine-tracking"]),
    ("engine-cli", &["engine"]),
    ("engine-benches", &["engine", "engine-actors", "engine-devices", "engine-tracking", "engine-tests"]),
    ("engine-tests", &["engine", "engine-actors", "engine-devices", "engine-tracking", "engine-cli"]),
];

/// Crates a package must not name, because the job they do belongs to another package.
const MUST_NOT_USE: [(&str, &[&str]); 4] = [
    ("engine-actors", &["burn", "burn-tch", "tch", "arrow", "parquet", "reqwest", "dashmap", "zarrs"]),
    ("engine-devices", &["actix", "arrow", "parquet", "burn", "toml", "serde_json", "serde-saphyr", "zarrs"]),
    ("engine-tracking", &["actix", "burn", "burn-tch", "tch"]),
    ("engine-cli", &["burn", "actix", "arrow", "parquet", "zarrs", "engine-actors"]),
];

/// Names of the packages each workspace member names in its manifest, dev- and build-dependencies included.
fn direct_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let name = |entry: &Value| entry["name"].as_str().expect("an entry has a name").to_owned();
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a package lists dependencies");
            (name(package), dependencies.iter().map(name).collect())
        })
        .collect()
}

#[test]
fn every_package_uses_only_the_workspace_packages_below_it() {
    let dependencies = direct_dependencies();
    let members: BTreeSet<&String> = dependencies.keys().collect();
    let listed: BTreeSet<String> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(members, listed.iter().collect(), "a package is missing from the table of this test");
    for (package, may_use) in MAY_USE {
        for used in dependencies[package].iter().filter(|name| members.contains(name)) {
            assert!(may_use.contains(&used.as_str()), "{package} must not depend on {used}");
        }
    }
}

#[test]
fn no_package_names_a_crate_whose_job_belongs_elsewhere() {
    let dependencies = direct_dependencies();
    for (package, must_not_use) in MUST_NOT_USE {
        for forbidden in must_not_use {
            assert!(!dependencies[package].contains(*forbidden), "{package} must not depend on {forbidden}");
        }
    }
}

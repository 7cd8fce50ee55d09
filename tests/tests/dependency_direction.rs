//! The dependency direction of ARCHITECTURE.md, read from what cargo itself resolves.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, MetadataCommand};

/// Workspace packages each package may depend on.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("engine-devices", &[]),
    ("engine-tracking", &[]),
    ("engine-actors", &["engine-devices", "engine-tracking"]),
    ("engine", &["engine-actors", "engine-devices", "engine-tracking"]),
    ("engine-cli", &["engine"]),
    ("engine-benches", &["engine", "engine-actors"]),
    ("engine-tests", &["engine", "engine-actors", "engine-devices", "engine-tracking", "engine-cli"]),
];

/// Crates a package must not name, because the job they do belongs to another package.
const MUST_NOT_USE: [(&str, &[&str]); 4] = [
    ("engine-actors", &["burn", "burn-tch", "tch", "arrow", "parquet", "reqwest", "dashmap", "zarrs"]),
    ("engine-devices", &["actix", "arrow", "parquet", "burn", "toml", "serde_json", "serde-saphyr", "zarrs"]),
    ("engine-tracking", &["actix", "burn", "burn-tch", "tch"]),
    ("engine-cli", &["burn", "actix", "arrow", "parquet", "zarrs", "engine-actors"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata runs")
}

fn direct_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    metadata()
        .packages
        .iter()
        .map(|package| {
            let names = package.dependencies.iter().map(|dependency| dependency.name.clone()).collect();
            (package.name.to_string(), names)
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

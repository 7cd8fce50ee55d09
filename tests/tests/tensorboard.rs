//! Event files as TensorBoard's own reader reads them: every scalar of `metrics.csv`, every picture.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use engine_tests::cli::Workplace;
use engine_tests::peers::{must, peer, script};
use engine_tests::wandb::local::{Logged, runs_below};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A value as the script writes it, as narrow as TensorBoard keeps it.
fn narrow(value: &Value) -> f32 {
    match value.as_str() {
        Some(word) => word.parse().unwrap(),
        None => value.as_f64().unwrap() as f32,
    }
}

fn scalars(rows: &[Logged]) -> BTreeMap<String, Vec<(u64, u32)>> {
    let mut found: BTreeMap<String, Vec<(u64, u32)>> = BTreeMap::new();
    for row in rows {
        for (name, value) in &row.values {
            found.entry(name.clone()).or_default().push((row.step, (*value as f32).to_bits()));
        }
    }
    found
}

/// Digests of the pictures below a folder.
fn pictures(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pictures(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "png") {
            let digest = Sha256::digest(std::fs::read(&path).unwrap());
            found.insert(digest.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

#[test]
fn scalars_and_pictures_are_those_that_were_logged() {
    let Some(python) = peer("readers", "python") else { return };
    let place = Workplace::with_data();
    let words = "train --json --name r --max-epochs 2 --tensorboard --train-data-dir data --artifact-dir out \
                 --fold-method region-stratified --total-folds 2 --check-val-every-n-epoch 1 --log-every-n-steps 1 \
                 --accelerator cpu --early-stopping-patience 0 --plot-every-n-val-epochs 1 \
                 --model-encoder resnet18 --batch-size 4";
    let ended = place.run(&words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let run = runs_below(&place.path("out")).remove(0);
    let events = run.folder.join("tensorboard");
    let output = must(Command::new(&python).arg(script("read_tensorboard.py")).arg(&events));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();

    let mut there = BTreeMap::new();
    for (tag, rows) in found["scalars"].as_object().unwrap() {
        let rows =
            rows.as_array().unwrap().iter().map(|row| (row[0].as_u64().unwrap(), narrow(&row[1]).to_bits()));
        there.insert(tag.clone(), rows.collect::<Vec<_>>());
    }
    let expected = scalars(&run.rows);
    assert!(expected.len() > 20, "{expected:?}");
    for (tag, rows) in &expected {
        assert_eq!(there.get(tag), Some(rows), "{tag}");
    }
    let further: Vec<_> = there.keys().filter(|tag| !expected.contains_key(*tag)).collect();
    assert!(further.iter().all(|tag| *tag == "epoch" || tag.starts_with("system/")), "{further:?}");

    let images = found["images"].as_object().unwrap().values().flat_map(|images| images.as_array().unwrap());
    let sent: BTreeSet<String> = images.map(|image| image["sha256"].as_str().unwrap().to_owned()).collect();
    let mut drawn = BTreeSet::new();
    pictures(&run.folder.join("figures"), &mut drawn);
    assert!(!drawn.is_empty(), "the run drew nothing");
    assert_eq!(sent, drawn);

    let hyperparameters = &found["hparams"]["values"];
    assert_eq!(hyperparameters["model_encoder"], "resnet18", "{hyperparameters}");
    assert_eq!(hyperparameters["batch_size"].as_f64(), Some(4.0), "{hyperparameters}");
}

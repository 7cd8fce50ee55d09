//! Weights in and out at the command line: trained, exported, started from, refused.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::path::PathBuf;

use engine_tests::cli::{Ended, Workplace};

const USAGE: i32 = 2;
const FILE: i32 = 4;

const TRAIN: &str = "train --train-data-dir data --artifact-dir out --model-encoder resnet18 --batch-size 8 \
                     --accelerator cpu --devices 0 --max-epochs 1 --json";

fn run(place: &Workplace, line: &str) -> Ended {
    place.run(&line.split_whitespace().collect::<Vec<_>>())
}

fn done(place: &Workplace, line: &str) -> Ended {
    let ended = run(place, line);
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended
}

fn refused(place: &Workplace, line: &str, code: i32, needles: &[&str]) {
    let ended = run(place, line);
    assert_eq!(ended.code, Some(code), "{line}: {}", ended.stderr);
    // The error's line, and what stands below it.
    let error = &ended.stderr[ended.stderr.find("error:").unwrap()..];
    for needle in needles {
        assert!(error.contains(needle), "{line} does not say {needle:?}: {error}");
    }
}

#[test]
fn a_model_is_trained_exported_and_started_from() {
    let place = Workplace::with_data();
    let base = done(&place, &format!("{TRAIN} --name base")).outcome();
    let folder = base["run_dir"].as_str().unwrap();
    let exported = done(&place, &format!("export {folder} --to m --framework smp --json"));
    assert_eq!(exported.json()[0]["arch"], "Unet");
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("m/config.json")).unwrap()).unwrap();
    assert_eq!((&config["_model_class"], &config["in_channels"]), (&"Unet".into(), &4.into()));
    done(&place, &format!("export {folder} --to m.ckpt --framework smp"));
    let files = done(&place, &format!("export {folder}/checkpoints/last --to w.safetensors --quiet")).stdout;
    assert_eq!(files, "w.safetensors\nw.json\n");
    // What is there stays.
    refused(&place, &format!("export {folder} --to m"), USAGE, &["there already", ": m"]);
    fs::remove_file(place.path("w.safetensors")).unwrap();
    refused(&place, &format!("export {folder} --to w.safetensors"), USAGE, &["there already", ": w.json"]);
    refused(&place, "export data --to x", FILE, &["no checkpoint is there", ": data"]);
    assert!(!place.path("x").exists());

    let next =
        format!("{TRAIN} --name next --weights-from-checkpoint m.ckpt --model-encoder-weights {folder}");
    let ended = done(&place, &next);
    assert!(ended.stdout.contains("not taken from the weights: decoder."), "{}", ended.stdout);
    let hparams = PathBuf::from(ended.outcome()["run_dir"].as_str().unwrap()).join("hparams.yaml");
    let hparams = fs::read_to_string(place.path(hparams.to_str().unwrap())).unwrap();
    assert!(hparams.contains(folder), "{hparams}");
    // The file at the same place is another one now.
    fs::copy(place.path("m/model.safetensors"), place.path("m.ckpt")).unwrap();
    refused(
        &place,
        &format!("{next} --resume --max-epochs 2").replace("--max-epochs 1 ", ""),
        USAGE,
        &["weights", "m.ckpt"],
    );
    refused(
        &place,
        &format!("{TRAIN} --bands blue green --weights-from-checkpoint m.ckpt"),
        FILE,
        &[
            "`encoder.conv1.weight` is [64, 4, 7, 7] in the weights and [64, 2, 7, 7] in the model",
            ": m.ckpt",
        ],
    );
}

#[test]
fn weights_that_can_not_be_used_are_refused_before_anything_starts() {
    let place = Workplace::with_data();
    place.write("notes.pth", "not weights at all");
    let hostile = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fuzz/weights/calls-the-system.bin");
    fs::copy(hostile, place.path("hostile.pt")).unwrap();
    let weights =
        engine::models::NamedTensor { name: "conv1.weight".into(), shape: vec![1], values: vec![0.5] };
    let bytes = engine::training::encode_tensors(&[weights]).unwrap();
    fs::write(place.path("other.safetensors"), &bytes).unwrap();
    fs::write(place.path("cut.safetensors"), &bytes[..bytes.len() - 2]).unwrap();
    let of_encoder = [
        ("notes.pth", &["no file of weights", "PyTorch file", ": notes.pth"][..]),
        ("hostile.pt", &["to call `posix.system`", "None was run", ": hostile.pt"]),
        (
            "other.safetensors",
            &["missing: encoder.bn1.weight", "is [1] in the weights", ": other.safetensors"],
        ),
        ("cut.safetensors", &["is damaged", "download it again", ": cut.safetensors"]),
        (
            "imagenet",
            &["ENGINE_WEIGHTS_DIR is not set", "resnet18.safetensors", "huggingface.co/smp-hub/resnet18"],
        ),
    ];
    for (file, needles) in of_encoder {
        refused(&place, &format!("{TRAIN} --model-encoder-weights {file}"), FILE, needles);
    }
    refused(&place, &format!("{TRAIN} --weights-from-checkpoint hostile.pt"), FILE, &["posix.system"]);
    // Each of a tune's configurations is looked at before the first.
    place.write(
        "space.toml",
        "[hyperparameters]\nmodel_encoder = \"resnet18\"\nmodel_encoder_weights = [\"none\", \"other.safetensors\"]\n",
    );
    let tune = "tune --train-data-dir data --artifact-dir out --hpconfig space.toml --n-trials grid";
    refused(&place, tune, FILE, &["missing: encoder.bn1.weight"]);
    assert!(!place.path("out").exists(), "nothing was begun");
    assert!(!place.path("was-run").exists(), "nothing was run");
}

//! Checkpoints and training data: folders of several files. The first byte of an input says which file the rest stands for.

use std::fs;
use std::path::{Path, PathBuf};

use engine::data::{DataFolder, SynthConfig, synthesise};
use engine::models::{NamedTensor, read_safetensors};
use engine::training::checkpoint::{Checkpoint, Checkpoints, State};
use engine::training::{Kept, TopK, encode_tensors};
use engine_tests::ground::state;

use crate::harness::Target;

/// A folder whose files are changed one at a time.
struct Files {
    root: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    changed: Option<usize>,
}

impl Files {
    fn of(root: &Path, names: &[&str]) -> Self {
        let file = |name: &&str| (root.join(name), fs::read(root.join(name)).unwrap());
        Self { root: root.to_owned(), files: names.iter().map(file).collect(), changed: None }
    }

    fn inputs(&self) -> Vec<Vec<u8>> {
        let input =
            |(index, (_, bytes)): (usize, &(PathBuf, Vec<u8>))| [&[index as u8], bytes.as_slice()].concat();
        self.files.iter().enumerate().map(input).collect()
    }

    /// Puts the last changed file right, and changes the one the input is about.
    fn change(&mut self, input: &[u8]) {
        if let Some(before) = self.changed.take() {
            fs::write(&self.files[before].0, &self.files[before].1).unwrap();
        }
        let (first, bytes) = input.split_first().unwrap_or((&0, &[]));
        let index = usize::from(*first) % self.files.len();
        fs::write(&self.files[index].0, bytes).unwrap();
        self.changed = Some(index);
    }

    /// That an error says where it is about.
    fn refused(&self, error: &dyn std::error::Error) -> String {
        let told = crate::chain(error);
        let root = self.root.display().to_string();
        assert!(told.contains(&root), "does not name its file: {told}");
        told.replace(&root, "ROOT")
    }
}

fn checkpoint() -> Checkpoint {
    let tensor = |name: &str| NamedTensor { name: name.into(), shape: vec![2, 3], values: vec![0.5; 6] };
    let mut top_k = TopK::new(Kept::Best(2));
    assert!(top_k.insert("epoch=0-step=1-val_iou=0.10".into(), 0.1).is_empty());
    let optimizer_steps = [("a.weight".to_owned(), 7)].into();
    let state = State { optimizer_steps, top_k, ..state() };
    let weights = encode_tensors(&[tensor("a.weight"), tensor("b.weight")]).unwrap();
    Checkpoint { weights, optimizer_tensors: vec![tensor("a.weight.exp_avg")], state }
}

const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "NaN",
    "Infinity",
    "1e400",
    "\\ud800",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\"dtype\":\"F32\"",
    "\"I64\"",
    "\"shape\":[0]",
    "\"data_offsets\":[0,0]",
    "__metadata__",
    "format_version",
    "\"zarr_format\":2",
    "shape",
    "chunks",
    "chunk_shape",
    "fill_value",
    "\"NaN\"",
    "\"0x7fc00000\"",
    "codecs",
    "\"sharding_indexed\"",
    "\"transpose\"",
    "\"order\":[0,1,2,3]",
    "\"zstd\"",
    "\"blosc\"",
    "\"gzip\"",
    "\"crc32c\"",
    "\"vlen-utf8\"",
    "\"bytes\"",
    "\"<f4\"",
    "\"|u1\"",
    "\"float32\"",
    "\"uint8\"",
    "\"float64\"",
    "\"regular\"",
    "\"rectangular\"",
    "dimension_separator",
    "\"id\"",
    "storage_transformers",
    "attributes",
    "bands",
    "patch_size",
    "[darts]\n",
];

#[test]
fn checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        Checkpoints::open(folder.path().join("checkpoints")).unwrap().write_last(&checkpoint()).unwrap();
    let mut files = Files::of(&path, &["state.json", "weights.safetensors", "optimizer.safetensors"]);
    let target = Target {
        name: "checkpoint",
        corpus: files.inputs(),
        words: JSON_WORDS,
        seal: None,
        allowed_bytes: 0,
    };
    target.run(|input| {
        files.change(input);
        let mut checkpoint = match Checkpoint::read(&path) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return files.refused(&error),
        };
        let weights = read_safetensors(&checkpoint.weights)
            .map_or_else(|error| error.to_string(), |read| read.len().to_string());
        let mut schedule = checkpoint.state.schedule;
        schedule.after_step();
        schedule.after_epoch();
        schedule.after_validation(0.5);
        checkpoint.state.early_stopping.observe(0.5);
        drop(checkpoint.state.top_k.insert("epoch=9".into(), 0.5));
        format!("read {weights} {}", checkpoint.take_optimizer().tensors.len())
    });
}

/// Opens a folder and reads samples of it, as training does.
fn read_data(path: &Path, files: &Files) -> String {
    let folder = match DataFolder::open(path, None) {
        Ok(folder) => folder,
        Err(error) => return files.refused(&error),
    };
    let rows = [0, 1, folder.len() - 1];
    let told = rows.map(|row| match folder.read(row) {
        Ok(sample) => {
            assert_eq!(sample.x.len(), folder.bands().len() * sample.y.len(), "a sample as the folder says");
            "ok".to_owned()
        }
        Err(error) => files.refused(&error),
    });
    let footprints =
        folder.footprints().map(|prints| prints.iter().flatten().filter(|print| print.meets(print)).count());
    format!("read {} {}", told.join(", "), footprints.is_some())
}

/// A small folder of training data.
fn data_folder(path: &Path) -> PathBuf {
    let path = path.join("data");
    let config = SynthConfig { samples: 6, patch_size: 16, regions: 2, ..SynthConfig::new(path.clone()) };
    synthesise(&config).unwrap();
    path
}

/// What a folder may hold at once beside its files: a decoded chunk and its copies.
const DATA_BYTES: usize = 3 * engine::data::MAX_CHUNK_BYTES;

#[test]
fn zarr_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let path = data_folder(folder.path());
    let names = ["data.zarr/x/zarr.json", "data.zarr/y/zarr.json", "data.zarr/zarr.json", "config.toml"];
    let chunks = ["data.zarr/x/c/0/0/0/0", "data.zarr/y/c/0/0/0"];
    let mut files = Files::of(&path, &[names.as_slice(), &chunks].concat());
    let target = Target {
        name: "zarr",
        corpus: files.inputs(),
        words: JSON_WORDS,
        seal: None,
        allowed_bytes: DATA_BYTES,
    };
    target.run(|input| {
        files.change(input);
        read_data(&path, &files)
    });
}

/// Folders of zarr v2, whose metadata lie in files of their own.
#[test]
fn zarr_metadata_of_version_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = data_folder(folder.path());
    let values: Vec<u8> = (0..6 * 4 * 16 * 16).flat_map(|value| (value as f32).to_le_bytes()).collect();
    engine_tests::damage::write_v2(&path, "x", "<f4", &[6, 4, 16, 16], 2, &values);
    engine_tests::damage::write_v2(&path, "y", "|u1", &[6, 16, 16], 2, &[1; 6 * 16 * 16]);
    fs::remove_file(path.join("data.zarr/zarr.json")).unwrap();
    let notes = [(".zgroup", r#"{"zarr_format": 2}"#), ("x/.zattrs", r#"{"_ARRAY_DIMENSIONS": ["a"]}"#)];
    for (name, text) in notes {
        fs::write(path.join("data.zarr").join(name), text).unwrap();
    }
    let names = [
        "data.zarr/x/.zarray",
        "data.zarr/y/.zarray",
        "data.zarr/x/.zattrs",
        "data.zarr/.zgroup",
        "data.zarr/x/0.0.0.0",
    ];
    let mut files = Files::of(&path, &names);
    let target = Target {
        name: "zarr_v2",
        corpus: files.inputs(),
        words: JSON_WORDS,
        seal: None,
        allowed_bytes: DATA_BYTES,
    };
    target.run(|input| {
        files.change(input);
        read_data(&path, &files)
    });
}

#[test]
fn metadata_of_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = data_folder(folder.path());
    let mut files = Files::of(&path, &["metadata.parquet"]);
    let mut corpus = files.inputs();
    // The same without compression, whose checks would refuse every other page.
    engine_tests::damage::edit_table(&path, |columns| columns);
    corpus.push([&[0], fs::read(path.join("metadata.parquet")).unwrap().as_slice()].concat());
    let target = Target {
        name: "data_metadata",
        corpus,
        words: &[
            "PAR1",
            "sample_id",
            "region",
            "empty",
            "geometry",
            "\u{1}\u{3}\0\0\0",
            "{\"primary_column\":\"region\"}",
        ],
        seal: None,
        allowed_bytes: DATA_BYTES,
    };
    target.run(|input| {
        files.change(input);
        read_data(&path, &files)
    });
}

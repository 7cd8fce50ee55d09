//! Files of weights: safetensors, PyTorch's archive and its form before 1.6, and the pickle within.

use std::fs;
use std::path::{Path, PathBuf};

use engine::models::NamedTensor;
use engine::models::weights::WeightsFile;
use engine::models::weights::pytorch::write_pytorch;
use engine::training::encode_tensors;
use serde_json::json;

use crate::harness::Target;

/// Instructions, names and lengths of pickles and archives.
const WORDS: &[&str] = &[
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "ctorch._utils\n_rebuild_tensor\n",
    "ctorch._utils\n_rebuild_parameter\n",
    "ccollections\nOrderedDict\n)R",
    "ctorch\nFloatStorage\n",
    "ctorch\nHalfStorage\n",
    "ctorch\nSize\n",
    "cposix\nsystem\n",
    "cmy.module\nClass\n)\u{1}",
    "X\u{7}\0\0\0storage",
    "X\u{a}\0\0\0state_dict",
    "X\u{1}\0\0\x000",
    "J\0\0\0\0",
    "J\u{6}\0\0\0",
    "(J\u{2}\0\0\0J\u{3}\0\0\0t",
    "tQ",
    "tR",
    "}(",
    "](",
    "u.",
    "q\u{1}",
    "h\u{1}",
    "PK\u{1}\u{2}",
    "PK\u{3}\u{4}",
    "PK\u{5}\u{6}",
    "PK\u{6}\u{6}",
    "PK\u{6}\u{7}",
    "archive/data/0",
    "archive/data.pkl",
    "archive/byteorder",
    "\"dtype\":\"BF16\"",
    "\"shape\":[2,3]",
    "\"data_offsets\":[0,24]",
];

/// Bytes of each storage beside a pickle that is looked at.
const STORAGE: [u8; 24] = [0x3f; 24];
/// How many of them there are.
const STORAGES: usize = 3;

fn tensors() -> [NamedTensor; 2] {
    ["a.weight", "b.running_var"].map(|name| NamedTensor {
        name: name.into(),
        shape: vec![2, 3],
        values: vec![0.75; 6],
    })
}

fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    let counters = [("b.num_batches_tracked".to_owned(), 7)];
    let config =
        json!({"bands": ["red", "nir"], "rate": 1e-3, "none": null, "is": true, "many": 1_u64 << 40});
    write_pytorch(&mut bytes, &config, &tensors(), &counters).unwrap();
    bytes
}

/// The pickle of an archive, its first entry.
fn pickle_of(archive: &[u8]) -> Vec<u8> {
    let short = |at: usize| usize::from(archive[at]) + (usize::from(archive[at + 1]) << 8);
    let begin = 30 + short(26) + short(28);
    archive[begin..begin + short(18)].to_vec()
}

/// A file as PyTorch wrote it before 1.6, with one storage.
fn legacy() -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend_from_slice(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    bytes.extend_from_slice(b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage");
    bytes.extend_from_slice(b"ctorch\nFloatStorage\nX\x01\0\0\x009X\x03\0\0\0cpuK\x06NtQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89}tRs.");
    bytes.extend_from_slice(b"\x80\x02]X\x01\0\0\x009a.");
    bytes.extend_from_slice(&6_u64.to_le_bytes());
    bytes.extend_from_slice(&STORAGE);
    bytes
}

/// An archive around a pickle, as short as can be, with storages beside it.
fn around(pickle: &[u8]) -> Vec<u8> {
    let storages = (0..STORAGES).map(|key| (format!("archive/data/{key}"), STORAGE.to_vec()));
    let entries = [("archive/data.pkl".to_owned(), pickle.to_vec())].into_iter().chain(storages);
    let (mut bytes, mut directory, mut count) = (Vec::new(), Vec::new(), 0_u16);
    for (name, content) in entries {
        let at = u32::try_from(bytes.len()).unwrap();
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        let mut about = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        about.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        about.extend_from_slice(&[length, length].concat());
        about.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        about.extend_from_slice(&[0, 0]);
        bytes.extend([b"PK\x03\x04", about.as_slice(), name.as_bytes(), &content].concat());
        directory.extend(
            [b"PK\x01\x02\x0a\0", about.as_slice(), &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat(),
        );
        count += 1;
    }
    let begin = u32::try_from(bytes.len()).unwrap();
    bytes.extend_from_slice(&directory);
    let places = [u32::try_from(directory.len()).unwrap().to_le_bytes(), begin.to_le_bytes()].concat();
    let counts = [count.to_le_bytes(), count.to_le_bytes()].concat();
    bytes.extend([b"PK\x05\x06\0\0\0\0", counts.as_slice(), &places, &[0, 0]].concat());
    bytes
}

/// Reads a file as a run does.
fn read(path: &Path) -> String {
    let read = WeightsFile::open(path).and_then(|mut file| {
        let described: Vec<Vec<usize>> = file.tensors().map(|(_, shape)| shape.to_vec()).collect();
        Ok((described, file.read()?))
    });
    match read {
        Ok((described, tensors)) => {
            for (shape, tensor) in described.iter().zip(&tensors) {
                assert_eq!((&tensor.shape, tensor.values.len()), (shape, shape.iter().product()));
                assert!(tensor.values.iter().all(|value| value.is_finite()));
            }
            format!("read {}", tensors.len())
        }
        Err(error) => {
            let told = crate::chain(&error);
            let name = path.display().to_string();
            assert!(told.contains(&name), "does not name its file: {told}");
            told.replace(&name, "FILE")
        }
    }
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("weights")
}

#[test]
fn files_of_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let corpus = vec![encode_tensors(&tensors()).unwrap(), archive(), legacy()];
    let target = Target { name: "weights", corpus, words: WORDS, seal: None, allowed_bytes: 0 };
    target.run(|input| {
        fs::write(&path, input).unwrap();
        read(&path)
    });
}

#[test]
fn pickles_of_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    // What PyTorch keeps and uses again, and protocol 4.
    let kept = b"\x80\x04\x95\0\0\0\0\0\0\0\0}\x94\x8c\x01w\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94\x93\x94(\
                 (\x8c\x07storage\x94\x8c\x05torch\x94\x8c\x0cFloatStorage\x94\x93\x94\x8c\x010\x94\x8c\x03cpu\x94K\x06t\x94Q\
                 K\x00K\x06\x85\x94K\x01\x85\x94\x89}\x94t\x94R\x94s.";
    let corpus = vec![around_only_floats(), kept.to_vec()];
    let target =
        Target { name: "weights_pickle", corpus, words: WORDS, seal: Some(around), allowed_bytes: 0 };
    target.run(|input| {
        fs::write(&path, input).unwrap();
        read(&path)
    });
}

/// The pickle of an archive whose storages all have [`STORAGE`]'s length.
fn around_only_floats() -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pytorch(&mut bytes, &json!({"bands": ["red"], "rate": 0.5}), &tensors(), &[]).unwrap();
    pickle_of(&bytes)
}

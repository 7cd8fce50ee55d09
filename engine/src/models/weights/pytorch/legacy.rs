//! Files of PyTorch before 1.6: four pickles, then the storages, each behind the number of its elements.
//!
//! The first three pickles are a number that tells the format, its version, and facts of the machine; the fourth is what was saved. A
//! fifth lists the keys of the storages in the order they follow. Most published weights of torchvision are of this form.
//!
//! # Sources
//! PyTorch 2.9, `torch/serialization.py`, `_legacy_load`.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::super::error::WeightsFault;
use super::super::layout::{Layout, Stretch, read_at};
use super::machine;
use super::state_dict::StateDict;
use super::value::{Object, Pickle, StorageId, Value};
use super::{PICKLE_BYTES, place};

/// The first pickle up to its end: protocol 2, and 0x1950a86a20f9469cfc6c in ten bytes.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The only version there was.
const VERSION: Value = Value::Int(1001);
/// Bytes of the number before a storage.
const COUNT_BYTES: u64 = 8;

/// Whether a file that begins so is of this form.
pub(in crate::models::weights) fn is_legacy(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// Where the tensors of a file of this form lie.
pub(in crate::models::weights) fn layout(
    file: &mut (impl Read + Seek),
    length: u64,
) -> Result<Layout, WeightsFault> {
    let bytes = read_at(file, 0, length.min(PICKLE_BYTES), length)?;
    let mut at = MAGIC.len();
    let mut next = || {
        let (pickle, read) = machine::read(bytes.get(at..).unwrap_or_default())?;
        at += read;
        Ok::<_, WeightsFault>(pickle)
    };
    let version = next()?;
    if version.root != VERSION {
        return Err(WeightsFault::damaged("its version is not the one there was before PyTorch 1.6"));
    }
    let machine = next()?;
    if !is_little_endian(&machine) {
        return Err(WeightsFault::damaged("it does not say that its numbers have their lowest byte first"));
    }
    let saved = next()?;
    let keys = next()?;
    let stretches = stretches(file, length, at as u64, &saved, &keys)?;
    place(StateDict::find(&saved)?, |tensor| {
        let found = stretches.get(tensor.storage.key);
        found.copied().ok_or_else(|| WeightsFault::tensor(tensor.name, "has no storage; the file is damaged"))
    })
}

fn is_little_endian(machine: &Pickle<'_>) -> bool {
    let facts = machine.dict(machine.root).unwrap_or_default();
    facts
        .iter()
        .any(|(name, value)| machine.text(*name) == Some("little_endian") && *value == Value::Bool(true))
}

/// Where each storage lies, by its key.
fn stretches<'p>(
    file: &mut (impl Read + Seek),
    length: u64,
    begin: u64,
    saved: &Pickle<'p>,
    keys: &Pickle<'_>,
) -> Result<BTreeMap<&'p str, Stretch>, WeightsFault> {
    let storages: BTreeMap<&str, &StorageId<'p>> = saved
        .objects
        .iter()
        .filter_map(|object| match object {
            Object::Storage(storage) => Some((storage.key, &**storage)),
            _ => None,
        })
        .collect();
    let Some(Object::List(keys_in_order)) = keys.object(keys.root) else {
        return Err(WeightsFault::damaged("its list of storages is none"));
    };
    let mut found = BTreeMap::new();
    let mut at = begin;
    for key in keys_in_order {
        let storage = keys.text(*key).and_then(|key| storages.get(key));
        let storage = storage.ok_or_else(|| WeightsFault::damaged("it has a storage that nothing uses"))?;
        let count = read_at(file, at, COUNT_BYTES, length)?;
        let count = count.first_chunk().map(|count| u64::from_le_bytes(*count));
        let bytes = storage.elements.checked_mul(storage.element.bytes() as u64);
        let (Some(bytes), true) = (bytes, count == Some(storage.elements)) else {
            let key = storage.key;
            return Err(WeightsFault::damaged(format!("the number of elements of storage `{key}` is wrong")));
        };
        let offset = at + COUNT_BYTES;
        at = offset.checked_add(bytes).filter(|end| *end <= length).ok_or_else(|| {
            WeightsFault::damaged(format!("storage `{}` reaches beyond its end: it is cut", storage.key))
        })?;
        if found.insert(storage.key, Stretch { offset, bytes, crc32: None }).is_some() {
            return Err(WeightsFault::damaged(format!("it has storage `{}` twice", storage.key)));
        }
    }
    Ok(found)
}

//! Writes PyTorch files: `{"config": …, "statedict": …}`, which `torch.load(path, weights_only=True)` takes.

use std::io::{self, Write};

use serde_json::Value;

use crate::models::NamedTensor;

/// The archive's folder; PyTorch calls it so where it writes to no named file.
const ROOT: &str = "archive";
/// Storages begin at multiples of this, as PyTorch's do, so that they can be mapped.
const ALIGNMENT: usize = 64;
/// Version of the form that PyTorch 1.6 to 2.9 write.
const VERSION: &[u8] = b"3\n";
/// The letters before the padding of an entry.
const PADDING: &[u8; 2] = b"FB";

/// Writes a state dict with a configuration beside it. `counters` are the batch counters, which Python's strict loading asks for.
///
/// # Errors
/// Those of `to`; [`io::ErrorKind::FileTooLarge`] where the whole is 4 GiB or more.
pub fn write_pytorch(
    to: &mut impl Write,
    config: &Value,
    tensors: &[NamedTensor],
    counters: &[(String, u64)],
) -> io::Result<()> {
    let mut archive = Archive { to, at: 0, directory: Vec::new(), entries: 0 };
    archive.add("data.pkl", &pickle(config, tensors, counters)?)?;
    archive.add("byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        let bytes: Vec<[u8; 4]> = tensor.values.iter().map(|value| value.to_le_bytes()).collect();
        archive.add(&format!("data/{key}"), bytes.as_flattened())?;
    }
    for (at, (_, counter)) in counters.iter().enumerate() {
        archive.add(&format!("data/{}", tensors.len() + at), &counter.to_le_bytes())?;
    }
    archive.add("version", VERSION)?;
    archive.end()
}

/// What is saved, in pickle's protocol 2.
fn pickle(config: &Value, tensors: &[NamedTensor], counters: &[(String, u64)]) -> io::Result<Vec<u8>> {
    let mut out = b"\x80\x02}(".to_vec();
    text(&mut out, "config")?;
    json(&mut out, config)?;
    text(&mut out, "statedict")?;
    out.extend_from_slice(b"ccollections\nOrderedDict\n)R(");
    for (key, tensor) in tensors.iter().enumerate() {
        self::tensor(&mut out, &tensor.name, "FloatStorage", key, &tensor.shape)?;
    }
    for (at, (name, _)) in counters.iter().enumerate() {
        self::tensor(&mut out, name, "LongStorage", tensors.len() + at, &[])?;
    }
    // The entries of the state dict, those of the whole, and its end.
    out.extend_from_slice(b"uu.");
    Ok(out)
}

fn tensor(out: &mut Vec<u8>, name: &str, storage: &str, key: usize, shape: &[usize]) -> io::Result<()> {
    let elements: usize = shape.iter().product();
    text(out, name)?;
    out.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage")?;
    out.extend_from_slice(format!("ctorch\n{storage}\n").as_bytes());
    text(out, &key.to_string())?;
    text(out, "cpu")?;
    int(out, elements as i64);
    out.extend_from_slice(b"tQ");
    int(out, 0);
    let strides = super::super::layout::row_major(shape).unwrap_or_default();
    for numbers in [shape, &strides] {
        out.push(b'(');
        numbers.iter().for_each(|number| int(out, *number as i64));
        out.push(b't');
    }
    // No gradient, no hooks.
    out.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtR");
    Ok(())
}

fn json(out: &mut Vec<u8>, value: &Value) -> io::Result<()> {
    match value {
        Value::Null => out.push(b'N'),
        Value::Bool(is_true) => out.push(if *is_true { 0x88 } else { 0x89 }),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => int(out, whole),
            (None, float) => {
                out.push(b'G');
                out.extend_from_slice(&float.unwrap_or(f64::NAN).to_be_bytes());
            }
        },
        Value::String(content) => text(out, content)?,
        Value::Array(items) => {
            out.extend_from_slice(b"](");
            items.iter().try_for_each(|item| json(out, item))?;
            out.push(b'e');
        }
        Value::Object(entries) => {
            out.extend_from_slice(b"}(");
            for (name, value) in entries {
                text(out, name)?;
                json(out, value)?;
            }
            out.push(b'u');
        }
    }
    Ok(())
}

fn text(out: &mut Vec<u8>, content: &str) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    out.push(b'X');
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(content.as_bytes());
    Ok(())
}

fn int(out: &mut Vec<u8>, value: i64) {
    match i32::try_from(value) {
        Ok(small) => {
            out.push(b'J');
            out.extend_from_slice(&small.to_le_bytes());
        }
        Err(_) => {
            out.extend_from_slice(b"\x8a\x08");
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// An archive of entries that lie in it as they are.
struct Archive<'w, W: Write> {
    to: &'w mut W,
    at: usize,
    directory: Vec<u8>,
    entries: u16,
}

impl<W: Write> Archive<'_, W> {
    fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let name = format!("{ROOT}/{name}");
        let (crc32, bytes) = (crc32fast::hash(content), word(content.len())?);
        // A local header of 30 bytes, the name, and at least the head of the padding before the content.
        let begin = (self.at + 30 + name.len() + 4).next_multiple_of(ALIGNMENT);
        let padding = begin - self.at - 30 - name.len();
        let short = |length: usize| (length as u16).to_le_bytes();
        // Version 1.0, no flags, stored, midnight of the first day there is.
        let mut about = [&[10_u8, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &crc32.to_le_bytes()].concat();
        about.extend_from_slice(&[bytes.to_le_bytes(), bytes.to_le_bytes()].concat());
        about.extend_from_slice(&short(name.len()));
        let mut header = [b"PK\x03\x04", about.as_slice(), &short(padding), name.as_bytes()].concat();
        header.extend_from_slice(PADDING);
        header.extend_from_slice(&short(padding - 4));
        header.resize(header.len() + padding - 4, b'Z');
        self.directory.extend_from_slice(&[b"PK\x01\x02\x0a\0", about.as_slice()].concat());
        // No extra field, no comment, one disk, no attributes.
        self.directory.extend_from_slice(&[0; 12]);
        self.directory.extend_from_slice(&word(self.at)?.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.entries = self.entries.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        self.write(&header)?;
        self.write(content)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len();
        self.to.write_all(bytes)
    }

    fn end(mut self) -> io::Result<()> {
        let directory = std::mem::take(&mut self.directory);
        let (begin, bytes) = (word(self.at)?, word(directory.len())?);
        self.write(&directory)?;
        let counts = [self.entries.to_le_bytes(), self.entries.to_le_bytes()].concat();
        let places = [bytes.to_le_bytes(), begin.to_le_bytes()].concat();
        self.write(&[b"PK\x05\x06\0\0\0\0", counts.as_slice(), &places, &[0, 0]].concat())
    }
}

/// An archive around any pickle, with any storages and notes.
#[cfg(test)]
pub(super) fn archive_of(pickle: &[u8], entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = Archive { to: &mut bytes, at: 0, directory: Vec::new(), entries: 0 };
    archive.add("data.pkl", pickle).unwrap();
    for (name, content) in entries {
        archive.add(name, content).unwrap();
    }
    archive.end().unwrap();
    bytes
}

/// A place or length of the archive, which has less than 4 GiB.
fn word(number: usize) -> io::Result<u32> {
    u32::try_from(number).ok().filter(|word| *word < u32::MAX).ok_or(io::ErrorKind::FileTooLarge.into())
}

//! The archive around a PyTorch file: which entries it has and where their bytes lie.
//!
//! PyTorch stores entries uncompressed, so that an entry is a stretch of the file. Nothing else is read.
//!
//! # Sources
//! PKWARE, APPNOTE.TXT 6.3.10: 4.3.7 local header, 4.3.12 central directory, 4.3.14 and 4.3.15 zip64, 4.3.16 end.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::super::error::WeightsFault;
use super::super::layout::{Stretch, read_at};

/// What the bytes of an archive begin with.
pub(in crate::models::weights) const MAGIC: &[u8] = b"PK\x03\x04";

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const LOCAL_HEADER_BYTES: usize = 30;
const DIRECTORY_ENTRY_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;
/// The longest comment an archive may end with.
const COMMENT_BYTES: usize = u16::MAX as usize;
/// Number of the extra field with 64-bit sizes.
const EXTRA_64: u16 = 1;
/// A directory of a million tensors; no model has as many.
const DIRECTORY_BYTES: u64 = 64 << 20;

/// An entry as the directory tells of it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    header: u64,
    bytes: u64,
    stored_bytes: u64,
    crc32: u32,
    method: u16,
    flags: u16,
}

/// The entries of an archive by their names.
#[derive(Debug)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
    /// Where the directory begins: no entry reaches beyond.
    end: u64,
}

impl Archive {
    /// Reads the directory of an archive of `length` bytes.
    pub(super) fn read(file: &mut (impl Read + Seek), length: u64) -> Result<Self, WeightsFault> {
        let (offset, bytes) = find_directory(file, length)?;
        if bytes > DIRECTORY_BYTES {
            return Err(WeightsFault::damaged(format!("its list of entries is {bytes} bytes long")));
        }
        let directory = read_at(file, offset, bytes, length)?;
        let mut entries = BTreeMap::new();
        let (mut rest, mut total) = (directory.as_slice(), 0_u64);
        while !rest.is_empty() {
            let (name, entry, behind) = directory_entry(rest)?;
            total = total.saturating_add(entry.stored_bytes);
            if let Some(twice) = entries.insert(name.clone(), entry) {
                let places = (twice.header, entry.header);
                return Err(WeightsFault::damaged(format!("it has `{name}` twice, at {places:?}")));
            }
            rest = behind;
        }
        if total > length {
            return Err(WeightsFault::damaged(format!(
                "its entries are {total} bytes, but it has {length}: they overlap, or it is cut"
            )));
        }
        Ok(Self { entries, end: offset })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Where an entry's bytes lie.
    pub(super) fn stretch(&self, file: &mut (impl Read + Seek), name: &str) -> Result<Stretch, WeightsFault> {
        let entry = self
            .entries
            .get(name)
            .ok_or_else(|| WeightsFault::damaged(format!("its entry `{name}` is missing")))?;
        if entry.flags & 1 != 0 || entry.method != 0 || entry.bytes != entry.stored_bytes {
            return Err(WeightsFault::Unsupported {
                what: format!("entry `{name}` of the PyTorch file is compressed or encrypted"),
                remedy: "`torch.save` writes entries as they are: load the file in Python and save it again",
            });
        }
        let header = read_at(file, entry.header, LOCAL_HEADER_BYTES as u64, self.end)?;
        if le_u32(&header, 0) != Some(LOCAL_HEADER) {
            return Err(WeightsFault::damaged(format!("entry `{name}` is not where it should be")));
        }
        let behind = [26, 28].map(|at| u64::from(le_u16(&header, at).unwrap_or(0)));
        let offset = entry.header + LOCAL_HEADER_BYTES as u64 + behind[0] + behind[1];
        let reach = offset.checked_add(entry.bytes);
        if reach.is_none_or(|reach| reach > self.end) {
            return Err(WeightsFault::damaged(format!("entry `{name}` reaches beyond the end of the file")));
        }
        // PyTorch writes 0 where it was told to reckon no checksums.
        let crc32 = Some(entry.crc32).filter(|crc32| *crc32 != 0);
        Ok(Stretch { offset, bytes: entry.bytes, crc32 })
    }
}

/// Where the directory begins, and how long it is.
fn find_directory(file: &mut (impl Read + Seek), length: u64) -> Result<(u64, u64), WeightsFault> {
    let cut = || WeightsFault::damaged("the list of entries at its end is missing: it is cut");
    let tail_bytes = length.min((END_BYTES + COMMENT_BYTES) as u64);
    let tail_begin = length - tail_bytes;
    let tail = read_at(file, tail_begin, tail_bytes, length)?;
    let at = (0..tail.len().saturating_sub(END_BYTES - 1))
        .rev()
        .find(|&at| {
            le_u32(&tail, at) == Some(END)
                && le_u16(&tail, at + 20)
                    .is_some_and(|comment| at + END_BYTES + usize::from(comment) == tail.len())
        })
        .ok_or_else(cut)?;
    let end = tail_begin + at as u64;
    if let Some(locator_at) = end.checked_sub(LOCATOR_64_BYTES as u64) {
        let locator = read_at(file, locator_at, LOCATOR_64_BYTES as u64, length)?;
        if le_u32(&locator, 0) == Some(LOCATOR_64) {
            let end_64_at = le_u64(&locator, 8).ok_or_else(cut)?;
            let end_64 = read_at(file, end_64_at, END_64_BYTES as u64, length)?;
            if le_u32(&end_64, 0) != Some(END_64) {
                return Err(cut());
            }
            let (bytes, offset) = (le_u64(&end_64, 40), le_u64(&end_64, 48));
            return Ok((offset.ok_or_else(cut)?, bytes.ok_or_else(cut)?));
        }
    }
    let (bytes, offset) = (le_u32(&tail, at + 12), le_u32(&tail, at + 16));
    Ok((u64::from(offset.ok_or_else(cut)?), u64::from(bytes.ok_or_else(cut)?)))
}

/// The first entry of `directory`, and what follows it.
fn directory_entry(directory: &[u8]) -> Result<(String, Entry, &[u8]), WeightsFault> {
    let cut = || WeightsFault::damaged("its list of entries is cut");
    if le_u32(directory, 0).ok_or_else(cut)? != DIRECTORY_ENTRY {
        return Err(WeightsFault::damaged("its list of entries holds something else"));
    }
    let short = |at| le_u16(directory, at).ok_or_else(cut);
    let word = |at| le_u32(directory, at).map(u64::from).ok_or_else(cut);
    let lengths = [short(28)?, short(30)?, short(32)?].map(usize::from);
    let name_end = DIRECTORY_ENTRY_BYTES + lengths[0];
    let extra_end = name_end + lengths[1];
    let name = directory.get(DIRECTORY_ENTRY_BYTES..name_end).ok_or_else(cut)?;
    let extra = directory.get(name_end..extra_end).ok_or_else(cut)?;
    let behind = directory.get(extra_end + lengths[2]..).ok_or_else(cut)?;
    // Bytes, stored bytes and place: those that are all ones stand in the extra field, in this order.
    let mut wide = [word(24)?, word(20)?, word(42)?];
    let mut of_extra = extra_64(extra).chunks_exact(8);
    for value in wide.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
        *value = of_extra.next().and_then(|bytes| le_u64(bytes, 0)).ok_or_else(cut)?;
    }
    let [bytes, stored_bytes, header] = wide;
    let name = std::str::from_utf8(name)
        .map_err(|_| WeightsFault::damaged("the name of an entry is no text"))?
        .to_owned();
    let crc32 = le_u32(directory, 16).ok_or_else(cut)?;
    let entry = Entry { header, bytes, stored_bytes, crc32, method: short(10)?, flags: short(8)? };
    Ok((name, entry, behind))
}

/// The content of the extra field with 64-bit sizes; empty where there is none.
fn extra_64(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(bytes)) = (le_u16(extra, 0), le_u16(extra, 2)) {
        let end = 4 + usize::from(bytes);
        let Some(content) = extra.get(4..end) else { break };
        if id == EXTRA_64 {
            return content;
        }
        extra = &extra[end..];
    }
    &[]
}

fn le_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
